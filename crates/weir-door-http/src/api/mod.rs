//! The admin API: one table of routes by resource, and what carries each of them out.

mod acls;
pub(crate) mod asker;
pub(crate) mod call;
mod cluster;
mod configs;
mod groups;
mod offsets;
mod queues;
mod quotas;
mod table;
mod topics;
mod users;
mod vhosts;
pub(crate) mod word;

pub(crate) use table::{act, all};
