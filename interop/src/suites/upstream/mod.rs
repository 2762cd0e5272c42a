//! Suites that clients' own authors wrote.

pub(super) mod amqp;
mod cargo_test;
mod go_test;
pub(super) mod kafka;
mod pytest;
