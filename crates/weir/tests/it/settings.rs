//! Settings from file, environment and command line; listeners; logs.

use std::{net::TcpStream, process::Output};

use serde_json::Value;

use crate::process::{Process, TestDir, weir};

fn config(dir: &TestDir, text: &str) -> String {
    let file = dir.path().join("weir.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn setting(page: &str, name: &str) -> (String, String) {
    let all: Vec<Value> = serde_json::from_str(page).unwrap();
    let mut found = all.iter().filter(|it| it["name"] == name);
    let found = found.next().unwrap();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("value"), text("origin"))
}

#[test]
fn what_config_prints_is_a_file_that_says_the_same() {
    let dir = TestDir::new();
    let file = config(&dir, "shards = 4\nkafka = ['localhost:1', '[::1]:2']\n");
    let printed = weir()
        .args(["config", "--config", &file, "--data-dir", "a \"b\""])
        .env("WEIR_MAX_CONNECTIONS", "7")
        .output()
        .unwrap();
    let (code, page, stderr) = said(&printed);
    assert_eq!(code, Some(0), "{stderr}");
    let again = config(&dir, &page);
    let as_json = weir()
        .args(["config", "--json"])
        .env("WEIR_CONFIG", &again)
        .output()
        .unwrap();
    let (code, page, stderr) = said(&as_json);
    assert_eq!(code, Some(0), "{stderr}");
    for (name, value) in [
        ("shards", "4"),
        ("kafka", "localhost:1,[::1]:2"),
        ("data-dir", "a \"b\""),
        ("max-connections", "7"),
    ] {
        let (found, origin) = setting(&page, name);
        assert_eq!(found, value);
        assert!(origin.contains("weir.toml, line "), "{origin}");
    }
    assert_eq!(setting(&page, "join").0, "");
}

#[test]
fn an_unknown_key_keeps_a_node_from_starting_and_names_the_nearest() {
    let dir = TestDir::new();
    let file = config(&dir, "data-dir = 'x'\nkafka-advertize = 'a:1'\n");
    let refused = weir().args(["serve", "--config", &file]).output().unwrap();
    let (code, _, stderr) = said(&refused);
    assert_eq!(code, Some(2), "{stderr}");
    let expected =
        "weir.toml, line 2: unknown key `kafka-advertize`; did you mean `kafka-advertise`?";
    assert!(stderr.contains(expected), "{stderr}");
}

#[test]
fn a_node_runs_with_what_its_file_says() {
    let dir = TestDir::new();
    let data = dir.path().join("data");
    let text = format!(
        "data-dir = {:?}\nkafka = 'localhost:0'\ncluster = '127.0.0.1:0'\nadmin = 'off'\n\
         log = 'info'\nlog-format = 'json'\nshards = 2\n",
        data.to_str().unwrap()
    );
    let file = config(&dir, &text);
    let mut node = Process::spawn(weir().args(["serve", "--config", &file]));
    let lines = node.read_to("node");
    assert!(!lines.iter().any(|line| line.starts_with("admin")));
    let kafka = lines.iter().find(|line| line.starts_with("kafka")).unwrap();
    let port = kafka.split_once("localhost:").unwrap().1;
    // Whichever address a client takes localhost for.
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert!(TcpStream::connect(format!("[::1]:{port}")).is_ok());
    }
    node.terminate();
    let logged = node.stderr();
    assert!(!logged.is_empty());
    for line in logged {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert!(line["timestamp"].is_string() && line["level"].is_string());
        assert!(line["message"].is_string(), "{line}");
    }
}

#[test]
fn two_nodes_with_no_admin_port_set_run_side_by_side() {
    let (one, other) = (TestDir::new(), TestDir::new());
    let start = |dir: &TestDir| {
        let mut command = weir();
        command.arg("serve").arg("--data-dir").arg(dir.path());
        command.args(["--kafka", "127.0.0.1:0", "--cluster", "127.0.0.1:0"]);
        command.args(["--amqp", "127.0.0.1:0"]);
        Process::spawn(&mut command)
    };
    let mut nodes = [start(&one), start(&other)];
    let mut admin = |at: usize| {
        let lines = nodes[at].read_to("node");
        lines.iter().find(|line| line.starts_with("admin")).cloned()
    };
    assert_ne!(admin(0).unwrap(), admin(1).unwrap());
}
