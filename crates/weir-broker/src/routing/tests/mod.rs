//! Rules of exchanges, bindings and queues, on group 0's state machine.

mod checkpoint;
mod routes;
mod rules;
mod world;
