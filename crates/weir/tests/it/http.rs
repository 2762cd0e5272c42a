//! The HTTP API: what it does, and what it makes of bad input.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    client,
    http_client::{Client, sent},
    process::TestDir,
    tokens::{jwt, key_set},
    trio::Node,
};

fn open(node: &Node) -> Client<'_> {
    Client {
        address: &node.admin,
        user: None,
    }
}

/// A body of exactly so many bytes.
fn of_length(bytes: usize) -> String {
    let start = r#"{"kind":"direct","arguments":{"a":""#;
    let end = r#""}}"#;
    format!(
        "{start}{}{end}",
        "x".repeat(bytes - start.len() - end.len())
    )
}

#[test]
fn what_is_declared_is_there_at_every_door_and_pages_lead_through_lists() {
    let node = Node::start(&[]);
    let api = open(&node);
    let config = r#"{"partitions":2,"config":{"retention.ms":"7000"}}"#;
    assert_eq!(api.ask("PUT", "/topics/orders", config).status, 201);
    assert_eq!(api.ask("PUT", "/topics/orders", config).status, 204);
    let other = api.ask("PUT", "/topics/orders", r#"{"partitions":3}"#);
    assert_eq!(
        (other.status, &other.body["error"]),
        (409, &json!("topic_exists"))
    );
    client::must(&[&node.kafka], &["produce", "orders"], "one\ntwo\n");
    let partitions = api.ask("GET", "/topics/orders/partitions", "").body;
    let ends = partitions["rows"].as_array().unwrap().iter();
    let ends: u64 = ends.map(|row| row["end_offset"].as_u64().unwrap()).sum();
    assert_eq!(ends, 2);
    for name in ["a", "b/c", "d e"] {
        let path = name.replace('/', "%2F").replace(' ', "%20");
        let target = format!("/vhosts/%2F/queues/{path}");
        assert_eq!(api.ask("PUT", &target, "").status, 201, "{name}");
        assert_eq!(api.ask("GET", &target, "").body["name"], name);
    }
    let mut target = "/vhosts/%2F/queues?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = api.ask("GET", &target, "").body;
        let rows = page["rows"].as_array().unwrap();
        seen.extend(
            rows.iter()
                .map(|row| row["name"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => target = format!("/vhosts/%2F/queues?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "b/c", "d e"]);
    let head = api.ask("HEAD", "/topics/orders", "");
    assert_eq!((head.status, head.body), (200, json!(null)));
}

#[test]
// Table: one bad request a row.
fn bad_requests_are_refused_by_what_is_wrong_with_them() {
    let node = Node::start(&[]);
    let api = open(&node);
    let exchange = "/vhosts/%2F/exchanges/e";
    let at_limit = of_length(64 << 10);
    for (method, target, body, status, error) in [
        ("PUT", exchange, "{", 400, "invalid"),
        ("PUT", exchange, "[]", 400, "invalid"),
        ("PUT", exchange, r#"{"kind":1}"#, 400, "invalid"),
        (
            "PUT",
            exchange,
            r#"{"kind":"direct","other":1}"#,
            400,
            "invalid",
        ),
        (
            "PUT",
            exchange,
            r#"{"kind":"direct","vhost":"/"}"#,
            400,
            "invalid",
        ),
        (
            "PUT",
            exchange,
            r#"{"kind":"direct","request":"x"}"#,
            400,
            "invalid",
        ),
        ("PUT", exchange, r#"{"kind":"none"}"#, 400, "unknown_kind"),
        ("PUT", exchange, &of_length((64 << 10) + 1), 413, "too_long"),
        (
            "PUT",
            "/vhosts/none/exchanges/e",
            r#"{"kind":"direct"}"#,
            404,
            "no_vhost",
        ),
        (
            "PUT",
            "/vhosts/%2F/exchanges/amq.e",
            r#"{"kind":"direct"}"#,
            403,
            "access",
        ),
        ("PUT", "/topics/a%2F..%2Fb", "", 400, "invalid_topic"),
        ("PUT", "/topics/..", "", 400, "invalid_topic"),
        ("GET", "/topics/../../metrics", "", 404, "not_found"),
        ("GET", "/topics/%zz", "", 400, "invalid"),
        ("GET", "/topics/%c3%28", "", 400, "invalid"),
        ("GET", "/topics/t%00", "", 400, "invalid_topic"),
        ("GET", "/topics/t/", "", 404, "not_found"),
        ("GET", "//topics", "", 404, "not_found"),
        ("GET", "/topics?limit=0", "", 400, "invalid"),
        ("GET", "/topics?limit=201", "", 400, "invalid"),
        ("GET", "/topics?after=x", "", 400, "invalid"),
        ("GET", "/topics?after=MQ", "", 400, "invalid"),
        ("GET", "/topics?other=1", "", 400, "invalid"),
        ("GET", "/topics?limit=1&limit=1", "", 400, "invalid"),
        ("GET", "/topics", "{\"a\":1}", 400, "invalid"),
        ("GET", "/topics/none", "", 404, "unknown_topic_or_partition"),
        (
            "DELETE",
            "/topics/none",
            "",
            404,
            "unknown_topic_or_partition",
        ),
        (
            "POST",
            "/topics/none/partitions/-1/delete-records",
            "{\"offset\":0}",
            400,
            "invalid",
        ),
        ("GET", "/nodes/99999999999999999999", "", 400, "invalid"),
        ("DELETE", "/acls", "", 400, "invalid"),
        ("PUT", "/users/%2A", r#"{"password":"p"}"#, 400, "invalid"),
        (
            "PUT",
            "/users/u",
            r#"{"password":"p","iterations":1}"#,
            400,
            "invalid",
        ),
        ("POST", "/topics", "", 405, "method_not_allowed"),
        ("TRACE", "/topics", "", 405, "method_not_allowed"),
    ] {
        let answer = api.ask(method, target, body);
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
        assert_eq!(answer.body["error"], error, "{method} {target}: {answer:?}");
        assert_eq!(answer.body["status"], status);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
    assert_eq!(api.ask("PUT", exchange, &at_limit).status, 201);
    let allowed = api.ask("PATCH", "/topics/t", "");
    assert_eq!(allowed.header("allow"), Some("GET, PUT, DELETE, HEAD"));
}

#[test]
fn no_page_of_a_browser_can_act_through_somebody() {
    let node = Node::start(&[]);
    let api = open(&node);
    let purge = "/cluster/balance";
    for headers in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
    ] {
        assert_eq!(api.raw("POST", purge, headers, "").status, 415, "{headers}");
    }
    let asked = "origin: http://evil.example\r\naccess-control-request-method: PUT\r\n";
    let preflight = api.raw("OPTIONS", "/topics/t", asked, "");
    assert_eq!(preflight.status, 405);
    assert!(!preflight.head.contains("access-control"), "{preflight:?}");
    let rebound = "GET /api/v1/topics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let answer = sent(&node.admin, rebound);
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (403, &json!("host"))
    );
}

#[test]
fn a_body_that_is_not_sent_to_its_end_is_waited_for_a_while_and_its_length_is_believed() {
    let node = Node::start(&[]);
    let head = |length: &str| {
        format!(
            "PUT /api/v1/topics/t HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             connection: close\r\n{length}\r\n\r\n"
        )
    };
    let huge = sent(&node.admin, &head("content-length: 9000000000"));
    assert_eq!(huge.status, 413);
    let slow = sent(&node.admin, &head("content-length: 5"));
    assert_eq!(
        (slow.status, &slow.body["error"]),
        (408, &json!("timed_out"))
    );
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let node = Node::start(&[]);
    let begun = Instant::now();
    let crowd: Vec<TcpStream> = (0..600)
        .map(|_| TcpStream::connect(&node.admin).unwrap())
        .collect();
    assert_eq!(open(&node).ask("GET", "/cluster", "").status, 200);
    let mut first = &crowd[0];
    // Ended for those that came later, or for having said nothing for as long as that may be.
    first
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    assert_eq!(
        first.read(&mut [0]).unwrap_or(0),
        0,
        "{:?}",
        begun.elapsed()
    );
    let mut last = &crowd[599];
    let asked = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    if last.write_all(asked.as_bytes()).is_ok() {
        let _ = last.read_to_string(&mut answer);
    }
    assert!(answer.is_empty() || answer.contains("200 OK"), "{answer}");
}

#[test]
fn a_token_logs_in_and_no_password_stays_in_the_log() {
    let dir = TestDir::new();
    let keys = dir.path().join("keys.json");
    std::fs::write(&keys, key_set(1)).unwrap();
    let keys = keys.display().to_string();
    let node = Node::start(&["--log", "debug", "--token-keys", &keys]);
    let root = r#"{"password":"hush-hush","tags":["administrator"]}"#;
    assert_eq!(open(&node).ask("PUT", "/users/root", root).status, 201);
    let by = |token: &str| {
        let header = format!("authorization: Bearer {token}\r\n");
        open(&node).raw("GET", "/cluster", &header, "")
    };
    let [good, late, other] = [
        jwt(1, "dave", 600),
        jwt(1, "dave", -600),
        jwt(2, "dave", 600),
    ];
    assert_eq!(by(&good).status, 403);
    let administrator = Client {
        user: Some(("root", "hush-hush")),
        ..open(&node)
    };
    let acl = json!({
        "principal": "dave", "host": "*", "effect": "allow", "operation": "describe",
        "resource": "cluster", "pattern": "literal", "name": "kafka-cluster",
    });
    assert_eq!(
        administrator.ask("POST", "/acls", &acl.to_string()).status,
        204
    );
    assert_eq!(by(&good).status, 200);
    for refused in [&late, &other, "none"] {
        let answer = by(refused);
        assert_eq!(answer.status, 401, "{answer:?}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("Bearer realm"), "{challenge}");
    }
    let said = node.process.stderr().join("\n");
    for secret in ["hush-hush", &*good, "aHVzaC1odXNo"] {
        assert!(!said.contains(secret), "{said}");
    }
}
