//! What a session's node asks of the node that leads a queue's partition, and what that one says.

use weir_model::{NodeId, PartitionId};

use super::{
    closing::{CloseIf, CloserKey},
    settings::QueueSettings,
};
use crate::api::queues::{ConsumerTag, Delivered, DeliveryId, Held, Refused, Settlement};

/// A session in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// The node where its connection is.
    pub node: NodeId,
    /// Tells one run of the node from the next.
    pub boot: u64,
    /// Its number in that run.
    pub number: u64,
}

/// A consumer in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConsumerKey {
    /// Its session.
    pub(crate) session: SessionKey,
    /// Its number in it.
    pub(crate) tag: ConsumerTag,
}

/// Begins to consume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attach {
    /// Who.
    pub(crate) consumer: ConsumerKey,
    /// Messages are settled by the session's node as they go; the client never settles them.
    pub(crate) no_ack: bool,
    /// No other consumer besides.
    pub(crate) is_exclusive: bool,
    /// Those with a higher one are served first.
    pub(crate) priority: i32,
    /// Most deliveries that are not settled; 0: no limit but the broker's own.
    pub(crate) prefetch_count: u32,
}

/// Asked of one partition's leader. All of them may come twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QueueCall {
    /// Makes a queue of the partition, or changes how it behaves.
    Configure(Box<QueueSettings>),
    /// A consumer that is attached already gets another limit, and keeps what it holds over it.
    /// Answered by `Done`, `InExclusiveUse` or `Refused`.
    Attach(Attach),
    /// Answered by `Done`, once all that it was sent has been handed over to the session's node.
    Detach(ConsumerKey, Held),
    /// Everything that the session has in this partition's **group** ends: consumers detach, deliveries are
    /// ready again, as redelivered. Answered by `Done`.
    EndSession(SessionKey),
    /// Answered by `Done`.
    Settle {
        /// Whose they are.
        session: SessionKey,
        /// Offsets and serials of deliveries, ascending by serial.
        deliveries: Vec<(u64, u64, Settlement)>,
    },
    /// One message for the session, without a consumer. Answered by `Got`.
    Get {
        /// Who asks.
        session: SessionKey,
        /// A number that the session never uses twice: asked again, the same message is given.
        request: u64,
    },
    /// Settles everything that is ready. Answered by `Counted`.
    Purge,
    /// The queue is about to be deleted: it takes nothing any more. Answered by `Counted` with what is
    /// ready, `StillUsed`, `NotEmpty` or `Refused`.
    Close(CloserKey, CloseIf),
    /// That deletion does not come about after all; others may be under way. Answered by `Done`.
    Reopen(CloserKey),
    /// Answered by `Figures`.
    Figures {
        /// The queue counts as used by it.
        is_use: bool,
    },
}

/// What the leader answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QueueAnswer {
    /// It is so.
    Done,
    /// So many messages went.
    Counted(u64),
    /// To [`QueueCall::Get`]: the message, and how many more are ready.
    Got(Option<(Delivered, u64)>),
    /// To [`QueueCall::Figures`].
    Figures(QueueFigures),
    /// To [`QueueCall::Attach`]: another consumer excludes this one, or would be excluded.
    InExclusiveUse,
    /// To [`QueueCall::Close`]: it has consumers.
    StillUsed,
    /// To [`QueueCall::Close`]: messages are ready.
    NotEmpty,
    /// The partition is no queue, or is about to be none: [`QueueCall::Configure`] first.
    NotAQueue,
    /// To [`QueueCall::Attach`], [`QueueCall::Settle`] and [`QueueCall::Get`]: the session has ended
    /// here, since its node was away. What it held is others' by now.
    SessionLost,
    /// It is not so.
    Refused(Refused),
}

/// What a queue's partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueFigures {
    /// Messages that are ready.
    pub(crate) ready_count: u64,
    /// Messages that are delivered and not settled.
    pub(crate) unacked_count: u64,
    /// Messages that wait for their time, or to be dead-lettered.
    pub(crate) delayed_count: u64,
    /// Consumers.
    pub(crate) consumer_count: u64,
    /// How long nobody has used it, as far as its leader knows, in ms.
    pub(crate) idle_ms: u64,
}

impl DeliveryId {
    /// The delivery as the leader knows it.
    pub(crate) fn of(partition: PartitionId, offset: u64, serial: u64) -> Self {
        Self {
            partition,
            offset,
            serial,
        }
    }
}
