//! A whole node below its doors: the production path of appends and reads.

mod host;
mod mail;
mod readers;
mod writers;

pub(crate) use host::{NodeHost, TopicRefs};
pub(crate) use readers::{Filled, read_back, read_tail};
pub(crate) use writers::NodeWriters;
