//! Users, permissions and ACLs as state of group 0, and what doors see of them.
//!
//! What they mean stands in `weir-access`; here is how they change, are stored and are read.

mod apply;
mod changes;
pub(crate) mod checkpoint;
mod command;
mod guard;
mod names;
mod outcome;
mod presence;
mod propose;
mod record;
mod tally;
#[cfg(test)]
mod tests;
mod tokens;
mod view;

pub use command::AccessCommand;
pub(crate) use guard::{Guard, What};
pub use names::TopicNames;
pub use outcome::AccessOutcome;
pub use presence::{ChannelSeat, Ear, EnterRefused, Seat, UserGone, VhostPlace};
pub use propose::AccessRefused;
pub(crate) use tally::Tally;
pub use tokens::{Believed, TokenView};
pub use view::AccessView;
