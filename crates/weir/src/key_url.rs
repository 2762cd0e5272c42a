//! A key set from a URL, by one request each time: HTTP/1.1, over TLS where the URL says so. Redirections are not
//! followed: whoever names the place of keys names the right one.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1,
    header::{ACCEPT, CONNECTION, HOST, USER_AGENT},
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use weir_access::MAX_KEY_SET_BYTES;
use weir_tls::{TlsError, pem_file};

/// A request is over after this long, with all that belongs to it.
const MAX_FETCH: Duration = Duration::from_secs(10);

/// Why there is no answer, or it cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer in {} s", MAX_FETCH.as_secs())]
    Late,
    #[error("no connection: {0}")]
    Connection(#[from] std::io::Error),
    #[error("no HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("answered with {0}")]
    Status(StatusCode),
    #[error("the answer broke off or is longer than {MAX_KEY_SET_BYTES} bytes: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a text is no such URL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyUrlError {
    #[error("no URL of the form https://host[:port]/path")]
    Malformed,
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Where a key set is.
#[derive(Clone)]
pub(crate) struct KeyUrl {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Whether a text is meant as a URL, and not as a file's name.
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

impl KeyUrl {
    /// `authorities`: those whose certificates are believed, in a file.
    pub(crate) fn new(text: &str, authorities: &Path) -> Result<Self, KeyUrlError> {
        let uri: Uri = text.parse().map_err(|_| KeyUrlError::Malformed)?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or(KeyUrlError::Malformed)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let is_secure = uri.scheme_str() == Some("https");
        let name = ServerName::try_from(host.clone()).map_err(|_| KeyUrlError::Malformed)?;
        let tls = is_secure.then(|| Ok::<_, TlsError>((connector(authorities)?, name)));
        Ok(Self {
            port: uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            tls: tls.transpose()?,
            uri,
            host,
        })
    }

    /// Whoever is on the way can put other keys in place of these.
    pub(crate) fn is_exposed(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        let is_here = self.host == "localhost" || address.is_ok_and(|ip| ip.is_loopback());
        self.tls.is_none() && !is_here
    }

    /// What is there now.
    pub(crate) async fn get(&self) -> Result<Bytes, FetchError> {
        let got = timeout(MAX_FETCH, self.fetch()).await;
        got.map_err(|_| FetchError::Late)?
    }

    async fn fetch(&self) -> Result<Bytes, FetchError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        match &self.tls {
            None => self.ask(TokioIo::new(stream)).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                self.ask(TokioIo::new(stream)).await
            }
        }
    }

    async fn ask(
        &self,
        io: impl Read + Write + Unpin + Send + 'static,
    ) -> Result<Bytes, FetchError> {
        let (mut sender, connection) = http1::handshake(io).await?;
        // Ends with its sender, or with the process.
        tokio::spawn(connection);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or("", |it| it.as_str());
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let request = Request::get(path)
            .header(HOST, host)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, "weir")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .expect("parts of a URL are a request");
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_KEY_SET_BYTES);
        let body = body.collect().await.map_err(FetchError::Body)?;
        Ok(body.to_bytes())
    }
}

fn connector(authorities: &Path) -> Result<TlsConnector, TlsError> {
    let roots = pem_file::roots(authorities)?;
    let config = ClientConfig::builder_with_provider(pem_file::provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::refused)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// What is got from a server that answers so, and what it was asked.
    async fn got(answer: Vec<u8>) -> (Result<Bytes, FetchError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            // The client may have heard enough before.
            let _ = stream.write_all(&answer).await;
            String::from_utf8(asked).unwrap()
        });
        let url = format!("http://127.0.0.1:{port}/keys?set=1");
        let url = KeyUrl::new(&url, Path::new("none")).unwrap();
        let found = url.get().await;
        (found, serving.await.unwrap())
    }

    fn answer(status: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    }

    #[tokio::test]
    async fn a_key_set_is_what_is_answered_with_200_and_is_not_too_long() {
        let (found, asked) = got(answer("200 OK", "{}")).await;
        assert_eq!(found.unwrap(), "{}");
        assert!(asked.starts_with("GET /keys?set=1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("host: 127.0.0.1:"), "{asked}");
        for status in ["404 Not Found", "302 Found", "204 No Content"] {
            let (found, _) = got(answer(status, "")).await;
            assert!(matches!(found, Err(FetchError::Status(_))), "{found:?}");
        }
        for (bytes, is_taken) in [(MAX_KEY_SET_BYTES, true), (MAX_KEY_SET_BYTES + 1, false)] {
            let (found, _) = got(answer("200 OK", &" ".repeat(bytes))).await;
            assert_eq!(found.is_ok(), is_taken);
        }
        let (found, _) = got(b"220 mail ready\r\n".to_vec()).await;
        assert!(matches!(found, Err(FetchError::Http(_))), "{found:?}");
        let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec();
        let (found, _) = got(cut).await;
        assert!(matches!(found, Err(FetchError::Body(_))), "{found:?}");
    }

    #[test]
    fn a_url_has_a_host_and_tls_wants_authorities() {
        let of = |text| KeyUrl::new(text, Path::new("/nowhere/ca.pem"));
        let exposed = of("http://id.example/keys").unwrap();
        assert!(exposed.is_exposed() && exposed.port == 80);
        for here in [
            "http://localhost/",
            "http://127.0.0.1:8080/a",
            "http://[::1]:1/",
        ] {
            assert!(!of(here).unwrap().is_exposed(), "{here}");
        }
        for wrong in ["http://", "http:///keys", "http://a b/", "https://[::1/"] {
            let found = of(wrong).err();
            assert!(matches!(found, Some(KeyUrlError::Malformed)), "{wrong}");
        }
        let found = of("https://id.example/keys").err();
        assert!(matches!(found, Some(KeyUrlError::Tls(_))));
        assert!(is_url("https://a/b") && !is_url("/etc/keys.json") && !is_url("keys.json"));
    }
}
