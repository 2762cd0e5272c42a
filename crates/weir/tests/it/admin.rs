//! The admin port, as probes and scrapers see it.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    client::must,
    process::{Process, TestDir, weir},
    trio::Node,
};

/// Status and body of a page.
fn get(address: &str, path: &str) -> (u16, String) {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    )
}

fn ask(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

/// The value of a series, named with all its labels.
fn value(page: &str, series: &str) -> Option<f64> {
    let mut lines = page.lines().filter_map(|line| line.rsplit_once(' '));
    let found = lines.find(|(name, _)| *name == series)?;
    Some(found.1.parse().unwrap())
}

#[test]
fn a_scrape_shows_what_clients_did() {
    let node = Node::start(&["--group-initial-rebalance-delay-ms", "0"]);
    let at = [node.kafka.as_str()];
    must(&at, &["produce", "t"], "one\ntwo\nthree\n");
    must(&at, &["consume", "t", "--group", "g", "-n", "2"], "");
    // What has exited is a connection until the node has read that it is gone.
    let page = loop {
        let (status, page) = get(&node.admin, "/metrics");
        assert_eq!(status, 200);
        if value(&page, "weir_connections{door=\"kafka\"}") == Some(0.0) {
            break page;
        }
    };
    let shown = |series: &str| value(&page, series).unwrap_or_else(|| panic!("{series}: {page}"));
    let of_topic = |name: &str| {
        shown(&format!(
            "kafka_server_brokertopicmetrics_{name}{{topic=\"t\"}}"
        ))
    };
    assert_eq!(of_topic("messagesin_total"), 3.0);
    assert!(of_topic("bytesin_total") > 60.0 && of_topic("bytesout_total") > 60.0);
    let labels = "{consumergroup=\"g\",topic=\"t\",partition=\"0\"}";
    assert_eq!(shown(&format!("kafka_consumergroup_lag{labels}")), 1.0);
    assert_eq!(
        shown(&format!("kafka_consumergroup_current_offset{labels}")),
        2.0
    );
    let produced = "weir_request_duration_seconds_count{door=\"kafka\",request=\"Produce\"}";
    assert_eq!(shown(produced), 1.0);
    assert!(shown("weir_connections_total{door=\"kafka\"}") >= 2.0);
    assert!(shown("weir_wal_commit_duration_seconds_count") >= 1.0);
    assert!(shown("process_resident_memory_bytes") > 0.0);
    for (series, expected) in [
        ("weir_ready", 1.0),
        ("kafka_brokers", 1.0),
        ("kafka_server_replicamanager_underreplicatedpartitions", 0.0),
        ("kafka_server_replicamanager_leadercount", 1.0),
        ("weir_raft_groups", 17.0),
        ("weir_raft_groups_led", 17.0),
        ("weir_raft_groups_leaderless", 0.0),
        ("weir_consumergroup_incomplete", 0.0),
    ] {
        assert_eq!(shown(series), expected, "{series}");
    }
}

#[test]
fn a_joiner_is_alive_and_not_ready_until_it_is_admitted() {
    let dir = TestDir::new();
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let (dead, admin) = (free(), free());
    let mut command = weir();
    command.arg("serve").arg("--data-dir").arg(dir.path());
    command.args(["--kafka", "127.0.0.1:0", "--cluster", "127.0.0.1:0"]);
    command.args(["--amqp", "127.0.0.1:0"]);
    let mut joiner = Process::spawn(command.args(["--admin", &admin, "--join", &dead]));
    joiner.wait_said(&dead);
    assert_eq!(get(&admin, "/healthz").0, 200);
    let (status, reason) = get(&admin, "/readyz");
    assert_eq!((status, reason.as_str()), (503, "the node is starting\n"));
    assert_eq!(value(&get(&admin, "/metrics").1, "weir_ready"), Some(0.0));
    joiner.terminate();
}

#[test]
fn what_is_no_page_is_refused() {
    let node = Node::start(&[]);
    assert_eq!(get(&node.admin, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(get(&node.admin, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(&node.admin, "/nothing").0, 404);
    let post =
        "POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(ask(&node.admin, post).0, 405);
    assert_eq!(ask(&node.admin, "nonsense\r\n\r\n").0, 400);
    let head = "HEAD /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(ask(&node.admin, head), (200, String::new()));
}
