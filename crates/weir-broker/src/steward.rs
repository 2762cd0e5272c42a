//! Looks after the cluster: who carries which group, and who leads it.

mod admin;
#[allow(dead_code)]
mod plan;

use std::sync::Arc;

use bytes::Bytes;
use weir_model::NodeId;

pub use self::admin::{
    AdminAnswer, AdminError, AdminRequest, ClusterStatus, FollowerRow, GroupRow,
    MAX_ADMIN_REQUEST_BYTES, NodeStanding, NodeStatus,
};
use crate::{Node, peer::Answer};

/// Answers the steward's steps and people's requests.
pub(crate) fn serve(_node: &Arc<Node>, _from: NodeId, _tag: u8, _request: &Bytes, _answer: Answer) {
}
