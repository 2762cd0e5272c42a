//! Calls from outside of the cluster: by a node that wants to join, or by a command.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use weir_model::NodeId;

use crate::{
    calls::Calls,
    dial::{Dialer, Dialled, LinkError, expect},
    frame::{FrameError, Kind, seal},
    hello::{CLIENT, Class, Hello, Refusal},
    limits::{CALL_TIMEOUT_MS, MAX_CLIENT_FRAME_BYTES},
    stream::write_all,
    tls::PeerTls,
};

/// Why a client's call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be reached, or the connection broke.
    #[error("the node cannot be reached: {0}")]
    Io(#[from] io::Error),
    /// What is there speaks another language, or garbles this one.
    #[error("the node's answer cannot be read: {0}")]
    Frame(FrameError),
    /// The node closed the connection for this reason.
    #[error("{0}")]
    Refused(Refusal),
    /// The node belongs to another cluster.
    #[error("the node belongs to cluster {found:032x}")]
    OtherCluster {
        /// The node's cluster.
        found: u128,
    },
    /// The node sent something else than an answer.
    #[error("the node sent something else than an answer")]
    Misplaced,
    /// The node closed the connection without a reason.
    #[error("the node closed the connection")]
    Closed,
    /// There was no answer in time.
    #[error("the node did not answer in time")]
    TimedOut,
    /// The node has too much to do.
    #[error("the node is overloaded")]
    Overloaded,
    /// The call is longer than a client's may be.
    #[error("a call of {length_bytes} bytes, {MAX_CLIENT_FRAME_BYTES} are allowed")]
    TooLong {
        /// Its length, in bytes.
        length_bytes: usize,
    },
}

impl From<LinkError> for ClientError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Io(error) | LinkError::Frame(FrameError::Io(error)) => Self::Io(error),
            LinkError::Frame(error) => Self::Frame(error),
            LinkError::Refused(refusal) => Self::Refused(refusal),
            LinkError::Wrong { cluster: found, .. } => Self::OtherCluster { found },
            LinkError::Misplaced => Self::Misplaced,
            LinkError::TimedOut => Self::TimedOut,
            LinkError::Closed | LinkError::Stale => Self::Closed,
        }
    }
}

/// A connection to one node, for one call at a time. After an error, a new one is needed.
pub struct PeerClient {
    dialled: Dialled,
    next_id: u64,
}

impl PeerClient {
    /// Connects to `address` (`host:port`). `cluster`: where given, the node must belong to it.
    pub async fn connect(
        address: &str,
        tls: Option<&PeerTls>,
        cluster: Option<u128>,
    ) -> Result<Self, ClientError> {
        let hello = Hello {
            from: CLIENT,
            to: CLIENT,
            incarnation: 0,
            class: Class::Bulk,
        };
        let tls = tls.cloned();
        let dialer = Dialer {
            cluster,
            hello,
            tls,
            buffers: Arc::default(),
        };
        let dialled = dialer.connect(address).await?;
        let next_id = 0;
        Ok(Self { dialled, next_id })
    }

    /// The node's cluster.
    pub fn cluster(&self) -> u128 {
        self.dialled.cluster
    }

    /// The node that answers.
    pub fn node(&self) -> NodeId {
        self.dialled.node
    }

    /// Asks the node; see [`weir_broker::Node::take_call`] for what it understands.
    pub async fn call(&mut self, request: Bytes) -> Result<Bytes, ClientError> {
        let length_bytes = request.len();
        if length_bytes > MAX_CLIENT_FRAME_BYTES - Calls::ID_BYTES {
            return Err(ClientError::TooLong { length_bytes });
        }
        let limit = Duration::from_millis(CALL_TIMEOUT_MS);
        timeout(limit, self.exchange(request))
            .await
            .map_err(|_| ClientError::TimedOut)?
    }

    async fn exchange(&mut self, request: Bytes) -> Result<Bytes, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let Dialled {
            input,
            output,
            cluster,
            ..
        } = &mut self.dialled;
        let mut frames = Vec::new();
        let body = vec![Bytes::copy_from_slice(&id.to_le_bytes()), request];
        seal(Kind::Call, *cluster, body, &mut frames);
        write_all(output, frames).await?;
        loop {
            let frame = expect(input, Kind::Answer).await?;
            let (answered, answer) = Calls::read_answer(frame.body).map_err(ClientError::Frame)?;
            if answered == id {
                return answer.map_err(|_| ClientError::Overloaded);
            }
        }
    }
}
