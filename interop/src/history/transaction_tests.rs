//! Every anomaly of transactions, copies and compacted topics, made by hand, is found; nothing
//! else is.

use super::tests::{found, verdict_of};
use super::verdict::Verdict;

/// A line of `process` at a time.
fn line(process: &str, kind: &str, f: &str, time_ns: u64, rest: &str) -> String {
    format!(r#"{{"process":"{process}","type":"{kind}","f":"{f}","time_ns":{time_ns}{rest}}}"#)
}

fn value(number: u64, offset: Option<u64>) -> String {
    let offset = offset.map_or_else(String::new, |at| format!(r#","offset":{at}"#));
    format!(r#","key":0,"value":"t0-{number}"{offset}"#)
}

/// A producer whose first transaction (values 0 and 1 at offsets 0 and 1, marker at 2) commits, its
/// second (value 2 at offset 3, marker at 4) aborts, its third (value 3 at 5) commits; a reader
/// that reads along, a final reader, and a final reader of what a copy loop made of it.
fn judged(edit: impl Fn(&str, &mut Vec<String>)) -> Verdict {
    let send = |number, offset, time_ns| {
        [
            line("t0", "invoke", "send", time_ns, &value(number, None)),
            line(
                "t0",
                "ok",
                "send",
                time_ns + 1,
                &value(number, Some(offset)),
            ),
        ]
    };
    let step = |kind, f, time_ns| [line("t0", kind, f, time_ns, "")];
    let mut sent: Vec<String> = Vec::new();
    sent.extend(step("invoke", "begin", 10));
    sent.extend(send(0, 0, 11).into_iter().chain(send(1, 1, 12)));
    sent.extend(
        step("invoke", "end", 20)
            .into_iter()
            .chain(step("ok", "end", 30)),
    );
    sent.extend(step("invoke", "begin", 40));
    sent.extend(send(2, 3, 41));
    sent.extend(step("fail", "end", 50));
    sent.extend(step("invoke", "begin", 60));
    sent.extend(send(3, 5, 61));
    sent.extend(
        step("invoke", "end", 70)
            .into_iter()
            .chain(step("ok", "end", 80)),
    );
    let assign = |reader| line(reader, "ok", "assign", 5, r#","key":0,"offset":0"#);
    let mut along = vec![assign("f0")];
    let mut last = vec![assign("final")];
    let mut copies = vec![line("final-copies", "invoke", "copy", 400, r#","key":0"#)];
    for (number, offset, time_ns) in [(0, 0, 25), (1, 1, 26), (3, 5, 75)] {
        along.push(line(
            "f0",
            "ok",
            "poll",
            time_ns,
            &value(number, Some(offset)),
        ));
        last.push(line(
            "final",
            "ok",
            "poll",
            300,
            &value(number, Some(offset)),
        ));
        copies.push(line(
            "final-copies",
            "ok",
            "copy",
            400,
            &value(number, Some(offset)),
        ));
    }
    let mut files = [
        ("t0", sent),
        ("f0", along),
        ("final", last),
        ("final-copies", copies),
    ];
    for (name, lines) in &mut files {
        edit(name, lines);
    }
    verdict_of(&files)
}

/// Without the lines that hold all words.
fn without(lines: &mut Vec<String>, words: &[&str]) {
    lines.retain(|line| !words.iter().all(|word| line.contains(word)));
}

#[test]
fn transactions_without_anomaly_are_clean() {
    let verdict = judged(|_, _| ());
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(
        (
            verdict.committed,
            verdict.rolled_back,
            verdict.undecided,
            verdict.copied
        ),
        (2, 1, 0, 3)
    );
}

#[test]
fn a_value_of_an_aborted_transaction_that_is_read_is_found() {
    let verdict = judged(|name, lines| {
        if name == "final" {
            lines.insert(3, line("final", "ok", "poll", 300, &value(2, Some(3))));
        }
        if name == "f0" {
            lines.truncate(3);
        }
        if name == "final-copies" {
            lines.insert(
                3,
                line("final-copies", "ok", "copy", 400, &value(2, Some(3))),
            );
        }
    });
    assert_eq!(found(&verdict), [("aborted", 1)]);
}

#[test]
fn a_transaction_whose_commit_nobody_asked_for_is_aborted_although_its_producer_died() {
    let verdict = judged(|name, lines| {
        if name == "t0" {
            without(lines, &["end", "\"time_ns\":70"]);
            without(lines, &["end", "\"time_ns\":80"]);
        }
    });
    assert_eq!(found(&verdict), [("aborted", 1)]);
}

#[test]
fn a_value_read_before_its_commit_was_asked_for_is_precommitted() {
    let verdict = judged(|name, lines| {
        if name == "f0" {
            lines[1] = lines[1].replace("\"time_ns\":25", "\"time_ns\":15");
        }
    });
    assert_eq!(found(&verdict), [("precommitted", 1)]);
}

#[test]
fn a_part_of_a_committed_transaction_is_torn_and_what_lacks_is_lost() {
    let verdict = judged(|name, lines| {
        if name != "t0" {
            without(lines, &["t0-1\""]);
        }
    });
    assert_eq!(found(&verdict), [("lost", 1), ("torn", 1)]);
}

#[test]
fn a_part_of_a_transaction_without_an_answer_is_torn() {
    let verdict = judged(|name, lines| match name {
        "t0" => {
            without(lines, &["end", "\"time_ns\":30"]);
        }
        _ => without(lines, &["t0-1\""]),
    });
    assert_eq!(found(&verdict), [("torn", 1)]);
    assert_eq!(verdict.undecided, 1);
}

#[test]
fn a_transaction_without_an_answer_is_there_or_not() {
    let unanswered = |lines: &mut Vec<String>| {
        for line in lines
            .iter_mut()
            .filter(|line| line.contains("\"time_ns\":30"))
        {
            *line = line.replace("\"ok\"", "\"info\"");
        }
    };
    let there = judged(|name, lines| {
        if name == "t0" {
            unanswered(lines);
        }
    });
    assert!(there.is_clean(), "{there:?}");
    let not_there = judged(|name, lines| match name {
        "t0" => unanswered(lines),
        _ => {
            without(lines, &["t0-0\""]);
            without(lines, &["t0-1\""]);
        }
    });
    assert!(not_there.is_clean(), "{not_there:?}");
}

#[test]
fn a_committed_transaction_of_which_nothing_is_there_is_lost() {
    let verdict = judged(|name, lines| {
        if name != "t0" {
            without(lines, &["t0-0\""]);
            without(lines, &["t0-1\""]);
        }
    });
    assert_eq!(found(&verdict), [("lost", 2)]);
}

#[test]
fn another_value_where_an_aborted_one_was_acknowledged_is_inconsistent() {
    let verdict = judged(|name, lines| {
        for line in lines.iter_mut().filter(|line| line.contains("t0-2\"")) {
            *line = line.replace("\"offset\":3", "\"offset\":1");
        }
        assert!(name != "final" || lines.len() == 4);
    });
    assert_eq!(found(&verdict), [("inconsistent", 1)]);
}

#[test]
fn a_copy_that_is_made_twice_left_out_or_out_of_turn_is_found() {
    let copies = |edit: fn(&mut Vec<String>)| {
        judged(move |name, lines| {
            if name == "final-copies" {
                edit(lines);
            }
        })
    };
    let twice = copies(|lines| lines.push(lines[1].clone()));
    assert_eq!(found(&twice), [("recopied", 1)]);
    let left_out = copies(|lines| drop(lines.remove(2)));
    assert_eq!(found(&left_out), [("uncopied", 1)]);
    let out_of_turn = copies(|lines| lines.swap(1, 2));
    assert_eq!(found(&out_of_turn), [("reordered", 1)]);
    let nothing = copies(|lines| lines.truncate(1));
    assert_eq!(found(&nothing), [("uncopied", 3)]);
    let of_nothing = copies(|lines| lines.push(lines[1].replace("t0-0", "t0-2")));
    assert_eq!(found(&of_nothing), [("unexpected", 1)]);
}

/// Values 0 to 3 of one producer at offsets 0 to 3 of a compacted partition, for two keys in turn;
/// a final reader finds some of them.
fn compacted(present: &[u64]) -> Verdict {
    let mut sent = Vec::new();
    for number in 0..4 {
        let key = format!(r#"{},"message_key":{}"#, value(number, None), number % 2);
        sent.push(line("t0", "invoke", "send", number, &key));
        sent.push(line(
            "t0",
            "ok",
            "send",
            number,
            &value(number, Some(number)),
        ));
    }
    let assign = |reader| line(reader, "ok", "assign", 5, r#","key":0,"offset":0"#);
    let poll =
        |reader, number: &u64| line(reader, "ok", "poll", 20, &value(*number, Some(*number)));
    let along = [assign("f0")]
        .into_iter()
        .chain((0..4).map(|it| poll("f0", &it)));
    let last = [assign("final")]
        .into_iter()
        .chain(present.iter().map(|it| poll("final", it)));
    verdict_of(&[
        ("t0", sent),
        ("f0", along.collect()),
        ("final", last.collect()),
    ])
}

#[test]
fn the_last_value_of_each_key_of_a_compacted_topic_is_kept_and_earlier_ones_may_go() {
    for present in [&[0, 1, 2, 3][..], &[2, 3], &[1, 2, 3]] {
        let verdict = compacted(present);
        assert!(verdict.is_clean(), "{present:?} {verdict:?}");
    }
    assert_eq!(found(&compacted(&[1, 3])), [("lost", 2)]);
    assert_eq!(found(&compacted(&[0, 2])), [("lost", 1), ("unseen", 1)]);
}

#[test]
fn a_duplicate_names_the_epochs_that_may_explain_it() {
    let verdict = judged(|name, lines| {
        if name == "t0" {
            let rest = r#","producer_id":7,"epoch":3"#;
            lines.push(line("t0", "ok", "identity", 12, rest));
        }
        if name == "final" {
            lines.push(line("final", "ok", "poll", 300, &value(3, Some(6))));
        }
    });
    assert!(verdict.examples[0].contains("id 7 epoch 3"), "{verdict:?}");
}
