//! Mutual TLS.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use weir_broker::peer::CallFailed;
use weir_model::NodeId;
use weir_peer::{Names, PeerClient, PeerTls, TlsError};

use crate::harness::{Node, meet};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A certificate of this authority, whose holder trusts `trusted`.
    fn issue(&self, trusted: &Self) -> PeerTls {
        self.issue_for("any-name", trusted, Names::Any)
    }

    fn issue_for(&self, host: &str, trusted: &Self, names: Names) -> PeerTls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file("node.pem"), certificate.pem()).unwrap();
        std::fs::write(self.file("node.key"), key.serialize_pem()).unwrap();
        let (certificate, key) = (self.file("node.pem"), self.file("node.key"));
        PeerTls::load(&certificate, &key, &trusted.file("ca.pem"), names).unwrap()
    }
}

#[tokio::test]
async fn nodes_of_one_authority_meet_and_serve_its_clients() {
    let ours = Authority::new("tls-meet");
    let mut nodes = [
        Node::start(1, Some(ours.issue(&ours))).await,
        Node::start(2, Some(ours.issue(&ours))).await,
    ];
    meet(&mut nodes).await;
    let large = bytes::Bytes::from(vec![9; 3 << 20]);
    let answer = nodes[0].call(NodeId(2), large.clone()).await;
    assert_eq!(answer.unwrap(), large);
    let tls = ours.issue(&ours);
    let mut client = PeerClient::connect(&nodes[0].address(), Some(&tls), None)
        .await
        .unwrap();
    assert_eq!(client.call("hi".into()).await.unwrap(), "hi");
}

#[tokio::test]
async fn each_side_refuses_a_certificate_of_another_authority() {
    let (ours, theirs) = (Authority::new("tls-ours"), Authority::new("tls-theirs"));
    let node = Node::start(1, Some(ours.issue(&ours))).await;
    // Neither trusts the other; the client trusts the node; the node would trust the client.
    let strangers = [
        theirs.issue(&theirs),
        theirs.issue(&ours),
        ours.issue(&theirs),
    ];
    for (case, tls) in strangers.iter().enumerate() {
        let refused = PeerClient::connect(&node.address(), Some(tls), None).await;
        assert!(refused.is_err(), "case {case}");
    }
    let plain = PeerClient::connect(&node.address(), None, None).await;
    assert!(plain.is_err(), "without TLS");
    let stranger = Node::start(2, Some(theirs.issue(&theirs))).await;
    let addresses = [(NodeId(1), node.address())].into();
    weir_broker::peer::PeerPort::set_addresses(&*stranger.transport, &addresses);
    let failed = stranger.call(NodeId(1), "hello".into()).await;
    assert_eq!(failed, Err(CallFailed::Unreachable));
}

#[tokio::test]
async fn nodes_that_look_at_names_meet_only_where_the_names_are_right() {
    let ours = Authority::new("tls-names");
    let named = |host: &str| ours.issue_for(host, &ours, Names::Verified);
    let mut nodes = [
        Node::start(1, Some(named("127.0.0.1"))).await,
        Node::start(2, Some(named("127.0.0.1"))).await,
    ];
    meet(&mut nodes).await;
    let [first, second] = &nodes;
    let client = PeerClient::connect(&first.address(), Some(&named("elsewhere")), None).await;
    assert!(client.is_ok(), "who is no node says nothing of an address");

    // It is reached at an address that its certificate does not name.
    let misnamed = Node::start(3, Some(named("node-3"))).await;
    let refused = PeerClient::connect(&misnamed.address(), Some(&named("127.0.0.1")), None).await;
    assert!(refused.is_err());

    // It says that it is node 2, whose address is known and not named by its certificate.
    let impostor = Node::start(2, Some(named("node-3"))).await;
    let of_first = [(NodeId(1), first.address())].into();
    weir_broker::peer::PeerPort::set_addresses(&*impostor.transport, &of_first);
    let failed = impostor.call(NodeId(1), "hello".into()).await;
    assert_eq!(failed, Err(CallFailed::Unreachable));
    let answer = second.call(NodeId(1), "hello".into()).await;
    assert_eq!(answer.unwrap(), "hello");
}

#[tokio::test]
async fn a_node_with_tls_does_not_talk_to_one_without() {
    let ours = Authority::new("tls-plain");
    let plain = Node::start(1, None).await;
    let tls = ours.issue(&ours);
    let refused = PeerClient::connect(&plain.address(), Some(&tls), None).await;
    assert!(refused.is_err());
}

#[test]
fn files_that_hold_something_else_are_named() {
    let ours = Authority::new("tls-files");
    let _ = ours.issue(&ours);
    let [ca, certificate, key] = ["ca.pem", "node.pem", "node.key"].map(|name| ours.file(name));
    let load =
        |certificate: &Path, key: &Path, ca: &Path| PeerTls::load(certificate, key, ca, Names::Any);
    let missing = load(&certificate, &ours.file("absent"), &ca).err();
    assert!(matches!(missing, Some(TlsError::Unreadable { file, .. }) if file.ends_with("absent")));
    let empty = load(&key, &key, &ca).err();
    assert!(matches!(empty, Some(TlsError::Empty(file)) if file.ends_with("node.key")));
    let _ = Authority::new("tls-files-other");
    let unfit = load(&ca, &key, &ca).err();
    assert!(matches!(unfit, Some(TlsError::Refused(_))));
}
