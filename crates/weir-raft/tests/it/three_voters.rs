//! Three nodes that hand each other's messages over in memory.

use std::sync::{Arc, mpsc::channel};

use weir_model::NodeId;
use weir_raft::{Input, MemberChange, NotCommitted};

use crate::harness::{Adder, GROUP, MemoryWal, Node};

struct Cluster {
    nodes: Vec<Node>,
    cut_off: Option<usize>,
}

impl Cluster {
    fn new(voters: &[u64], count: u64) -> Self {
        let node = |id| Node::new(id, voters, Arc::new(MemoryWal::default()));
        Self {
            nodes: (1..=count).map(node).collect(),
            cut_off: None,
        }
    }

    /// Lets `ms` pass in steps, delivering every message at once.
    fn run(&mut self, ms: i64) {
        for _ in 0..ms / 50 {
            for at in 0..self.nodes.len() {
                self.nodes[at].now.0 += 50;
                self.deliver(at);
            }
        }
    }

    fn deliver(&mut self, from: usize) {
        for message in self.nodes[from].settle() {
            let to = usize::try_from(message.to.0 - 1).unwrap();
            if self.cut_off != Some(from) && self.cut_off != Some(to) {
                self.nodes[to].handle.send(message.into_input());
            }
        }
    }

    fn leader(&mut self) -> usize {
        let leads = |adder: &Adder, _| adder.led.last() == Some(&true);
        let leaders: Vec<usize> = (0..self.nodes.len())
            .filter(|at| self.cut_off != Some(*at) && self.nodes[*at].look(leads))
            .collect();
        assert_eq!(leaders.len(), 1, "one leader among those who can talk");
        leaders[0]
    }
}

#[test]
fn three_nodes_elect_one_leader_and_agree() {
    let mut cluster = Cluster::new(&[1, 2, 3], 3);
    cluster.run(5_000);
    let leader = cluster.leader();
    let told = cluster.nodes[leader].add(9);
    cluster.run(1_000);
    assert_eq!(told.try_recv(), Ok(Ok(9)));
    for node in &mut cluster.nodes {
        assert_eq!(node.look(|adder, _| adder.sum), 9);
    }
}

#[test]
fn a_leader_that_is_cut_off_gives_up_and_another_takes_over() {
    let mut cluster = Cluster::new(&[1, 2, 3], 3);
    cluster.run(5_000);
    let old = cluster.leader();
    cluster.cut_off = Some(old);
    let lost = cluster.nodes[old].add(1);
    cluster.run(10_000);
    assert_eq!(lost.try_recv(), Ok(Err(NotCommitted::LeadershipLost)));
    let new = cluster.leader();
    assert_ne!(new, old);
    let told = cluster.nodes[new].add(5);
    cluster.run(1_000);
    assert_eq!(told.try_recv(), Ok(Ok(5)));
    cluster.cut_off = None;
    cluster.run(5_000);
    assert_eq!(cluster.nodes[old].look(|adder, _| adder.sum), 5);
}

#[test]
fn leadership_moves_when_told_to() {
    let mut cluster = Cluster::new(&[1, 2, 3], 3);
    cluster.run(5_000);
    let old = cluster.leader();
    let to = (old + 1) % 3;
    let node = NodeId(to as u64 + 1);
    cluster.nodes[old].handle.send(Input::TransferLeadership {
        group: GROUP,
        to: node,
    });
    cluster.run(1_000);
    assert_eq!(cluster.leader(), to);
}

#[test]
fn a_group_of_one_grows_by_a_voter_that_then_counts() {
    let mut cluster = Cluster::new(&[1], 2);
    // The second node knows the founder's configuration and waits to be let in.
    cluster.run(1_000);
    let told = cluster.nodes[0].add(4);
    cluster.run(500);
    assert_eq!(told.try_recv(), Ok(Ok(4)));
    let (tell, changed) = channel();
    let done = Box::new(move |outcome| tell.send(outcome).unwrap());
    let changes = vec![MemberChange::AddVoter(NodeId(2))];
    cluster.nodes[0].handle.send(Input::ChangeMembers {
        group: GROUP,
        changes,
        done,
    });
    cluster.run(3_000);
    assert_eq!(changed.try_recv(), Ok(Ok(())));
    assert_eq!(cluster.nodes[1].look(|adder, _| adder.sum), 4);
    cluster.cut_off = Some(1);
    let alone = cluster.nodes[0].add(1);
    cluster.run(10_000);
    assert_eq!(
        alone.try_recv(),
        Ok(Err(NotCommitted::LeadershipLost)),
        "one of two is no quorum"
    );
}
