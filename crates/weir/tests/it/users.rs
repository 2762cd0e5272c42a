//! Users, permissions and ACLs from the command line.

use std::{io::Write as _, process::Stdio};

use serde_json::Value;

use crate::{process::weir, trio::Node};

/// Exit code, stdout, stderr.
fn run(node: &Node, words: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = weir();
    command.args(words).args(["--node", &node.cluster]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // It may have ended before it read all of it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn must(node: &Node, words: &[&str], input: &str) -> String {
    let (code, stdout, stderr) = run(node, words, input);
    assert_eq!(code, Some(0), "{words:?}: {stdout}{stderr}");
    stdout
}

fn refused(node: &Node, words: &[&str], reason: &str) {
    let (code, _, stderr) = run(node, words, "secret\n");
    assert!(code != Some(0) && stderr.contains(reason), "{stderr}");
}

fn rows(node: &Node, words: &[&str]) -> Value {
    serde_json::from_str(&must(node, &[words, &["--json"]].concat(), "")).unwrap()
}

const STDIN: [&str; 2] = ["--password-file", "-"];

#[test]
fn users_and_their_permissions_are_made_changed_and_kept() {
    let mut node = Node::start(&[]);
    let add = [
        &["user", "add", "alice", "--tag", "administrator"][..],
        &STDIN,
    ];
    must(&node, &add.concat(), "secret\n");
    refused(&node, &add.concat(), "the user exists");
    must(&node, &["user", "add", "bob", "--no-password"], "");
    let grant = |words: &[&'static str]| [&["user", "grant"][..], words].concat();
    must(&node, &grant(&["bob", "--read", "^b", "--write", ".*"]), "");
    let keys = ["bob", "--exchange", "amq.topic", "--write", "^{username}"];
    must(&node, &grant(&keys), "");
    let limits = ["user", "set-limits", "bob", "--max-channels", "7"];
    must(&node, &limits, "");
    node.process.kill();
    node.restart();
    let users = rows(&node, &["user", "list"]);
    assert_eq!(users[0]["tags"][0], "administrator");
    assert_eq!(users[0]["mechanisms"][1], "SCRAM-SHA-512");
    assert_eq!(
        (&users[1]["name"], &users[1]["max_channels"]),
        (&"bob".into(), &7.into())
    );
    let granted = rows(&node, &["user", "permissions", "bob"]);
    assert_eq!(granted["permissions"][0]["read"], "^b");
    assert_eq!(granted["topic_permissions"][0]["write"], "^{username}");
    must(&node, &["user", "revoke", "bob"], "");
    must(&node, &["user", "delete", "alice"], "");
    refused(&node, &["user", "delete", "alice"], "no such user");
    let left = must(&node, &["user", "list"], "");
    assert!(left.contains("bob") && !left.contains("alice"), "{left}");
}

#[test]
fn users_and_rules_that_cannot_be_meant_are_refused() {
    let node = Node::start(&[]);
    must(&node, &["user", "add", "bob", "--no-password"], "");
    let reserved = [&["user", "add", "*"][..], &STDIN].concat();
    for (words, reason) in [
        (&reserved[..], "reserved"),
        (&["user", "add", "carol"], "--password-file"),
        (&["user", "grant", "nobody"], "no such user"),
        (
            &["user", "grant", "bob", "--vhost", "v"],
            "no such virtual host",
        ),
        (&["user", "grant", "bob", "--read", "("], "pattern"),
        (
            &["acl", "add", "allow", "a", "eat", "topic", "t"],
            "'eat' is no operation",
        ),
        (&["acl", "delete"], "--all"),
    ] {
        refused(&node, words, reason);
    }
}

#[test]
fn users_acls_are_made_found_and_deleted() {
    let node = Node::start(&[]);
    let prefixed = ["alice", "read", "topic", "or", "--pattern", "prefixed"];
    must(
        &node,
        &[&["acl", "add", "allow"][..], &prefixed].concat(),
        "",
    );
    must(&node, &["acl", "add", "deny", "*", "alter", "cluster"], "");
    let acls = rows(&node, &["acl", "list"]);
    assert_eq!(
        (&acls[0]["principal"], &acls[1]["principal"]),
        (&"*".into(), &"alice".into())
    );
    assert_eq!(acls[0]["name"], "kafka-cluster");
    let wanted = ["acl", "list", "--pattern", "match", "--name", "orders"];
    assert_eq!(rows(&node, &wanted).as_array().unwrap().len(), 1);
    let deleted = must(&node, &["acl", "delete", "--principal", "alice"], "");
    assert_eq!(deleted, "acls deleted: 1\n");
}

#[test]
fn quotas_are_set_changed_kept_and_deleted() {
    let mut node = Node::start(&[]);
    let both = ["--user", "tim", "--client", "<default>"];
    let of =
        |verb: &'static str, words: &[&'static str]| [&["quota", verb][..], &both, words].concat();
    let rates = ["producer_byte_rate=1024", "consumer_byte_rate=2048"];
    must(&node, &of("set", &rates), "");
    must(&node, &of("set", &["producer_byte_rate=4096"]), "");
    must(&node, &["quota", "set", "--user", "tim", rates[0]], "");
    node.process.kill();
    node.restart();
    let quotas = rows(&node, &["quota", "list"]);
    assert_eq!(quotas.as_array().unwrap().len(), 2);
    let found = rows(&node, &["quota", "list", "--client", "<default>"]);
    let entity = serde_json::json!({ "user": "tim", "client-id": null });
    let values = serde_json::json!({ "producer_byte_rate": 4096.0, "consumer_byte_rate": 2048.0 });
    assert_eq!(
        (&found[0]["entity"], &found[0]["values"]),
        (&entity, &values)
    );
    must(&node, &of("delete", &["producer_byte_rate"]), "");
    let table = must(&node, &["quota", "list"], "");
    assert!(table.contains("consumer_byte_rate=2048"), "{table}");
    must(&node, &of("delete", &[]), "");
    assert_eq!(rows(&node, &["quota", "list"]).as_array().unwrap().len(), 1);
    for (words, reason) in [
        (&of("set", &["producer_byte_rate=0"])[..], "greater than 0"),
        (&of("set", &["cats=1"]), "Invalid configuration key cats"),
        (&of("set", &["fast"]), "KEY=NUMBER"),
        (&["quota", "delete"], "whom"),
    ] {
        refused(&node, words, reason);
    }
}
