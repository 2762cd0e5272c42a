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
    let post = |more: &str| format!("POST /metrics HTTP/1.1\r\nHost: a\r\n{more}").into_bytes();
    let endless = [
        post("Transfer-Encoding: chunked\r\n\r\n"),
        b"10000\r\n".to_vec(),
        vec![b'x'; 64 << 10],
    ]
    .concat();
    let headers: String = (0..10_000).map(|at| format!("X-{at}: y\r\n")).collect();
    let long_header = format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\nX: {}",
        "y".repeat(1 << 20)
    );
    let long_line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1 << 20));
    vec![
        row(
            "GET as usual",
            b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            served(),
        ),
        row(
            "no HTTP",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            refused(),
        ),
        row(
            "method that is none",
            b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            refused(),
        ),
        row(
            "version 9.9",
            b"GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_vec(),
            refused(),
        ),
        row("request line of 1 MiB", long_line.into_bytes(), refused()),
        row(
            "header of 1 MiB without an end",
            long_header.into_bytes(),
            refused(),
        ),
        row("10,000 headers", post(&headers), refused()),
        row("body without an end, chunked", endless, refused()),
        row(
            "Content-Length 2^63",
            post("Content-Length: 9223372036854775808\r\n\r\nx"),
            refused(),
        ),
        row(
            "Content-Length -1",
            post("Content-Length: -1\r\n\r\n"),
            refused(),
        ),
        row(
            "chunked and Content-Length",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            refused(),
        ),
        row(
            "chunk size of no number",
            post("Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            refused(),
        ),
        row(
            "NUL in a header",
            b"GET / HTTP/1.1\r\nHost: \0\r\n\r\n".to_vec(),
            refused(),
        ),
        row(
            "line feed in a path",
            b"GET /a\nX: y HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            refused(),
        ),
    ]
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
