//! What real clients of queues did and what they got back, written down as it happened, and the
//! checker that reads it.

mod check;
mod event;
mod judge;
mod order;
mod reading;
mod record;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use check::check;
pub(crate) use judge::judge;
pub(crate) use record::Record;
pub(crate) use verdict::Verdict;
