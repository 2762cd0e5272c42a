// Long: the one list of what doors may ask of exchanges and queues.
//! Words of exchanges, queues and their consumers: the model of AMQP 0-9-1, into which the other
//! queueing protocols' destinations fit.
//!
//! A door opens one session for each connection ([`QueueRequest::Open`]). The answer to that request comes
//! first, and afterwards, under the same ticket, everything that the session is told without
//! having asked: [`QueueOutcome::Told`]. The session ends when its [`QueueSession`] is dropped.

use std::sync::Arc;

use bytes::Bytes;
use weir_access::{Principal, token::Grants};
use weir_model::{
    ErrorKind, PartitionId,
    fields::{BasicProperties, FieldTable, ShortString},
};

/// What is asked of exchanges and queues.
#[derive(Debug)]
pub enum QueueRequest {
    /// Begins a session. Answered by [`QueueOutcome::Opened`].
    Open(OpenSession),
    /// Answered by [`QueueOutcome::Done`].
    DeclareExchange(DeclareExchange),
    /// Answered by [`QueueOutcome::Done`], also where there was none.
    DeleteExchange {
        /// Who asks.
        session: Arc<QueueSession>,
        /// The exchange.
        name: ShortString,
        /// Refused where it is bound to anything.
        if_unused: bool,
    },
    /// Answered by [`QueueOutcome::Done`].
    Bind(Bind),
    /// Answered by [`QueueOutcome::Done`], also where there was none.
    Unbind(Bind),
    /// Answered by [`QueueOutcome::Declared`].
    DeclareQueue(DeclareQueue),
    /// Answered by [`QueueOutcome::Counted`] with the messages that went, also where there was no
    /// queue.
    DeleteQueue {
        /// Who asks.
        session: Arc<QueueSession>,
        /// The queue.
        name: ShortString,
        /// Refused where it has consumers.
        if_unused: bool,
        /// Refused where it has messages.
        if_empty: bool,
    },
    /// Removes what is ready. Answered by [`QueueOutcome::Counted`].
    Purge {
        /// Who asks.
        session: Arc<QueueSession>,
        /// The queue.
        name: ShortString,
    },
    /// Answered by [`QueueOutcome::Published`] once everything is on stable storage.
    Publish(Publish),
    /// Whether these messages could be published as things stand; nothing is stored. Answered by
    /// [`QueueOutcome::Done`], or refused as the first one that could not.
    CheckPublish {
        /// Who asks.
        session: Arc<QueueSession>,
        /// Which; their bodies do not matter.
        messages: Vec<Message>,
    },
    /// Answered by [`QueueOutcome::Done`] before the first message comes.
    Consume(Consume),
    /// Answered by [`QueueOutcome::Done`] after the last message has come.
    Cancel {
        /// Who asks.
        session: Arc<QueueSession>,
        /// The consumer; unknown ones are cancelled already.
        consumer: ConsumerTag,
        /// What becomes of what was delivered and waits to be settled.
        held: Held,
    },
    /// Another limit for a consumer that goes on: deliveries that it holds over it stay with it.
    /// Answered by [`QueueOutcome::Done`].
    Limit {
        /// Who asks.
        session: Arc<QueueSession>,
        /// The consumer; unknown ones have no limit to change.
        consumer: ConsumerTag,
        /// As [`Consume::prefetch_count`].
        prefetch_count: u16,
    },
    /// Ends the session before its last reference is gone. Answered by [`QueueOutcome::Done`] once
    /// its exclusive queues are deleted and its deliveries are ready again.
    End {
        /// Which one. It may ask for nothing more.
        session: Arc<QueueSession>,
    },
    /// Answered by [`QueueOutcome::Got`].
    Get {
        /// Who asks.
        session: Arc<QueueSession>,
        /// The queue.
        name: ShortString,
        /// The message is settled as it goes.
        no_ack: bool,
    },
    /// Answered by [`QueueOutcome::Done`] once it is on stable storage. A delivery that is not the
    /// session's any more is none of its business, and no error.
    Settle {
        /// Who asks.
        session: Arc<QueueSession>,
        /// What becomes of which deliveries.
        deliveries: Vec<(DeliveryId, Settlement)>,
    },
}

