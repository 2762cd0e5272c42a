//! Topics, groups and messages from the command line.

use serde_json::{Value, json};

use crate::{
    client::{command, json, must, run},
    process::{Process, wait_for},
    trio::{Node, trio},
};

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn what_is_sent_with_keys_and_headers_comes_back_with_all_of_it() {
    let node = Node::start(&[]);
    let at = [node.kafka.as_str()];
    must(&at, &["topic", "create", "t", "--partitions", "3"], "");
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let words = [
            "produce",
            "t",
            "--key-separator",
            ":",
            "--null",
            "NIL",
            "-H",
            "a=1",
            "-H",
            "a=2",
            "--compression",
            compression,
        ];
        let (code, _, stderr) = run(&at, &words, "k:v1\nk:NIL\nother:x:y\n");
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("3 messages acknowledged"), "{stderr}");
    }
    let said = must(&at, &["consume", "t", "-e", "--json"], "");
    let all: Vec<Value> = said
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(all.len(), 15);
    let of_key = |key: &str| -> Vec<&Value> { all.iter().filter(|it| it["key"] == key).collect() };
    assert!(
        of_key("k")
            .iter()
            .all(|it| it["partition"] == of_key("k")[0]["partition"])
    );
    assert_eq!(of_key("k")[0]["value"], "v1");
    assert_eq!(of_key("k")[1]["value"], Value::Null);
    assert_eq!(of_key("other")[0]["value"], "x:y");
    let headers = json!([{ "name": "a", "value": "1" }, { "name": "a", "value": "2" }]);
    assert!(all.iter().all(|it| it["headers"] == headers));
    let keyed = must(&at, &["consume", "t", "-e", "--key-separator", "="], "");
    assert_eq!(keyed.lines().filter(|line| *line == "other=x:y").count(), 5);
}

#[test]
fn reading_begins_and_ends_where_it_is_told_to() {
    let node = Node::start(&[]);
    let at = [node.kafka.as_str()];
    must(&at, &["produce", "t"], "one\ntwo\nthree\n");
    let read = |words: &[&str]| must(&at, &[&["consume", "t"], words].concat(), "");
    assert_eq!(lines(&read(&["-e"])), ["one", "two", "three"]);
    assert_eq!(lines(&read(&["-n", "2"])), ["one", "two"]);
    assert_eq!(lines(&read(&["-e", "--from", "1"])), ["two", "three"]);
    assert_eq!(lines(&read(&["-e", "--from", "-1"])), ["three"]);
    assert_eq!(lines(&read(&["-e", "--from", "end"])), Vec::<&str>::new());
    assert_eq!(
        lines(&read(&["-e", "--since", "1h"])),
        ["one", "two", "three"]
    );
    assert_eq!(
        lines(&read(&["-e", "--since", "2999-01-01"])),
        Vec::<&str>::new()
    );
    let (code, _, stderr) = run(&at, &["consume", "t", "-e", "--partition", "7"], "");
    assert_eq!(code, Some(2), "{stderr}");
    let (code, _, stderr) = run(&at, &["consume", "absent", "-e"], "");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("topic absent"), "{stderr}");
}

#[test]
fn a_consumer_that_follows_prints_what_comes_and_ends_well_when_it_is_told_to() {
    let node = Node::start(&[]);
    let at = [node.kafka.as_str()];
    must(&at, &["topic", "create", "t"], "");
    let mut reader = Process::spawn(&mut command(&at, &["consume", "t"]));
    must(&at, &["produce", "t"], "first\n");
    assert_eq!(reader.read_to("first"), ["first"]);
    must(&at, &["produce", "t", "--acks", "0"], "second\n");
    assert_eq!(reader.read_to("second"), ["second"]);
    reader.terminate();
}

