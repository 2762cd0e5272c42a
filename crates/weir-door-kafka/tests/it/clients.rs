//! Real clients against the door with a node in memory. Where `WEIR_GOLDEN_DIR` is set, every
//! first request of its kind is kept there as `<api>-v<version>.bin`; `WEIR_GOLDEN_SCRIPT` is a
//! shell command that runs other clients than kcat against `127.0.0.1:$PORT`.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use tokio::sync::watch;
use weir_broker::{
    Ticket,
    access::AccessView,
    api::{Outcome, Request},
};
use weir_door::{Bounds, CloseReason, Connection, Door, Listener, Millis, Session, serve};
use weir_door_kafka::{
    KafkaConfig, KafkaDoor, KafkaSession,
    codec::{frame::FrameLimits, inbox::Inbox, versions},
};

use crate::{
    backend::Scripted,
    wire::{Fixed, Topics},
};

/// The door with a tap on what comes in.
struct TapDoor {
    door: KafkaDoor,
    golden: Option<PathBuf>,
}

struct Tap {
    session: KafkaSession,
    inbox: Inbox,
    golden: Option<PathBuf>,
}

impl Door for TapDoor {
    type Session = Tap;

    fn name(&self) -> &'static str {
        "kafka"
    }

    fn open(&self, connection: Connection) -> Tap {
        Tap {
            session: self.door.open(connection),
            inbox: Inbox::default(),
            golden: self.golden.clone(),
        }
    }
}

impl Session for Tap {
    fn bounds(&self, buffered: &[u8]) -> Bounds {
        self.session.bounds(buffered)
    }

    fn receive(&mut self, now: Millis, bytes: Bytes) {
        if let Some(golden) = &self.golden {
            self.inbox.push(bytes.clone());
            while let Some(frame) = self.inbox.next_frame(FrameLimits::REQUEST).unwrap() {
                let line = versions::by_key(i16::from_be_bytes([frame[0], frame[1]])).unwrap();
                let name = format!("{:?}-v{}.bin", line.api, frame[3]).to_lowercase();
                let path = golden.join(name);
                if frame.len() < 4096 && !path.exists() {
                    let mut whole = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
                    whole.extend_from_slice(&frame);
                    std::fs::write(path, whole).unwrap();
                }
            }
        }
        self.session.receive(now, bytes);
    }

    fn poll_request(&mut self) -> Option<(Ticket, Request)> {
        self.session.poll_request()
    }

    fn complete(&mut self, now: Millis, ticket: Ticket, outcome: Outcome) {
        self.session.complete(now, ticket, outcome);
    }

    fn poll_transmit(&mut self, into: &mut Vec<Bytes>, max_bytes: usize) -> usize {
        self.session.poll_transmit(into, max_bytes)
    }

    fn note_written(&mut self, bytes: usize) {
        self.session.note_written(bytes);
    }

    fn poll_timeout(&self) -> Option<Millis> {
        self.session.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Millis) {
        self.session.handle_timeout(now);
    }

    fn wants_read(&self) -> bool {
        self.session.wants_read()
    }

    fn in_flight_count(&self) -> usize {
        self.session.in_flight_count()
    }

    fn held_bytes(&self) -> usize {
        self.session.held_bytes()
    }

    fn close_reason(&self) -> Option<&CloseReason> {
        if let Some(reason) = self.session.close_reason() {
            println!("closed: {reason}");
        }
        self.session.close_reason()
    }
}

fn kcat(port: u16, input: &str, arguments: &[&str]) -> String {
    let mut child = Command::new("kcat")
        .args(["-b", &format!("127.0.0.1:{port}")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "kcat {arguments:?}: {:?}",
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kcat_reads_what_kcat_wrote() {
    if Command::new("kcat").arg("-V").output().is_err() {
        println!("skipped: kcat is not installed");
        return;
    }
    let node = Scripted::default();
    let listener = Listener::bind(&["127.0.0.1:0".to_owned()]).await.unwrap();
    let port = listener.addresses()[0].port();
    node.port.store(port, Ordering::Relaxed);
    let door = TapDoor {
        door: KafkaDoor::new(KafkaConfig::default(), Arc::new(Fixed))
            .of(AccessView::open(), Arc::new(Topics)),
        golden: std::env::var_os("WEIR_GOLDEN_DIR").map(PathBuf::from),
    };
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, Arc::new(door), Arc::new(node), stopped));
    let session = tokio::task::spawn_blocking(move || {
        let lines: String = (0..500).map(|i| format!("line {i}\n")).collect();
        for (codec, idempotent) in [
            ("none", "false"),
            ("gzip", "true"),
            ("snappy", "false"),
            ("lz4", "true"),
            ("zstd", "false"),
        ] {
            let codec_option = format!("compression.codec={codec}");
            let idempotence = format!("enable.idempotence={idempotent}");
            let topic = format!("topic-{codec}");
            kcat(
                port,
                &lines,
                &["-P", "-t", &topic, "-X", &codec_option, "-X", &idempotence],
            );
            let read = kcat(
                port,
                "",
                &["-C", "-t", &topic, "-e", "-q", "-o", "beginning"],
            );
            assert_eq!(read, lines, "{codec}");
        }
        kcat(port, "one\n", &["-P", "-t", "topic-none", "-X", "acks=0"]);
        let listed = kcat(port, "", &["-L"]);
        assert!(
            listed.contains("topic \"topic-zstd\" with 1 partitions"),
            "{listed}"
        );
        let found = kcat(port, "", &["-Q", "-t", "topic-gzip:0:-1"]);
        assert!(found.contains("offset 500"), "{found}");
        let group = [
            "-G",
            "group",
            "topic-lz4",
            "-c",
            "500",
            "-q",
            "-X",
            "auto.offset.reset=earliest",
        ];
        assert_eq!(kcat(port, "", &group), lines);
    });
    session.await.unwrap();
    if let Ok(script) = std::env::var("WEIR_GOLDEN_SCRIPT") {
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("PORT", port.to_string());
        let status = tokio::task::spawn_blocking(move || shell.status()).await;
        assert!(status.unwrap().unwrap().success());
    }
    stop.send(true).unwrap();
    server.await.unwrap();
}
