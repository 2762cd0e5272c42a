// Long: certificates, clients and ports that all of these tests need.
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Mutex,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client};
use weir_tls::{ClientAuth, MinVersion, Reloaded, TlsFiles, pem_file::provider, server::Reloader};

use super::*;
use crate::{
    Connection, Door, Limits, Listener, Sockets,
    toy::{Asked, Held, Toy, answer, frame},
};

type Versions = &'static [&'static SupportedProtocolVersion];

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static OLDER: [&SupportedProtocolVersion; 1] = [&TLS12];
static NEWER: [&SupportedProtocolVersion; 1] = [&TLS13];

type Client = client::TlsStream<TcpStream>;

/// A directory with an authority and what it signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let process = std::process::id();
        let dir = std::env::temp_dir().join(format!("weir-door-tls-{process}-{name}"));
        std::fs::create_dir_all(dir.join("more")).unwrap();
        std::fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn issue(&self, name: &str, host: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        self.issue_with(name, host, |_| {})
    }

    fn issue_with(
        &self,
        name: &str,
        host: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        change(&mut params);
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(name, "pem"), signed.pem()).unwrap();
        std::fs::write(self.file(name, "key"), key.serialize_pem()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (signed.der().clone(), key)
    }

    fn file(&self, name: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{name}.{kind}"))
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.file("node", "pem"),
            key: self.file("node", "key"),
            directory: Some(self.dir.join("more")),
            client_authorities: Some(self.file("ca", "pem")),
            client_auth: ClientAuth::None,
            min_version: MinVersion::Tls12,
        }
    }

    fn client(&self) -> ClientOptions {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        ClientOptions {
            roots: Arc::new(roots),
            versions: &BOTH,
            certificate: None,
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

struct ClientOptions {
    roots: Arc<RootCertStore>,
    versions: Versions,
    certificate: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
}

impl ClientOptions {
    fn with(self, certificate: (CertificateDer<'static>, PrivateKeyDer<'static>)) -> Self {
        Self {
            certificate: Some(certificate),
            ..self
        }
    }

    async fn connect(self, address: SocketAddr, host: &'static str) -> io::Result<Client> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.roots);
        let config = match self.certificate {
            Some((certificate, key)) => builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        let connector = TlsConnector::from(Arc::new(config));
        let socket = TcpStream::connect(address).await?;
        connector
            .connect(ServerName::try_from(host).unwrap(), socket)
            .await
    }
}

/// Keeps what TLS told of the last connection.
#[derive(Default)]
struct Watching(Mutex<Option<TlsSession>>);

impl Door for Watching {
    type Session = Toy;

    fn name(&self) -> &'static str {
        "toy"
    }

    fn open(&self, connection: Connection) -> Toy {
        *self.0.lock().unwrap() = connection.tls;
        Toy::default()
    }
}

struct Served {
    address: SocketAddr,
    plain: SocketAddr,
    asked: Asked,
    door: Arc<Watching>,
    reloader: Reloader,
    tls: Arc<ServerTls>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Served {
    async fn new(files: TlsFiles) -> Self {
        Self::limited(files, MAX_HANDSHAKE).await
    }

    async fn limited(files: TlsFiles, limit: Duration) -> Self {
        let (tls, reloader) = ServerTls::load(files).unwrap();
        let free = ["127.0.0.1:0".to_owned()];
        let secure = Sockets::bind(&free).await.unwrap();
        let port = TlsPort::new(Arc::clone(&tls)).with_limit(limit);
        let listener = Listener::bind(&free).await.unwrap().with_tls(secure, port);
        let (address, plain) = (listener.secure_addresses()[0], listener.addresses()[0]);
        let (backend, asked) = Held::pair();
        let (stop, stopped) = watch::channel(false);
        let door = Arc::new(Watching::default());
        let server = tokio::spawn(crate::serve(listener, Arc::clone(&door), backend, stopped));
        Self {
            address,
            plain,
            asked,
            door,
            reloader,
            tls,
            stop,
            server,
        }
    }

    /// One question and its answer.
    async fn talk(&mut self, client: &mut Client, text: &str) {
        client.write_all(&frame(text)).await.unwrap();
        let (asked, reply) = self.asked.recv().await.unwrap();
        assert_eq!(asked, text);
        answer(reply, text);
        let length = usize::try_from(client.read_u32().await.unwrap()).unwrap();
        let mut back = vec![0; length];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(back, text.as_bytes());
    }

    fn told(&self) -> Option<TlsSession> {
        self.door.0.lock().unwrap().clone()
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.server.await.unwrap();
    }
}

/// The end of a connection, whatever comes before it.
async fn read_to_end(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut away = [0; 4096];
    while stream.read(&mut away).await.is_ok_and(|count| count > 0) {}
}

fn shown(client: &Client) -> CertificateDer<'static> {
    let (_, connection) = client.get_ref();
    connection.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

/// In TLS 1.3 a client hears that it is refused with its first read.
async fn is_refused(connecting: impl Future<Output = io::Result<Client>>) -> bool {
    match connecting.await {
        Err(_) => true,
        Ok(mut client) => client.read(&mut [0]).await.is_err(),
    }
}

#[tokio::test]
async fn both_versions_are_spoken_unless_the_older_one_is_ruled_out() {
    let ours = Authority::new("versions");
    let _ = ours.issue("node", "node");
    let versions: [Versions; 2] = [&OLDER, &NEWER];
    let mut served = Served::new(ours.files()).await;
    for (versions, name) in versions.into_iter().zip(["TLSv1.2", "TLSv1.3"]) {
        let options = ClientOptions {
            versions,
            ..ours.client()
        };
        let mut client = options.connect(served.address, "node").await.unwrap();
        served.talk(&mut client, name).await;
        let told = served.told().unwrap();
        assert_eq!((told.version, told.identity), (name, None));
    }
    served.end().await;
    let newest = TlsFiles {
        min_version: MinVersion::Tls13,
        ..ours.files()
    };
    let served = Served::new(newest).await;
    for (versions, is_taken) in versions.into_iter().zip([false, true]) {
        let options = ClientOptions {
            versions,
            ..ours.client()
        };
        let client = options.connect(served.address, "node").await;
        assert_eq!(client.is_ok(), is_taken);
    }
    served.end().await;
}

#[tokio::test]
async fn a_large_frame_passes_both_ways_and_the_driver_flushes() {
    let ours = Authority::new("large");
    let _ = ours.issue("node", "node");
    let mut served = Served::new(ours.files()).await;
    let client = ours.client().connect(served.address, "node").await.unwrap();
    let text = "x".repeat(20 << 20);
    let (mut reader, mut writer) = tokio::io::split(client);
    let sent = frame(&text);
    let writing = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.flush().await.unwrap();
        writer
    });
    let (asked, reply) = served.asked.recv().await.unwrap();
    assert_eq!(asked.len(), text.len());
    answer(reply, &text);
    assert_eq!(reader.read_u32().await.unwrap(), 20 << 20);
    let mut back = vec![0; 20 << 20];
    reader.read_exact(&mut back).await.unwrap();
    assert!(back == text.as_bytes());
    drop(writing.await.unwrap());
    drop(reader);
    served.end().await;
}

#[tokio::test]
async fn the_host_that_a_client_wants_chooses_the_certificate() {
    let ours = Authority::new("sni");
    let (node, _) = ours.issue("node", "node");
    let (exact, _) = ours.issue("more/exact", "a.example.com");
    let (star, _) = ours.issue("more/star", "*.example.com");
    let served = Served::new(ours.files()).await;
    for (host, wanted) in [
        ("node", &node),
        ("a.example.com", &exact),
        ("b.example.com", &star),
    ] {
        let client = ours.client().connect(served.address, host).await.unwrap();
        assert_eq!(shown(&client), *wanted, "{host}");
    }
    let unknown = ours.client().connect(served.address, "unknown").await;
    assert!(unknown.is_err(), "the default is for another host");
    served.end().await;
}

#[tokio::test]
async fn a_clients_certificate_is_asked_for_verified_and_told_to_the_session() {
    let (ours, theirs) = (Authority::new("mutual"), Authority::new("mutual-theirs"));
    let _ = ours.issue("node", "node");
    for (client_auth, may_have_none) in [(ClientAuth::Want, true), (ClientAuth::Require, false)] {
        let files = TlsFiles {
            client_auth,
            ..ours.files()
        };
        let mut served = Served::new(files).await;
        let address = served.address;
        for versions in [&OLDER, &NEWER] {
            let options = ClientOptions {
                versions,
                ..ours.client().with(ours.issue("alice", "alice.example.com"))
            };
            let mut client = options.connect(address, "node").await.unwrap();
            served.talk(&mut client, "hello").await;
            let identity = served.told().unwrap().identity.unwrap();
            assert_eq!(identity.subject.kafka(), "CN=alice");
            let hosts: Vec<_> = identity.dns_names().collect();
            assert_eq!(hosts, ["alice.example.com"]);
        }
        let stranger = ours.client().with(theirs.issue("mallory", "mallory"));
        assert!(is_refused(stranger.connect(address, "node")).await);
        let past = ours.issue_with("past", "past", |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        });
        let past = ours.client().with(past);
        assert!(is_refused(past.connect(address, "node")).await, "expired");
        if may_have_none {
            let mut client = ours.client().connect(address, "node").await.unwrap();
            served.talk(&mut client, "anonymous").await;
            assert_eq!(served.told().unwrap().identity, None);
        } else {
            assert!(is_refused(ours.client().connect(address, "node")).await);
        }
        served.end().await;
    }
}

