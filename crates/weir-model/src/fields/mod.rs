//! Typed fields, as messages and arguments carry them: the encoding of AMQP 0-9-1 in RabbitMQ's
//! dialect, which keeps more types apart than any other protocol's. Stored with messages, and sent
//! as it is by the door of AMQP.

mod error;
#[doc(hidden)]
pub mod examples;
mod glance;
mod properties;
mod reader;
mod table;
mod writer;

pub use error::{DecodeError, Fault};
pub use glance::Glance;
pub use properties::BasicProperties;
pub use reader::Reader;
pub use table::{Decimal, FieldTable, FieldValue, MAX_TABLE_DEPTH, ShortString};
pub use writer::Writer;
