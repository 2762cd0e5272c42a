//! Rules of a partition's log, tail and segments together.

mod cold;
mod flush;
mod model;
mod tail;
mod take_over;
mod threads;
mod times;
mod transient;
