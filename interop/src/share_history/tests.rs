//! Every anomaly, made by hand, is found; nothing else is.

use super::{Record, Verdict, check};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

fn send(offset: u64, value: &str) -> String {
    let head = format!(r#"{{"process":"p0","f":"send","key":1,"value":"{value}""#);
    format!(
        "{head},\"type\":\"invoke\",\"time_ns\":1}}\n{head},\"type\":\"ok\",\"offset\":{offset},\"time_ns\":2}}\n"
    )
}

fn deliver(member: &str, offset: u64, value: &str, count: u32, time_ns: u64) -> String {
    format!(
        "{{\"process\":\"{member}\",\"type\":\"ok\",\"f\":\"deliver\",\"key\":1,\"offset\":{offset},\
         \"value\":\"{value}\",\"count\":{count},\"time_ns\":{time_ns}}}\n"
    )
}

fn settle(member: &str, kind: &str, how: &str, offset: u64, time_ns: u64) -> String {
    format!(
        "{{\"process\":\"{member}\",\"type\":\"{kind}\",\"f\":\"settle\",\"key\":1,\"offset\":{offset},\
         \"how\":\"{how}\",\"time_ns\":{time_ns}}}\n"
    )
}

/// A record delivered, settled and confirmed by a member, from `time_ns` on.
fn done(member: &str, how: &str, offset: u64, value: &str, time_ns: u64) -> String {
    deliver(member, offset, value, 1, time_ns)
        + &settle(member, "invoke", how, offset, time_ns + 1)
        + &settle(member, "ok", how, offset, time_ns + 2)
}

fn verdict(lines: &[String]) -> Verdict {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("weir-share-history-{}-{number}", std::process::id());
    let directory: PathBuf = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("all.jsonl"), lines.concat()).unwrap();
    let verdict = check(&Record::read(&directory).unwrap());
    std::fs::remove_dir_all(&directory).unwrap();
    verdict
}

#[test]
fn what_is_released_and_then_accepted_or_rejected_is_clean() {
    let told = verdict(&[
        send(5, "p0-0"),
        send(6, "p0-1"),
        done("s0", "release", 5, "p0-0", 10),
        done("s1", "accept", 5, "p0-0", 20),
        done("s0", "reject", 6, "p0-1", 10),
    ]);
    assert!(told.is_clean(), "{told}");
    assert_eq!((told.acked, told.delivered, told.settled), (2, 3, 2));
}

#[test]
fn what_nobody_gets_or_is_given_back_for_good_is_lost() {
    assert_eq!(verdict(&[send(5, "p0-0")]).lost, 1);
    let released = [send(5, "p0-0"), done("s0", "release", 5, "p0-0", 10)];
    assert_eq!(verdict(&released).lost, 1);
    let limited = [send(5, "p0-0"), deliver("s0", 5, "p0-0", 10, 10)];
    let told = verdict(&limited);
    assert_eq!((told.lost, told.archived), (0, 1));
}

#[test]
fn what_comes_after_its_confirmation_is_resurrected() {
    let told = verdict(&[
        send(5, "p0-0"),
        done("s0", "accept", 5, "p0-0", 10),
        deliver("s1", 5, "p0-0", 2, 13),
    ]);
    assert_eq!((told.resurrected, told.settled_twice), (1, 0), "{told}");
    let unsure = verdict(&[
        send(5, "p0-0"),
        deliver("s0", 5, "p0-0", 1, 10),
        settle("s0", "invoke", "accept", 5, 11),
        settle("s0", "info", "accept", 5, 12),
        done("s1", "accept", 5, "p0-0", 20),
    ]);
    assert!(unsure.is_clean(), "{unsure}");
}

#[test]
fn two_members_that_are_both_confirmed_are_found() {
    let told = verdict(&[
        send(5, "p0-0"),
        deliver("s1", 5, "p0-0", 1, 9),
        done("s0", "accept", 5, "p0-0", 10),
        settle("s1", "invoke", "reject", 5, 13),
        settle("s1", "ok", "reject", 5, 14),
    ]);
    assert_eq!((told.resurrected, told.settled_twice), (0, 1), "{told}");
}

#[test]
fn values_of_nobody_or_elsewhere_and_too_many_deliveries_are_found() {
    let told = verdict(&[
        send(5, "p0-0"),
        done("s0", "accept", 5, "p0-7", 10),
        done("s0", "accept", 6, "p0-0x", 10),
    ]);
    assert_eq!(told.unexpected, 2, "{told}");
    let often = verdict(&[send(5, "p0-0"), deliver("s0", 5, "p0-0", 11, 10)]);
    assert_eq!(often.overdelivered, 1, "{often}");
}

#[test]
fn what_no_member_is_done_with_is_wanted_still() {
    let directory = std::env::temp_dir().join(format!("weir-share-wanted-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let lines = [
        send(5, "p0-0"),
        send(6, "p0-1"),
        send(7, "p0-2"),
        done("s0", "release", 5, "p0-0", 10),
        settle("s0", "invoke", "accept", 6, 10),
    ];
    std::fs::write(directory.join("all.jsonl"), lines.concat()).unwrap();
    let wanted = Record::read(&directory).unwrap().wanted();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(wanted, [(1, 5), (1, 7)]);
}
