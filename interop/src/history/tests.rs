//! Every anomaly, made by hand, is found; nothing else is.

use super::verdict::Verdict;
use super::{Record, check};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A history of one producer that sent four values to partition 0, read by a group's consumer
/// and a final reader, with `edit` applied to the lines of each file.
fn judged(edit: impl Fn(&str, &mut Vec<String>)) -> Verdict {
    let mut sent = Vec::new();
    let mut read = vec![assign("c0", None, 100)];
    let mut last = vec![assign("final", Some(0), 200)];
    for number in 0..4 {
        sent.push(send("invoke", number, None));
        sent.push(send("ok", number, Some(number)));
        read.push(poll("c0", number, number));
        last.push(poll("final", number, number));
    }
    read.push(commit("ok", 4, 150));
    let mut files = [("p0", sent), ("c0", read), ("final", last)];
    for (name, lines) in &mut files {
        edit(name, lines);
    }
    verdict_of(&files)
}

/// The verdict on files of these names and lines.
pub(super) fn verdict_of(files: &[(&str, Vec<String>)]) -> Verdict {
    let directory: PathBuf = std::env::temp_dir().join(format!(
        "weir-history-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    ));
    std::fs::create_dir_all(&directory).unwrap();
    for (name, lines) in files {
        let text = lines.join("\n") + "\n";
        std::fs::write(directory.join(format!("{name}.jsonl")), text).unwrap();
    }
    let record = Record::read(&directory);
    std::fs::remove_dir_all(&directory).unwrap();
    check(&record.unwrap())
}

fn send(kind: &str, number: u64, offset: Option<u64>) -> String {
    let offset = offset.map_or_else(String::new, |at| format!(r#","offset":{at}"#));
    format!(
        r#"{{"process":"p0","type":"{kind}","f":"send","key":0,"value":"p0-{number}"{offset},"time_ns":{number}}}"#
    )
}

fn poll(process: &str, number: u64, offset: u64) -> String {
    format!(
        r#"{{"process":"{process}","type":"ok","f":"poll","key":0,"value":"p0-{number}","offset":{offset},"time_ns":120}}"#
    )
}

fn assign(process: &str, offset: Option<u64>, time_ns: u64) -> String {
    let offset = offset.map_or_else(String::new, |at| format!(r#","offset":{at}"#));
    format!(
        r#"{{"process":"{process}","type":"ok","f":"assign","key":0{offset},"time_ns":{time_ns}}}"#
    )
}

fn commit(kind: &str, offset: u64, time_ns: u64) -> String {
    format!(
        r#"{{"process":"c0","type":"{kind}","f":"commit","key":0,"offset":{offset},"time_ns":{time_ns}}}"#
    )
}

/// The findings that are not 0.
pub(super) fn found(verdict: &Verdict) -> Vec<(&'static str, u64)> {
    let all = verdict.findings();
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn is_poll_of(line: &str, number: u64) -> bool {
    line.contains("poll") && line.contains(&format!("p0-{number}\""))
}

#[test]
fn a_history_without_anomaly_is_clean() {
    let verdict = judged(|_, _| ());
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((verdict.sent, verdict.acked, verdict.present), (4, 4, 4));
    assert_eq!(verdict.polled, 8);
}

#[test]
fn an_acknowledged_value_that_nobody_reads_is_lost() {
    let verdict = judged(|_, lines| lines.retain(|line| !is_poll_of(line, 1)));
    assert_eq!(found(&verdict), [("lost", 1)]);
}

#[test]
fn a_value_read_once_and_not_at_the_end_is_lost_and_skipped() {
    let verdict = judged(|name, lines| {
        if name == "final" {
            lines.retain(|line| !is_poll_of(line, 1));
        }
        // Whether its send was acknowledged does not matter.
        lines.retain(|line| !line.contains(r#""ok","f":"send","key":0,"value":"p0-1""#));
    });
    assert_eq!(found(&verdict), [("lost", 1), ("skipped", 1)]);
    assert_eq!(verdict.unsure, 1);
}

#[test]
fn an_acknowledged_tail_that_nobody_reads_is_unseen() {
    let verdict = judged(|_, lines| lines.retain(|line| !is_poll_of(line, 3)));
    assert_eq!(found(&verdict), [("unseen", 1)]);
}

#[test]
fn an_empty_final_read_leaves_everything_unseen() {
    let verdict = judged(|name, lines| {
        if name == "final" {
            lines.truncate(1);
        }
    });
    assert_eq!(found(&verdict), [("unseen", 4)]);
}

#[test]
fn two_values_at_one_offset_are_inconsistent() {
    let verdict = judged(|name, lines| {
        if name == "final" {
            lines[2] = poll("final", 2, 1);
            lines[3] = poll("final", 1, 2);
        }
    });
    assert_eq!(found(&verdict), [("inconsistent", 2)]);
}

#[test]
fn a_value_elsewhere_than_acknowledged_is_inconsistent() {
    let verdict = judged(|name, lines| {
        if name == "p0" {
            lines[7] = send("ok", 3, Some(9));
        }
    });
    assert_eq!(found(&verdict), [("inconsistent", 1)]);
}

#[test]
fn one_value_at_two_offsets_is_duplicated() {
    let verdict = judged(|name, lines| {
        if name == "final" {
            lines.push(poll("final", 1, 4));
        }
    });
    assert_eq!(found(&verdict), [("duplicated", 1)]);
}

#[test]
fn a_value_behind_a_later_one_is_reordered() {
    let verdict = judged(|name, lines| match name {
        "p0" => {
            lines[3] = send("ok", 1, Some(2));
            lines[5] = send("ok", 2, Some(1));
        }
        reader => {
            lines[2] = poll(reader, 2, 1);
            lines[3] = poll(reader, 1, 2);
        }
    });
    assert_eq!(found(&verdict), [("reordered", 1)]);
}

#[test]
fn a_value_that_nobody_sent_is_unexpected() {
    for value in ["p0-4", "p9-0", "damage"] {
        let verdict = judged(|name, lines| {
            if name == "final" {
                lines.push(poll("final", 0, 4).replace("p0-0", value));
            }
        });
        assert_eq!(found(&verdict), [("unexpected", 1)], "{value}");
    }
}

#[test]
fn a_value_known_to_have_failed_is_unexpected_where_it_is_read() {
    let verdict = judged(|name, lines| {
        if name == "p0" {
            lines[7] = send("fail", 3, None);
        }
    });
    assert_eq!(found(&verdict), [("unexpected", 1)]);
}

#[test]
fn a_value_in_another_partition_is_unexpected_and_lost() {
    let verdict = judged(|name, lines| {
        if name != "p0" {
            lines[2] = lines[2].replace(r#""key":0"#, r#""key":1"#);
        }
    });
    assert_eq!(found(&verdict), [("lost", 1), ("unexpected", 1)]);
}

#[test]
fn a_time_out_that_is_not_there_is_no_anomaly() {
    let verdict = judged(|name, lines| match name {
        "p0" => lines[7] = send("info", 3, None),
        _ => lines.retain(|line| !is_poll_of(line, 3)),
    });
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(verdict.unsure, 1);
}

#[test]
fn a_reader_that_goes_back_without_being_assigned_is_nonmonotonic() {
    let verdict = judged(|name, lines| {
        if name == "c0" {
            lines.insert(3, poll("c0", 0, 0));
        }
    });
    assert_eq!(found(&verdict), [("nonmonotonic", 1)]);
}

#[test]
fn a_reader_that_passes_over_a_value_skips_it() {
    let verdict = judged(|name, lines| {
        if name == "c0" {
            lines.remove(2);
        }
    });
    assert_eq!(found(&verdict), [("skipped", 1)]);
}

#[test]
fn a_group_that_goes_on_before_its_commit_is_rewound() {
    let again = |offset| {
        move |name: &str, lines: &mut Vec<String>| {
            if name == "c0" {
                lines.push(assign("c0", None, 160));
                lines.push(poll("c0", offset, offset));
            }
        }
    };
    assert_eq!(found(&judged(again(2))), [("rewound", 1)]);
    let uncommitted = judged(|name, lines| {
        lines.retain(|line| !line.contains("commit"));
        again(2)(name, lines);
    });
    assert!(uncommitted.is_clean(), "{uncommitted:?}");
}

#[test]
fn the_longest_pause_is_between_two_acknowledgements() {
    let verdict = judged(|name, lines| {
        if name == "p0" {
            lines[7] = lines[7].replace(r#""time_ns":3"#, r#""time_ns":7000002"#);
        }
    });
    assert_eq!(verdict.longest_pause_ms, 7);
}
