//! What nodes write down of who did what, and that no secret is in it, nor in anything else that is shown.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;

use crate::{
    process::{TestDir, wait_for, weir},
    tokens::{jwt, key_set},
    trio::Node,
};

const SECRET: &str = "hunter2-correct-horse";
const WRONG: &str = "wrong-battery-staple";

fn must(node: &Node, words: &[&str], input: &str) -> String {
    let mut command = weir();
    command.args(words).args(["--node", &node.cluster]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {said}{errors}");
    said + &errors
}

/// A Kafka client by hand: requests before their versions became flexible.
struct Wire(TcpStream);

impl Wire {
    fn connect(node: &Node) -> Self {
        let stream = TcpStream::connect(&node.kafka).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        Self(stream)
    }

    fn ask(&mut self, (api, version): (i16, i16), body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend(api.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(7_i32.to_be_bytes());
        frame.extend(text("test"));
        frame.extend(body);
        let length = u32::try_from(frame.len()).unwrap();
        self.0.write_all(&length.to_be_bytes()).unwrap();
        self.0.write_all(&frame).unwrap();
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).unwrap();
        answer.split_off(4)
    }

    /// Logs in by PLAIN; the error code.
    fn log_in(&mut self, user: &str, password: &str) -> i16 {
        self.ask((17, 1), &text("PLAIN"));
        self.say(&format!("\0{user}\0{password}"))
    }

    /// Logs in by a token; the error code at its end.
    fn log_in_by(&mut self, token: &str) -> i16 {
        self.ask((17, 1), &text("OAUTHBEARER"));
        self.say(&format!("n,,\x01auth=Bearer {token}\x01\x01"))
    }

    fn say(&mut self, message: &str) -> i16 {
        let mut body = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
        body.extend(message.as_bytes());
        let answer = self.ask((36, 0), &body);
        i16::from_be_bytes([answer[0], answer[1]])
    }

    fn delete_topic(&mut self, name: &str) -> i16 {
        let mut body = 1_i32.to_be_bytes().to_vec();
        body.extend(text(name));
        body.extend(10_000_i32.to_be_bytes());
        let answer = self.ask((20, 1), &body);
        let end = answer.len();
        i16::from_be_bytes([answer[end - 2], answer[end - 1]])
    }
}

/// Logs in at the AMQP door with a token as the password; the method that follows.
fn amqp_log_in_by(node: &Node, token: &str) -> [u8; 4] {
    let mut stream = TcpStream::connect(&node.amqp).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut next = |said: &[u8]| {
        stream.write_all(said).unwrap();
        let mut head = [0; 7];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes(head[3..].try_into().unwrap());
        let mut rest = vec![0; length as usize + 1];
        stream.read_exact(&mut rest).unwrap();
        <[u8; 4]>::try_from(&rest[..4]).unwrap()
    };
    next(b"AMQP\0\0\x09\x01");
    // start-ok, of a client that understands why it is refused.
    let long = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes()[..], bytes].concat()
    };
    let capabilities = long(b"\x1cauthentication_failure_closet\x01");
    let properties = [&b"\x0ccapabilitiesF"[..], &capabilities].concat();
    let response = format!("\0whoever\0{token}");
    let parts = [
        &[0, 10, 0, 11][..],
        &long(&properties),
        b"\x05PLAIN",
        &long(response.as_bytes()),
        b"\x05en_US",
    ];
    let frame = [&[1, 0, 0][..], &long(&parts.concat()), &[0xce]].concat();
    next(&frame)
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// The records as they lie in the node's files, where nothing is compressed.
fn records(node: &Node) -> Vec<Value> {
    const HEAD: &[u8] = b"{\"action\":";
    let mut found = Vec::new();
    for file in files(node.dir.path()) {
        // The log goes on meanwhile, and may take files away.
        let bytes = std::fs::read(file).unwrap_or_default();
        for (at, window) in bytes.windows(HEAD.len()).enumerate() {
            if window == HEAD {
                let mut values = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter();
                found.extend(values.next().and_then(Result::ok));
            }
        }
    }
    found
}

fn wait_record(node: &Node, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || {
        let records = records(node);
        let found = records.iter().find(|record| is_it(record));
        found.cloned().ok_or_else(|| format!("{records:#?}"))
    })
}

