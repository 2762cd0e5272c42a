//! What `weir cluster status --json` says, as far as campaigns need it.

use serde::Deserialize;

/// The cluster as one node knows it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Status {
    /// All nodes.
    pub nodes: Vec<NodeRow>,
    /// All groups; 0 is the metadata group.
    pub groups: Vec<GroupRow>,
}

/// A node.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeRow {
    /// Its id.
    pub id: u64,
    /// Whether the node that answered hears it.
    pub is_up: bool,
    /// `host:port` for other nodes.
    pub peer_address: String,
    /// Groups that it votes in.
    pub voter_count: u32,
}

/// A group.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct GroupRow {
    /// Its id.
    pub id: u32,
    /// Who leads.
    pub leader: Option<u64>,
    /// Nodes that vote.
    pub voters: Vec<u64>,
    /// Whether its members are changing.
    pub is_changing: bool,
    /// The replicas that follow.
    pub followers: Vec<FollowerRow>,
}

/// A replica that follows.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FollowerRow {
    /// Where it is.
    pub node: u64,
    /// Entries that it is not known to have.
    pub lag_count: u64,
    /// Whether it takes over a checkpoint.
    pub is_behind: bool,
}

/// Lag above which a replica has not caught up: what is under way at a steady load is less.
const MAX_LAG_COUNT: u64 = 2_000;

impl Status {
    /// What is still missing until every group is led, votes on `voters` nodes and all replicas
    /// have caught up; `None` when nothing is.
    pub(super) fn lack(&self, node_count: usize, voters: usize) -> Option<String> {
        let up = self.nodes.iter().filter(|node| node.is_up).count();
        if up < node_count {
            return Some(format!("{up} of {node_count} nodes are up"));
        }
        if self.groups.is_empty() {
            return Some("no groups yet".to_owned());
        }
        self.groups.iter().find_map(|group| group.lack(voters))
    }

    /// Who leads each group, for people: `0:1` is group 0 at node 1.
    pub(super) fn leaders(&self) -> String {
        let words = self.groups.iter().map(|group| match group.leader {
            Some(leader) => format!("{}:{leader}", group.id),
            None => format!("{}:-", group.id),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// A node by its peer address.
    pub(super) fn node_at(&self, peer_address: &str) -> Option<&NodeRow> {
        self.nodes
            .iter()
            .find(|node| node.peer_address == peer_address)
    }
}

impl GroupRow {
    fn lack(&self, voters: usize) -> Option<String> {
        let id = self.id;
        if self.leader.is_none() {
            return Some(format!("group {id} has no leader"));
        }
        if self.is_changing {
            return Some(format!("group {id} changes its members"));
        }
        // The metadata group has a replica everywhere, and more voters where there are more nodes.
        if self.voters.len() < voters {
            return Some(format!(
                "group {id} has {} of {voters} voters",
                self.voters.len()
            ));
        }
        self.followers
            .iter()
            .find(|follower| follower.is_behind || follower.lag_count > MAX_LAG_COUNT)
            .map(|follower| {
                format!(
                    "group {id} lacks {} entries at node {}",
                    follower.lag_count, follower.node
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let text = r#"{"answer":"status","cluster_id":"A","answered_by":1,"steward":1,
            "nodes":[{"id":1,"is_up":true,"peer_address":"h:1","voter_count":1},
                     {"id":2,"is_up":true,"peer_address":"h:2","voter_count":1}],
            "groups":[{"id":0,"leader":1,"term":2,"voters":[1,2],"learners":[],
                       "is_changing":false,"last_index":9,
                       "followers":[{"node":2,"lag_count":0,"is_active":true,"is_behind":false}]}]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_cluster_that_lacks_nothing_is_told_from_one_that_does() {
        assert_eq!(status().lack(2, 2), None);
        assert!(status().lack(3, 2).is_some());
        assert!(status().lack(2, 3).is_some());
        let mut leaderless = status();
        leaderless.groups[0].leader = None;
        let mut changing = status();
        changing.groups[0].is_changing = true;
        let mut behind = status();
        behind.groups[0].followers[0].is_behind = true;
        let mut lagging = status();
        lagging.groups[0].followers[0].lag_count = MAX_LAG_COUNT + 1;
        let mut down = status();
        down.nodes[1].is_up = false;
        for status in [leaderless, changing, behind, lagging, down] {
            assert!(status.lack(2, 2).is_some(), "{status:?}");
        }
    }
}
