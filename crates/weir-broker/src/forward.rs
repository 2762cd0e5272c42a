//! Commands for the metadata group, from whichever node: they go to its leader.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::NodeId;

use crate::{Node, peer::Answer};

/// Answers calls for the metadata group.
pub(crate) fn serve(_node: &Arc<Node>, _from: NodeId, _tag: u8, _request: &Bytes, _answer: Answer) {
}
