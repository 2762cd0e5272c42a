//! Below the doors: no runtime, no socket, no clock, no random number.

use super::finding::Finding;
use super::source::Source;

const BELOW: [&str; 5] = [
    "weir-access",
    "weir-model",
    "weir-log",
    "weir-raft",
    "weir-broker",
];
/// The one file that meets the real world.
const ALLOWED: [&str; 1] = ["crates/weir-log/src/disk/real.rs"];

/// A run of path segments, and what to use in its place.
const BANNED: [(&str, &str); 9] = [
    (
        "tokio",
        "a thread of its own, or a session driven from above",
    ),
    ("std::net", "the driver in weir-door"),
    (
        "SystemTime",
        "`now: Millis` as an argument, or weir_log::Clock",
    ),
    (
        "Instant::now",
        "`now: Millis` as an argument, or weir_log::Clock",
    ),
    ("thread::sleep", "a deadline that the caller polls"),
    ("rand", "weir_log::Entropy"),
    ("rand_core", "weir_log::Entropy"),
    ("rand_chacha", "weir_log::Entropy"),
    ("getrandom", "weir_log::Entropy"),
];

/// Finds what a simulator could not govern.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let is_below = BELOW
        .iter()
        .any(|name| source.path.starts_with(&format!("crates/{name}/src/")));
    if !is_below || ALLOWED.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for mention in source.mentions() {
        for (banned, instead) in BANNED {
            if names(&mention.path, banned) {
                let what = format!("`{}` below the doors; use {instead}", mention.path);
                findings.push(source.finding(mention.line, what, "no outside below the doors"));
            }
        }
    }
    findings.dedup();
    findings
}

/// Whether `banned` stands in `path`; a lower-case name bans a crate, so only as its start.
fn names(path: &str, banned: &str) -> bool {
    let is_crate = !banned.contains("::") && banned.starts_with(char::is_lowercase);
    if is_crate {
        return path
            .strip_prefix(banned)
            .is_some_and(|rest| rest.starts_with("::"));
    }
    format!("::{path}::").contains(&format!("::{banned}::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::parse(path, text).unwrap()).len()
    }

    #[test]
    fn each_kind_is_found() {
        let file = "crates/weir-log/src/a.rs";
        assert_eq!(findings(file, "use tokio::sync::mpsc;"), 1);
        assert_eq!(findings(file, "use std::{net::TcpStream};"), 1);
        assert_eq!(findings(file, "fn f() { std::time::Instant::now(); }"), 1);
        assert_eq!(findings(file, "use std::time::SystemTime;"), 1);
        assert_eq!(findings(file, "fn f() { std::thread::sleep(d); }"), 1);
        assert_eq!(findings(file, "fn f() { rand::random::<u8>(); }"), 1);
    }

    #[test]
    fn neighbours_in_name_tests_and_upper_crates_pass() {
        let file = "crates/weir-log/src/a.rs";
        assert_eq!(
            findings(
                file,
                "use std::time::{Duration, Instant}; fn f(rand: u8) {}"
            ),
            0
        );
        assert_eq!(
            findings(
                file,
                "#[cfg(test)] mod tests { use std::time::SystemTime; }"
            ),
            0
        );
        assert_eq!(
            findings("crates/weir-door/src/a.rs", "use tokio::net::TcpStream;"),
            0
        );
        assert_eq!(
            findings(ALLOWED[0], "fn f() { std::time::SystemTime::now(); }"),
            0
        );
    }
}
