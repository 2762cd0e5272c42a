//! State machines iterate in one order on every node: no hashed collections there.
//!
//! An import that is never iterated is excused by `// Unordered: reason` on its line or above.

use super::finding::Finding;
use super::source::Source;

const DIRECTORY: &str = "crates/weir-broker/src/";
const HASHED: [&str; 2] = ["HashMap", "HashSet"];

/// Finds hashed collections in the state machines.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with(DIRECTORY) {
        return Vec::new();
    }
    let mut findings: Vec<_> = source
        .mentions()
        .into_iter()
        .filter(|mention| is_hashed(&mention.path))
        .filter(|mention| !source.is_excused(mention.line, "Unordered"))
        .map(|mention| {
            let what = format!("`{}` has no order; use a BTreeMap", mention.path);
            source.finding(mention.line, what, "deterministic state machines")
        })
        .collect();
    findings.dedup_by_key(|finding| finding.line);
    findings
}

/// Told by the full path: one finding where the name comes in, none for each use of it.
fn is_hashed(path: &str) -> bool {
    HASHED
        .iter()
        .any(|name| path.contains(&format!("collections::{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::parse(path, text).unwrap()).len()
    }

    #[test]
    fn a_hash_map_in_a_state_machine_is_found() {
        let file = "crates/weir-broker/src/apply.rs";
        assert_eq!(
            findings(file, "use std::collections::{BTreeMap, HashMap};"),
            1
        );
        assert_eq!(findings(file, "type T = std::collections::HashSet<u8>;"), 1);
    }

    #[test]
    fn a_reason_or_another_crate_passes() {
        let excused = "// Unordered: looked up by key only\nuse std::collections::HashMap;";
        assert_eq!(findings("crates/weir-broker/src/apply.rs", excused), 0);
        assert_eq!(
            findings("crates/weir/src/a.rs", "use std::collections::HashMap;"),
            0
        );
    }
}