#[test]
fn logins_refusals_and_changes_are_written_down_and_secrets_are_nowhere() {
    let keys = TestDir::new();
    let file = keys.path().join("keys.json");
    std::fs::write(&file, key_set(1)).unwrap();
    let file = file.display().to_string();
    let node = Node::start(&["--log", "debug", "--token-keys", &file]);
    let input = format!("{SECRET}\n");
    let mut said = String::new();
    for (name, tag) in [("root", Some("administrator")), ("tim", None)] {
        let mut words = vec!["user", "add", name, "--password-file", "-"];
        words.extend(tag.iter().flat_map(|tag| ["--tag", tag]));
        said += &must(&node, &words, &input);
    }
    let acl = ["acl", "add", "allow", "tim", "describe", "topic", "orders"];
    said += &must(&node, &acl, "");
    said += &must(&node, &["user", "list", "--json"], "");

    let mut root = Wire::connect(&node);
    assert_eq!(root.log_in("root", SECRET), 0);
    assert_eq!(Wire::connect(&node).log_in("tim", WRONG), 58);
    let mut tim = Wire::connect(&node);
    assert_eq!(tim.log_in("tim", SECRET), 0);
    assert_eq!(tim.delete_topic("orders"), 29);

    let login = wait_record(&node, "a login", |record| {
        (&record["action"], &record["principal"]) == (&"login".into(), &"root".into())
    });
    assert_eq!(
        (&login["result"], &login["resource"]),
        (&"success".into(), &"kafka PLAIN".into())
    );
    assert_eq!(login["node"], node.id);
    assert!(
        login["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{login}"
    );
    wait_record(&node, "a failed login", |record| {
        let result = record["result"].as_str().unwrap_or_default();
        record["principal"] == "tim" && result.contains("wrong name or password")
    });
    wait_record(&node, "a refusal", |record| {
        record["principal"] == "tim" && record["resource"] == "Delete Topic orders"
    });
    wait_record(&node, "a new user", |record| {
        record["action"] == "create_user" && record["resource"] == "root"
    });
    wait_record(&node, "an ACL", |record| record["action"] == "add_acl");

    // Nobody takes them away, an administrator neither.
    assert_eq!(root.delete_topic("__audit"), 17);
    wait_record(&node, "the attempt", |record| {
        record["action"] == "delete_topics" && record["resource"] == "topic __audit"
    });

    let tokens = log_in_by_tokens(&node);
    assert_no_secrets(node, said, &tokens);
}

/// Logs in by one that is believed and two that are not.
fn log_in_by_tokens(node: &Node) -> [String; 3] {
    let tokens = [
        jwt(1, "carol", 600),
        jwt(1, "dave", -600),
        jwt(2, "eve", 600),
    ];
    assert_eq!(Wire::connect(node).log_in_by(&tokens[0]), 0);
    for refused in &tokens[1..] {
        let mut wire = Wire::connect(node);
        assert_eq!(wire.log_in_by(refused), 0);
        assert_eq!(wire.say("\x01"), 58);
    }
    const TUNE: [u8; 4] = [0, 10, 0, 30];
    const CLOSE: [u8; 4] = [0, 10, 0, 50];
    for (token, then) in tokens.iter().zip([TUNE, CLOSE, CLOSE]) {
        assert_eq!(amqp_log_in_by(node, token), then);
    }
    for (name, result) in [("carol", "success"), ("dave", "a token that has expired")] {
        wait_record(
            node,
            "a login by a token in place of a password",
            |record| {
                let (who, how) = (&record["principal"], &record["resource"]);
                (who, how, &record["result"])
                    == (&name.into(), &"amqp PLAIN token".into(), &result.into())
            },
        );
    }
    for (name, result) in [
        ("carol", "success"),
        ("dave", "OAUTHBEARER: a token that has expired"),
        ("ANONYMOUS", "OAUTHBEARER: a token with a wrong signature"),
    ] {
        wait_record(node, "a login by a token", |record| {
            let (who, how) = (&record["principal"], &record["resource"]);
            (who, how, &record["result"])
                == (&name.into(), &"kafka OAUTHBEARER".into(), &result.into())
        });
    }
    tokens
}

/// `said` is what the node's answers to people were.
fn assert_no_secrets(mut node: Node, mut said: String, tokens: &[String]) {
    said += &node.process.stderr().join("\n");
    for record in records(&node) {
        let shown = record.to_string();
        for key in ["verifier", "stored_key", "server_key", "salt", "iterations"] {
            assert!(!shown.contains(key), "{shown}");
        }
        said += &shown;
    }
    node.process.terminate();
    // A token's signature is what nobody else could make.
    let signatures = tokens.iter().map(|token| token.rsplit_once('.').unwrap().1);
    for secret in [SECRET, WRONG].into_iter().chain(signatures) {
        assert!(!said.contains(secret), "a secret is shown");
        for file in files(node.dir.path()) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!holds(&bytes, secret), "a secret is in {}", file.display());
        }
    }
    for word in ["stored_key:", "server_key:", "StoredKey"] {
        assert!(!said.contains(word), "{word} is shown");
    }
}
