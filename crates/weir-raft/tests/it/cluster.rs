//! Nodes that hand each other's messages over in memory, and know who answers.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc::channel},
};

use weir_model::NodeId;
use weir_raft::{GroupView, Input, MemberChange, NotCommitted, PeerMessage};

use crate::harness::{Adder, GROUP, MemoryWal, Node};

/// Time between two deliveries, in ms.
pub(crate) const STEP_MS: u64 = 50;

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) cut_off: BTreeSet<usize>,
    /// Messages delivered so far.
    pub(crate) delivered: usize,
    /// Whether offers wait.
    pub(crate) holds_offers: bool,
    /// Offers taken up so far.
    pub(crate) taken_up: usize,
}

impl Cluster {
    pub(crate) fn new(voters: &[u64], count: u64) -> Self {
        let node = |id| Node::new(id, voters, Arc::new(MemoryWal::default()));
        Self::of((1..=count).map(node).collect())
    }

    /// A founder whose group begins behind a checkpoint, and vacant replicas.
    pub(crate) fn founded(count: u64) -> Self {
        let node = |id| Node::found(id, &[1], Arc::new(MemoryWal::default()));
        Self::of((1..=count).map(node).collect())
    }

    fn of(nodes: Vec<Node>) -> Self {
        Self {
            nodes,
            cut_off: BTreeSet::new(),
            delivered: 0,
            holds_offers: false,
            taken_up: 0,
        }
    }

    /// Lets `ms` pass in steps, delivering every message at once.
    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms / STEP_MS {
            for at in 0..self.nodes.len() {
                self.nodes[at].now.0 += i64::try_from(STEP_MS).unwrap();
                self.deliver(at);
            }
        }
    }

    fn deliver(&mut self, from: usize) {
        for message in self.nodes[from].settle() {
            self.hand_over(message);
        }
        if !self.holds_offers {
            self.taken_up += self.nodes[from].take_offers_up();
        }
    }

    pub(crate) fn hand_over(&mut self, message: PeerMessage) {
        let place = |node: NodeId| usize::try_from(node.0 - 1).unwrap();
        let (from, to) = (place(message.from), place(message.to));
        if !self.cut_off.contains(&from) && !self.cut_off.contains(&to) {
            self.delivered += 1;
            self.nodes[to].handle.send(message.into_input());
        }
    }

    /// Cuts a node off; everyone notices.
    pub(crate) fn lose(&mut self, at: usize) {
        self.cut_off.insert(at);
        self.tell_of(at, false);
    }

    /// Everyone is back.
    pub(crate) fn heal(&mut self) {
        for at in std::mem::take(&mut self.cut_off) {
            self.tell_of(at, true);
        }
    }

    fn tell_of(&self, lost: usize, is_up: bool) {
        for at in (0..self.nodes.len()).filter(|at| *at != lost) {
            self.tell(at, lost, is_up);
            self.tell(lost, at, is_up);
        }
    }

    pub(crate) fn tell(&self, at: usize, of: usize, is_up: bool) {
        let node = NodeId(of as u64 + 1);
        self.nodes[at]
            .handle
            .send(Input::PeerChanged { node, is_up });
    }

    pub(crate) fn leader(&mut self) -> usize {
        let leaders = self.leaders();
        assert_eq!(leaders.len(), 1, "one leader among those who can talk");
        leaders[0]
    }

    pub(crate) fn leaders(&mut self) -> Vec<usize> {
        let leads = |adder: &Adder, _| adder.led.last() == Some(&true);
        let reachable: Vec<usize> = (0..self.nodes.len())
            .filter(|at| !self.cut_off.contains(at))
            .collect();
        let nodes = &mut self.nodes;
        let leads = reachable.into_iter().filter(|at| nodes[*at].look(leads));
        leads.collect()
    }

    /// Adds at the leader, which must succeed.
    pub(crate) fn add(&mut self, number: u64) -> u64 {
        let leader = self.leader();
        let told = self.nodes[leader].add(number);
        self.run(1_000);
        told.try_recv().unwrap().unwrap()
    }

    pub(crate) fn change(&mut self, changes: Vec<MemberChange>) -> Result<(), NotCommitted> {
        let leader = self.leader();
        let (tell, told) = channel();
        let done = Box::new(move |outcome| tell.send(outcome).unwrap());
        self.nodes[leader].handle.send(Input::ChangeMembers {
            group: GROUP,
            changes,
            done,
        });
        self.run(1_000);
        told.try_recv().unwrap()
    }

    pub(crate) fn view(&self, at: usize) -> Arc<GroupView> {
        self.nodes[at].status.view()
    }

    pub(crate) fn sums(&mut self) -> Vec<u64> {
        let sum = |node: &mut Node| node.look(|adder, _| adder.sum);
        self.nodes.iter_mut().map(sum).collect()
    }
}
