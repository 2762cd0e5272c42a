//! Exchanges, queues and sessions as this node's doors see them.

mod append;
mod ask;
mod consume;
mod dead_letters;
mod death;
mod deliver;
mod keeper;
mod lane;
mod lanes;
mod lead;
mod life;
mod lines;
mod order;
mod publish;
mod replies;
mod request;
mod serve;
mod session;
mod sessions;
mod target;
mod told;
mod topology;
mod topology_queues;
mod watchers;
mod wire;

pub(crate) use dead_letters::Letter;
pub(crate) use deliver::Handed;
pub(crate) use keeper::QueueKeeper;
pub(crate) use lanes::Lanes;
pub(crate) use lead::QueueCallDone;
pub(crate) use life::Run;
pub(crate) use serve::serve;
pub use session::QueueSession;
pub(crate) use sessions::Sessions;
pub(crate) use watchers::Watchers;
pub(crate) use wire::{reread_answer, reread_call};
