//! Nodes of one cluster, each a process.

use std::path::Path;

use serde_json::Value;

use crate::process::{Process, TestDir, command_on, wait_for, weir};

const FREE: &str = "127.0.0.1:0";

/// A node that may run or not.
pub(crate) struct Node {
    pub(crate) dir: TestDir,
    pub(crate) process: Process,
    pub(crate) id: u64,
    pub(crate) kafka: String,
    pub(crate) cluster: String,
    pub(crate) admin: String,
    pub(crate) amqp: String,
    options: Vec<String>,
}

impl Node {
    /// Starts in an empty directory and waits until it serves.
    pub(crate) fn start(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let dir = TestDir::new();
        let (process, ready) = launch(dir.path(), FREE, FREE, &options);
        let [kafka, cluster, admin, amqp, id] = ready;
        Self {
            dir,
            process,
            id: id.parse().unwrap(),
            kafka,
            cluster,
            admin,
            amqp,
            options,
        }
    }

    /// Starts again where it was, on the same ports, with the same options.
    pub(crate) fn restart(&mut self) {
        let (kafka, cluster) = (self.kafka.clone(), self.cluster.clone());
        self.restart_on(&kafka, &cluster);
    }

    /// Starts again on other ports.
    pub(crate) fn restart_on_free_ports(&mut self) {
        self.restart_on(FREE, FREE);
    }

    fn restart_on(&mut self, kafka: &str, cluster: &str) {
        let (process, ready) = launch(self.dir.path(), kafka, cluster, &self.options);
        let [kafka, cluster, admin, amqp, id] = ready;
        assert_eq!(id, self.id.to_string(), "another node");
        (self.process, self.admin, self.amqp) = (process, admin, amqp);
        (self.kafka, self.cluster) = (kafka, cluster);
    }

    /// What `weir cluster` answers here: exit code, stdout, stderr.
    pub(crate) fn ask(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let mut command = weir();
        command.arg("cluster").args(words);
        command.args(["--node", &self.cluster]);
        let tls = self.options.chunks(2);
        for option in tls.filter(|option| option[0].starts_with("--cluster-")) {
            command.args(option);
        }
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code();
        (code, text(&output.stdout), text(&output.stderr))
    }

    /// Asks for something that must be done.
    pub(crate) fn must(&self, words: &[&str]) -> String {
        let (code, stdout, stderr) = self.ask(words);
        assert_eq!(code, Some(0), "{words:?}: {stdout}{stderr}");
        stdout
    }

    /// The cluster as this node knows it.
    pub(crate) fn status(&self) -> Result<Value, String> {
        match self.ask(&["status", "--json"]) {
            (Some(0), stdout, _) => serde_json::from_str(&stdout).map_err(|e| e.to_string()),
            (_, _, stderr) => Err(stderr),
        }
    }

    /// Waits until each group's row is as it should be.
    pub(crate) fn wait_groups(&self, what: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || {
            let status = self.status()?;
            let groups = status["groups"].as_array().ok_or("no groups")?;
            assert!(groups.len() > 1, "{status:#}");
            match groups.iter().find(|group| !is_right(group)) {
                None => Ok(status),
                Some(group) => Err(group.to_string()),
            }
        })
    }
}

fn launch(dir: &Path, kafka: &str, cluster: &str, options: &[String]) -> (Process, [String; 5]) {
    let mut command = command_on("serve", dir, kafka, cluster);
    let mut process = Process::spawn(command.args(options).env("WEIR_LOG", "info"));
    let lines = process.read_to("node");
    let word = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    let words = ["kafka", "cluster", "admin", "amqp", "node"].map(word);
    (process, words)
}

/// Founds with one node, joins with two; every group has all three as voters.
pub(crate) fn trio(options: &[&str]) -> [Node; 3] {
    let first = Node::start(options);
    let join = ["--join", &first.cluster];
    let joined = || Node::start(&[&join[..], options].concat());
    let nodes = [joined(), joined()];
    let [second, third] = nodes;
    let ids = [first.id, second.id, third.id];
    first.wait_groups("three voters each", |group| are_voters(group, &ids));
    [first, second, third]
}

/// Whether exactly these vote, and one of them leads.
pub(crate) fn are_voters(group: &Value, ids: &[u64]) -> bool {
    let voters = group["voters"].as_array().unwrap();
    voters.len() == ids.len()
        && ids.iter().all(|id| voters.contains(&Value::from(*id)))
        && group["is_changing"] == false
        && !group["leader"].is_null()
}
