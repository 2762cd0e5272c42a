//! Allow-lists: failures that are known, each with its reason. A list may only shrink.

use super::case::{Case, Ending, Outcome};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// Begin of a reason that has nothing to do with us; such a case may as well pass.
const ANYWHERE: &str = "anywhere:";
/// Begin of a reason that holds where there are several nodes; one alone has to pass.
const SEVERAL_NODES: &str = "several nodes:";

/// Known failures of one suite: a reason by the case's exact name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct AllowList(BTreeMap<String, String>);

/// A suite's outcome beside its allow-list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed, as the list says.
    pub allowed: usize,
    /// Cases that the suite left out itself.
    pub skipped: usize,
    /// What is wrong, a line each.
    pub failures: Vec<String>,
    /// Names whose lines are to be removed.
    pub stale: Vec<String>,
}

impl AllowList {
    /// Reads a list; a suite without one has no known failures.
    pub(super) fn load(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| path.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// What the original is allowed.
    pub(super) fn keep_what_fails_anywhere(&mut self) {
        self.0.retain(|_, reason| reason.starts_with(ANYWHERE));
    }

    /// What one node alone is allowed.
    pub(super) fn keep_what_fails_on_one_node(&mut self) {
        self.0
            .retain(|_, reason| !reason.starts_with(SEVERAL_NODES));
    }

    /// Takes the lines out of a list whose cases have passed or are gone.
    pub(super) fn shrink(path: &Path, stale: &[String]) -> Result<()> {
        let Ok(text) = std::fs::read_to_string(path) else {
            return Ok(());
        };
        let is_stale = |line: &str| {
            let name = line.rsplitn(3, '|').nth(2).map(str::trim);
            !line.trim_start().starts_with('#')
                && stale.iter().any(|case| Some(case.as_str()) == name)
        };
        let kept: String = text
            .split_inclusive('\n')
            .filter(|line| !is_stale(line))
            .collect();
        std::fs::write(path, kept).with_context(|| path.display().to_string())
    }

    /// Lines of `exact name | YYYY-MM-DD | reason`.
    fn parse(text: &str) -> Result<Self> {
        let mut reasons = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // A name may hold bars, a date and a reason do not.
            let mut parts = line.rsplitn(3, '|').map(str::trim);
            let reason = parts.next().unwrap_or_default();
            let date = parts.next().unwrap_or_default();
            let name = parts.next().unwrap_or_default();
            ensure!(
                !name.is_empty() && is_date(date) && !reason.is_empty(),
                "not `name | YYYY-MM-DD | reason`: {line}"
            );
            let before = reasons.insert(name.to_owned(), reason.to_owned());
            ensure!(before.is_none(), "{name} stands there twice");
        }
        Ok(Self(reasons))
    }

    /// Sets an outcome beside the list. A part of a suite does not show that a line names no case.
    pub(super) fn judge(&self, outcome: &Outcome, is_whole: bool) -> Judgement {
        let mut judgement = Judgement::default();
        for case in &outcome.cases {
            self.judge_case(case, &mut judgement);
        }
        if let Some(broken) = &outcome.broken {
            judgement.failures.push(format!("ended early: {broken}"));
        } else if is_whole {
            let known = |name: &str| outcome.cases.iter().any(|case| case.name == name);
            for name in self.0.keys().filter(|name| !known(name)) {
                judgement.stale.push(name.clone());
                judgement
                    .failures
                    .push(format!("{name}: no such case; remove the line"));
            }
        }
        judgement
    }

    fn judge_case(&self, case: &Case, judgement: &mut Judgement) {
        let reason = self.0.get(&case.name);
        let is_anywhere = reason.is_some_and(|reason| reason.starts_with(ANYWHERE));
        let is_allowed = reason.is_some() && (!is_anywhere || case.ending == Ending::Failed);
        match (case.ending, is_allowed) {
            (Ending::Failed, true) => judgement.allowed += 1,
            (Ending::Failed, false) => {
                judgement
                    .failures
                    .push(format!("{}: {}", case.name, case.detail));
            }
            (Ending::Passed, false) => judgement.passed += 1,
            (Ending::Skipped, false) => judgement.skipped += 1,
            (Ending::Passed | Ending::Skipped, true) => {
                judgement.stale.push(case.name.clone());
                judgement.failures.push(format!(
                    "{}: is allowed to fail and did not; remove the line",
                    case.name
                ));
            }
        }
    }
}

