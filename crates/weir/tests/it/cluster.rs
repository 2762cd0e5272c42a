//! Three processes, one cluster.

use std::process::Command;

use serde_json::Value;

use crate::{
    client,
    process::{Process, TestDir, command, wait_for, weir},
    trio::{Node, are_voters, trio},
};

const TOPIC: &str = "kept";

/// Sends messages; all are acknowledged when this returns.
fn send(nodes: &[&Node], range: std::ops::Range<u32>) -> Vec<String> {
    let texts: Vec<String> = range.map(|number| format!("message {number}")).collect();
    let known: Vec<&str> = nodes.iter().map(|node| node.kafka.as_str()).collect();
    client::must(&known, &["produce", TOPIC], &texts.join("\n"));
    texts
}

/// Everything that the topic has.
fn read(nodes: &[&Node]) -> Vec<String> {
    let known: Vec<&str> = nodes.iter().map(|node| node.kafka.as_str()).collect();
    let said = client::must(&known, &["consume", TOPIC, "-e"], "");
    said.lines().map(str::to_owned).collect()
}

fn assert_has(found: &[String], sent: &[String]) {
    let lost: Vec<_> = sent.iter().filter(|text| !found.contains(text)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

fn leads(status: &Value, id: u64) -> u64 {
    let nodes = status["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["id"] == id).unwrap();
    node["led_group_count"].as_u64().unwrap()
}

#[test]
fn three_processes_become_one_cluster_with_three_voters_per_group() {
    let nodes = trio(&[]);
    assert_eq!(nodes.each_ref().map(|node| node.id), [1, 2, 3]);
    for node in &nodes {
        let status = node.wait_groups("three voters, as each node sees it", |group| {
            are_voters(group, &[1, 2, 3])
        });
        assert_eq!(status["answered_by"], node.id);
        assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    }
    let page = nodes[1].must(&["status"]);
    assert!(page.contains("NODE") && page.contains("1,2,3"), "{page}");
}

#[test]
fn a_joiner_that_nobody_answers_founds_nothing_and_says_so() {
    let dir = TestDir::new();
    // A port that nothing listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = free.local_addr().unwrap().to_string();
    drop(free);
    let mut joiner = Process::spawn(command("serve", dir.path()).args(["--join", &dead]));
    for _ in 0..2 {
        joiner.wait_said(&dead);
    }
    joiner.terminate();
    assert!(!dir.path().join("node/IDENTITY").exists());
    // Nor does it found without --join later: its cluster may count on it by then.
    let refused = command("serve", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("--join"), "{said}");
}

#[test]
fn init_and_join_together_are_a_mistake() {
    let dir = TestDir::new();
    let mut refused = command("serve", dir.path());
    let refused = refused.args(["--init", "--join", "127.0.0.1:1"]).output();
    assert_eq!(refused.unwrap().status.code(), Some(2));
}

#[test]
fn a_second_init_goes_on_as_the_same_node() {
    let mut node = Node::start(&["--init"]);
    send(&[&node], 0..3);
    let cluster = node.status().unwrap()["cluster_id"].clone();
    node.process.terminate();
    node.restart();
    node.process.wait_said("--init");
    assert_eq!(node.status().unwrap()["cluster_id"], cluster);
    assert_eq!(read(&[&node]).len(), 3);
}

#[test]
fn a_restarted_joiner_is_the_same_node_though_its_ports_are_others() {
    let [first, mut second, third] = trio(&[]);
    let sent = send(&[&first, &second, &third], 0..10);
    second.process.terminate();
    second.restart_on_free_ports();
    second.process.wait_said("--join");
    wait_for("the new address, as the others know it", || {
        let status = third.status()?;
        let nodes = status["nodes"].as_array().ok_or("no nodes")?;
        let found = nodes.iter().find(|node| {
            node["peer_address"] == *second.cluster
                && node["kafka_address"] == *second.kafka
                && node["is_up"] == true
        });
        found.map(|_| ()).ok_or_else(|| status.to_string())
    });
    assert_has(&read(&[&second]), &sent);
}

#[test]
fn what_a_killed_leader_acknowledged_is_read_from_the_others() {
    let mut nodes = trio(&[]);
    let mut sent = send(&nodes.each_ref(), 0..20);
    for round in 0..2 {
        // Whoever leads the topic's partition, all leaders have their turn.
        let killed = round;
        nodes[killed].process.kill();
        let others: Vec<&Node> = nodes
            .iter()
            .filter(|node| node.id != nodes[killed].id)
            .collect();
        assert_has(&read(&others), &sent);
        sent.extend(send(
            &others,
            100 * (round as u32 + 1)..100 * (round as u32 + 1) + 10,
        ));
        nodes[killed].restart();
    }
    assert_has(&read(&[&nodes[0]]), &sent);
}

#[test]
fn a_drained_node_carries_nothing_until_it_is_added_again() {
    let nodes = trio(&[]);
    let sent = send(&nodes.each_ref(), 0..5);
    let said = nodes[0].must(&["drain", "2"]);
    assert!(said.contains("node 2 carries nothing"), "{said}");
    let status = nodes[0].status().unwrap();
    assert_eq!(leads(&status, 2), 0, "{status:#}");
    assert_has(&read(&nodes.each_ref()), &sent);
    nodes[0].must(&["add", "2"]);
    nodes[0].wait_groups("three voters again", |group| are_voters(group, &[1, 2, 3]));
}

#[test]
fn a_terminated_leader_hands_over_first() {
    let mut nodes = trio(&[]);
    let sent = send(&nodes.each_ref(), 0..5);
    nodes[0].process.terminate();
    nodes[0].process.wait_said("leads_nothing=true");
    nodes[1].wait_groups("another leader", |group| {
        !group["leader"].is_null() && group["leader"] != 1
    });
    assert_has(&read(&[&nodes[1], &nodes[2]]), &sent);
    nodes[0].restart();
}

#[test]
fn a_lost_node_is_replaced_by_one_that_joins() {
    let [first, second, mut third] = trio(&[]);
    let sent = send(&[&first, &second], 0..5);
    third.process.kill();
    let fourth = Node::start(&["--join", &first.cluster, "--join", &second.cluster]);
    assert_eq!(fourth.id, 4);
    wait_for("the loss to be noticed", || {
        match first.ask(&["remove", "3"]) {
            (Some(0), ..) => Ok(()),
            (code, _, stderr) => {
                assert_eq!(code, Some(1));
                Err(stderr)
            }
        }
    });
    first.wait_groups("the fourth in the third's place", |group| {
        are_voters(group, &[1, 2, 4])
    });
    assert_has(&read(&[&fourth]), &sent);
}

#[test]
fn refusals_end_with_1_and_mistakes_with_2() {
    let node = Node::start(&[]);
    let (code, stdout, stderr) = node.ask(&["drain", "7", "--json"]);
    assert_eq!(code, Some(1), "{stderr}");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer["answer"], "refused");
    assert!(stderr.contains('7'), "{stderr}");
    let (code, _, stderr) = node.ask(&["remove", "1"]);
    assert_eq!(code, Some(1), "{stderr}");
    for words in [
        &["drain"][..],
        &["drain", "x"],
        &["transfer", "1"],
        &["dance"],
    ] {
        assert_eq!(node.ask(words).0, Some(2), "{words:?}");
    }
    let nobody = |mut command: Command| {
        let output = command.args(["status", "--node", "127.0.0.1:1"]).output();
        output.unwrap()
    };
    let mut command = weir();
    command.arg("cluster");
    let output = nobody(command);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("127.0.0.1:1"));
}

#[test]
fn quickstart_with_three_nodes_shows_them_as_one_and_leaves_none_behind() {
    let dir = TestDir::new();
    for start in [0, 3] {
        let mut command = command("quickstart", dir.path());
        let mut all = Process::spawn(command.args(["--nodes", "3"]));
        let lines = all.read_to("Ctrl-C");
        let has = |text: &str| lines.iter().any(|line| line.contains(text));
        assert!(has("each of 17 groups has 3 voters"), "{lines:#?}");
        assert!(has(&format!("offset {start}: ")), "{lines:#?}");
        let pids = lines.iter().filter_map(|line| {
            let rest = line.split("process ").nth(1)?;
            rest.split_whitespace().next().map(str::to_owned)
        });
        let pids: Vec<String> = pids.collect();
        assert_eq!(pids.len(), 3, "{lines:#?}");
        if start == 0 {
            all.terminate();
        } else {
            all.kill();
        }
        for pid in pids {
            wait_for("the end of each node", || {
                match std::path::Path::new("/proc").join(&pid).exists() {
                    true => Err(format!("process {pid}")),
                    false => Ok(()),
                }
            });
        }
    }
}

#[test]
fn nodes_with_certificates_of_one_authority_are_a_cluster_and_others_stay_out() {
    let dir = TestDir::new();
    let ours = Authority::new(dir.path(), "ours");
    let theirs = Authority::new(dir.path(), "theirs");
    let options = ours.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let nodes = trio(&options);
    let sent = send(&nodes.each_ref(), 0..3);
    assert_has(&read(&[&nodes[2]]), &sent);
    let strangers = [theirs.options().to_vec(), vec![]];
    for stranger in strangers {
        let mut command = weir();
        command.args(["cluster", "status", "--node", &nodes[0].cluster]);
        let output = command.args(&stranger).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{stranger:?}");
    }
    let mut half = weir();
    half.args(["cluster", "status", "--node", &nodes[0].cluster]);
    let output = half.args(&options[..2]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// An authority and a certificate that it signed, in files.
struct Authority {
    options: [String; 6],
}

impl Authority {
    fn new(dir: &std::path::Path, name: &str) -> Self {
        let mut of_authority = rcgen::CertificateParams::new([]).unwrap();
        of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = of_authority.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(of_authority, key);
        let key = rcgen::KeyPair::generate().unwrap();
        let of_node = rcgen::CertificateParams::new(["node".to_owned()]).unwrap();
        let signed = of_node.signed_by(&key, &issuer).unwrap();
        let file = |kind: &str, text: String| {
            let file = dir.join(format!("{name}-{kind}.pem"));
            std::fs::write(&file, text).unwrap();
            file.display().to_string()
        };
        let (ca, cert) = (file("ca", authority.pem()), file("cert", signed.pem()));
        let key = file("key", key.serialize_pem());
        let option = |name: &str| format!("--cluster-{name}");
        Self {
            options: [option("cert"), cert, option("key"), key, option("ca"), ca],
        }
    }

    fn options(&self) -> &[String; 6] {
        &self.options
    }
}
