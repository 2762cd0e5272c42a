//! What must hold of the groups at every moment: one leader a term, promises kept over restarts,
//! the same state at the same index.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use weir_broker::{PartitionState, ReplicaState};
use weir_model::{GroupId, NodeId};
use weir_raft::GroupView;

use super::run::Cluster;
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Term and vote of a replica that are on stable storage.
pub(super) type Promise = (u64, u64);

fn is_kept((old_term, old_vote): Promise, (term, vote): Promise) -> bool {
    term > old_term || (term == old_term && (old_vote == 0 || old_vote == vote))
}

/// What was seen of all groups.
#[derive(Default)]
pub(super) struct Watch {
    leaders: BTreeMap<(GroupId, u64), NodeId>,
    /// What a leader had applied when it was first seen with these members.
    offices: BTreeMap<(GroupId, Option<NodeId>, u64, u64), u64>,
    /// State by group and index, with who was seen first with it.
    states: BTreeMap<(GroupId, u64), (NodeId, ReplicaState)>,
    pub(super) seen: Arc<Mutex<Vec<(GroupId, NodeId, ReplicaState)>>>,
}

impl Cluster<'_> {
    pub(super) fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..=self.plan.shard_count).map(GroupId)
    }

    /// Looks at a machine whose turn went well.
    pub(super) fn watch(&mut self, number: usize) -> Result<(), Broken> {
        let groups = self.groups();
        let machine = &mut self.machines[number];
        let Some(process) = &machine.process else {
            return Ok(());
        };
        let own = process.node.id();
        let mut led = Vec::new();
        for group in groups {
            let (term, leader, applied) = process.node.observed(group);
            if term.0 > 0 {
                let persisted = process.node.persisted(group);
                machine.persisted.insert(group, persisted);
            }
            if leader == Some(own) {
                led.push((group, applied, process.node.own_view(group)));
            }
            let (promised, vote) = process.node.promised(group);
            let seen = (promised.0, vote.map_or(0, |node| node.0));
            let promise = machine.promises.entry(group).or_default();
            // Until the first turn is over nothing is shown.
            if seen.0 > 0 && !is_kept(*promise, seen) {
                let detail = format!("node {own} group {group}: {seen:?} after {promise:?}");
                return Err(broken(oracle_name::HARD_STATE, detail));
            }
            *promise = seen.max(*promise);
            let Some(leader) = leader else { continue };
            let known = self
                .watch
                .leaders
                .entry((group, term.0))
                .or_insert_with(|| {
                    self.counts.add("terms_led", 1);
                    leader
                });
            if *known != leader {
                let detail = format!(
                    "group {group} term {}: node {own} says that {leader} leads, {known} does",
                    term.0
                );
                return Err(broken(oracle_name::ONE_LEADER, detail));
            }
        }
        for (group, applied, view) in led {
            self.check_quorum(group, applied, &view)?;
        }
        self.compare_states()
    }

    /// What a leader applies is on the disks of most voters: of those it has had since before the
    /// entry was committed.
    fn check_quorum(
        &mut self,
        group: GroupId,
        applied: u64,
        view: &GroupView,
    ) -> Result<(), Broken> {
        let members = &view.members;
        if !members.voters_outgoing.is_empty() {
            return Ok(());
        }
        let office = (group, view.leader, view.term.0, view.conf_index);
        let since = *self.watch.offices.entry(office).or_insert(applied);
        if applied <= since {
            return Ok(());
        }
        let has_it = |voter: &&NodeId| {
            let mut machines = self.machines.iter();
            let machine = machines.find(|machine| machine.node == Some(**voter));
            let persisted = machine.and_then(|machine| machine.persisted.get(&group));
            persisted.is_some_and(|persisted| *persisted >= applied)
        };
        let count = members.voters.iter().filter(has_it).count();
        // A disk that was lost had what it acknowledged.
        let lost = |voter: &&NodeId| self.machines.iter().all(|m| m.node != Some(**voter));
        let lost_count = members.voters.iter().filter(lost).count();
        if (count + lost_count) * 2 > members.voters.len() {
            return Ok(());
        }
        let detail = format!(
            "group {group}: {applied} is applied by {:?}, on the disks of {count} of {members:?}",
            view.leader
        );
        Err(broken(oracle_name::QUORUM, detail))
    }

    /// Asks every replica for its state; what comes back is compared in later turns.
    pub(super) fn look_at_replicas(&mut self, with_data: bool) {
        for group in self.groups() {
            for machine in &mut self.machines {
                let Some(process) = &machine.process else {
                    continue;
                };
                let (node, seen) = (process.node.id(), Arc::clone(&self.watch.seen));
                process.node.inspect(
                    group,
                    with_data,
                    Box::new(move |state| {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.push((group, node, state));
                    }),
                );
                machine.next_wake_ms = machine.next_wake_ms.min(self.now_ms + 1);
            }
        }
    }

    fn compare_states(&mut self) -> Result<(), Broken> {
        let seen = {
            let mut seen = self
                .watch
                .seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *seen)
        };
        for (group, node, state) in seen {
            self.counts.add("states_compared", 1);
            let applied = state.applied;
            if applied == 0 {
                continue;
            }
            let words = [u64::from(group.0), node.0, applied, u64::from(state.state)];
            self.trace.event("state", &words, || {
                format!("group {group} node {node}: {state:?}")
            });
            let key = (group, applied);
            let Some((other, known)) = self.watch.states.get(&key) else {
                self.watch.states.insert(key, (node, state));
                continue;
            };
            let ends = |state: &ReplicaState| -> Vec<_> {
                let partitions = state.partitions.iter();
                partitions.map(|p| (p.id, p.end)).collect()
            };
            let is_same = known.state == state.state && known.members == state.members;
            if !is_same || ends(known) != ends(&state) {
                let detail = format!(
                    "group {group} at {applied}: node {node} has {state:?}, node {other} {known:?}"
                );
                return Err(broken(oracle_name::REPLICAS, detail));
            }
            for (one, before) in state.partitions.iter().zip(&known.partitions) {
                let is_same = match (&one.data, &before.data) {
                    (Some(Err(error)), _) => self.may_be_damaged(node, error),
                    (Some(Ok(sum)), Some(Ok(before_sum))) => {
                        one.start != before.start || sum == before_sum
                    }
                    (_, _) => true,
                };
                if !is_same {
                    let detail = format!(
                        "group {group} at {applied}: node {node} has {one:?}, {other} {before:?}"
                    );
                    return Err(broken(oracle_name::REPLICAS, detail));
                }
            }
            let is_read = |one: &PartitionState| matches!(one.data, Some(Ok(_)));
            let is_damaged = |one: &PartitionState| matches!(one.data, Some(Err(_)));
            if state.partitions.iter().any(is_damaged) {
                self.counts.add("damage_seen", 1);
                self.has_damage = true;
            } else if state.partitions.iter().any(is_read) {
                self.counts.add("data_compared", 1);
                self.watch.states.insert(key, (node, state));
            }
        }
        Ok(())
    }
}