fn is_date(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    shape == "0000-00-00"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> AllowList {
        AllowList::parse("# known\n\na[x|y] | 2026-01-02 | not served\n").unwrap()
    }

    fn outcome(cases: Vec<Case>) -> Outcome {
        Outcome {
            cases,
            ..Outcome::default()
        }
    }

    #[test]
    fn a_known_failure_is_allowed_and_an_unknown_one_is_not() {
        let cases = vec![
            Case::failed("a[x|y]", "boom".into()),
            Case::failed("b", "bang".into()),
            Case::passed("c"),
        ];
        let judgement = list().judge(&outcome(cases), true);
        assert_eq!((judgement.passed, judgement.allowed), (1, 1));
        assert_eq!(judgement.failures, ["b: bang"]);
    }

    #[test]
    fn a_known_failure_that_passes_asks_for_its_line_to_go() {
        let judgement = list().judge(&outcome(vec![Case::passed("a[x|y]")]), true);
        assert!(judgement.failures[0].contains("remove the line"));
    }

    #[test]
    fn what_fails_anywhere_is_allowed_to_the_original_and_may_pass() {
        let text = "a | 2026-01-02 | anywhere: needs a clock\nb | 2026-01-02 | not served\n";
        let mut list = AllowList::parse(text).unwrap();
        list.keep_what_fails_anywhere();
        let cases = vec![Case::failed("a", String::new()), Case::passed("b")];
        assert!(list.judge(&outcome(cases), true).failures.is_empty());
        let passed = outcome(vec![Case::passed("a")]);
        assert!(list.judge(&passed, true).failures.is_empty());
    }

    #[test]
    fn what_fails_on_several_nodes_is_neither_allowed_to_one_nor_stale_there() {
        let text = "a | 2026-01-02 | several nodes: prints all replicas\n";
        let mut list = AllowList::parse(text).unwrap();
        let failed = outcome(vec![Case::failed("a", String::new())]);
        assert_eq!(list.judge(&failed, true).allowed, 1);
        list.keep_what_fails_on_one_node();
        assert_eq!(list.judge(&failed, true).failures.len(), 1);
        let passed = list.judge(&outcome(vec![Case::passed("a")]), true);
        assert!(passed.failures.is_empty() && passed.stale.is_empty());
    }

    #[test]
    fn a_line_without_a_case_asks_to_go_once_the_whole_suite_has_run() {
        assert_eq!(list().judge(&outcome(vec![]), true).failures.len(), 1);
        assert!(list().judge(&outcome(vec![]), false).failures.is_empty());
    }

    #[test]
    fn a_suite_that_ended_early_has_failed() {
        let broken = Outcome {
            broken: Some("killed".into()),
            ..Outcome::default()
        };
        assert_eq!(
            list().judge(&broken, true).failures,
            ["ended early: killed"]
        );
    }

    #[test]
    fn a_list_shrinks_by_its_stale_lines_alone() {
        let name = format!("weir-interop-allow-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(
            &path,
            "# a | about\na | 2026-01-02 | r\nb | 2026-01-02 | r\n",
        )
        .unwrap();
        let shrunk = AllowList::shrink(&path, &["a".to_owned()]);
        let left = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        shrunk.unwrap();
        assert_eq!(left, "# a | about\nb | 2026-01-02 | r\n");
    }

    #[test]
    fn a_line_without_date_or_reason_is_refused() {
        for line in [
            "a",
            "a | b",
            "a | 2026-1-2 | why",
            "a | 2026-01-02 |",
            "| 2026-01-02 | r",
        ] {
            assert!(AllowList::parse(line).is_err(), "{line}");
        }
        let twice = "a | 2026-01-02 | r\na | 2026-01-02 | r";
        assert!(AllowList::parse(twice).is_err());
    }
}
