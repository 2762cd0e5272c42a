//! What a request comes back with instead of an answer.

use std::io;

use kafka_protocol::error::ResponseError;

/// Why there is no answer, or not the one asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No address could be connected to.
    #[error("no node answers at {address}")]
    Unreachable { address: String, source: io::Error },
    /// The connection ended, or took too long.
    #[error("{address} stopped answering")]
    Lost { address: String, source: io::Error },
    /// The node said no.
    #[error("{what}: {}", told(*.error, .message.as_deref()))]
    Refused {
        what: String,
        error: ResponseError,
        message: Option<String>,
    },
    /// The node does not serve this.
    #[error("the node at {address} does not serve {api} in a version that is needed here")]
    Unsupported { address: String, api: &'static str },
    /// The answer makes no sense.
    #[error("{address} sent what cannot be read: {what}")]
    Malformed { address: String, what: String },
    /// Nobody leads, or is known to.
    #[error("{what}: nobody leads it now")]
    NoLeader { what: String },
}

fn told(error: ResponseError, message: Option<&str>) -> String {
    match (advice(error), message) {
        (Some(advice), _) => advice.to_owned(),
        (None, Some(message)) if !message.is_empty() => message.to_owned(),
        (None, Some(_) | None) => error.to_string(),
    }
}

/// What a person can do about it, where the protocol's name alone does not say.
fn advice(error: ResponseError) -> Option<&'static str> {
    match error {
        ResponseError::UnknownTopicOrPartition => {
            Some("there is none; `weir topic list` shows all topics")
        }
        ResponseError::TopicAlreadyExists => Some("it is there already"),
        ResponseError::InvalidTopicException => {
            Some("no name for a topic: letters, digits, dots, dashes and underscores, 249 at most")
        }
        ResponseError::GroupIdNotFound => Some("there is none; `weir group list` shows all groups"),
        ResponseError::NonEmptyGroup => Some("it has active members: stop them first"),
        ResponseError::GroupSubscribedToTopic => {
            Some("its members read that topic: stop them first")
        }
        ResponseError::MessageTooLarge => {
            Some("a message is larger than the topic's max.message.bytes")
        }
        ResponseError::NotEnoughReplicas | ResponseError::NotEnoughReplicasAfterAppend => Some(
            "fewer replicas keep up than the topic's min.insync.replicas asks for; `weir cluster \
             status` shows which nodes are down",
        ),
        ResponseError::RequestTimedOut => {
            Some("no majority took it in time; `weir cluster status` shows which nodes are down")
        }
        ResponseError::InvalidRecord => Some(
            "a message is refused: a compacted topic takes those with keys alone, by \
             `--key-separator`",
        ),
        ResponseError::KafkaStorageError => {
            Some("the node's disk is full or fails; what the node logs tells more")
        }
        ResponseError::OffsetOutOfRange => {
            Some("no such offset; `weir topic describe` shows where partitions begin and end")
        }
        _ => None,
    }
}

impl ClientError {
    /// Whether it may work later, with another node, or with fresh metadata.
    pub(crate) fn retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } | Self::NoLeader { .. } => true,
            Self::Refused { error, .. } => error.is_retriable(),
            Self::Unsupported { .. } | Self::Malformed { .. } => false,
        }
    }

    /// Whether it is about something that is not there. It may have been made a moment ago, and
    /// not be known to every node yet.
    pub(crate) fn is_absence(&self) -> bool {
        self.refusal() == Some(ResponseError::UnknownTopicOrPartition)
    }

    /// The node's own word for it.
    pub(crate) fn refusal(&self) -> Option<ResponseError> {
        match self {
            Self::Refused { error, .. } => Some(*error),
            Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Unsupported { .. }
            | Self::Malformed { .. }
            | Self::NoLeader { .. } => None,
        }
    }
}

/// An error code of an answer, about `what`.
pub(crate) fn check(code: i16, what: &str, message: Option<&str>) -> Result<(), ClientError> {
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(ClientError::Refused {
            what: what.to_owned(),
            error,
            message: message.map(str::to_owned),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do_and_a_moving_leader_is_waited_for() {
        assert!(check(0, "topic t", None).is_ok());
        let unknown = check(3, "topic t", None).unwrap_err();
        assert!(unknown.is_absence());
        let said = unknown.to_string();
        assert!(
            said.contains("topic t: ") && said.contains("weir topic list"),
            "{said}"
        );
        assert!(check(6, "topic t", None).unwrap_err().retriable());
        let own_words = check(42, "topic t", Some("because")).unwrap_err();
        assert_eq!(own_words.to_string(), "topic t: because");
    }
}
