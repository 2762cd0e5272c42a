//! What producers sent to a topic and what members of a share group did with it, written down as it
//! happened, and the checker that reads it.

mod check;
mod event;
mod judge;
mod record;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use check::check;
pub(crate) use judge::judge;
pub(crate) use record::Record;
pub(crate) use verdict::Verdict;
