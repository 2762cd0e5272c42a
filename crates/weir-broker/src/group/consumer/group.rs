//! One group as its leader works on it: the record as it will be, and what is known beside it.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::{PartitionId, TopicId};

use super::record::{ConsumerChange, ConsumerMember, ConsumerRecord};
use crate::{api::GroupPhase, configs::group::GroupSettings, group::classic::metadata_bytes};

/// When a member is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presence {
    /// Without a heartbeat.
    pub(super) session_deadline: Millis,
    /// With partitions that it does not let go of.
    pub(super) revoke_deadline: Option<Millis>,
    /// Without the join or the sync that it owes by the classic protocol.
    pub(super) call_deadline: Option<Millis>,
}

impl Presence {
    pub(super) fn deadline(&self) -> Millis {
        let others = self.revoke_deadline.into_iter().chain(self.call_deadline);
        others.fold(self.session_deadline, Millis::min)
    }

    /// Puts everything off to `earliest`.
    pub(super) fn put_off(&mut self, earliest: Millis) {
        self.session_deadline = self.session_deadline.max(earliest);
        let others = self
            .revoke_deadline
            .iter_mut()
            .chain(&mut self.call_deadline);
        others.for_each(|deadline| *deadline = (*deadline).max(earliest));
    }
}

/// What is to be stored.
#[derive(Debug, Default)]
struct Changes {
    members: BTreeSet<String>,
    removed: BTreeSet<String>,
    topics: bool,
    epochs: bool,
}

/// A group. Everything but the record is made again by the next leader.
pub(super) struct Group {
    pub(super) record: ConsumerRecord,
    /// Partitions that are assigned to a member or being revoked from one.
    pub(super) held: BTreeSet<PartitionId>,
    /// Static members' ids by instance id.
    pub(super) instances: BTreeMap<String, String>,
    /// Serial numbers of the record's topics.
    pub(super) serials: BTreeMap<TopicId, u64>,
    pub(super) presence: BTreeMap<String, Presence>,
    /// What each pattern matched, by serial number.
    pub(super) matches: BTreeMap<String, BTreeSet<u64>>,
    /// The state of the metadata that the topics were resolved against.
    pub(super) seen: Option<u64>,
    /// When patterns were last matched.
    pub(super) matched: Millis,
    /// Who reads what has changed since topics were resolved.
    pub(super) must_resolve: bool,
    /// The target assignment is out of date.
    pub(super) must_assign: bool,
    pub(super) subscription_bytes: usize,
    /// The earliest deadline that was set since it was last asked for.
    pub(super) soonest: Option<Millis>,
    changes: Changes,
}

impl Group {
    pub(super) fn new(record: ConsumerRecord) -> Self {
        let mut group = Self {
            held: BTreeSet::new(),
            instances: BTreeMap::new(),
            serials: BTreeMap::new(),
            presence: BTreeMap::new(),
            matches: BTreeMap::new(),
            seen: None,
            matched: Millis(0),
            must_resolve: false,
            must_assign: record.epoch > record.target_epoch,
            subscription_bytes: 0,
            soonest: None,
            changes: Changes::default(),
            record,
        };
        group.reindex_topics();
        let members: Vec<_> = group.record.members.values().cloned().collect();
        for member in &members {
            group.hold(&member.assigned);
            group.hold(&member.revoking);
            group.subscription_bytes += member.subscription_bytes();
            if let Some(instance) = &member.instance {
                group
                    .instances
                    .insert(instance.clone(), member.member.clone());
            }
        }
        group
    }

    /// A whole session before every member; those that `known` has keep their deadlines.
    pub(super) fn begin_sessions(
        &mut self,
        now: Millis,
        settings: &GroupSettings,
        known: &BTreeMap<String, Presence>,
    ) {
        for (id, member) in &self.record.members {
            let is_revoking = !member.revoking.is_empty();
            let presence = known.get(id).copied().unwrap_or_else(|| Presence {
                session_deadline: now.plus(member.session_timeout_ms(settings)),
                revoke_deadline: is_revoking.then(|| now.plus(member.rebalance_timeout_ms)),
                call_deadline: None,
            });
            self.presence.insert(id.clone(), presence);
        }
    }

    /// Takes note of a deadline.
    pub(super) fn note(&mut self, deadline: Millis) {
        let soonest = self.soonest.map_or(deadline, |it| it.min(deadline));
        self.soonest = Some(soonest);
    }