/// What comes back.
#[derive(Debug)]
pub enum QueueOutcome {
    /// The session has begun. It ends when the last reference to it is gone: its deliveries are
    /// ready again, its exclusive queues are deleted.
    Opened(Arc<QueueSession>),
    /// It is so.
    Done,
    /// To [`QueueRequest::DeclareQueue`].
    Declared(DeclaredQueue),
    /// How many messages went.
    Counted(u64),
    /// To [`QueueRequest::Publish`]: one verdict a message.
    Published(Vec<Verdict>),
    /// To [`QueueRequest::Get`]: the message, and how many more are ready; `None`: none is.
    Got(Option<(Delivered, u64)>),
    /// Without having been asked.
    Told(Vec<Tiding>),
    /// It is not so.
    Refused(Refused),
}

/// What a session is told without having asked.
#[derive(Debug)]
pub enum Tiding {
    /// A message.
    Delivered(ConsumerTag, Delivered),
    /// The consumer is no more: its queue was deleted.
    Cancelled(ConsumerTag),
    /// The session has ended: its node was away, and what it held is others' by now.
    Lost,
    /// The session's user is gone, in these words: its connection is to end.
    Expelled(String),
    /// Publishing is to pause, for this reason; `None`: it may go on.
    Blocked(Option<&'static str>),
}

/// Begins a session.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// The virtual host.
    pub vhost: String,
    /// Who it is, for permissions and limits. `None`: the cluster itself, which may do everything.
    pub principal: Option<Principal>,
    /// What its token allows, beside what rules do; `None`: it has come in otherwise.
    pub grants: Option<Grants>,
    /// What people call the connection, such as `127.0.0.1:40000 -> 127.0.0.1:5672`.
    pub name: String,
}

impl OpenSession {
    /// By a user.
    pub fn by_user(vhost: &str, user: &str, name: &str) -> Self {
        Self {
            vhost: vhost.to_owned(),
            principal: Some(Principal::User(user.into())),
            grants: None,
            name: name.to_owned(),
        }
    }
}

/// A session on this node: the owner of exclusive queues, consumers and deliveries.
///
/// `Drop` ends it. What it is besides stands in `node/queues/session.rs`.
pub use crate::node::queues::QueueSession;

/// A consumer, by a number that its session chose and never uses twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerTag(pub u64);

/// A delivery of a message to a session. A message that is delivered again has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The queue's partition.
    pub partition: PartitionId,
    /// The message's offset in it.
    pub offset: u64,
    /// Counts what was delivered in the partition: fences an earlier delivery of the same message.
    pub serial: u64,
}

/// A message as it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Which delivery it is.
    pub id: DeliveryId,
    /// It was delivered before.
    pub is_redelivered: bool,
    /// How often it was delivered before and given back as failed (`x-delivery-count`); 0 where the
    /// queue is of a type that does not tell.
    pub failed_count: u32,
    /// The whole record, uncompressed, its length included: see [`weir_model::record`].
    pub record: Bytes,
    /// The record's time, in ms since 1970.
    pub timestamp_ms: i64,
}

/// What becomes of what a consumer holds that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It stays the session's.
    Stays,
    /// It is ready again in its old place before others are served.
    Returns,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Settlement {
    /// Done with.
    Ack,
    /// Ready again in its old place, counted as a failure (`basic.reject` with requeue).
    RequeueFailed,
    /// Ready again in its old place, not counted (`basic.nack` with requeue, `basic.recover`).
    Requeue,
    /// Done with; dead-lettered where the queue says so, for the reason `rejected`.
    Reject,
}

