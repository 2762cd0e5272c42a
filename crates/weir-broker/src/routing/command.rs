//! Commands that change what routes: `u8` tag, then the command's fields in the order of their
//! declaration. A virtual host: its name. A session: `u64` node, `u64` boot, `u64` number.

use weir_model::{
    NodeId,
    fields::{FieldTable, ShortString},
};

use super::{
    fields::{read_flag, read_short, read_table, write_flag, write_short, write_table},
    policy::PolicyRecord,
    record::{ExchangeId, ExchangeRecord, QueueId, QueueType, read_session, write_session},
    vhost_limits::VhostLimits,
};
use crate::{
    api::queues::Destination,
    encoding::{DecodeError, Reader, Writer},
    metadata::CreateTopic,
    queue::SessionKey,
};

// Tags are never used again for something else.
const DECLARE_EXCHANGE: u8 = 1;
const DELETE_EXCHANGE: u8 = 2;
const BIND: u8 = 3;
const UNBIND: u8 = 4;
const DECLARE_QUEUE: u8 = 5;
const DELETE_QUEUE: u8 = 6;
const END_SESSION: u8 = 7;
const NODE_STARTED: u8 = 8;
const CREATE_VHOST: u8 = 9;
const DELETE_VHOST: u8 = 10;
const PUT_POLICY: u8 = 11;
const DELETE_POLICY: u8 = 12;
const NOTHING: u8 = 13;
const SET_VHOST_LIMITS: u8 = 14;

/// A change of what routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutingCommand {
    /// Make an exchange, or learn that it is there.
    DeclareExchange {
        /// Where.
        vhost: String,
        /// What it is to be. Its numbers are given to it.
        exchange: ExchangeRecord,
    },
    /// Take an exchange away, with its bindings.
    DeleteExchange {
        /// Where.
        vhost: String,
        /// Its name.
        name: ShortString,
        /// The one that the proposer means; 0: of that name. Another one of that name is left
        /// alone.
        id: ExchangeId,
        /// Refused where it is bound to anything.
        if_unused: bool,
    },
    /// Make a binding.
    Bind(BindCommand),
    /// Take a binding away.
    Unbind(BindCommand),
    /// Make a queue, or learn that it is there.
    DeclareQueue(Box<DeclareQueueCommand>),
    /// Take a queue away, with its bindings and its topic.
    DeleteQueue {
        /// Where.
        vhost: String,
        /// Its name.
        name: ShortString,
        /// The one that the proposer means; 0: of that name. Another one of that name is left
        /// alone.
        id: QueueId,
        /// Who asks: an exclusive queue is its session's alone. `None`: the cluster itself.
        session: Option<SessionKey>,
    },
    /// Take a session's exclusive queues away, or some of them.
    EndSession(SessionKey),
    /// Take away what ended with earlier runs of a node, or some of it.
    NodeStarted {
        /// Which.
        node: NodeId,
        /// Its run; 0: it is lost, and no run goes on.
        boot: u64,
    },
    /// Make a virtual host, or change what is said of it.
    CreateVhost {
        /// Its name.
        name: String,
        /// For people.
        description: String,
        /// The type of durable queues that are shared and do not say.
        default_queue_type: Option<QueueType>,
    },
    /// Take a virtual host away, or some of what is in it.
    DeleteVhost {
        /// Its name.
        name: String,
    },
    /// Set a policy.
    PutPolicy {
        /// Where.
        vhost: String,
        /// What it is to be. The virtual host's number is given to it.
        policy: PolicyRecord,
    },
    /// Take a policy away.
    DeletePolicy {
        /// Where.
        vhost: String,
        /// It is an operator's.
        is_operator: bool,
        /// Its name.
        name: String,
    },
    /// Set a virtual host's limits.
    SetVhostLimits {
        /// Its name.
        name: String,
        /// All of them.
        limits: VhostLimits,
    },
    /// Change nothing: whoever hears of it knows all that was decided before.
    Nothing,
}

/// A binding as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindCommand {
    /// Where.
    pub vhost: String,
    /// Where messages come from.
    pub source: ShortString,
    /// Where they go.
    pub destination: Destination,
    /// The routing key, or a pattern.
    pub routing_key: ShortString,
    /// More.
    pub arguments: FieldTable,
    /// Who asks: an exclusive queue is its session's alone.
    pub session: SessionKey,
}

/// A queue as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclareQueueCommand {
    /// Where.
    pub vhost: String,
    /// Its name.
    pub name: ShortString,
    /// How it is to behave.
    pub kind: QueueType,
    /// Outlives the end of the run of the node where it is declared.
    pub is_durable: bool,
    /// Goes with its last consumer.
    pub is_auto_delete: bool,
    /// Only the session may use it, and it goes with it.
    pub is_exclusive: bool,
    /// Who declares it.
    pub session: SessionKey,
    /// More.
    pub arguments: FieldTable,
    /// Its topic, where there is none of that name.
    pub topic: CreateTopic,
}

