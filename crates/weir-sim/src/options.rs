//! How to run a plan.

/// A bug that the log runs with, to show that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Bug {
    /// A commit is reported without its sync.
    AckBeforeSync,
    /// A frame at the tail counts although its checksum is wrong.
    SkipTornTailCheck,
    /// A frame of a recycled file's earlier life counts.
    AcceptRecycled,
}

impl Bug {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::SkipTornTailCheck => "skip-torn-tail-check",
            Self::AcceptRecycled => "accept-recycled",
        }
    }
}

/// How to run a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether to keep the trace's lines.
    pub with_trace: bool,
    /// The bug to run with. Without the feature `seeded-bugs` it has no effect.
    pub bug: Option<Bug>,
}
