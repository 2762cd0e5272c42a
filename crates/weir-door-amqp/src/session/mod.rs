//! One AMQP connection without I/O.

mod alarm;
pub mod asks;
mod assembly;
mod basic;
mod channel;
mod channels;
mod checks;
mod close;
pub mod connection;
mod consumers;
mod credential;
mod declare;
mod delivery;
mod handshake;
mod heartbeat;
mod inbox;
mod outbox;
mod properties;
mod publish;
mod sasl;
mod settle;
mod throttle;
mod timeout;
mod transaction;
