//! What must hold, checked against models that never touch a disk.

pub(crate) mod wal_model;
