//! What people and scripts ask of virtual hosts, exchanges, bindings, queues and policies, at
//! whichever node.

mod json;
mod list;
mod messages;
mod serve;
mod words;

pub(crate) use serve::{reread_call, serve};
pub use words::{
    BindingRow, ExchangeRow, MAX_QUEUE_ADMIN_REQUEST_BYTES, MessageRow, PAGE_ROW_COUNT, PolicyRow,
    QueueAdminAnswer, QueueAdminRequest, QueueFiguresRow, QueueRow, VhostRow,
};
