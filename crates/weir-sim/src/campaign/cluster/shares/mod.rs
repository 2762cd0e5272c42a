//! Share groups (KIP-932) in a cluster: their members, and the books that say what they may see.

mod acquired;
mod answers;
mod books;
mod drain;
mod judge;
mod letters;
mod members;
mod membership;
mod plan;
mod requests;
mod sessions;
mod settled;
mod setup;
mod state;

pub use plan::{ShareGroupPlan, SharesPlan};
pub(super) use setup::{FIRST_LETTERS_TOPIC, letters_topic_name};
pub(super) use state::{ShareAsked, Shares};
