//! Segment files: their names, how they are written and read, what is cached of them.

mod files;
mod name;
mod reader;
mod writer;

pub(crate) use files::SegmentFiles;
pub(crate) use name::{PARTITIONS_DIR, SegmentKey};
pub(crate) use reader::SegmentReader;
pub(crate) use writer::{SegmentWriter, write_error};
