//! `weir cluster status` for people.

use weir_broker::steward::{ClusterStatus, FollowerRow, GroupRow, NodeStanding, NodeStatus};

use crate::command::table::{Table, id, ids};

/// The whole cluster on one page.
pub(super) fn page(status: &ClusterStatus) -> String {
    let mut page = format!(
        "cluster {}, looked after by node {}, as node {} knows it\n\n",
        status.cluster_id,
        id(status.steward),
        status.answered_by
    );
    page += &nodes(&status.nodes);
    page += "\n";
    page += &groups(&status.groups);
    page += "\n";
    page += &verdict(status);
    page
}

fn nodes(nodes: &[NodeStatus]) -> String {
    let mut table = Table::new(&[
        "NODE", "STATE", "UP", "CLUSTER", "KAFKA", "LEADS", "VOTES", "LEARNS", "BEHIND",
    ]);
    for node in nodes {
        let up = match (node.is_up, node.is_full, node.is_slow) {
            (false, _, _) => "no",
            (true, true, _) => "full",
            (true, false, true) => "slow",
            (true, false, false) => "yes",
        };
        table.row(vec![
            node.id.to_string(),
            standing(node.state).to_owned(),
            up.to_owned(),
            node.peer_address.clone(),
            node.kafka_address.clone(),
            node.led_group_count.to_string(),
            node.voter_count.to_string(),
            node.learner_count.to_string(),
            node.catching_up_count.to_string(),
        ]);
    }
    table.render()
}

fn standing(standing: NodeStanding) -> &'static str {
    match standing {
        NodeStanding::Active => "active",
        NodeStanding::Draining => "draining",
    }
}

fn groups(groups: &[GroupRow]) -> String {
    let mut table = Table::new(&[
        "GROUP", "LEADER", "TERM", "VOTERS", "LEARNERS", "LAST", "BEHIND",
    ]);
    for group in groups {
        let voters = ids(&group.voters);
        table.row(vec![
            group.id.to_string(),
            id(group.leader),
            group.term.to_string(),
            if group.is_changing {
                format!("{voters} (changing)")
            } else {
                voters
            },
            ids(&group.learners),
            group.last_index.to_string(),
            behind(&group.followers),
        ]);
    }
    table.render()
}

/// Followers that lack something: `2 by 17`, `3 (checkpoint)`, `3 (silent)`.
fn behind(followers: &[FollowerRow]) -> String {
    let lacking = |follower: &FollowerRow| {
        let node = follower.node;
        if !follower.is_active {
            Some(format!("{node} (silent)"))
        } else if follower.is_behind {
            Some(format!("{node} (checkpoint)"))
        } else if follower.lag_count > 0 {
            Some(format!("{node} by {}", follower.lag_count))
        } else {
            None
        }
    };
    let lacking: Vec<String> = followers.iter().filter_map(lacking).collect();
    if lacking.is_empty() {
        return "-".to_owned();
    }
    lacking.join(", ")
}

/// What somebody may have to act on.
fn verdict(status: &ClusterStatus) -> String {
    let leaderless = status.groups.iter().filter(|group| group.leader.is_none());
    let leaderless: Vec<u64> = leaderless.map(|group| u64::from(group.id)).collect();
    let down = status.nodes.iter().filter(|node| !node.is_up);
    let down: Vec<u64> = down.map(|node| node.id).collect();
    let full = status
        .nodes
        .iter()
        .filter(|node| node.is_up && node.is_full);
    let full: Vec<u64> = full.map(|node| node.id).collect();
    let mut verdict = String::new();
    if !leaderless.is_empty() {
        verdict += &format!("without a leader: groups {}\n", ids(&leaderless));
    }
    if !down.is_empty() {
        verdict += &format!("not heard of: nodes {}\n", ids(&down));
    }
    if !full.is_empty() {
        verdict += &format!("disk full, writes wait: nodes {}\n", ids(&full));
    }
    if verdict.is_empty() {
        verdict = "every node is up, every group has a leader\n".to_owned();
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64, is_up: bool) -> NodeStatus {
        NodeStatus {
            id,
            state: NodeStanding::Active,
            is_up,
            is_slow: false,
            is_full: false,
            peer_address: format!("127.0.0.1:{}", 9191 + id),
            kafka_address: format!("127.0.0.1:{}", 9091 + id),
            led_group_count: 1,
            voter_count: 1,
            learner_count: 0,
            catching_up_count: 0,
        }
    }

    fn group(leader: Option<u64>) -> GroupRow {
        let follower = |node, lag_count, is_active, is_behind| FollowerRow {
            node,
            lag_count,
            is_active,
            is_behind,
        };
        GroupRow {
            id: 0,
            leader,
            term: 2,
            voters: vec![1, 2, 3],
            learners: vec![],
            is_changing: false,
            last_index: 9,
            followers: vec![
                follower(2, 0, true, false),
                follower(3, 4, true, false),
                follower(4, 4, true, true),
                follower(5, 4, false, true),
            ],
        }
    }

    #[test]
    fn a_page_names_nodes_groups_and_who_lacks_what() {
        let status = ClusterStatus {
            cluster_id: "AAAA".to_owned(),
            answered_by: 1,
            steward: Some(1),
            nodes: vec![node(1, true)],
            groups: vec![group(Some(1))],
        };
        assert_eq!(
            page(&status),
            "cluster AAAA, looked after by node 1, as node 1 knows it\n\
             \n\
             NODE  STATE   UP   CLUSTER         KAFKA           LEADS  VOTES  LEARNS  BEHIND\n\
             1     active  yes  127.0.0.1:9192  127.0.0.1:9092  1      1      0       0\n\
             \n\
             GROUP  LEADER  TERM  VOTERS  LEARNERS  LAST  BEHIND\n\
             0      1       2     1,2,3   -         9     3 by 4, 4 (checkpoint), 5 (silent)\n\
             \n\
             every node is up, every group has a leader\n"
        );
    }

    #[test]
    fn a_full_disk_is_seen_in_the_table_and_said_last() {
        let mut full = node(1, true);
        full.is_full = true;
        let status = ClusterStatus {
            nodes: vec![full, node(2, true)],
            ..ClusterStatus::default()
        };
        let page = page(&status);
        assert!(page.contains("1     active  full"), "{page}");
        assert!(
            page.ends_with("disk full, writes wait: nodes 1\n"),
            "{page}"
        );
    }

    #[test]
    fn what_is_down_or_not_led_is_said_last() {
        let status = ClusterStatus {
            nodes: vec![node(1, true), node(2, false)],
            groups: vec![group(None)],
            ..ClusterStatus::default()
        };
        let page = page(&status);
        assert!(
            page.ends_with("without a leader: groups 0\nnot heard of: nodes 2\n"),
            "{page}"
        );
    }
}
