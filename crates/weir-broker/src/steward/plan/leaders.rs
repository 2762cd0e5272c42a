//! Who leads: spread evenly over the nodes that can, and away from those that should not.

use std::collections::{BTreeMap, VecDeque};

use weir_model::NodeId;

use super::{Action, Facts, Group, Round};

/// Groups that each node leads, once this plan's steps are through.
#[derive(Debug)]
pub(super) struct Led(BTreeMap<NodeId, usize>);

impl Led {
    pub(super) fn of(facts: &Facts) -> Self {
        let mut led = BTreeMap::new();
        for group in facts.groups.keys().filter_map(|id| facts.group(*id)) {
            *led.entry(group.leader).or_default() += 1;
        }
        Self(led)
    }

    fn count(&self, node: NodeId) -> usize {
        self.0.get(&node).copied().unwrap_or(0)
    }

    pub(super) fn moved(&mut self, from: NodeId, to: NodeId) {
        *self.0.entry(to).or_default() += 1;
        if let Some(count) = self.0.get_mut(&from) {
            *count = count.saturating_sub(1);
        }
    }
}

/// A group that one node could hand to another.
#[derive(Clone, Copy)]
struct Handover<'a> {
    group: Group<'a>,
    to: NodeId,
}

impl<'a> Round<'a> {
    /// Who should lead the group instead: a caught-up voter that stays, a quick one if any.
    pub(super) fn successor(&self, group: &Group<'_>, must_be_quick: bool) -> Option<NodeId> {
        let can = |node: &NodeId| {
            self.could_lead(group, *node) && !(must_be_quick && self.facts.is_slow(*node))
        };
        let rank = |node: &NodeId| (self.facts.is_slow(*node), self.led.count(*node), *node);
        group.voters().iter().copied().filter(can).min_by_key(rank)
    }

    fn could_lead(&self, group: &Group<'_>, node: NodeId) -> bool {
        node != group.leader
            && group.voters().contains(&node)
            && self.facts.is_active(node)
            && group.is_sound(self.facts, node)
            && !self.shares.is_surplus(group.id, node)
    }

    /// Moves leaders along the shortest ways from nodes that lead most to those that lead two or
    /// more less. The metadata group stays: whoever leads it makes these plans.
    pub(super) fn balance_leaders(&mut self, limit: usize) {
        let mut left = limit;
        while left > 0 {
            let handovers = self.handovers();
            let mut starts: Vec<NodeId> = handovers.keys().copied().collect();
            starts.sort_by_key(|node| (std::cmp::Reverse(self.led.count(*node)), *node));
            let ways = starts.into_iter().map(|start| self.way(&handovers, start));
            let Some(way) = ways.into_iter().find(|way| !way.is_empty()) else {
                return;
            };
            for Handover { group, to } in way.into_iter().take(left) {
                self.led.moved(group.leader, to);
                self.push(&group, Action::Transfer(to));
                left -= 1;
            }
        }
    }

    /// By leader: what it could give to whom.
    fn handovers(&self) -> BTreeMap<NodeId, Vec<Handover<'a>>> {
        let facts = self.facts;
        let mut found: BTreeMap<NodeId, Vec<Handover<'a>>> = BTreeMap::new();
        let is_free =
            |group: &Group<'_>| !group.is_metadata() && !self.steps.contains_key(&group.id);
        for group in facts.groups_at_rest().filter(is_free) {
            let can = |node: &NodeId| self.could_lead(&group, *node) && !facts.is_slow(*node);
            let takers = group.voters().iter().copied().filter(can);
            let handovers = takers.map(|to| Handover { group, to });
            found.entry(group.leader).or_default().extend(handovers);
        }
        found
    }

    /// The shortest chain of handovers from `start` to the node that leads least, where that is
    /// two less or more; everybody between ends with as many as before.
    fn way(
        &self,
        handovers: &BTreeMap<NodeId, Vec<Handover<'a>>>,
        start: NodeId,
    ) -> Vec<Handover<'a>> {
        let mut came: BTreeMap<NodeId, Handover<'a>> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        let mut reached = Vec::new();
        while let Some(node) = queue.pop_front() {
            for handover in handovers.get(&node).into_iter().flatten() {
                if handover.to != start && !came.contains_key(&handover.to) {
                    came.insert(handover.to, *handover);
                    queue.push_back(handover.to);
                    reached.push(handover.to);
                }
            }
        }
        // Of equals, the first is the nearest.
        let end = reached.into_iter().min_by_key(|node| self.led.count(*node));
        match end.filter(|end| self.led.count(*end) + 2 <= self.led.count(start)) {
            Some(end) => trace(&came, start, end),
            None => Vec::new(),
        }
    }
}

fn trace<'a>(
    came: &BTreeMap<NodeId, Handover<'a>>,
    start: NodeId,
    end: NodeId,
) -> Vec<Handover<'a>> {
    let mut way = Vec::new();
    let mut node = end;
    while node != start {
        let handover = came[&node];
        way.push(handover);
        node = handover.group.leader;
    }
    way.reverse();
    way
}
