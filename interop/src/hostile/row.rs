//! What a hostile peer does, and what it must get for it.

use std::sync::Arc;
use std::time::Duration;

/// Whose protocol it abuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Door {
    /// Kafka's.
    Kafka,
    /// AMQP 0-9-1.
    Amqp,
    /// The admin page's HTTP.
    Http,
}

impl Door {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Amqp => "amqp",
            Self::Http => "http",
        }
    }
}

/// When it does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// As a stranger.
    BeforeLogin,
    /// As somebody who may come in.
    AfterLogin,
    /// As a stranger, where there are users.
    Stranger,
    /// As one of them.
    User,
}

impl Stage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BeforeLogin => "before login",
            Self::AfterLogin => "after login",
            Self::Stranger => "stranger",
            Self::User => "user",
        }
    }

    /// Whether the node has users.
    pub(super) fn has_users(self) -> bool {
        match self {
            Self::BeforeLogin | Self::AfterLogin => false,
            Self::Stranger | Self::User => true,
        }
    }
}

/// How the bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In one piece.
    Whole,
    /// One at a time.
    Split,
    /// From this many connections at once.
    Crowd(usize),
}

impl Way {
    pub(super) fn name(self) -> String {
        match self {
            Self::Whole => "whole".to_owned(),
            Self::Split => "split".to_owned(),
            Self::Crowd(count) => format!("x {count}"),
        }
    }

    /// How many connections that is.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Whole | Self::Split => 1,
            Self::Crowd(count) => count,
        }
    }
}

/// What an answer is, or `None` where it is none of those that are allowed.
pub(super) type Judge = Box<dyn Fn(&[u8]) -> Option<String> + Send + Sync>;

/// What the peer must get.
pub(super) enum Due {
    /// The connection's end, whatever is said before.
    End,
    /// An answer that the judge knows; the connection may end with it.
    Answer(Judge),
    /// One of both.
    AnswerOrEnd(Judge),
}

/// One kind of abuse.
pub(super) struct Row {
    pub(super) door: Door,
    pub(super) stage: Stage,
    pub(super) name: &'static str,
    /// Sent and answered first, the way of a well-behaved client.
    pub(super) login: Arc<[u8]>,
    pub(super) payload: Arc<[u8]>,
    pub(super) due: Due,
    /// How long that may take besides, where it is no answer to the last byte alone.
    pub(super) grace: Duration,
    /// Connections that do it at once.
    pub(super) crowd_count: usize,
}
