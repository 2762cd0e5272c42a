//! The write-ahead log with its threads, as the node runs it.

mod appends;
mod host;
mod lone;

pub(crate) use appends::{Appender, Appends, measure, warm_up};
pub(crate) use host::{FILE_BYTES, LogHost};
pub(crate) use lone::measure_lone;
