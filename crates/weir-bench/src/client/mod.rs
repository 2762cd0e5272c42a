//! For orientation: one librdkafka producer on one partition of a running broker.

mod node;
mod producer;

pub(crate) use node::NodeProcess;
pub(crate) use producer::measure;
