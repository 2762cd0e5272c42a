//! Ports for clients that speak TLS.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, ServerName},
};

use crate::process::{Process, TestDir, command_on, wait_for, weir};

type Client = StreamOwned<ClientConnection, TcpStream>;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TestDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TestDir::new();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// A certificate for localhost; gives its bytes.
    fn issue(&self, name: &str) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let file = |kind: &str| self.dir.path().join(format!("{name}.{kind}"));
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        std::fs::write(file("pem"), signed.pem()).unwrap();
        signed.der().to_vec()
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn connect(&self, address: &str, certificate: Option<&str>) -> io::Result<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                use rustls::pki_types::{CertificateDer, pem::PemObject as _};
                let chain = CertificateDer::from_pem_file(self.file(&format!("{name}.pem")));
                let key = PrivateKeyDer::from_pem_file(self.file(&format!("{name}.key")));
                let chain = vec![chain.unwrap()];
                builder.with_client_auth_cert(chain, key.unwrap()).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = TcpStream::connect(address)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }
}

fn shown(client: &Client) -> Vec<u8> {
    client.conn.peer_certificates().unwrap()[0].to_vec()
}

/// A page of the admin port.
fn get(mut client: Client, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // hyper closes without TLS's word of farewell.
    let _ = client.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// Host and port of the first broker in Kafka's metadata (version 1).
fn first_broker(client: &mut (impl io::Read + io::Write)) -> (String, u32) {
    let request = [&[0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff][..], &[0, 0, 0, 0]].concat();
    let length = u32::try_from(request.len()).unwrap();
    client.write_all(&length.to_be_bytes()).unwrap();
    client.write_all(&request).unwrap();
    let mut number = [0; 4];
    client.read_exact(&mut number).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(number)).unwrap()];
    client.read_exact(&mut answer).unwrap();
    let (count, rest) = (&answer[4..8], &answer[12..]);
    assert_eq!(count, [0, 0, 0, 1]);
    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let host = String::from_utf8(rest[2..2 + length].to_vec()).unwrap();
    let port = rest[2 + length..6 + length].try_into().unwrap();
    (host, u32::from_be_bytes(port))
}

struct Served {
    process: Process,
    ports: BTreeMap<String, String>,
}

fn serve(data: &Path, authority: &Authority, more: &[&str]) -> Served {
    let mut command = command_on("serve", data, "127.0.0.1:0", "127.0.0.1:0");
    let (certificate, key) = (authority.file("node.pem"), authority.file("node.key"));
    command.args([
        "--tls-certificate-file",
        &certificate,
        "--tls-key-file",
        &key,
    ]);
    for port in ["--kafka-tls", "--amqps", "--admin-tls"] {
        command.args([port, "127.0.0.1:0"]);
    }
    let mut process = Process::spawn(command.args(more));
    let lines = process.read_to("node ");
    let ports = lines.iter().filter_map(|line| {
        let (name, address) = line.split_once(' ')?;
        Some((name.to_owned(), address.trim().to_owned()))
    });
    let ports = ports.collect();
    Served { process, ports }
}

