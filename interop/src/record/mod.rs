//! What real clients send, recorded on its way to a node, as seeds for fuzz targets.

mod campaign;
mod proxy;
mod seeds;

pub(crate) use campaign::{Options, run};
