//! What group 0 knows of virtual hosts, exchanges, queues and bindings.

use std::{cmp::Ordering, sync::Arc};

use weir_log::Millis;
use weir_model::{
    NodeId,
    fields::{FieldTable, FieldValue, ShortString},
};

use super::{
    fields::{
        read_flag, read_short, read_table, table_bytes, write_flag, write_short, write_table,
    },
    headers::HeaderMatch,
    vhost_limits::VhostLimits,
};
use crate::{
    api::queues::ExchangeKind,
    encoding::{DecodeError, Reader, Writer},
    queue::SessionKey,
};

/// A virtual host; never given to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VhostId(pub u64);

/// An exchange; never given to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// A queue: its topic's serial number, as it is in the topic's partition ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

/// Where a binding leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    /// To a queue.
    Queue(QueueId),
    /// To an exchange.
    Exchange(ExchangeId),
}

/// A virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VhostRecord {
    /// Its number.
    pub id: VhostId,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// The type of durable queues that are shared and do not say.
    pub default_queue_type: Option<QueueType>,
    /// How much of something there may be in it.
    pub limits: VhostLimits,
}

/// How a queue behaves towards clients that ask for a type. All are one log with a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueType {
    /// RabbitMQ's `classic`.
    #[default]
    Classic,
    /// `quorum`.
    Quorum,
    /// `stream`.
    Stream,
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRecord {
    /// Its number.
    pub id: ExchangeId,
    /// Where it is.
    pub vhost: VhostId,
    /// Its name; empty for the default exchange.
    pub name: ShortString,
    /// What it does with messages.
    pub kind: ExchangeKind,
    /// Messages may say how long they are to wait: `x-delayed-message`.
    pub is_delayed: bool,
    /// Outlives the cluster's end.
    pub is_durable: bool,
    /// Goes with its last binding.
    pub is_auto_delete: bool,
    /// Takes messages of other exchanges only.
    pub is_internal: bool,
    /// More.
    pub arguments: FieldTable,
    /// The run of a node in which it was declared: the node, and the run's number.
    pub declared_by: (NodeId, u64),
    /// Starts of nodes that came before it: see [`super::Routing::node_started`].
    pub after_start: u64,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRecord {
    /// Its number.
    pub id: QueueId,
    /// Where it is.
    pub vhost: VhostId,
    /// Its name.
    pub name: ShortString,
    /// How it behaves.
    pub kind: QueueType,
    /// Outlives the end of the run of the node where it was declared.
    pub is_durable: bool,
    /// Goes with its last consumer.
    pub is_auto_delete: bool,
    /// Whoever declared it, and alone may use it where it is exclusive.
    pub session: SessionKey,
    /// Only that session may use it, and it goes with the session.
    pub is_exclusive: bool,
    /// More.
    pub arguments: FieldTable,
    /// The topic was there before, and stays.
    pub is_over_topic: bool,
    /// When it was declared.
    pub created: Millis,
}

/// A binding. Two with the same source, target, key and arguments are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Its number: those that came later have a higher one.
    pub serial: u64,
    /// Where messages come from.
    pub source: ExchangeId,
    /// Where they go.
    pub target: Target,
    /// The routing key, or a pattern.
    pub routing_key: ShortString,
    /// More, by name.
    pub arguments: FieldTable,
    /// What of `arguments` a headers exchange asks for: nothing where there are none.
    pub header_match: Option<Box<HeaderMatch>>,
}

/// A binding in the order of what it is: those of one source stand together, and in it those of one
/// key. Equal ones are one.
#[derive(Clone, Debug)]
pub(crate) struct ByContent(pub(crate) Arc<Binding>);

/// A binding in the order of where it leads, and there of its number.
#[derive(Clone, Debug)]
pub(crate) struct ByTarget(pub(crate) Arc<Binding>);

impl QueueRecord {
    /// Whose it is alone.
    pub fn owner(&self) -> Option<SessionKey> {
        self.is_exclusive.then_some(self.session)
    }
}

impl Binding {
    /// A binding with arguments in order of their names.
    pub(crate) fn new(
        serial: u64,
        source: ExchangeId,
        target: Target,
        routing_key: ShortString,
        mut arguments: FieldTable,
    ) -> Arc<Self> {
        sort(&mut arguments);
        Arc::new(Self {
            serial,
            source,
            target,
            routing_key,
            header_match: (!arguments.0.is_empty()).then(|| Box::new(HeaderMatch::new(&arguments))),
            arguments,
        })
    }

