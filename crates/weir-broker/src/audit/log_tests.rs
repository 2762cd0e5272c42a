use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::Value;
use weir_access::Principal;
use weir_log::Millis;

use super::*;

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }

    fn monotonic_ns(&self) -> u64 {
        0
    }
}

fn begun() -> (AuditLog, Arc<Hand>) {
    let (log, hand) = (AuditLog::default(), Arc::new(Hand(AtomicI64::new(1_000))));
    let clock: Arc<dyn Clock> = Arc::clone(&hand) as Arc<dyn Clock>;
    log.begin(NodeId(3), &clock);
    (log, hand)
}

fn event(action: &str) -> AuditEvent {
    AuditEvent::new(&Principal::User("tim".into()), "10.0.0.1:7", action, "t")
}

fn taken(log: &AuditLog) -> Vec<Value> {
    let records = log.take().into_iter();
    let records = records.map(|(record, _)| serde_json::from_slice(&record).unwrap());
    records.collect()
}

#[test]
fn records_tell_when_where_who_what_and_how_it_went() {
    let (log, _) = begun();
    log.note(event("login"));
    let expected = json!({
        "time_ms": 1_000, "node": 3, "sequence": 1, "principal": "tim", "peer": "10.0.0.1:7",
        "action": "login", "resource": "t", "result": "success", "count": 1,
    });
    assert_eq!(taken(&log), [expected]);
    assert!(taken(&log).is_empty());
}

#[test]
fn failures_that_are_alike_are_one_record_and_then_their_number() {
    let (log, hand) = begun();
    for port in 0..100 {
        let mut failed = event("login").failed("wrong");
        failed.peer = format!("10.0.0.1:{port}");
        log.note(failed);
    }
    log.note(event("login").failed("another reason"));
    assert_eq!(taken(&log).len(), 2);
    hand.0.store(11_000, Ordering::Relaxed);
    let later = taken(&log);
    assert_eq!(later.len(), 1);
    assert_eq!(
        (&later[0]["count"], &later[0]["peer"]),
        (&json!(99), &json!("10.0.0.1"))
    );
    hand.0.store(30_000, Ordering::Relaxed);
    assert!(taken(&log).is_empty());
    // What succeeds is never counted together.
    (0..3).for_each(|_| log.note(event("login")));
    assert_eq!(taken(&log).len(), 3);
}

#[test]
fn what_has_no_room_is_counted_and_that_is_a_record() {
    let (log, _) = begun();
    let many = 2 * MAX_WAITING_BYTES / event("change").size_bytes();
    (0..many).for_each(|_| log.note(event("change")));
    let lost_count = log.lost_count();
    assert!(lost_count > 0);
    let mut written = 0;
    let mut last = Value::Null;
    loop {
        let records = taken(&log);
        let Some(newest) = records.last() else { break };
        written += records.len() as u64;
        last = newest.clone();
    }
    assert_eq!(
        (&last["action"], &last["count"]),
        (&json!("audit_lost"), &json!(lost_count))
    );
    assert_eq!(written - 1 + lost_count, many as u64);
}

#[test]
fn kinds_of_failures_have_a_limit_past_which_they_are_counted_together() {
    let (log, hand) = begun();
    for number in 0..MAX_KINDS + 5 {
        let mut failed = event("login").failed("wrong");
        failed.principal = format!("user {number}");
        log.note(failed.clone());
        log.note(failed);
    }
    let all = || {
        let mut all = Vec::new();
        while let records = taken(&log)
            && !records.is_empty()
        {
            all.extend(records);
        }
        all
    };
    assert_eq!(all().len(), MAX_KINDS);
    hand.0.store(11_000, Ordering::Relaxed);
    let later = all();
    assert_eq!(later.len(), MAX_KINDS + 1);
    let together = later.iter().find(|record| record["result"] == MANY);
    let together = together.unwrap();
    assert_eq!(
        (&together["count"], &together["action"]),
        (&json!(10), &json!("login"))
    );
    assert_eq!(log.lost_count(), 0);
}

#[test]
fn failures_for_which_not_even_that_has_room_count_as_lost() {
    let (log, _) = begun();
    for number in 0..MAX_KINDS + MAX_OTHER_KINDS + 5 {
        log.note(event(&format!("{number}")).failed("no"));
    }
    assert_eq!(log.lost_count(), 5);
}

#[test]
fn nothing_is_noted_before_there_is_a_node() {
    let log = AuditLog::default();
    log.note(event("login"));
    assert!(log.take().is_empty());
}
