//! A small Kafka client, blocking, for one command at a time: it finds leaders and coordinators,
//! follows them when they move, and says what went wrong in words.

pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod fetched;
pub(crate) mod groups;
pub(crate) mod member;
pub(crate) mod offsets;
pub(crate) mod records;
pub(crate) mod topics;

pub(crate) use cluster::{Client, To};
pub(crate) use error::ClientError;
