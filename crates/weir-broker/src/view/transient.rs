//! Transient groups as every node sees them.

use std::sync::Arc;

use weir_model::{GroupId, NodeId, Term};
use weir_raft::{GroupView, Members};

use super::ClusterState;
use crate::Node;

/// The term of transient groups: of each run the first, and the only one.
pub(super) const TERM: Term = Term(1);

impl Node {
    /// A transient group is its node's as long as that is there; no beacon has to say so.
    pub(super) fn transient_view(
        &self,
        group: GroupId,
        node: NodeId,
        others: &ClusterState,
    ) -> Arc<GroupView> {
        let is_there = match others.nodes.get(&node) {
            _ if node == self.id() => self.leads(group),
            Some(health) => health.is_up && !others.is_away(node, self.elapsed()),
            None => false,
        };
        Arc::new(GroupView {
            term: TERM,
            leader: is_there.then_some(node),
            members: Members {
                voters: vec![node],
                ..Members::default()
            },
            ..GroupView::default()
        })
    }
}
