//! Why connections end.

use super::login::LoginError;
use crate::{
    codec::{frame::FrameError, header::HeaderError},
    mapping::plan::MapError,
};

/// Why a Kafka connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaClose {
    /// No frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// No request that is served.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A malformed body, or an answer that cannot be given.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A request without an answer failed: the connection's end tells the client.
    #[error("a request with acks=0 failed with code {code}")]
    Unacknowledged {
        /// The code it would have been told.
        code: i16,
    },
    /// No login, or none that was needed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Other nodes know more.
    #[error("this node hears of less than half of the nodes")]
    CutOff,
}
