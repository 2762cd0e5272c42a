//! The one table from what goes wrong to AMQP's reply codes, and their texts as RabbitMQ words them.

use std::fmt;

use weir_broker::api::queues::Refused;
use weir_model::{Blame, ErrorKind, fields::ShortString};

use crate::codec::MethodId;

/// Longest text that a close carries, in bytes.
const MAX_TEXT_BYTES: usize = 255;

/// Why a channel or connection is closed, or a message returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyCode {
    /// 200
    Success,
    /// 312
    NoRoute,
    /// 320
    ConnectionForced,
    /// 403
    AccessRefused,
    /// 404
    NotFound,
    /// 405
    ResourceLocked,
    /// 406
    PreconditionFailed,
    /// 501
    FrameError,
    /// 502
    SyntaxError,
    /// 503
    CommandInvalid,
    /// 504
    ChannelError,
    /// 505
    UnexpectedFrame,
    /// 506
    ResourceError,
    /// 530
    NotAllowed,
    /// 540
    NotImplemented,
    /// 541
    InternalError,
}

impl ReplyCode {
    /// As on the wire.
    pub fn number(self) -> u16 {
        self.entry().0
    }

    /// The specification's name, as RabbitMQ puts it before each text.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// Whether the whole connection ends, not only the channel.
    pub fn is_hard(self) -> bool {
        match self {
            Self::Success
            | Self::NoRoute
            | Self::AccessRefused
            | Self::NotFound
            | Self::ResourceLocked
            | Self::PreconditionFailed => false,
            Self::ConnectionForced
            | Self::FrameError
            | Self::SyntaxError
            | Self::CommandInvalid
            | Self::ChannelError
            | Self::UnexpectedFrame
            | Self::ResourceError
            | Self::NotAllowed
            | Self::NotImplemented
            | Self::InternalError => true,
        }
    }

    fn entry(self) -> (u16, &'static str) {
        match self {
            Self::Success => (200, "REPLY_SUCCESS"),
            Self::NoRoute => (312, "NO_ROUTE"),
            Self::ConnectionForced => (320, "CONNECTION_FORCED"),
            Self::AccessRefused => (403, "ACCESS_REFUSED"),
            Self::NotFound => (404, "NOT_FOUND"),
            Self::ResourceLocked => (405, "RESOURCE_LOCKED"),
            Self::PreconditionFailed => (406, "PRECONDITION_FAILED"),
            Self::FrameError => (501, "FRAME_ERROR"),
            Self::SyntaxError => (502, "SYNTAX_ERROR"),
            Self::CommandInvalid => (503, "COMMAND_INVALID"),
            Self::ChannelError => (504, "CHANNEL_ERROR"),
            Self::UnexpectedFrame => (505, "UNEXPECTED_FRAME"),
            Self::ResourceError => (506, "RESOURCE_ERROR"),
            Self::NotAllowed => (530, "NOT_ALLOWED"),
            Self::NotImplemented => (540, "NOT_IMPLEMENTED"),
            Self::InternalError => (541, "INTERNAL_ERROR"),
        }
    }
}

/// What a client did, or met, that ends its channel or connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code; it says whether the connection ends as well.
    pub code: ReplyCode,
    /// For people, without the code's name.
    pub text: String,
    /// The method that was to blame; zeros: none.
    pub method: MethodId,
}

impl Failure {
    /// A failure that no method is to blame for.
    pub fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            method: MethodId::default(),
        }
    }

    /// What the node refused.
    pub fn refused(refused: &Refused) -> Self {
        Self::new(of(refused), refused.to_string())
    }

    /// A failure of this method, unless it is another's already.
    #[must_use]
    pub fn of(mut self, method: MethodId) -> Self {
        if self.method == MethodId::default() {
            self.method = method;
        }
        self
    }

    /// The text as it is sent.
    pub fn reply_text(&self) -> ShortString {
        let mut text = format!("{} - {}", self.code.name(), self.text);
        let mut end_bytes = text.len().min(MAX_TEXT_BYTES);
        while !text.is_char_boundary(end_bytes) {
            end_bytes -= 1;
        }
        text.truncate(end_bytes);
        ShortString::new(&text).unwrap_or_default()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MethodId { class, method } = self.method;
        write!(
            f,
            "{} {} - {} ({class}, {method})",
            self.code.number(),
            self.code.name(),
            self.text
        )
    }
}

/// The code of what the node refused.
pub fn of(refused: &Refused) -> ReplyCode {
    match refused {
        Refused::NoVhost(_) | Refused::Vhost { .. } | Refused::Limit(_) => ReplyCode::NotAllowed,
        Refused::NoExchange { .. } | Refused::NoQueue { .. } => ReplyCode::NotFound,
        Refused::Locked { .. } => ReplyCode::ResourceLocked,
        Refused::Inequivalent { .. }
        | Refused::Argument { .. }
        | Refused::UnknownKind(_)
        | Refused::InUse { .. }
        | Refused::NotEmpty { .. }
        | Refused::Precondition(_) => ReplyCode::PreconditionFailed,
        Refused::Access(_) | Refused::Exclusive { .. } => ReplyCode::AccessRefused,
        Refused::NotImplemented(_) => ReplyCode::NotImplemented,
        Refused::Failed(kind) => of_kind(*kind),
    }
}

/// The code of what this node or cluster cannot do at the moment: it ends the connection, which is
/// what clients recover from, by connecting again.
fn of_kind(kind: ErrorKind) -> ReplyCode {
    if matches!(kind, ErrorKind::StorageFull | ErrorKind::Overloaded) {
        return ReplyCode::ResourceError;
    }
    match (kind.blame(), kind.retriable()) {
        (Blame::Client, _) => ReplyCode::PreconditionFailed,
        (Blame::Us, true) => ReplyCode::ConnectionForced,
        (Blame::Us, false) => ReplyCode::InternalError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_at_what_a_close_carries() {
        let failure = Failure::new(ReplyCode::NotFound, "ü".repeat(200));
        let text = failure.reply_text();
        let prefix_bytes = "NOT_FOUND - ".len();
        let left_bytes = (MAX_TEXT_BYTES - prefix_bytes) / 2 * 2;
        assert_eq!(text.as_str().len(), prefix_bytes + left_bytes);
    }

    #[test]
    fn codes_of_400_end_channels_and_codes_of_500_end_connections() {
        for code in [
            ReplyCode::AccessRefused,
            ReplyCode::NotFound,
            ReplyCode::ResourceLocked,
            ReplyCode::PreconditionFailed,
            ReplyCode::FrameError,
            ReplyCode::SyntaxError,
            ReplyCode::CommandInvalid,
            ReplyCode::ChannelError,
            ReplyCode::UnexpectedFrame,
            ReplyCode::ResourceError,
            ReplyCode::NotAllowed,
            ReplyCode::NotImplemented,
            ReplyCode::InternalError,
        ] {
            assert_eq!(code.is_hard(), code.number() >= 500, "{code:?}");
        }
    }
}