    /// Where a headers exchange sends messages that have these headers.
    pub(super) fn matches(&self, headers: Option<&FieldTable>) -> bool {
        let wanted = self.header_match.as_ref();
        wanted.is_none_or(|wanted| wanted.matches(headers))
    }
}

impl Ord for ByContent {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&*self.0, &*other.0);
        let sources = a.source.cmp(&b.source);
        let keys = sources.then_with(|| a.routing_key.cmp(&b.routing_key));
        let targets = keys.then_with(|| a.target.cmp(&b.target));
        targets.then_with(|| table_bytes(&a.arguments).cmp(&table_bytes(&b.arguments)))
    }
}

impl PartialOrd for ByContent {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByContent {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByContent {}

impl ByTarget {
    fn order(&self) -> (Target, u64) {
        (self.0.target, self.0.serial)
    }
}

impl Ord for ByTarget {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for ByTarget {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByTarget {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByTarget {}

/// Puts arguments into the order of their names: the order in which a client sends them is of no
/// meaning.
pub(crate) fn sort(arguments: &mut FieldTable) {
    arguments.0.sort_by(|(a, _), (b, _)| a.cmp(b));
}

impl QueueType {
    /// The type that clients call so.
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"classic" => Some(Self::Classic),
            b"quorum" => Some(Self::Quorum),
            b"stream" => Some(Self::Stream),
            _ => None,
        }
    }

    /// What clients call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }

    fn tag(self) -> u8 {
        match self {
            Self::Classic => 0,
            Self::Quorum => 1,
            Self::Stream => 2,
        }
    }

    pub(crate) fn write(self, writer: &mut Writer) {
        writer.u8(self.tag());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = reader.u8()?;
        let all = [Self::Classic, Self::Quorum, Self::Stream];
        let known = all.into_iter().find(|kind| kind.tag() == tag);
        known.ok_or_else(|| reader.unknown_tag("queue type", tag))
    }
}

const KINDS: [(ExchangeKind, &str, u8); 8] = [
    (ExchangeKind::Direct, "direct", 0),
    (ExchangeKind::Fanout, "fanout", 1),
    (ExchangeKind::Topic, "topic", 2),
    (ExchangeKind::Headers, "headers", 3),
    (ExchangeKind::ConsistentHash, "x-consistent-hash", 4),
    (ExchangeKind::ModulusHash, "x-modulus-hash", 5),
    (ExchangeKind::Random, "x-random", 6),
    (ExchangeKind::LocalRandom, "x-local-random", 7),
];

impl ExchangeKind {
    /// The type that clients call so.
    pub fn named(name: &str) -> Option<Self> {
        let mut kinds = KINDS.iter();
        kinds.find_map(|(kind, known, _)| (*known == name).then_some(*kind))
    }

    /// What clients call it.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> &'static (Self, &'static str, u8) {
        let mut kinds = KINDS.iter();
        let row = kinds.find(|(kind, _, _)| *kind == self);
        row.expect("every type stands in the table")
    }

