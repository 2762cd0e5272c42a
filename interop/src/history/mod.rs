//! What real clients did and what they got back, written down as it happened, and the checker
//! that reads it.

mod check;
mod copies;
mod event;
mod judge;
mod record;
#[cfg(test)]
mod tests;
mod transaction;
#[cfg(test)]
mod transaction_tests;
mod verdict;

pub(crate) use check::{check, longest_pause_ms};
pub(crate) use event::Kind;
pub(crate) use judge::judge;
pub(crate) use record::Record;
pub(crate) use verdict::Verdict;