    pub(super) fn reindex_topics(&mut self) {
        let topics = self.record.topics.iter();
        self.serials = topics.map(|(serial, topic)| (topic.id, *serial)).collect();
    }

    /// The partitions are a member's.
    pub(super) fn hold(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            assert!(
                self.held.insert(*partition),
                "a partition is one member's at a time"
            );
        }
    }

    /// The partitions are nobody's.
    pub(super) fn release(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            assert!(self.held.remove(partition), "what is released was held");
        }
    }

    pub(super) fn put(&mut self, member: ConsumerMember) {
        let id = member.member.clone();
        self.changes.members.insert(id.clone());
        self.record.members.insert(id, member);
    }

    /// The member as it is to be changed.
    pub(super) fn change(&mut self, id: &str) -> Option<&mut ConsumerMember> {
        let member = self.record.members.get_mut(id)?;
        self.changes.members.insert(id.to_owned());
        Some(member)
    }

    /// Takes a member out, with what it holds.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(member) = self.detach(id) else {
            return;
        };
        self.release(&member.assigned);
        self.release(&member.revoking);
        self.subscription_bytes -= member.subscription_bytes();
        self.must_resolve = true;
        self.must_assign = true;
    }

    /// Takes a member out of the record; it still holds what it holds.
    pub(super) fn detach(&mut self, id: &str) -> Option<ConsumerMember> {
        let member = self.record.members.remove(id)?;
        self.changes.members.remove(id);
        self.changes.removed.insert(id.to_owned());
        self.presence.remove(id);
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        Some(member)
    }

    /// All of it is to be stored.
    pub(super) fn all_changed(&mut self) {
        self.changes.members = self.record.members.keys().cloned().collect();
        self.changes.topics = true;
        self.changes.epochs = true;
    }

    pub(super) fn topics_changed(&mut self) {
        self.changes.topics = true;
        self.reindex_topics();
    }

    pub(super) fn epochs_changed(&mut self) {
        self.changes.epochs = true;
    }

    /// What is to be stored, where there is anything; the group is one version on then.
    pub(super) fn take_change(&mut self) -> Option<ConsumerChange> {
        let changes = std::mem::take(&mut self.changes);
        let is_empty = changes.members.is_empty() && changes.removed.is_empty();
        if is_empty && !changes.topics && !changes.epochs {
            return None;
        }
        let based_on = self.record.version;
        self.record.version += 1;
        let members = changes.members.iter().map(|id| {
            let member = self.record.members.get(id);
            member.expect("a changed member is a member").clone()
        });
        Some(ConsumerChange {
            group: self.record.group.clone(),
            based_on,
            epoch: self.record.epoch,
            target_epoch: self.record.target_epoch,
            since: self.record.since,
            topics: changes.topics.then(|| self.record.topics.clone()),
            members: members.collect(),
            removed: changes.removed.into_iter().collect(),
        })
    }

    /// Where the group stands, by the names that Kafka's tools print.
    pub(super) fn phase(&self) -> GroupPhase {
        let record = &self.record;
        if record.members.is_empty() {
            GroupPhase::Empty
        } else if record.epoch > record.target_epoch {
            GroupPhase::Assigning
        } else if record
            .members
            .values()
            .all(|it| it.is_settled(record.target_epoch))
        {
            GroupPhase::Stable
        } else {
            GroupPhase::Reconciling
        }
    }

    /// When somebody is to be given up next.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.presence.values().map(Presence::deadline).min()
    }
}

impl ConsumerMember {
    /// Whether it has reached the target.
    pub(super) fn is_settled(&self, target_epoch: i32) -> bool {
        self.epoch == target_epoch && self.revoking.is_empty() && self.assigned == self.target
    }

    pub(super) fn subscription_bytes(&self) -> usize {
        let names = self.topics.iter().map(String::len).sum::<usize>();
        let classic = self.classic.as_ref();
        names
            + self.pattern.as_ref().map_or(0, String::len)
            + classic.map_or(0, |it| metadata_bytes(&it.protocols))
    }

    pub(super) fn session_timeout_ms(&self, settings: &GroupSettings) -> u64 {
        match &self.classic {
            Some(classic) => classic.session_timeout_ms,
            None => settings.consumer_session_timeout_ms.into(),
        }
    }
}
