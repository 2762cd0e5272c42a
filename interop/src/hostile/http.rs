//! Rows of the admin page's HTTP.

use super::row::{Door, Due, Row, Stage};
use anyhow::{Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const CROWD_COUNT: usize = 1_000;
const SMALL_CROWD_COUNT: usize = 20;
/// Less than what the port has places for, witnesses beside it: past that some make room for others.
const PLACES_COUNT: usize = 250;
/// Of rows that cost the node a derivation of a password each.
const LOGINS_CROWD_COUNT: usize = 100;
/// How long the node waits for a body, and what a busy machine takes on top.
const BODY_LIMIT: Duration = Duration::from_secs(6);
/// Who well-behaved clients are, `honest:honest`.
const LOGIN: &str = "Authorization: Basic aG9uZXN0OmhvbmVzdA==\r\n";

/// A status that refuses, or the end.
fn refused() -> Due {
    Due::AnswerOrEnd(Box::new(|answer| {
        let status = status_of(answer)?;
        (status >= 400).then(|| format!("status {status}"))
    }))
}

fn served() -> Due {
    Due::Answer(Box::new(|answer| {
        let status = status_of(answer)?;
        (status == 200).then(|| format!("status {status}"))
    }))
}

/// What a well-behaved client asks; where there is no place for all, some are sent away.
pub(super) fn usual() -> (Vec<u8>, Due) {
    let due = Due::AnswerOrEnd(Box::new(|answer| {
        let status = status_of(answer)?;
        (status == 200).then(|| format!("status {status}"))
    }));
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), due)
}

/// Asks once, and reads the answer.
pub(super) fn is_well(socket: &mut TcpStream) -> Result<()> {
    socket.write_all(&usual().0)?;
    let mut heard = Vec::new();
    let mut piece = [0; 4 << 10];
    while !is_whole(&heard) {
        let count = socket.read(&mut piece)?;
        ensure!(count > 0, "closed after {} bytes", heard.len());
        heard.extend_from_slice(&piece[..count]);
    }
    let status = status_of(&heard);
    ensure!(status == Some(200), "answered {status:?}");
    Ok(())
}

/// Head and body are there.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length:"));
    length
        .and_then(|length| length.trim().parse().ok())
        .is_some_and(|length: usize| body.len() >= length)
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|word| word.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

fn row(name: &'static str, payload: Vec<u8>, due: Due) -> Row {
    let is_large = payload.len() > 64 << 10;
    Row {
        door: Door::Http,
        stage: Stage::BeforeLogin,
        name,
        login: [].into(),
        payload: payload.into(),
        due,
        grace: Duration::ZERO,
        crowd_count: if is_large {
            SMALL_CROWD_COUNT
        } else {
            CROWD_COUNT
        },
    }
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    let anybodys = || heads().into_iter().chain(bodies());
    let strangers = anybodys().chain(of_api("")).map(|row| Row {
        stage: Stage::Stranger,
        ..row
    });
    let users = of_api(LOGIN).into_iter().map(|row| Row {
        stage: Stage::User,
        crowd_count: row.crowd_count.min(LOGINS_CROWD_COUNT),
        ..row
    });
    let open = anybodys().chain(of_api(""));
    open.chain(strangers).chain(users).collect()
}

