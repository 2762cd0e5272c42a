//! What a change of what routes did: `u8` tag, then the fields.

use std::sync::Arc;

use super::record::{QueueId, QueueRecord};
use crate::{
    api::queues::Refused,
    encoding::{DecodeError, Reader, Writer},
    queue::refused,
};

// Tags are never used again for something else.
const DONE: u8 = 1;
const QUEUE_DECLARED: u8 = 2;
const REMOVED: u8 = 3;
const REFUSED: u8 = 4;

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoutingOutcome {
    /// It is so.
    Done,
    /// The queue is there, from this command or an earlier one.
    QueueDeclared(Arc<QueueRecord>),
    /// It is gone, and these queues with it.
    Removed {
        /// By their numbers.
        queues: Vec<QueueId>,
        /// Not all of it: the same command is due again.
        has_more: bool,
    },
    /// Nothing changed.
    Refused(Refused),
}

impl RoutingOutcome {
    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Done => writer.u8(DONE),
            Self::QueueDeclared(queue) => {
                writer.u8(QUEUE_DECLARED);
                queue.write(writer);
            }
            Self::Removed { queues, has_more } => {
                writer.u8(REMOVED);
                writer.count(queues.len());
                for queue in queues {
                    writer.u64(queue.0);
                }
                super::fields::write_flag(writer, *has_more);
            }
            Self::Refused(why) => {
                writer.u8(REFUSED);
                refused::write(why, writer);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            DONE => Self::Done,
            QUEUE_DECLARED => Self::QueueDeclared(Arc::new(QueueRecord::read(reader)?)),
            REMOVED => {
                let mut queues = Vec::new();
                for _ in 0..reader.count(8)? {
                    queues.push(QueueId(reader.u64()?));
                }
                let has_more = super::fields::read_flag(reader)?;
                Self::Removed { queues, has_more }
            }
            REFUSED => Self::Refused(refused::read(reader)?),
            tag => return Err(reader.unknown_tag("routing outcome", tag)),
        })
    }
}
