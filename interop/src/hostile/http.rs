//! Rows of the admin page's HTTP.

use super::row::{Door, Due, Row, Stage};

const CROWD_COUNT: usize = 1_000;
const SMALL_CROWD_COUNT: usize = 20;

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
        crowd_count: if is_large {
            SMALL_CROWD_COUNT
        } else {
            CROWD_COUNT
        },
    }
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = heads();
    rows.extend(bodies());
    rows.extend(of_api());
    rows
}

/// The admin API: refused before or after it is read, and never carried out.
fn of_api() -> Vec<Row> {
    let put = |path: &str, body: &str| {
        let length = body.len();
        format!(
            "PUT /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let deep = format!("{{\"a\":{}", "[".repeat(60_000));
    let long = format!("{{\"kind\":\"{}\"}}", "x".repeat(1 << 20));
    let login = |name: &str, credentials: &str| {
        format!(
            "GET /api/v1/{name} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\r\n"
        )
    };
    [
        ("API: no JSON", put("/topics/t", "{")),
        ("API: JSON nested 60,000 deep", put("/topics/t", &deep)),
        ("API: body of 1 MiB", put("/vhosts/%2F/exchanges/e", &long)),
        ("API: unknown field", put("/topics/t", "{\"x\":1}")),
        ("API: escapes that are none", put("/topics/%zz%ff", "{}")),
        ("API: dots and slashes", put("/topics/..%2f..%2fetc", "{}")),
        ("API: path of 4,000 parts", put(&"/a".repeat(4_000), "{}")),
        ("API: wrong password", login("topics", "YTpi")),
        (
            "API: login that is none",
            login("topics", &"A".repeat(8_000)),
        ),
        (
            "API: cursor that is none",
            login("topics?after=%00", "YTpi"),
        ),
    ]
    .into_iter()
    .map(|(name, request)| row(name, request.into_bytes(), refused()))
    .collect()
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
    let served = row("GET as usual", usual.into(), served());
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
    fn a_status_is_read_from_the_first_line() {
        assert_eq!(status_of(b"HTTP/1.1 431 Too Large\r\nX: 1"), Some(431));
        assert_eq!(status_of(b"HTTP/1.1 4"), Some(4));
        assert_eq!(status_of(b"AMQP"), None);
    }
}