    fn write(self, writer: &mut Writer) {
        writer.u8(self.row().2);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = reader.u8()?;
        let mut kinds = KINDS.iter();
        let known = kinds.find_map(|(kind, _, known)| (*known == tag).then_some(*kind));
        known.ok_or_else(|| reader.unknown_tag("exchange type", tag))
    }
}

impl Target {
    pub(crate) fn write(self, writer: &mut Writer) {
        match self {
            Self::Queue(id) => {
                writer.u8(0);
                writer.u64(id.0);
            }
            Self::Exchange(id) => {
                writer.u8(1);
                writer.u64(id.0);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Queue(QueueId(reader.u64()?))),
            1 => Ok(Self::Exchange(ExchangeId(reader.u64()?))),
            tag => Err(reader.unknown_tag("target of a binding", tag)),
        }
    }
}

pub(crate) fn write_session(writer: &mut Writer, session: &SessionKey) {
    writer.u64(session.node.0);
    writer.u64(session.boot);
    writer.u64(session.number);
}

pub(crate) fn read_session(reader: &mut Reader<'_>) -> Result<SessionKey, DecodeError> {
    Ok(SessionKey {
        node: NodeId(reader.u64()?),
        boot: reader.u64()?,
        number: reader.u64()?,
    })
}

/// `u64` id, text name, text description, `u8` 0 or 1 and the `u8` queue type, limits.
impl VhostRecord {
    pub(crate) const MIN_BYTES: usize = 8 + 4 + 4 + 1 + VhostLimits::MIN_BYTES;

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.id.0);
        writer.text(&self.name);
        writer.text(&self.description);
        write_flag(writer, self.default_queue_type.is_some());
        if let Some(kind) = self.default_queue_type {
            kind.write(writer);
        }
        self.limits.write(writer);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: VhostId(reader.u64()?),
            name: reader.text()?.to_owned(),
            description: reader.text()?.to_owned(),
            default_queue_type: match read_flag(reader)? {
                true => Some(QueueType::read(reader)?),
                false => None,
            },
            limits: VhostLimits::read(reader)?,
        })
    }
}

/// The fields in the order of their declaration.
impl ExchangeRecord {
    pub(crate) const MIN_BYTES: usize = 8 + 8 + 4 + 1 + 4 + 4 + 16 + 8;

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.id.0);
        writer.u64(self.vhost.0);
        write_short(writer, &self.name);
        self.kind.write(writer);
        write_flag(writer, self.is_delayed);
        write_flag(writer, self.is_durable);
        write_flag(writer, self.is_auto_delete);
        write_flag(writer, self.is_internal);
        write_table(writer, &self.arguments);
        writer.u64(self.declared_by.0.0);
        writer.u64(self.declared_by.1);
        writer.u64(self.after_start);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: ExchangeId(reader.u64()?),
            vhost: VhostId(reader.u64()?),
            name: read_short(reader)?,
            kind: ExchangeKind::read(reader)?,
            is_delayed: read_flag(reader)?,
            is_durable: read_flag(reader)?,
            is_auto_delete: read_flag(reader)?,
            is_internal: read_flag(reader)?,
            arguments: read_table(reader)?,
            declared_by: (NodeId(reader.u64()?), reader.u64()?),
            after_start: reader.u64()?,
        })
    }
}

/// The fields in the order of their declaration.
impl QueueRecord {
    pub(crate) const MIN_BYTES: usize = 8 + 8 + 4 + 3 + 24 + 1 + 4 + 1 + 8;

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.id.0);
        writer.u64(self.vhost.0);
        write_short(writer, &self.name);
        self.kind.write(writer);
        write_flag(writer, self.is_durable);
        write_flag(writer, self.is_auto_delete);
        write_session(writer, &self.session);
        write_flag(writer, self.is_exclusive);
        write_table(writer, &self.arguments);
        write_flag(writer, self.is_over_topic);
        writer.i64(self.created.0);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: QueueId(reader.u64()?),
            vhost: VhostId(reader.u64()?),
            name: read_short(reader)?,
            kind: QueueType::read(reader)?,
            is_durable: read_flag(reader)?,
            is_auto_delete: read_flag(reader)?,
            session: read_session(reader)?,
            is_exclusive: read_flag(reader)?,
            arguments: read_table(reader)?,
            is_over_topic: read_flag(reader)?,
            created: Millis(reader.i64()?),
        })
    }
}

/// `u64` serial, `u64` source, target, text key, arguments.
impl Binding {
    pub(crate) const MIN_BYTES: usize = 8 + 8 + 9 + 4 + 4;

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.serial);
        writer.u64(self.source.0);
        self.target.write(writer);
        write_short(writer, &self.routing_key);
        write_table(writer, &self.arguments);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Arc<Self>, DecodeError> {
        let serial = reader.u64()?;
        let source = ExchangeId(reader.u64()?);
        let target = Target::read(reader)?;
        let routing_key = read_short(reader)?;
        let arguments = read_table(reader)?;
        Ok(Self::new(serial, source, target, routing_key, arguments))
    }
}

/// The text of a value that is text.
pub(crate) fn text(value: &FieldValue) -> Option<&str> {
    let FieldValue::LongString(bytes) = value else {
        return None;
    };
    std::str::from_utf8(bytes).ok()
}