#[test]
fn topics_are_listed_described_and_made_once() {
    let node = Node::start(&[]);
    let at = [node.kafka.as_str()];
    let create = [
        "topic",
        "create",
        "a",
        "b",
        "--partitions",
        "2",
        "--config",
        "retention.ms=5000",
    ];
    must(&at, &create, "");
    let (code, _, stderr) = run(&at, &["topic", "create", "a"], "");
    assert_eq!(code, Some(1), "{stderr}");
    must(&at, &["topic", "create", "a", "--if-not-exists"], "");
    must(&at, &["produce", "a", "--partition", "1"], "x\n");
    let listed = json(&at, &["topic", "list"]);
    let names: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(listed[0]["partitions"].as_array().unwrap().len(), 2);
    assert!(must(&at, &["topic", "list"], "").contains("TOPIC"));
}

#[test]
fn nobody_there_is_said_and_has_an_exit_code_of_its_own() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = free.local_addr().unwrap().to_string();
    drop(free);
    let mut command = crate::process::weir();
    command.args(["topic", "list", "--bootstrap", &dead, "--timeout-ms", "100"]);
    let refused = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains(&dead), "{stderr}");
}

#[test]
fn any_node_of_three_takes_every_command_and_a_dead_one_is_passed_over() {
    let [mut first, second, third] = trio(&[]);
    let at = [
        first.kafka.as_str(),
        second.kafka.as_str(),
        third.kafka.as_str(),
    ];
    must(&at[2..], &["topic", "create", "t", "--partitions", "6"], "");
    let texts: Vec<String> = (0..200)
        .map(|number| format!("{number}:{number}"))
        .collect();
    must(
        &at[1..2],
        &["produce", "t", "--key-separator", ":"],
        &texts.join("\n"),
    );
    first.process.kill();
    let mut found = lines(&must(&at, &["consume", "t", "-e"], ""))
        .into_iter()
        .map(|line| line.parse::<u32>().unwrap())
        .collect::<Vec<_>>();
    found.sort_unstable();
    assert_eq!(found, (0..200).collect::<Vec<u32>>());
}

#[test]
fn two_members_of_a_group_share_a_topic_and_go_on_where_they_were() {
    let node = Node::start(&["--group-initial-rebalance-delay-ms", "0"]);
    let at = [node.kafka.as_str()];
    must(&at, &["topic", "create", "t", "--partitions", "4"], "");
    let texts: Vec<String> = (0..100)
        .map(|number| format!("{number}:{number}"))
        .collect();
    let input = texts.join("\n");
    must(&at, &["produce", "t", "--key-separator", ":"], &input);
    let words = ["consume", "t", "--group", "g", "-n", "40"];
    let read = must(&at, &words, "");
    assert_eq!(read.lines().count(), 40);
    let mut all: Vec<String> = read.lines().map(str::to_owned).collect();
    // What one member did not read, another does; nothing comes twice.
    let rest = must(&at, &["consume", "t", "--group", "g", "-e"], "");
    all.extend(rest.lines().map(str::to_owned));
    all.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(all, (0..100).map(|it| it.to_string()).collect::<Vec<_>>());
    // With two at once each has a share.
    let member = || {
        Process::spawn(&mut command(
            &at,
            &["consume", "t", "--group", "g", "--json"],
        ))
    };
    let mut members = [member(), member()];
    wait_for("messages for both members", || {
        must(&at, &["produce", "t", "--key-separator", ":"], &input);
        let mut has_read = members.iter_mut().map(|member| member.try_line().is_some());
        let (one, other) = (has_read.next().unwrap(), has_read.next().unwrap());
        if one && other {
            Ok(())
        } else {
            Err(format!("{one}, {other}"))
        }
    });
    members.iter_mut().for_each(Process::terminate);
}

#[test]
fn a_line_without_the_separator_is_named_and_what_was_sent_before_is_counted() {
    let node = Node::start(&[]);
    let at = [node.kafka.as_str()];
    let words = ["produce", "t", "--key-separator", "::"];
    let (code, _, stderr) = run(&at, &words, "a::b\nwrong\n");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("`wrong`") && stderr.contains("1 messages"),
        "{stderr}"
    );
}
