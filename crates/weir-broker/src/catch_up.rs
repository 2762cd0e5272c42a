//! Taking over a leader's checkpoint: what it names is brought here, range by range of batches.

use std::sync::Arc;

use bytes::Bytes;
use weir_raft::{SnapshotOffer, SnapshotPort};

use crate::{Node, peer::Answer};

/// Offers that wait to be taken up.
#[derive(Default)]
pub(crate) struct Offers {}

impl SnapshotPort for Offers {
    fn offered(&self, _offer: SnapshotOffer) {}
}

/// Answers with batches of a partition.
pub(crate) fn serve(_node: &Arc<Node>, _request: &Bytes, _answer: Answer) {}