/// What an exchange does with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeKind {
    /// By equal routing keys.
    Direct,
    /// To everything bound.
    Fanout,
    /// By patterns of words.
    Topic,
    /// By headers.
    Headers,
    /// `x-consistent-hash`: by a hash over weighted bindings.
    ConsistentHash,
    /// `x-modulus-hash`: by a hash modulo the number of bindings.
    ModulusHash,
    /// `x-random`: to one of the bound, by chance.
    Random,
    /// `x-local-random`: the same, of those queues that this node leads.
    LocalRandom,
}

/// Declares an exchange.
#[derive(Clone, Debug)]
pub struct DeclareExchange {
    /// Who asks.
    pub session: Arc<QueueSession>,
    /// Its name.
    pub name: ShortString,
    /// Its type, as the client names it: refused where it is unknown. `x-delayed-message` takes the real
    /// one from the argument `x-delayed-type`.
    pub kind: ShortString,
    /// Only ask whether it is there; everything but the name is ignored.
    pub is_passive: bool,
    /// Outlives the cluster's end.
    pub is_durable: bool,
    /// Goes with its last binding.
    pub is_auto_delete: bool,
    /// Takes messages of other exchanges only.
    pub is_internal: bool,
    /// More, such as `alternate-exchange`.
    pub arguments: FieldTable,
}

/// Binds, or unbinds.
#[derive(Clone, Debug)]
pub struct Bind {
    /// Who asks.
    pub session: Arc<QueueSession>,
    /// Where messages come from.
    pub source: ShortString,
    /// Where they go.
    pub destination: Destination,
    /// The routing key, or a pattern.
    pub routing_key: ShortString,
    /// More, such as headers to match.
    pub arguments: FieldTable,
}

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// To a queue.
    Queue(ShortString),
    /// To an exchange.
    Exchange(ShortString),
}

/// Declares a queue.
#[derive(Clone, Debug)]
pub struct DeclareQueue {
    /// Who asks.
    pub session: Arc<QueueSession>,
    /// Its name. Empty: the node makes one up (`amq.gen-...`).
    pub name: ShortString,
    /// Only ask whether it is there; everything but the name is ignored.
    pub is_passive: bool,
    /// Outlives the cluster's end.
    pub is_durable: bool,
    /// Only the session may use it, and it goes with the session.
    pub is_exclusive: bool,
    /// Goes with its last consumer.
    pub is_auto_delete: bool,
    /// More, such as `x-message-ttl`.
    pub arguments: FieldTable,
}

/// A queue that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredQueue {
    /// Its name.
    pub name: ShortString,
    /// Messages that are ready.
    pub message_count: u64,
    /// Consumers.
    pub consumer_count: u64,
}

/// Publishes messages, in order. Earlier publishes of the session come before them.
#[derive(Debug)]
pub struct Publish {
    /// Who asks.
    pub session: Arc<QueueSession>,
    /// The messages.
    pub messages: Vec<Message>,
    /// All are routed and stored, or none (`tx.commit`): one whose exchange is missing refuses all.
    pub is_atomic: bool,
}

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Message {
    /// The exchange; empty: the default one.
    pub exchange: ShortString,
    /// The routing key.
    pub routing_key: ShortString,
    /// To be told where no queue takes it.
    pub is_mandatory: bool,
    /// What it says of itself. `expiration`, `user-id`, `CC` and `BCC` were checked by the door.
    pub properties: BasicProperties,
    /// The body.
    pub body: Bytes,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On stable storage in every queue that it was routed to.
    Stored,
    /// No queue takes it. Counts as done; told apart for mandatory messages.
    Unroutable,
    /// A queue does not take more (`reject-publish`), or the node could not store it.
    Rejected,
    /// The message must not be published so.
    Refused(Refused),
}

/// The queue that is none: who consumes from it gets what is published to the default exchange
/// with [`QueueSession::reply_address`] as its routing key, from whichever node. Nothing of that is
/// stored: it goes to the session's node at once, and where the session or consumer is gone nobody
/// takes it. A passive declaration of such an address tells whether its consumer is there.
pub const REPLY_QUEUE: &str = "amq.rabbitmq.reply-to";

