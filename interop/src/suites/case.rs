//! What one test of a suite came to.

use serde::Deserialize;
use std::fmt;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ending {
    /// As it should.
    Passed,
    /// Not as it should.
    Failed,
    /// The suite itself left it out.
    Skipped,
}

/// One case of a suite, as the suite itself tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Case {
    /// Name, unique in its suite.
    #[serde(rename = "case")]
    pub name: String,
    /// How it ended.
    pub ending: Ending,
    /// Why, when it did not pass.
    #[serde(default)]
    pub detail: String,
}

impl Case {
    /// A case that passed.
    pub(super) fn passed(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ending: Ending::Passed,
            detail: String::new(),
        }
    }

    /// A case that failed, and why.
    pub(super) fn failed(name: &str, detail: String) -> Self {
        Self {
            name: name.to_owned(),
            ending: Ending::Failed,
            detail,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "  {:?} {} {}", self.ending, self.name, self.detail)
    }
}

/// A suite's run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Version of the client, as it tells it.
    pub version: String,
    /// All cases that it began.
    pub cases: Vec<Case>,
    /// Why it ended before its last case, if it did.
    pub broken: Option<String>,
}
