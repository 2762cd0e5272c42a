//! Waits for what the steward does in many small steps, and says how far it is.

use std::{fmt, time::Duration};

use weir_broker::steward::ClusterStatus;

use super::client::AdminClient;
use crate::command::table::ids;

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Looks without an answer, one after the other, before giving up: leaders change meanwhile.
const MAX_SILENT_LOOK_COUNT: u32 = 20;

/// Looks without a change before saying what may be in the way.
const STUCK_LOOK_COUNT: u32 = 20;

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// The node carries nothing.
    Drained(u64),
    /// The node is in no group and no list.
    Removed(u64),
}

/// What a node still has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rest {
    is_listed: bool,
    led_count: usize,
    voter_count: usize,
    learner_count: usize,
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "leads {}, votes in {}, follows {} more",
            self.led_count, self.voter_count, self.learner_count
        )
    }
}

impl Goal {
    fn node(self) -> u64 {
        match self {
            Self::Drained(node) | Self::Removed(node) => node,
        }
    }

    fn rest(self, status: &ClusterStatus) -> Rest {
        let node = self.node();
        let count = |has: &dyn Fn(&weir_broker::steward::GroupRow) -> bool| {
            status.groups.iter().filter(|group| has(group)).count()
        };
        Rest {
            is_listed: status.nodes.iter().any(|listed| listed.id == node),
            led_count: count(&|group| group.leader == Some(node)),
            voter_count: count(&|group| group.voters.contains(&node)),
            learner_count: count(&|group| group.learners.contains(&node)),
        }
    }

    fn is_reached(self, status: &ClusterStatus) -> bool {
        let rest = self.rest(status);
        match self {
            // It follows the metadata group as long as it is a member: it must hear of the rest.
            Self::Drained(node) => {
                let learns = status
                    .groups
                    .iter()
                    .any(|group| group.id != 0 && group.learners.contains(&node));
                rest.led_count == 0 && rest.voter_count == 0 && !learns
            }
            Self::Removed(_) => rest == Rest::default(),
        }
    }

    fn done(self) -> String {
        match self {
            Self::Drained(node) => format!(
                "node {node} carries nothing; it can be stopped, `weir cluster remove {node}` \
                 takes it out for good, `weir cluster add {node}` gives it its share again"
            ),
            Self::Removed(node) => format!("node {node} is out of the cluster"),
        }
    }
}

/// Waits as long as it takes; each change is a line on stderr.
pub(super) async fn wait(client: &AdminClient, goal: Goal) -> anyhow::Result<String> {
    let mut told = None;
    let mut silent_count = 0;
    let mut same_count: u32 = 0;
    loop {
        match client.status().await {
            Ok(status) => {
                silent_count = 0;
                if goal.is_reached(&status) {
                    return Ok(goal.done());
                }
                let rest = goal.rest(&status);
                same_count += 1;
                if told != Some(rest) {
                    eprintln!("node {} {rest}", goal.node());
                    told = Some(rest);
                    same_count = 0;
                } else if same_count.is_multiple_of(STUCK_LOOK_COUNT) {
                    eprintln!("{}", obstacle(&status));
                }
            }
            Err(error) => {
                silent_count += 1;
                if silent_count > MAX_SILENT_LOOK_COUNT {
                    return Err(error.context("it is decided and goes on, but nobody can be asked"));
                }
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Why nothing goes on, as far as that shows.
fn obstacle(status: &ClusterStatus) -> String {
    let down = status.nodes.iter().filter(|node| !node.is_up);
    let down: Vec<u64> = down.map(|node| node.id).collect();
    if down.is_empty() {
        "still under way".to_owned()
    } else {
        format!(
            "waits for nodes that are not heard of: {}; start them, or take them out",
            ids(&down)
        )
    }
}

#[cfg(test)]
mod tests {
    use weir_broker::steward::GroupRow;

    use super::*;

    fn status(id: u32, leader: u64, voters: &[u64], learners: &[u64]) -> ClusterStatus {
        ClusterStatus {
            groups: vec![GroupRow {
                id,
                leader: Some(leader),
                term: 1,
                voters: voters.to_vec(),
                learners: learners.to_vec(),
                is_changing: false,
                last_index: 1,
                followers: vec![],
            }],
            ..ClusterStatus::default()
        }
    }

    #[test]
    fn a_node_is_drained_when_it_follows_nothing_but_the_metadata() {
        let goal = Goal::Drained(3);
        assert!(!goal.is_reached(&status(1, 3, &[1, 2, 3], &[])));
        assert!(!goal.is_reached(&status(1, 1, &[1, 2, 3], &[])));
        assert!(!goal.is_reached(&status(1, 1, &[1, 2], &[3])));
        assert!(!goal.is_reached(&status(0, 1, &[1, 2, 3], &[])));
        assert!(goal.is_reached(&status(0, 1, &[1, 2], &[3])));
        assert!(goal.is_reached(&status(1, 1, &[1, 2], &[])));
    }

    #[test]
    fn a_node_is_removed_when_no_group_names_it() {
        let goal = Goal::Removed(3);
        assert!(!goal.is_reached(&status(0, 1, &[1, 2], &[3])));
        assert!(goal.is_reached(&status(0, 1, &[1, 2], &[])));
    }
}