#[tokio::test]
async fn a_client_refuses_a_node_of_another_authority_and_one_whose_certificate_has_expired() {
    let (ours, theirs) = (Authority::new("wrong"), Authority::new("wrong-theirs"));
    let _ = ours.issue("node", "node");
    let served = Served::new(ours.files()).await;
    assert!(
        theirs
            .client()
            .connect(served.address, "node")
            .await
            .is_err()
    );
    served.end().await;
    let _ = ours.issue_with("node", "node", |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let served = Served::new(ours.files()).await;
    assert!(ours.client().connect(served.address, "node").await.is_err());
    assert_eq!(served.tls.figures().ends[0].ends_s, 1_577_836_800);
    while served.tls.figures().failed_handshake_count == 0 {
        tokio::task::yield_now().await;
    }
    served.end().await;
}

#[tokio::test]
async fn new_connections_see_a_new_certificate_and_open_ones_go_on() {
    let ours = Authority::new("reload");
    let (first, _) = ours.issue("node", "node");
    let mut served = Served::new(ours.files()).await;
    let mut old = ours.client().connect(served.address, "node").await.unwrap();
    assert_eq!(shown(&old), first);
    served.talk(&mut old, "before").await;
    let (second, _) = ours.issue("node", "node");
    assert!(matches!(served.reloader.look(), Reloaded::Changed));
    let mut new = ours.client().connect(served.address, "node").await.unwrap();
    assert_eq!(shown(&new), second);
    std::fs::write(Path::new(&ours.file("node", "pem")), "broken").unwrap();
    assert!(matches!(served.reloader.look(), Reloaded::Broken(_)));
    let newest = ours.client().connect(served.address, "node").await.unwrap();
    assert_eq!(shown(&newest), second);
    served.talk(&mut old, "after").await;
    served.talk(&mut new, "too").await;
    served.end().await;
}

#[tokio::test]
async fn who_speaks_the_wrong_one_of_both_is_closed_and_the_port_goes_on() {
    let ours = Authority::new("plain");
    let _ = ours.issue("node", "node");
    let mut served = Served::new(ours.files()).await;
    for plain in [
        &frame("hello")[..],
        b"AMQP\x00\x00\x09\x01",
        b"GET / HTTP/1.1\r\n",
    ] {
        let mut client = TcpStream::connect(served.address).await.unwrap();
        client.write_all(plain).await.unwrap();
        read_to_end(client).await;
    }
    assert!(ours.client().connect(served.plain, "node").await.is_err());
    let mut client = ours.client().connect(served.address, "node").await.unwrap();
    served.talk(&mut client, "still").await;
    assert_eq!(served.tls.figures().failed_handshake_count, 3);
    served.end().await;
}

#[tokio::test]
async fn who_never_finishes_a_handshake_is_closed() {
    let ours = Authority::new("stalled");
    let _ = ours.issue("node", "node");
    let served = Served::limited(ours.files(), Duration::from_millis(50)).await;
    let silent = TcpStream::connect(served.address).await.unwrap();
    let mut half = TcpStream::connect(served.address).await.unwrap();
    half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00])
        .await
        .unwrap();
    read_to_end(silent).await;
    read_to_end(half).await;
    served.end().await;
}

