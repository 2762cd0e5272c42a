//! Who is to read which partitions: pure functions of subscriptions and of who was to read what
//! before.

mod even;
mod layout;
mod range;
mod spread;
#[cfg(test)]
mod tests;
mod work;

pub use work::{Assignor, Subscriber, Work};