#[test]
fn every_door_speaks_tls_beside_its_plain_port_and_new_certificates_need_no_restart() {
    let (authority, data) = (Authority::new(), TestDir::new());
    let first = authority.issue("node");
    let mut served = serve(data.path(), &authority, &[]);
    let ports = &served.ports;
    let mut kafka = authority.connect(&ports["kafka-tls"], None).unwrap();
    let (host, port) = first_broker(&mut kafka);
    assert_eq!(format!("{host}:{port}"), ports["kafka-tls"]);
    let mut plain = TcpStream::connect(&ports["kafka"]).unwrap();
    let (host, port) = first_broker(&mut plain);
    assert_eq!(format!("{host}:{port}"), ports["kafka"]);

    let mut amqp = authority.connect(&ports["amqps"], None).unwrap();
    amqp.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
    let mut start = [0; 11];
    amqp.read_exact(&mut start).unwrap();
    assert_eq!((start[0], &start[7..]), (1, &[0, 10, 0, 10][..]));

    let page = || {
        get(
            authority.connect(&ports["admin-tls"], None).unwrap(),
            "/metrics",
        )
    };
    assert!(
        get(
            authority.connect(&ports["admin-tls"], None).unwrap(),
            "/readyz"
        )
        .contains("200")
    );
    let expiry = "weir_tls_certificate_expiry_timestamp_seconds{file=";
    assert!(page().contains(expiry));

    let second = authority.issue("node");
    assert_ne!(first, second);
    wait_for("the new certificate", || {
        let client = authority.connect(&ports["kafka-tls"], None).unwrap();
        let seen = shown(&client);
        (seen == second)
            .then_some(())
            .ok_or_else(|| "the old one".to_owned())
    });
    std::fs::write(authority.file("node.pem"), "broken").unwrap();
    wait_for("the failure in the metrics", || {
        let page = page();
        let has_failed = page.contains("weir_tls_reloads_total{result=\"failure\"} 1");
        has_failed.then_some(()).ok_or(page)
    });
    let client = authority.connect(&ports["kafka-tls"], None).unwrap();
    assert_eq!(shown(&client), second);
    served.process.wait_said("cannot be used");
    // Connections that were open all the while.
    assert_eq!(first_broker(&mut kafka).0, "127.0.0.1");
    assert_eq!(first_broker(&mut plain).0, "127.0.0.1");
    served.process.terminate();
}

#[test]
fn a_client_that_speaks_the_wrong_one_of_both_is_closed_and_a_line_says_so() {
    let (authority, data) = (Authority::new(), TestDir::new());
    let _ = authority.issue("node");
    let mut served = serve(data.path(), &authority, &[]);
    let ports = &served.ports;
    let mut confused = TcpStream::connect(&ports["kafka-tls"]).unwrap();
    confused
        .write_all(&[0, 0, 0, 10, 0, 3, 0, 1, 0, 0])
        .unwrap();
    let _ = confused.read_to_end(&mut Vec::new());
    served.process.wait_said("the client does not speak TLS");
    for port in ["kafka", "amqp", "admin"] {
        assert!(authority.connect(&ports[port], None).is_err(), "{port}");
    }
    wait_for("a line for each plain port", || {
        let said = served.process.stderr();
        let lines = said
            .iter()
            .filter(|line| line.contains("the client speaks TLS"));
        let count = lines.count();
        (count == 3)
            .then_some(())
            .ok_or_else(|| format!("{count} lines: {said:#?}"))
    });
    served.process.terminate();
}

#[test]
fn clients_without_a_certificate_are_kept_out_where_one_is_required() {
    let (authority, data) = (Authority::new(), TestDir::new());
    let _ = (authority.issue("node"), authority.issue("alice"));
    let asked = ["--tls-client-auth", "require", "--tls-client-ca-file"];
    let ca = authority.file("ca.pem");
    let mut served = serve(data.path(), &authority, &[&asked[..], &[&ca]].concat());
    for port in ["kafka-tls", "amqps", "admin-tls"] {
        let address = &served.ports[port];
        // In TLS 1.3 a client hears of it with its first read.
        let refused = match authority.connect(address, None) {
            Ok(mut client) => client.read(&mut [0]).is_err(),
            Err(_) => true,
        };
        assert!(refused, "{port}");
    }
    let mut alice = authority
        .connect(&served.ports["kafka-tls"], Some("alice"))
        .unwrap();
    assert_eq!(first_broker(&mut alice).0, "127.0.0.1");
    served.process.terminate();
}

#[test]
fn a_node_that_cannot_show_what_it_should_does_not_start() {
    let (authority, data) = (Authority::new(), TestDir::new());
    let _ = authority.issue("node");
    let (certificate, key) = (authority.file("node.pem"), authority.file("node.key"));
    let ca = authority.file("ca.pem");
    for (options, code) in [
        (vec!["--tls-certificate-file", &*certificate], 2),
        (vec!["--kafka-tls", "127.0.0.1:0"], 2),
        (
            vec!["--tls-certificate-file", &ca, "--tls-key-file", &key],
            1,
        ),
        (
            vec!["--tls-certificate-file", "absent", "--tls-key-file", &key],
            1,
        ),
    ] {
        let mut command = weir();
        command.arg("serve").arg("--data-dir").arg(data.path());
        command.args(["--kafka", "127.0.0.1:0", "--cluster", "127.0.0.1:0"]);
        let output = command.args(&options).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {said}");
    }
}
