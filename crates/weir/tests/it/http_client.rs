//! Requests to the admin port, one connection each.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) head: String,
    /// Null where there is no body.
    pub(crate) body: Value,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|it| it.1)
    }
}

/// Whoever asks.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    pub(crate) address: &'a str,
    /// Name and password.
    pub(crate) user: Option<(&'a str, &'a str)>,
}

impl Client<'_> {
    /// Asks below the API's root; what has a body says that it is JSON.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        let mut headers = String::new();
        if !body.is_empty() || method == "POST" {
            headers.push_str("content-type: application/json\r\n");
        }
        if let Some((name, password)) = self.user {
            let said = STANDARD.encode(format!("{name}:{password}"));
            headers.push_str(&format!("authorization: Basic {said}\r\n"));
        }
        self.raw(method, target, &headers, body)
    }

    /// Asks with these headers alone.
    pub(crate) fn raw(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        sent(
            self.address,
            &format!(
                "{method} /api/v1{target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                 content-length: {length}\r\n{headers}\r\n{body}"
            ),
        )
    }
}

/// Sends bytes, and reads all that comes back.
pub(crate) fn sent(address: &str, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    // It may have been answered before all of it was sent.
    let _ = stream.write_all(request.as_bytes());
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}
