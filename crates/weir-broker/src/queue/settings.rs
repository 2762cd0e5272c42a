//! How a queue behaves: its arguments and the policies that match it, resolved into numbers.

use weir_model::fields::ShortString;

/// What happens where a message would be one too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The oldest ready message goes.
    #[default]
    DropHead,
    /// The new one is refused.
    RejectPublish,
    /// The new one is refused and dead-lettered.
    RejectPublishDeadLetter,
}

/// How a queue behaves. Put into the queue's group by the leader, whenever it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueSettings {
    /// Messages live this long in it, in ms. 0: they are given to a consumer that waits, or expire.
    pub(crate) message_ttl_ms: Option<u64>,
    /// Most ready messages.
    pub(crate) max_length_count: Option<u64>,
    /// Most bytes of bodies of ready messages.
    pub(crate) max_length_bytes: Option<u64>,
    /// What happens beyond.
    pub(crate) overflow: Overflow,
    /// Where dead letters go: exchange, and routing key where it is not their own.
    pub(crate) dead_letter: Option<(ShortString, Option<ShortString>)>,
    /// Failed deliveries after which a message is dead-lettered, or parked where there is no
    /// exchange for it; `None`: never.
    pub(crate) delivery_limit_count: Option<u32>,
    /// Priorities told apart; 0 and 1: none.
    pub(crate) priority_count: u8,
    /// One consumer at a time, the next when it goes.
    pub(crate) is_single_active: bool,
    /// Failed messages come back after a while: shortest and longest wait in ms, doubled with each
    /// failure.
    pub(crate) retry_delay_ms: Option<(u64, u64)>,
    /// Settled messages can be read again for this long, in ms.
    pub(crate) replay_ms: Option<u64>,
    /// Message ids are told apart for this long, in ms.
    pub(crate) dedup_ms: Option<u64>,
}
