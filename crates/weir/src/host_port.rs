//! A host and a port, as a person writes them: `node-1.example:9092`, `10.0.0.1:9092`, `[::1]:9092`.

use std::{fmt, net::SocketAddr, str::FromStr};

/// Longest host name, in bytes: DNS has no longer ones.
const MAX_HOST_BYTES: usize = 253;

/// Where something can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    /// Not 0.
    pub(crate) port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or("HOST:PORT is needed; there is no port")?;
        let port = port
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("`{port}` is no port between 1 and 65535"))?;
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = match bare {
            Some(bare) => bare,
            None if host.contains(':') => return Err(format!("write [{host}]:{port}")),
            None => host,
        };
        let is_host = |byte: u8| byte.is_ascii_graphic() && !b"[]/@".contains(&byte);
        if host.is_empty() || host.len() > MAX_HOST_BYTES || !host.bytes().all(is_host) {
            return Err(format!("`{host}` is no host"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_addresses_read_back() {
        for text in ["node-1.example:9092", "10.0.0.1:1", "[::1]:65535"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        let address: SocketAddr = "[::1]:9092".parse().unwrap();
        assert_eq!(HostPort::from(address).to_string(), "[::1]:9092");
    }

    #[test]
    fn what_nobody_could_connect_to_is_refused() {
        let long = format!("{}:1", "a".repeat(MAX_HOST_BYTES + 1));
        let refused = [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            ":1",
            "::1:9092",
            "a b:1",
            "a/b:1",
            &long,
        ];
        for text in refused {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
        let longest = format!("{}:1", "a".repeat(MAX_HOST_BYTES));
        assert!(longest.parse::<HostPort>().is_ok());
    }
}
