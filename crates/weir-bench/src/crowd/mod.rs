//! Many connections that do nothing, and readers that ask and do not read: what a node's memory
//! does then.

mod run;
mod wire;

pub(crate) use run::run;