impl RoutingCommand {
    // Table: one command a row.
    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::DeclareExchange { vhost, exchange } => {
                writer.u8(DECLARE_EXCHANGE);
                writer.text(vhost);
                exchange.write(writer);
            }
            Self::DeleteExchange {
                vhost,
                name,
                id,
                if_unused,
            } => {
                writer.u8(DELETE_EXCHANGE);
                writer.text(vhost);
                write_short(writer, name);
                writer.u64(id.0);
                write_flag(writer, *if_unused);
            }
            Self::Bind(bind) => {
                writer.u8(BIND);
                bind.write(writer);
            }
            Self::Unbind(bind) => {
                writer.u8(UNBIND);
                bind.write(writer);
            }
            Self::DeclareQueue(declare) => {
                writer.u8(DECLARE_QUEUE);
                declare.write(writer);
            }
            Self::DeleteQueue {
                vhost,
                name,
                id,
                session,
            } => {
                writer.u8(DELETE_QUEUE);
                writer.text(vhost);
                write_short(writer, name);
                writer.u64(id.0);
                write_flag(writer, session.is_some());
                if let Some(session) = session {
                    write_session(writer, session);
                }
            }
            Self::EndSession(session) => {
                writer.u8(END_SESSION);
                write_session(writer, session);
            }
            Self::NodeStarted { node, boot } => {
                writer.u8(NODE_STARTED);
                writer.u64(node.0);
                writer.u64(*boot);
            }
            Self::CreateVhost {
                name,
                description,
                default_queue_type,
            } => {
                writer.u8(CREATE_VHOST);
                writer.text(name);
                writer.text(description);
                write_flag(writer, default_queue_type.is_some());
                if let Some(kind) = default_queue_type {
                    kind.write(writer);
                }
            }
            Self::DeleteVhost { name } => {
                writer.u8(DELETE_VHOST);
                writer.text(name);
            }
            Self::SetVhostLimits { name, limits } => {
                writer.u8(SET_VHOST_LIMITS);
                writer.text(name);
                limits.write(writer);
            }
            Self::PutPolicy { vhost, policy } => {
                writer.u8(PUT_POLICY);
                writer.text(vhost);
                policy.write(writer);
            }
            Self::DeletePolicy {
                vhost,
                is_operator,
                name,
            } => {
                writer.u8(DELETE_POLICY);
                writer.text(vhost);
                write_flag(writer, *is_operator);
                writer.text(name);
            }
            Self::Nothing => writer.u8(NOTHING),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            DECLARE_EXCHANGE => Self::DeclareExchange {
                vhost: reader.text()?.to_owned(),
                exchange: ExchangeRecord::read(reader)?,
            },
            DELETE_EXCHANGE => Self::DeleteExchange {
                vhost: reader.text()?.to_owned(),
                name: read_short(reader)?,
                id: ExchangeId(reader.u64()?),
                if_unused: read_flag(reader)?,
            },
            BIND => Self::Bind(BindCommand::read(reader)?),
            UNBIND => Self::Unbind(BindCommand::read(reader)?),
            DECLARE_QUEUE => Self::DeclareQueue(Box::new(DeclareQueueCommand::read(reader)?)),
            DELETE_QUEUE => Self::DeleteQueue {
                vhost: reader.text()?.to_owned(),
                name: read_short(reader)?,
                id: QueueId(reader.u64()?),
                session: match read_flag(reader)? {
                    true => Some(read_session(reader)?),
                    false => None,
                },
            },
            END_SESSION => Self::EndSession(read_session(reader)?),
            NODE_STARTED => Self::NodeStarted {
                node: NodeId(reader.u64()?),
                boot: reader.u64()?,
            },
            CREATE_VHOST => Self::CreateVhost {
                name: reader.text()?.to_owned(),
                description: reader.text()?.to_owned(),
                default_queue_type: match read_flag(reader)? {
                    true => Some(QueueType::read(reader)?),
                    false => None,
                },
            },
            DELETE_VHOST => Self::DeleteVhost {
                name: reader.text()?.to_owned(),
            },
            PUT_POLICY => Self::PutPolicy {
                vhost: reader.text()?.to_owned(),
                policy: PolicyRecord::read(reader)?,
            },
            DELETE_POLICY => Self::DeletePolicy {
                vhost: reader.text()?.to_owned(),
                is_operator: read_flag(reader)?,
                name: reader.text()?.to_owned(),
            },
            SET_VHOST_LIMITS => Self::SetVhostLimits {
                name: reader.text()?.to_owned(),
                limits: VhostLimits::read(reader)?,
            },
            NOTHING => Self::Nothing,
            tag => return Err(reader.unknown_tag("routing command", tag)),
        })
    }
}

impl BindCommand {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.vhost);
        write_short(writer, &self.source);
        let (is_queue, name) = match &self.destination {
            Destination::Queue(name) => (true, name),
            Destination::Exchange(name) => (false, name),
        };
        write_flag(writer, is_queue);
        write_short(writer, name);
        write_short(writer, &self.routing_key);
        write_table(writer, &self.arguments);
        write_session(writer, &self.session);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let vhost = reader.text()?.to_owned();
        let source = read_short(reader)?;
        let destination = match read_flag(reader)? {
            true => Destination::Queue(read_short(reader)?),
            false => Destination::Exchange(read_short(reader)?),
        };
        Ok(Self {
            vhost,
            source,
            destination,
            routing_key: read_short(reader)?,
            arguments: read_table(reader)?,
            session: read_session(reader)?,
        })
    }
}

impl DeclareQueueCommand {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.vhost);
        write_short(writer, &self.name);
        self.kind.write(writer);
        write_flag(writer, self.is_durable);
        write_flag(writer, self.is_auto_delete);
        write_flag(writer, self.is_exclusive);
        write_session(writer, &self.session);
        write_table(writer, &self.arguments);
        self.topic.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vhost: reader.text()?.to_owned(),
            name: read_short(reader)?,
            kind: QueueType::read(reader)?,
            is_durable: read_flag(reader)?,
            is_auto_delete: read_flag(reader)?,
            is_exclusive: read_flag(reader)?,
            session: read_session(reader)?,
            arguments: read_table(reader)?,
            topic: CreateTopic::read(reader)?,
        })
    }
}
