//! Every anomaly of a message, made by hand, is found; nothing else is.

use super::verdict::Verdict;
use super::{Record, check};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The files of a history, by process.
pub(super) type Files = [(&'static str, Vec<String>); 4];

/// One line, of a process, a kind, an action and a time, with the rest as it stands.
pub(super) fn line(process: &str, kind: &str, f: &str, rest: &str, time_ns: u64) -> String {
    format!(r#"{{"process":"{process}","type":"{kind}","f":"{f}",{rest},"time_ns":{time_ns}}}"#)
}

/// A session's line.
pub(super) fn step(process: &str, kind: &str, f: &str, session: u32, time_ns: u64) -> String {
    line(
        process,
        kind,
        f,
        &format!(r#""session":{session}"#),
        time_ns,
    )
}

/// A session that begins, with its answer.
pub(super) fn begin(process: &str, session: u32, queue: &str, time_ns: u64) -> Vec<String> {
    let rest = format!(r#""session":{session},"queue":"{queue}","prefetch":2,"tx":true"#);
    vec![
        line(process, "invoke", "consume", &rest, time_ns),
        step(process, "ok", "consume", session, time_ns + 1),
    ]
}

/// A delivery, of a value with what else its line tells.
pub(super) fn given(process: &str, session: u32, value: &str, rest: &str, time_ns: u64) -> String {
    let rest = format!(r#""session":{session},"value":"{value}"{rest}"#);
    line(process, "ok", "deliver", &rest, time_ns)
}

/// A settlement.
pub(super) fn settle(process: &str, f: &str, session: u32, value: &str, time_ns: u64) -> String {
    let rest = format!(r#""session":{session},"value":"{value}""#);
    line(process, "invoke", f, &rest, time_ns)
}

/// A commit and its answer.
pub(super) fn commit(process: &str, session: u32, time_ns: u64) -> Vec<String> {
    vec![
        step(process, "invoke", "commit", session, time_ns),
        step(process, "ok", "commit", session, time_ns + 1),
    ]
}

/// A publish and its confirm.
pub(super) fn publish(number: u32, to: &str, fate: &str, time_ns: u64) -> Vec<String> {
    let value = format!(r#""value":"p0-{number}""#);
    let rest = format!(r#"{value},"to":"{to}","fate":"{fate}","connection":1"#);
    vec![
        line("p0", "invoke", "publish", &rest, time_ns),
        line("p0", "ok", "publish", &value, time_ns + 1),
    ]
}

pub(super) const AGAIN: &str = r#","redelivered":true"#;
const MS: u64 = 1_000_000;

fn workload() -> Vec<String> {
    let queue = |name: &str, rest: &str| {
        let rest = format!(r#""queue":"{name}"{rest}"#);
        line("setup", "ok", "queue", &rest, 1)
    };
    vec![
        queue("work", r#","from":["work"],"dead":"work.dead""#),
        queue("work.dead", ""),
        queue(
            "limit",
            r#","from":["limit"],"dead":"limit.dead","limit":1"#,
        ),
        queue("limit.dead", ""),
        queue("ttl", r#","from":["ttl"],"dead":"expired","ttl_ms":10"#),
        queue("expired", ""),
        queue("single", r#","from":["single"],"one":"single""#),
        queue("exclusive", r#","from":["exclusive"],"one":"exclusive""#),
    ]
}

/// A history in which every fate is met as it should be.
fn good() -> Files {
    let mut sent = Vec::new();
    for (number, to, fate) in [
        (0, "work", "ack"),
        (1, "work", "reject"),
        (2, "limit", "poison"),
        (3, "ttl", "expire"),
    ] {
        sent.extend(publish(number, to, fate, u64::from(number) * 10));
    }
    let mut read = begin("c0", 1, "work", 100);
    read.extend([
        given("c0", 1, "p0-0", "", 110),
        given("c0", 1, "p0-1", "", 111),
        settle("c0", "ack", 1, "p0-0", 112),
        settle("c0", "reject", 1, "p0-1", 113),
    ]);
    read.extend(commit("c0", 1, 120));
    read.push(step("c0", "info", "end", 1, 130));
    read.extend(begin("c0", 2, "limit", 200));
    for (redelivered, at) in [("", 210), (AGAIN, 220)] {
        read.push(given("c0", 2, "p0-2", redelivered, at));
        read.push(settle("c0", "requeue", 2, "p0-2", at + 1));
        read.extend(commit("c0", 2, at + 2));
    }
    let mut last = Vec::new();
    for (session, queue, value, reason) in [
        (1, "work.dead", "p0-1", "rejected"),
        (2, "limit.dead", "p0-2", "delivery_limit"),
        (3, "expired", "p0-3", "expired"),
    ] {
        let at = 20 * MS + u64::from(session) * 10;
        let reason = format!(r#","reason":"{reason}","deaths":1"#);
        last.extend(begin("final", session, queue, at));
        last.push(given("final", session, value, &reason, at + 2));
        last.push(settle("final", "ack", session, value, at + 3));
        last.extend(commit("final", session, at + 4));
    }
    [
        ("setup", workload()),
        ("p0", sent),
        ("c0", read),
        ("final", last),
    ]
}

/// The verdict on a history with `edit` applied to the lines of each file.
fn judged(edit: impl Fn(&str, &mut Vec<String>)) -> Verdict {
    let mut files = good();
    for (name, lines) in &mut files {
        edit(name, lines);
    }
    verdict_of(&files)
}

/// The verdict on what clients did to the workload's queues.
pub(super) fn verdict_on(sent: Vec<String>, c0: Vec<String>, c1: Vec<String>) -> Verdict {
    verdict_of(&[("setup", workload()), ("p0", sent), ("c0", c0), ("c1", c1)])
}

fn verdict_of(files: &Files) -> Verdict {
    let directory: PathBuf = std::env::temp_dir().join(format!(
        "weir-queue-history-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    ));
    std::fs::create_dir_all(&directory).unwrap();
    for (name, lines) in files {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(directory.join(format!("{name}.jsonl")), text).unwrap();
    }
    let record = Record::read(&directory);
    std::fs::remove_dir_all(&directory).unwrap();
    check(&record.unwrap())
}

/// The findings that are not 0.
pub(super) fn found(verdict: &Verdict) -> Vec<(&'static str, u64)> {
    let all = verdict.findings();
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Inserts lines behind the first one that contains a text.
fn behind(lines: &mut Vec<String>, text: &str, more: Vec<String>) {
    if let Some(index) = lines.iter().position(|line| line.contains(text)) {
        lines.splice(index + 1..=index, more);
    }
}

#[test]
fn a_history_without_anomaly_is_clean() {
    let verdict = judged(|_, _| ());
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((verdict.published, verdict.confirmed), (4, 4));
    assert_eq!((verdict.delivered, verdict.redelivered), (7, 1));
    assert_eq!((verdict.settled, verdict.dead_lettered), (7, 3));
}

#[test]
fn a_confirmed_message_that_nobody_gets_is_lost() {
    let verdict = judged(|_, lines| {
        lines.retain(|line| !line.contains("\"p0-0\"") || line.contains("publish"));
    });
    assert_eq!(found(&verdict), [("lost", 1)]);
}

#[test]
fn an_unconfirmed_message_may_be_there_or_not() {
    let unsure = |name: &str, lines: &mut Vec<String>| {
        if name == "p0" {
            lines.remove(1);
        }
    };
    assert!(judged(unsure).is_clean());
    let verdict = judged(|name, lines| {
        unsure(name, lines);
        lines.retain(|line| !line.contains("\"p0-0\"") || line.contains("publish"));
    });
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(verdict.unsure, 1);
}

#[test]
fn a_message_that_vanishes_with_its_consumer_is_lost_confirmed_or_not() {
    let verdict = judged(|name, lines| match name {
        "p0" => drop(lines.remove(1)),
        _ => lines.retain(|line| !(line.contains("\"ack\"") && line.contains("\"p0-0\""))),
    });
    assert_eq!(found(&verdict), [("lost", 1)]);
}

#[test]
fn a_settlement_whose_commit_was_never_asked_for_is_none() {
    let verdict = judged(|name, lines| {
        if name == "c0" {
            lines.retain(|line| !(line.contains("commit") && line.contains(r#""session":1"#)));
        }
    });
    assert_eq!(
        found(&verdict),
        [("lost", 1)],
        "the other is dead-lettered all the same"
    );
}

#[test]
fn a_due_dead_letter_that_is_not_there_is_lost() {
    for (session, finding) in [
        (1, "dead letters lost"),
        (2, "lost"),
        (3, "dead letters lost"),
    ] {
        let verdict = judged(|name, lines| {
            if name == "final" {
                lines.retain(|line| !line.contains(&format!(r#""session":{session}"#)));
            }
        });
        assert_eq!(found(&verdict), [(finding, 1)]);
    }
}

#[test]
fn a_dead_letter_for_another_reason_or_twice_dead_is_misdirected() {
    for (from, to) in [("rejected", "expired"), (r#""deaths":1"#, r#""deaths":2"#)] {
        let verdict = judged(|_, lines| {
            for line in lines
                .iter_mut()
                .filter(|line| line.contains(r#""reason":"rejected""#))
            {
                *line = line.replace(from, to);
            }
        });
        assert_eq!(found(&verdict), [("misdirected", 1)]);
    }
}

#[test]
fn a_dead_letter_that_was_not_due_is_misdirected() {
    let verdict = judged(|name, lines| {
        if name == "p0" {
            lines[2] = lines[2].replace("reject", "ack");
        }
    });
    assert_eq!(found(&verdict), [("misdirected", 1)]);
}

#[test]
fn a_message_dead_before_it_came_back_often_enough_is_misdirected() {
    let verdict = judged(|name, lines| {
        if name == "c0" {
            lines.retain(|line| !line.contains(r#""session":2"#) || line.contains("consume"));
        }
    });
    assert_eq!(found(&verdict), [("misdirected", 1)]);
}

#[test]
fn a_message_handed_out_beyond_its_limit_is_overdelivered() {
    let again = |at: u64| {
        let mut lines = begin("c0", 4, "limit", at);
        lines.push(given("c0", 4, "p0-2", AGAIN, at + 2));
        lines
    };
    // A delivery that may have been under way before is none.
    for (at, findings) in [(221, vec![]), (230, vec![("overdelivered", 1)])] {
        let verdict = judged(|name, lines| {
            if name == "c0" {
                lines.extend(again(at));
            }
        });
        assert_eq!(found(&verdict), findings);
    }
    let verdict = judged(|name, lines| {
        if name == "c0" {
            lines.extend(again(219));
            lines.push(settle("c0", "requeue", 4, "p0-2", 222));
            lines.extend(commit("c0", 4, 223));
        }
    });
    assert_eq!(found(&verdict), [("overdelivered", 1)]);
}

#[test]
fn a_dead_letter_that_comes_twice_is_duplicated() {
    let verdict = judged(|name, lines| {
        if name == "final" {
            behind(
                lines,
                "\"p0-1\"",
                vec![given("final", 1, "p0-1", AGAIN, 20 * MS + 13)],
            );
        }
    });
    assert_eq!(found(&verdict), [("duplicated", 1)]);
}

#[test]
fn an_expired_message_that_comes_too_soon_is_early() {
    let verdict = judged(|name, lines| {
        if name == "final" {
            for line in lines.iter_mut().filter(|line| line.contains("expired")) {
                *line = line.replace(r#""time_ns":20000"#, r#""time_ns":2000"#);
            }
        }
    });
    assert_eq!(found(&verdict), [("expired early", 1)]);
}

#[test]
fn a_message_that_was_to_wait_and_comes_too_soon_is_early() {
    let came_at = |at_ns: u64| {
        judged(|name, lines| match name {
            "setup" => {
                let late = r#""queue":"late","from":["late"],"delay_ms":10"#;
                lines.push(line("setup", "ok", "queue", late, 1));
            }
            "p0" => lines.extend(publish(4, "late", "ack", 40)),
            "c0" => {
                lines.extend(begin("c0", 3, "late", 300));
                lines.push(given("c0", 3, "p0-4", "", at_ns));
                lines.push(settle("c0", "ack", 3, "p0-4", at_ns + 1));
                lines.extend(commit("c0", 3, at_ns + 2));
            }
            _ => {}
        })
    };
    assert_eq!(found(&came_at(5 * MS)), [("early", 1)]);
    assert!(came_at(11 * MS).is_clean());
}

#[test]
fn a_messages_own_time_counts_where_it_is_shorter() {
    let verdict = judged(|name, lines| match name {
        "p0" => lines[6] = lines[6].replace(r#""fate""#, r#""ttl_ms":4,"fate""#),
        _ => {
            for line in lines.iter_mut().filter(|line| line.contains("expired")) {
                *line = line.replace(r#""time_ns":200000"#, r#""time_ns":50000"#);
            }
        }
    });
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn a_message_that_nobody_published_or_that_certainly_failed_is_unexpected() {
    for value in ["p0-4", "p9-0", "damage"] {
        let verdict = judged(|name, lines| {
            if name == "c0" {
                behind(lines, "\"p0-1\"", vec![given("c0", 1, value, "", 111)]);
            }
        });
        assert_eq!(found(&verdict), [("unexpected", 1)], "{value}");
    }
    let verdict = judged(|name, lines| {
        if name == "p0" {
            lines[1] = lines[1].replace("\"ok\"", "\"fail\"");
        }
    });
    assert_eq!(found(&verdict), [("unexpected", 1)]);
}

#[test]
fn a_message_in_a_queue_of_others_is_unexpected_and_lost_to_its_own() {
    let verdict = judged(|name, lines| {
        if name == "p0" {
            lines[0] = lines[0].replace(r#""to":"work""#, r#""to":"single""#);
        }
    });
    assert_eq!(found(&verdict), [("lost", 1), ("unexpected", 1)]);
}

#[test]
fn a_message_that_came_back_to_its_publisher_is_returned() {
    let verdict = judged(|name, lines| match name {
        "p0" => {
            lines[1] = lines[1]
                .replace("\"ok\"", "\"fail\"")
                .replace("\"value\"", "\"returned\":true,\"value\"");
        }
        _ => lines.retain(|line| !line.contains("\"p0-0\"")),
    });
    assert_eq!(found(&verdict), [("returned", 1)]);
}
