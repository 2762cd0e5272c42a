//! Which replica answers which client: the leader, one that follows, or another node.

use weir_model::{ErrorKind, GroupId, NodeId};
use weir_raft::GroupView;

use super::Node;
use crate::api::{Broker, Leader};

/// Entries that a follower may be behind its leader's log and still be offered to clients.
const MAX_FOLLOWER_LAG_COUNT: u64 = 1_000;

impl Node {
    /// Whether this node has a replica of the group that follows a leader which it hears of.
    pub(super) fn follows(&self, group: GroupId) -> bool {
        let status = self.status(group);
        let Some(leader) = status.leader().filter(|leader| *leader != self.id()) else {
            return false;
        };
        let view = status.view();
        view.members.voters.contains(&self.id()) && !self.is_down(leader)
    }

    /// The replica that the leader of `group` had better be read at by a client in `rack`; `None`:
    /// this node.
    pub(super) fn nearer_replica(&self, group: GroupId, rack: &str) -> Option<i32> {
        if rack.is_empty() {
            return None;
        }
        let topology = self.topology.load();
        let stands_in = |node: NodeId| {
            let record = topology.nodes().get(&node);
            record.and_then(|record| record.rack.as_deref()) == Some(rack)
        };
        if stands_in(self.id()) {
            return None;
        }
        let view = self.status(group).view();
        best_follower(&view, stands_in).and_then(|node| i32::try_from(node.0).ok())
    }

    /// Who leads, for an answer with `error` where that helps (KIP-951).
    pub(super) fn leader_instead(&self, group: GroupId, error: ErrorKind) -> Option<Box<Leader>> {
        if !matches!(error, ErrorKind::NotLeader | ErrorKind::FencedLeaderEpoch) {
            return None;
        }
        let (node, term) = self.leader_of(group)?;
        if node == self.id() && error == ErrorKind::NotLeader {
            return None;
        }
        let topology = self.topology.load();
        let broker = self.broker(topology.nodes().get(&node)?)?;
        Some(Box::new(Leader {
            broker,
            epoch: term.leader_epoch(),
        }))
    }

    /// A node as clients are told of it.
    pub(super) fn broker(&self, node: &crate::metadata::NodeRecord) -> Option<Broker> {
        Some(Broker {
            node: i32::try_from(node.id.0).ok()?,
            host: node.kafka_host.clone(),
            port: node.kafka_port,
            tls: self.tls_endpoint(node.id),
            rack: node.rack.clone(),
            is_fenced: self.is_fenced(node.id),
        })
    }

    /// Replicas that hold what is committed, the leader among them, and how many there are in
    /// all. A leader's acknowledgement needs a majority; this is what `min.insync.replicas` asks
    /// for besides.
    pub(super) fn in_sync_count(&self, group: GroupId) -> (usize, usize) {
        let view = self.status(group).view();
        let voters = crate::view::voters(&view).len();
        (crate::view::in_sync(&view).len(), voters)
    }
}

/// The follower where `is_wanted` that has the most of the log, and nearly all of it.
fn best_follower(view: &GroupView, is_wanted: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let fit = view.followers.iter().filter(|each| {
        let lag_count = view.last_index.saturating_sub(each.matched);
        each.is_active
            && !each.is_behind
            && lag_count <= MAX_FOLLOWER_LAG_COUNT
            && view.members.voters.contains(&each.node)
            && is_wanted(each.node)
    });
    let best = fit.max_by_key(|each| (each.matched, std::cmp::Reverse(each.node)));
    best.map(|each| each.node)
}

#[cfg(test)]
mod tests {
    use weir_raft::{FollowerView, Members};

    use super::*;

    fn view() -> GroupView {
        let follower = |node, matched| FollowerView {
            node: NodeId(node),
            matched,
            is_active: true,
            is_behind: false,
        };
        GroupView {
            leader: Some(NodeId(1)),
            last_index: 5_000,
            members: Members {
                voters: (1..=4).map(NodeId).collect(),
                ..Members::default()
            },
            followers: vec![
                follower(2, 5_000),
                follower(3, 4_990),
                follower(4, 5_000 - MAX_FOLLOWER_LAG_COUNT),
                follower(5, 5_000),
            ],
            ..GroupView::default()
        }
    }

    #[test]
    fn the_follower_with_the_most_is_offered_and_none_that_lags_or_is_no_voter() {
        let mut view = view();
        assert_eq!(best_follower(&view, |_| true), Some(NodeId(2)));
        assert_eq!(best_follower(&view, |node| node.0 > 2), Some(NodeId(3)));
        assert_eq!(best_follower(&view, |node| node.0 > 3), Some(NodeId(4)));
        assert_eq!(best_follower(&view, |node| node.0 > 4), None);
        view.followers[2].matched -= 1;
        assert_eq!(best_follower(&view, |node| node.0 > 3), None);
        view.followers[0].is_active = false;
        view.followers[1].is_behind = true;
        assert_eq!(best_follower(&view, |_| true), None);
    }
}
