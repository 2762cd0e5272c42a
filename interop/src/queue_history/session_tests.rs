//! Every anomaly of a session, made by hand, is found; nothing else is.

use super::tests::{AGAIN, begin, commit, found, given, publish, settle, step, verdict_on};

/// Messages of one connection to one queue, all to be acknowledged.
fn sent(to: &str, count: u32) -> Vec<String> {
    (0..count)
        .flat_map(|number| publish(number, to, "ack", u64::from(number)))
        .collect()
}

/// A session that gets these values one after another, and acknowledges each for certain.
fn acking(
    process: &str,
    session: u32,
    queue: &str,
    values: &[(&str, &str)],
    at: u64,
) -> Vec<String> {
    let mut lines = begin(process, session, queue, at);
    for (index, (value, rest)) in (0..).zip(values) {
        let at = at + 10 + 10 * index;
        lines.push(given(process, session, value, rest, at));
        lines.push(settle(process, "ack", session, value, at + 1));
        lines.extend(commit(process, session, at + 2));
    }
    lines
}

#[test]
fn a_message_delivered_as_new_to_two_sessions_is_duplicated() {
    for (rest, findings) in [("", vec![("duplicated", 1)]), (AGAIN, vec![])] {
        let mut c0 = begin("c0", 1, "work", 100);
        c0.push(given("c0", 1, "p0-0", "", 110));
        let c1 = acking("c1", 1, "work", &[("p0-0", rest)], 200);
        assert_eq!(found(&verdict_on(sent("work", 1), c0, c1)), findings);
    }
}

#[test]
fn a_message_delivered_after_its_settlement_was_confirmed_is_resurrected() {
    let c0 = acking("c0", 1, "work", &[("p0-0", "")], 100);
    let mut c1 = begin("c1", 1, "work", 200);
    c1.push(given("c1", 1, "p0-0", AGAIN, 210));
    assert_eq!(
        found(&verdict_on(sent("work", 1), c0, c1)),
        [("resurrected", 1)]
    );
}

#[test]
fn a_delivery_that_may_have_been_under_way_when_another_settlement_was_confirmed_is_none() {
    let c0 = acking("c0", 1, "work", &[("p0-0", AGAIN)], 100);
    let mut c1 = begin("c1", 1, "work", 50);
    c1.push(given("c1", 1, "p0-0", "", 210));
    let verdict = verdict_on(sent("work", 1), c0.clone(), c1.clone());
    assert!(verdict.is_clean(), "{verdict:?}");
    // A commit that was asked for later, and whose answer came before it, tells that it was not.
    c1.splice(2..2, commit("c1", 1, 150));
    assert_eq!(
        found(&verdict_on(sent("work", 1), c0, c1)),
        [("resurrected", 1)]
    );
}

#[test]
fn an_unconfirmed_settlement_may_come_to_nothing() {
    let mut c0 = begin("c0", 1, "work", 100);
    c0.push(given("c0", 1, "p0-0", "", 110));
    c0.push(settle("c0", "ack", 1, "p0-0", 111));
    c0.push(step("c0", "invoke", "commit", 1, 112));
    let c1 = acking("c1", 1, "work", &[("p0-0", AGAIN)], 200);
    let verdict = verdict_on(sent("work", 1), c0, c1);
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn two_confirmed_settlements_of_a_message_are_one_too_many() {
    let c0 = acking("c0", 1, "work", &[("p0-0", "")], 100);
    let c1 = acking("c1", 1, "work", &[("p0-0", AGAIN)], 100);
    assert_eq!(
        found(&verdict_on(sent("work", 1), c0, c1)),
        [("settled twice", 1)]
    );
}

#[test]
fn a_new_message_behind_a_later_one_of_its_connection_is_reordered() {
    let values = [("p0-1", ""), ("p0-0", "")];
    let c0 = acking("c0", 1, "work", &values, 100);
    assert_eq!(
        found(&verdict_on(sent("work", 2), c0.clone(), vec![])),
        [("reordered", 1)]
    );
    let mut other_connection = sent("work", 2);
    other_connection[2] = other_connection[2].replace(r#""connection":1"#, r#""connection":2"#);
    assert!(verdict_on(other_connection, c0, vec![]).is_clean());
}

#[test]
fn one_that_came_back_may_be_behind_later_ones_only_where_others_consume_too() {
    let values = [("p0-1", ""), ("p0-0", AGAIN)];
    for (queue, findings) in [("work", vec![]), ("single", vec![("reordered", 1)])] {
        let c0 = acking("c0", 1, queue, &values, 100);
        assert_eq!(found(&verdict_on(sent(queue, 2), c0, vec![])), findings);
    }
}

#[test]
fn what_a_cancelled_session_held_may_come_back_late() {
    let mut c0 = begin("c0", 1, "single", 90);
    c0.push(step("c0", "ok", "end", 1, 95).replace(r#""f""#, r#""cancelled":true,"f""#));
    let c1 = acking("c1", 1, "single", &[("p0-1", ""), ("p0-0", AGAIN)], 100);
    let verdict = verdict_on(sent("single", 2), c0, c1);
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn a_message_given_back_by_its_only_consumer_comes_before_all_that_was_not_under_way() {
    // The prefetch is 2: one other message may have been under way.
    for (later, findings) in [(2, vec![]), (3, vec![("misplaced", 1)])] {
        let mut c0 = begin("c0", 1, "single", 100);
        c0.push(given("c0", 1, "p0-0", "", 110));
        c0.push(settle("c0", "requeue", 1, "p0-0", 111));
        c0.extend(commit("c0", 1, 112));
        let order: Vec<u32> = (1..later).chain([0]).chain(later..3).collect();
        for (number, at) in order.into_iter().zip([120, 130, 140]) {
            let rest = if number == 0 { AGAIN } else { "" };
            let value = format!("p0-{number}");
            c0.push(given("c0", 1, &value, rest, at));
            c0.push(settle("c0", "ack", 1, &value, at + 1));
            c0.extend(commit("c0", 1, at + 2));
        }
        assert_eq!(
            found(&verdict_on(sent("single", 3), c0, vec![])),
            findings,
            "{later}"
        );
    }
}

#[test]
fn two_sessions_that_work_at_a_time_where_one_may_overlap() {
    let c0 = acking("c0", 1, "exclusive", &[("p0-0", ""), ("p0-1", "")], 100);
    for (at, findings) in [(115, vec![("overlapping", 1)]), (150, vec![])] {
        for queue in ["exclusive", "single"] {
            let c0: Vec<_> = c0.iter().map(|it| it.replace("exclusive", queue)).collect();
            let c1 = acking("c1", 1, queue, &[("p0-2", "")], at - 5);
            let verdict = verdict_on(sent(queue, 3), c0, c1);
            assert_eq!(found(&verdict), findings, "{queue} {at}");
        }
    }
}

#[test]
fn what_a_session_commits_once_it_was_left_does_not_overlap() {
    let mut c0 = acking("c0", 1, "single", &[("p0-0", ""), ("p0-1", "")], 100);
    c0.insert(6, step("c0", "info", "end", 1, 114));
    let c1 = acking("c1", 1, "single", &[("p0-2", "")], 110);
    let verdict = verdict_on(sent("single", 3), c0, c1);
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn where_several_may_consume_none_overlap() {
    let c0 = acking("c0", 1, "work", &[("p0-0", ""), ("p0-1", "")], 100);
    let c1 = acking("c1", 1, "work", &[("p0-2", "")], 110);
    assert!(verdict_on(sent("work", 3), c0, c1).is_clean());
}
