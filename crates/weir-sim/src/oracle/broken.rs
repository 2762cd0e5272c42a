//! A rule that did not hold, before its step is known.

use crate::verdict::Failure;

/// The rule, and what was expected and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) oracle: &'static str,
    pub(crate) detail: String,
}

impl Broken {
    /// As a run reports it.
    pub(crate) fn at(self, step: usize) -> Failure {
        Failure {
            oracle: self.oracle.to_owned(),
            first_bad_step: step,
            detail: self.detail,
        }
    }
}

pub(crate) fn broken(oracle: &'static str, detail: impl Into<String>) -> Broken {
    Broken {
        oracle,
        detail: detail.into(),
    }
}
