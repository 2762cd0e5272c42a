//! The rules of a queue, one by one and at random.

mod bench;
mod closing;
mod delays;
mod limits;
mod random;
mod repeats;
mod rules;