/// Begins to consume.
#[derive(Clone, Debug)]
pub struct Consume {
    /// Who asks.
    pub session: Arc<QueueSession>,
    /// The consumer's number.
    pub consumer: ConsumerTag,
    /// The queue, or [`REPLY_QUEUE`].
    pub name: ShortString,
    /// Messages are settled as they go.
    pub no_ack: bool,
    /// No other consumer besides.
    pub is_exclusive: bool,
    /// Most deliveries that are not settled; 0: no limit.
    pub prefetch_count: u16,
    /// More: `x-priority`, `x-stream-offset` and so on.
    pub arguments: FieldTable,
}

/// Why something is not so, with RabbitMQ's distinctions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such virtual host.
    #[error("vhost {0} not found")]
    NoVhost(String),
    /// The user may not be in the virtual host.
    #[error("access to vhost '{vhost}' refused for user '{user}'")]
    Vhost {
        /// Its name.
        vhost: String,
        /// The user.
        user: String,
    },
    /// A limit is reached, or the user is gone.
    #[error("{0}")]
    Limit(String),
    /// No such exchange.
    #[error("no exchange '{name}' in vhost '{vhost}'")]
    NoExchange {
        /// Its name.
        name: ShortString,
        /// The virtual host.
        vhost: String,
    },
    /// No such queue.
    #[error("no queue '{name}' in vhost '{vhost}'")]
    NoQueue {
        /// Its name.
        name: ShortString,
        /// The virtual host.
        vhost: String,
    },
    /// The queue is another session's own.
    #[error(
        "cannot obtain exclusive access to locked queue '{name}' in vhost '{vhost}'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
    )]
    Locked {
        /// The queue.
        name: ShortString,
        /// The virtual host.
        vhost: String,
    },
    /// It is there with another property.
    #[error(
        "inequivalent arg '{argument}' for {what} '{name}' in vhost '{vhost}': received {received} but current is {current}"
    )]
    Inequivalent {
        /// `queue` or `exchange`.
        what: &'static str,
        /// Its name.
        name: ShortString,
        /// The virtual host.
        vhost: String,
        /// The property or argument.
        argument: String,
        /// What was asked for, for people.
        received: String,
        /// What it is, for people.
        current: String,
    },
    /// An argument that the queue or exchange cannot have.
    #[error("invalid arg '{argument}' for {what} '{name}' in vhost '{vhost}': {reason}")]
    Argument {
        /// `queue` or `exchange`.
        what: &'static str,
        /// Its name.
        name: ShortString,
        /// The virtual host.
        vhost: String,
        /// The argument.
        argument: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No exchange has this type.
    #[error("invalid exchange type '{0}'")]
    UnknownKind(ShortString),
    /// It is in use.
    #[error("{what} '{name}' in vhost '{vhost}' in use")]
    InUse {
        /// `queue` or `exchange`.
        what: &'static str,
        /// Its name.
        name: ShortString,
        /// The virtual host.
        vhost: String,
    },
    /// It has messages.
    #[error("queue '{name}' in vhost '{vhost}' not empty")]
    NotEmpty {
        /// The queue.
        name: ShortString,
        /// The virtual host.
        vhost: String,
    },
    /// The name is the broker's, or nobody may do that with it.
    #[error("{0}")]
    Access(String),
    /// Another consumer excludes this one, or would be excluded.
    #[error("queue '{name}' in vhost '{vhost}' in exclusive use")]
    Exclusive {
        /// The queue.
        name: ShortString,
        /// The virtual host.
        vhost: String,
    },
    /// It breaks a rule that has no word of its own.
    #[error("{0}")]
    Precondition(String),
    /// The operation is not served for that kind of queue.
    #[error("{0}")]
    NotImplemented(String),
    /// This node or cluster cannot at the moment, or a limit is reached.
    #[error("unavailable: {0:?}")]
    Failed(ErrorKind),
}
