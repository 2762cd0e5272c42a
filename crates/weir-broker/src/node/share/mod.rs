//! Members of share groups: their sessions with this node, and the records that they are given.

mod begin;
mod calls;
mod groups;
mod letters;
mod offsets;
mod place;
mod prepare;
mod request;
mod sessions;
mod task;

pub(crate) use calls::{SharePlace, reread_answer, reread_call, serve};
pub(crate) use letters::{LetterTo, LetterWay, ShareLetter};
pub use sessions::ShareHold;
pub(crate) use sessions::ShareSessions;
pub(crate) use task::ShareTask;
