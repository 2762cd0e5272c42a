//! The clients: how each is started, fed and read.

mod guarded;
mod java;
mod kcat;
mod python;
mod read;

pub(crate) use guarded::Guarded;
pub(crate) use java::{consume as consume_with_java, producer as java_producer};
pub(crate) use kcat::{consume_group as consume_with_kcat, producer as kcat_producer, read_all};
pub(crate) use python::{Progress, acks, driver};
pub(crate) use read::Message;