/// The admin API: refused before or after it is read, and never carried out.
fn of_api(login: &str) -> Vec<Row> {
    let refusal = |name, request: String| row(name, request.into_bytes(), refused());
    let put = |path: &str, body: &str| {
        let length = body.len();
        format!(
            "PUT /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n{login}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let get = |name: &str, credentials: &str| {
        format!(
            "GET /api/v1/{name} HTTP/1.1\r\nHost: localhost\r\n{login}\
             Authorization: Basic {credentials}\r\n\r\n"
        )
    };
    let deep = format!("{{\"a\":{}", "[".repeat(60_000));
    let long = format!("{{\"kind\":\"{}\"}}", "x".repeat(1 << 20));
    let keys: String = (0..5_000).map(|at| format!("\"{at}\":0,")).collect();
    let packed =
        put("/topics/t", "{}").replace("Content-Type", "Content-Encoding: gzip\r\nContent-Type");
    let begun = put("/topics/t", "{}").replace("Content-Length: 2", "Content-Length: 60000");
    let rows = [
        ("API: no JSON", put("/topics/t", "{")),
        ("API: JSON nested 60,000 deep", put("/topics/t", &deep)),
        (
            "API: 5,000 keys",
            put("/topics/t", &format!("{{{keys}\"x\":0}}")),
        ),
        ("API: body of 1 MiB", put("/vhosts/%2F/exchanges/e", &long)),
        ("API: unknown field", put("/topics/t", "{\"x\":1}")),
        (
            "API: line ends in a name",
            put("/topics/a%0d%0aX:%20b", "{}"),
        ),
        ("API: markup as a name", put("/topics/%3Cscript%3E", "{}")),
        ("API: body that is packed", packed),
        ("API: escapes that are none", put("/topics/%zz%ff", "{}")),
        ("API: dots and slashes", put("/topics/..%2f..%2fetc", "{}")),
        ("API: path of 4,000 parts", put(&"/a".repeat(4_000), "{}")),
        ("API: wrong password", get("topics", "YTpi")),
        ("API: login that is none", get("topics", &"A".repeat(8_000))),
        ("API: cursor that is none", get("topics?after=%00", "YTpi")),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, request)| refusal(name, request));
    let slow = Row {
        grace: BODY_LIMIT,
        ..refusal("API: body that does not come", begun)
    };
    rows.chain([slow]).collect()
}

fn heads() -> Vec<Row> {
    let usual = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    let hello = "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n";
    let headers: String = (0..10_000).map(|at| format!("X-{at}: y\r\n")).collect();
    let refusals = [
        ("no HTTP", hello.to_owned()),
        (
            "method that is none",
            "BREW / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        ),
        (
            "version 9.9",
            "GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_owned(),
        ),
        (
            "request line of 1 MiB",
            format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20)),
        ),
        (
            "header of 1 MiB without an end",
            format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(1 << 20)),
        ),
        ("10,000 headers", format!("GET / HTTP/1.1\r\n{headers}")),
        (
            "HTTP/2's preface",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        ),
        (
            "NUL in a header",
            "GET / HTTP/1.1\r\nHost: \0\r\n\r\n".to_owned(),
        ),
        (
            "line feed in a path",
            "GET /a\nX: y HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        ),
    ];
    let refused = refusals
        .into_iter()
        .map(|(name, head)| row(name, head.into_bytes(), refused()));
    let served = Row {
        crowd_count: PLACES_COUNT,
        ..row("GET as usual", usual.into(), served())
    };
    [served].into_iter().chain(refused).collect()
}

fn bodies() -> Vec<Row> {
    let chunk = format!(
        "Transfer-Encoding: chunked\r\n\r\n10000\r\n{}",
        "x".repeat(64 << 10)
    );
    let both = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned();
    [
        ("body without an end, chunked", chunk),
        (
            "Content-Length 2^63",
            "Content-Length: 9223372036854775808\r\n\r\nx".to_owned(),
        ),
        ("Content-Length -1", "Content-Length: -1\r\n\r\n".to_owned()),
        ("chunked and Content-Length", both),
        (
            "chunk size of no number",
            "Transfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        ),
    ]
    .into_iter()
    .map(|(name, rest)| {
        let head = "POST /metrics HTTP/1.1\r\nHost: a\r\n";
        row(name, format!("{head}{rest}").into_bytes(), refused())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_once_its_body_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
        assert!(is_whole(answer));
        for cut in 0..answer.len() {
            assert!(!is_whole(&answer[..cut]), "{cut}");
        }
    }

    #[test]
    fn a_status_is_read_from_the_first_line() {
        assert_eq!(status_of(b"HTTP/1.1 431 Too Large\r\nX: 1"), Some(431));
        assert_eq!(status_of(b"HTTP/1.1 4"), Some(4));
        assert_eq!(status_of(b"AMQP"), None);
    }
}
