//! From the first start to the last.

use crate::process::{Process, TestDir, command, command_on, signal};

fn offsets(lines: &[String]) -> Vec<String> {
    let offset = |line: &String| {
        let rest = line.trim().strip_prefix("offset ")?;
        rest.split(':').next().map(str::to_owned)
    };
    lines.iter().filter_map(offset).collect()
}

#[test]
fn a_ready_node_says_version_directory_addresses_and_its_id() {
    let dir = TestDir::new();
    let mut node = Process::start("serve", dir.path());
    let lines = node.read_to("node");
    assert!(lines[0].starts_with("WeirMQ"));
    assert!(lines[1].starts_with("data") && lines[1].contains("weir-it-"));
    for (line, door) in [
        (&lines[2], "kafka"),
        (&lines[3], "amqp"),
        (&lines[4], "cluster"),
        (&lines[5], "admin"),
    ] {
        assert!(line.starts_with(door) && line.contains("127.0.0.1:") && !line.ends_with(":0"));
    }
    assert_eq!(lines[6].split_whitespace().last(), Some("1"));
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let dir = TestDir::new();
    let mut node = Process::start("serve", dir.path());
    node.read_to("kafka");
    let refused = command("serve", dir.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by another weir process"));
}

#[test]
fn a_terminated_node_ends_cleanly_and_goes_on_where_it_was() {
    let dir = TestDir::new();
    for start in [0, 3, 6] {
        let mut node = Process::start("quickstart", dir.path());
        let lines = node.read_to("Ctrl-C");
        let expected: Vec<String> = (start..start + 3).map(|at: i32| at.to_string()).collect();
        assert_eq!(offsets(&lines), expected);
        node.terminate();
    }
}

#[test]
fn a_killed_node_goes_on_where_it_was() {
    let dir = TestDir::new();
    for start in [0, 3, 6] {
        let mut node = Process::start("quickstart", dir.path());
        let lines = node.read_to("Ctrl-C");
        assert_eq!(offsets(&lines).first(), Some(&start.to_string()));
        node.kill();
    }
}

#[test]
fn damage_in_the_log_is_named_and_the_node_does_not_start() {
    let dir = TestDir::new();
    let mut node = Process::start("quickstart", dir.path());
    node.read_to("Ctrl-C");
    node.kill();
    let log = dir.path().join("wal/00000000000000000001.wal");
    let mut bytes = std::fs::read(&log).unwrap();
    // In the header of the first frame, behind the file's own header block. More frames follow.
    bytes[4096 + 8] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let refused = command("serve", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(
        said.contains("00000000000000000001.wal") && said.contains("4096"),
        "{said}"
    );
}

#[test]
fn an_address_in_use_is_named() {
    let dir = TestDir::new();
    let mut running = Process::start("serve", dir.path());
    let lines = running.read_to("node");
    let address = |line: &String| line.split_whitespace().last().unwrap().to_owned();
    let (kafka, cluster) = (address(&lines[2]), address(&lines[3]));
    let other = TestDir::new();
    let free = "127.0.0.1:0";
    for (kafka, cluster, taken) in [(&*kafka, free, &kafka), (free, &*cluster, &cluster)] {
        let mut command = command_on("serve", other.path(), kafka, cluster);
        let refused = command.output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(taken), "{said}");
    }
}

#[test]
fn several_nodes_end_though_one_of_them_is_stopped() {
    let dir = TestDir::new();
    let mut all = Process::spawn(command("quickstart", dir.path()).args(["--nodes", "3"]));
    let lines = all.read_to("Ctrl-C");
    let stopped = lines
        .iter()
        .find(|line| line.starts_with("node 3"))
        .unwrap();
    let mut words = stopped
        .split_whitespace()
        .skip_while(|word| *word != "process");
    let pid = words.nth(1).unwrap().to_owned();
    assert!(signal("STOP", &pid));
    all.terminate();
    assert!(!signal("CONT", &pid), "the stopped node is still there");
}
