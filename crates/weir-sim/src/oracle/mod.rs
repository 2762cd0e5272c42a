//! What must hold, checked against models that never touch a disk.

mod broken;
pub(crate) mod wal_model;

pub(crate) use broken::{Broken, broken};