#[tokio::test]
async fn one_handshake_too_many_ends_the_oldest_and_others_get_through() {
    let ours = Authority::new("crowd");
    let _ = ours.issue("node", "node");
    let mut served = Served::limited(ours.files(), Duration::from_mins(10)).await;
    let oldest = TcpStream::connect(served.address).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..MAX_HANDSHAKES_COUNT {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    read_to_end(oldest).await;
    let mut client = ours.client().connect(served.address, "node").await.unwrap();
    served.talk(&mut client, "in").await;
    drop(silent);
    served.end().await;
}

#[tokio::test]
async fn a_flood_of_key_updates_ends_the_connection_and_some_of_them_do_not() {
    let ours = Authority::new("updates");
    let _ = ours.issue("node", "node");
    let mut served = Served::new(ours.files()).await;
    let mut client = ours.client().connect(served.address, "node").await.unwrap();
    for _ in 0..10 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        served.talk(&mut client, "between").await;
    }
    for _ in 0..100 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
    }
    // The other end may close before all of them have left.
    let _ = client.flush().await;
    read_to_end(client).await;
    served.end().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_more_is_left_over_tls_too() {
    let ours = Authority::new("deaf");
    let _ = ours.issue("node", "node");
    let (tls, _) = ServerTls::load(ours.files()).unwrap();
    let secure = Sockets::bind(&["127.0.0.1:0".to_owned()]).await.unwrap();
    let limits = Limits {
        write_stall: Duration::from_millis(50),
        ..Limits::default()
    };
    let counters = crate::DoorCounters::new(vec!["toy".to_owned()]);
    let listener = Listener::secure(secure, TlsPort::new(tls)).with_limits(limits);
    let listener = listener.with_counters(Arc::clone(&counters));
    let address = listener.secure_addresses()[0];
    let (backend, mut asked) = Held::pair();
    let (stop, stopped) = watch::channel(false);
    let door = Arc::new(Watching::default());
    let server = tokio::spawn(crate::serve(listener, door, backend, stopped));
    let mut client = ours.client().connect(address, "node").await.unwrap();
    client.write_all(&frame("much")).await.unwrap();
    // More than the system's buffers hold.
    answer(asked.recv().await.unwrap().1, &"w".repeat(64 << 20));
    while counters.figures().ended_count == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut all = Vec::new();
    let _ = client.read_to_end(&mut all).await;
    assert!(all.len() < 64 << 20, "all of it has arrived");
    stop.send(true).unwrap();
    server.await.unwrap();
}
