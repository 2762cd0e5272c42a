//! Looks now and then for offsets that nobody needs, as the shard's leader.

use weir_log::Millis;
use weir_raft::Context;

use std::collections::BTreeSet;

use super::{Shard, ShardCommand};
use crate::{
    group::{
        GroupCommand, GroupRecord, GroupState,
        config::{MAX_SWEPT_GROUPS, SWEEP_PAUSE_MS},
        expiry::{self, Expired, Standing},
        subscription,
    },
    metadata::Topology,
    outcome::AppliedOutcome,
};

/// Where the looking stands.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// When to look next, by the clock that never jumps; `None` while another node leads.
    next: Option<Millis>,
    /// The last group that was looked at; empty: none in this round.
    after: String,
}

impl Shard {
    pub(super) fn begin_sweeps(&mut self, context: &Context<'_, AppliedOutcome>) {
        let interval_ms = self.config.offsets_check_interval_ms;
        self.sweep = Sweep {
            next: context.leads.then(|| context.elapsed.plus(interval_ms)),
            after: String::new(),
        };
    }

    /// `None` where there is nothing to look at: an idle shard sleeps.
    pub(super) fn next_sweep(&self) -> Option<Millis> {
        let has_any = self.offsets.count() > 0 || self.groups.count() > 0;
        self.sweep.next.filter(|_| has_any)
    }

    pub(super) fn sweep_if_due(&mut self, context: &mut Context<'_, AppliedOutcome>) {
        if self.next_sweep().is_none_or(|at| at > context.elapsed) {
            return;
        }
        let topology = self.env.topology.load_full();
        let after = std::mem::take(&mut self.sweep.after);
        let ids = self.groups_after(&after, MAX_SWEPT_GROUPS);
        let is_last = ids.len() < MAX_SWEPT_GROUPS;
        for id in &ids {
            self.expire(id, &topology, context);
        }
        let pause_ms = if is_last {
            self.config.offsets_check_interval_ms
        } else {
            SWEEP_PAUSE_MS
        };
        self.sweep.next = Some(context.elapsed.plus(pause_ms));
        self.sweep.after = ids
            .into_iter()
            .next_back()
            .filter(|_| !is_last)
            .unwrap_or_default();
    }

    /// Groups with a record or with offsets, by id.
    fn groups_after(&self, after: &str, count: usize) -> Vec<String> {
        let offsets = self.offsets.groups_after(after).take(count);
        let records = self.groups.ids_after(after).take(count);
        let ids: BTreeSet<&str> = offsets.chain(records).collect();
        ids.into_iter().take(count).map(str::to_owned).collect()
    }

    fn expire(&mut self, id: &str, topology: &Topology, context: &mut Context<'_, AppliedOutcome>) {
        // A share group has no offsets here, and stays until somebody deletes it.
        if self.groups.share(id).is_some() {
            return;
        }
        let standing = self.standing(id, topology, context);
        let retention_ms = self.config.offsets_retention_ms;
        let places = self.offsets.fetch_all(id);
        let command = match expiry::look(context.now, retention_ms, &standing, places) {
            Expired::Nothing => return,
            Expired::Places(places) => GroupCommand::ForgetOffsets {
                group: id.to_owned(),
                places,
            },
            Expired::Group if self.coordinator.forget(id) && self.consumers.forget(id) => {
                GroupCommand::DeleteGroup(id.to_owned())
            }
            Expired::Group => return,
        };
        context.propose(ShardCommand::group(&command), None);
    }

    fn standing(
        &self,
        id: &str,
        topology: &Topology,
        context: &Context<'_, AppliedOutcome>,
    ) -> Standing {
        if self.consumers.contains(id) {
            let read = || self.consumers.read_topics(id).map(|(serial, _)| serial);
            let stored = self.groups.consumer(id);
            return match stored.filter(|record| record.members.is_empty()) {
                Some(empty) => Standing::Empty(empty.since),
                None => Standing::Reads(read().collect()),
            };
        }
        let Some(record) = self.coordinator.describe(context.elapsed, id) else {
            return Standing::Memberless;
        };
        match self.coordinator.state(id) {
            GroupState::Dead => Standing::Memberless,
            GroupState::Empty if record.protocol_type.is_empty() => Standing::Memberless,
            GroupState::Empty => {
                let stored = self.groups.get(id);
                Standing::Empty(stored.map_or(context.now, |stored| stored.since))
            }
            GroupState::Stable => match subscribed(&record) {
                Some(topics) => Standing::Reads(serials(topology, &topics)),
                None => Standing::Busy,
            },
            GroupState::PreparingRebalance | GroupState::CompletingRebalance => Standing::Busy,
        }
    }
}

/// The topics that a group's members read; `None` where their metadata do not tell.
pub(crate) fn subscribed(record: &GroupRecord) -> Option<BTreeSet<String>> {
    if record.protocol_type != subscription::CONSUMER_TYPE {
        return None;
    }
    let mut all = BTreeSet::new();
    for member in &record.members {
        all.append(&mut subscription::topics(&member.metadata)?);
    }
    Some(all)
}

fn serials(topology: &Topology, topics: &BTreeSet<String>) -> BTreeSet<u64> {
    let named = topics.iter().filter_map(|name| {
        let name = weir_model::TopicName::new(name).ok()?;
        Some(topology.by_name(&name)?.serial)
    });
    named.collect()
}
