//! One group and its members: what is known, and questions about it that change nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    config::GroupConfig,
    coordinator::{Action, PersistId},
    record::{GroupRecord, MemberRecord},
};
use crate::api::{JoinRefused, Joined, JoinedMember, Synced};

/// Where a group stands in its life, by the names that Kafka's tools print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// No members.
    Empty,
    /// Waiting for members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment to be there and replicated.
    CompletingRebalance,
    /// Every member can have its assignment.
    Stable,
    /// Not known here.
    Dead,
}

/// What a step of the machine may use and produce.
pub(super) struct Step<'a, T> {
    pub(super) now: Millis,
    pub(super) config: &'a GroupConfig,
    pub(super) next_persist: &'a mut u64,
    pub(super) out: &'a mut Vec<Action<T>>,
}

impl<T> Step<'_, T> {
    pub(super) fn answer_join(&mut self, reply: T, answer: Result<Joined, JoinRefused>) {
        self.out.push(Action::AnswerJoin(reply, answer));
    }

    pub(super) fn refuse_join(&mut self, reply: T, error: ErrorKind, member: &str) {
        let member = member.to_owned();
        self.answer_join(reply, Err(JoinRefused { error, member }));
    }

    pub(super) fn answer_sync(&mut self, reply: T, answer: Result<Synced, ErrorKind>) {
        self.out.push(Action::AnswerSync(reply, answer));
    }
}

pub(super) struct Member<T> {
    /// Order of arrival within the group.
    pub(super) arrival: u64,
    pub(super) instance: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout_ms: u64,
    pub(super) rebalance_timeout_ms: u64,
    /// Best first, never empty.
    pub(super) protocols: Vec<(String, Bytes)>,
    /// Its last join said that it need not assign as a leader that comes back.
    pub(super) can_skip_assignment: bool,
    pub(super) assignment: Bytes,
    pub(super) awaiting_join: Option<T>,
    pub(super) awaiting_sync: Option<T>,
    /// Has not been in a generation yet.
    pub(super) is_new: bool,
    /// Joined the generation and did not ask for its assignment yet.
    pub(super) owes_sync: bool,
    pub(super) session_deadline: Millis,
}

impl<T> Member<T> {
    /// A member that waits for an answer cannot send heartbeats, so it does not need to; but a
    /// new one is not waited for without end.
    pub(super) fn expires(&self) -> Option<Millis> {
        let is_exempt =
            !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some());
        (!is_exempt).then_some(self.session_deadline)
    }

    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    pub(super) fn offers(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub(super) fn metadata_bytes(&self) -> usize {
        metadata_bytes(&self.protocols)
    }

    pub(super) fn refresh(&mut self, now: Millis) {
        self.session_deadline = now.plus(self.session_timeout_ms);
    }
}

pub(super) fn metadata_bytes(protocols: &[(String, Bytes)]) -> usize {
    let sizes = protocols
        .iter()
        .map(|(name, metadata)| name.len() + metadata.len());
    sizes.fold(0, usize::saturating_add)
}

/// The protocol with most votes of those that all members offer; each votes for its best.
/// Of equals the first by name. `None` without members.
pub(super) fn elected_protocol(offered: &[&[(String, Bytes)]]) -> Option<String> {
    let offered: Vec<Vec<&str>> = offered
        .iter()
        .map(|own| own.iter().map(|(name, _)| name.as_str()).collect())
        .collect();
    let common = |name: &&&str| offered.iter().all(|own| own.contains(name));
    let common: BTreeSet<&str> = offered.first()?.iter().filter(common).copied().collect();
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for own in &offered {
        if let Some(vote) = own.iter().find(|name| common.contains(*name)) {
            *votes.entry(vote).or_default() += 1;
        }
    }
    let winner = votes.iter().rev().max_by_key(|(_, count)| **count);
    winner.map(|(name, _)| (*name).to_owned())
}

/// How long a rebalance waits for members.
pub(super) struct JoinWait {
    pub(super) deadline: Millis,
    /// In a group that was empty: how much longer it may be put off for more members, in ms.
    /// Such a wait does not end early.
    pub(super) initial_remaining_ms: Option<u64>,
    /// A member came since the wait began or was put off.
    pub(super) has_newcomer: bool,
}

pub(super) struct Group<T> {
    pub(super) id: String,
    pub(super) state: GroupState,
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member<T>>,
    /// Static members' ids by instance id.
    pub(super) instances: BTreeMap<String, String>,
    /// Ids that were given out and did not come back yet, with the time they are forgotten.
    pub(super) pending: BTreeMap<String, Millis>,
    pub(super) next_arrival: u64,
    /// There exactly in `PreparingRebalance`.
    pub(super) join_wait: Option<JoinWait>,
    /// When members that owe a sync are removed.
    pub(super) sync_deadline: Option<Millis>,
    /// The record whose replication answers wait for.
    pub(super) persist: Option<PersistId>,
    /// The time under which the coordinator will look at the group again.
    pub(super) indexed: Option<Millis>,
}

impl<T> Group<T> {
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_arrival: 0,
            join_wait: None,
            sync_deadline: None,
            persist: None,
            indexed: None,
        }
    }

    /// A group from its record, each member with a whole session before it: stable, or waiting for
    /// all to join again.
    pub(super) fn restore(record: &GroupRecord, now: Millis) -> Self {
        let mut group = Self::new(record.group.clone());
        group.generation = record.generation;
        group.protocol_type.clone_from(&record.protocol_type);
        if record.members.is_empty() {
            return group;
        }
        group.state = GroupState::Stable;
        group.protocol.clone_from(&record.protocol);
        group.leader.clone_from(&record.leader);
        let protocol = record.protocol.clone().unwrap_or_default();
        for stored in &record.members {
            let mut member = Member {
                arrival: group.take_arrival(),
                instance: stored.instance.clone(),
                client_id: stored.client_id.clone(),
                client_host: stored.client_host.clone(),
                session_timeout_ms: stored.session_timeout_ms.max(1),
                rebalance_timeout_ms: stored.rebalance_timeout_ms,
                protocols: vec![(protocol.clone(), stored.metadata.clone())],
                can_skip_assignment: false,
                assignment: stored.assignment.clone(),
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
                owes_sync: false,
                session_deadline: now,
            };
            member.refresh(now);
            if let Some(instance) = &member.instance {
                group
                    .instances
                    .insert(instance.clone(), stored.member.clone());
            }
            group.members.insert(stored.member.clone(), member);
        }
        if record.must_rebalance {
            group.state = GroupState::PreparingRebalance;
            group.join_wait = Some(JoinWait {
                deadline: now.plus(group.rebalance_timeout_ms()),
                initial_remaining_ms: None,
                has_newcomer: false,
            });
        }
        group
    }

    pub(super) fn take_arrival(&mut self) -> u64 {
        self.next_arrival += 1;
        self.next_arrival
    }

    /// As it would be stored at `since`.
    pub(super) fn record(&self, since: Millis) -> GroupRecord {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.in_order().map(|(id, member)| MemberRecord {
            member: id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            session_timeout_ms: member.session_timeout_ms,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            metadata: member.metadata(protocol),
            assignment: member.assignment.clone(),
        });
        GroupRecord {
            group: self.id.clone(),
            generation: self.generation,
            since,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            must_rebalance: false,
            members: members.collect(),
        }
    }

    /// Members in the order in which they arrived.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&String, &Member<T>)> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable_by_key(|(_, member)| member.arrival);
        members.into_iter()
    }

    pub(super) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// Whether a member with these protocols can be in the group.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.members.is_empty() {
            return true;
        }
        let is_common = |name: &String| self.members.values().all(|member| member.offers(name));
        self.protocol_type == protocol_type && protocols.iter().any(|(name, _)| is_common(name))
    }

    /// The protocol of a new generation; `None` without members.
    pub(super) fn elected_protocol(&self) -> Option<String> {
        let offered = self
            .members
            .values()
            .map(|member| member.protocols.as_slice());
        elected_protocol(&offered.collect::<Vec<_>>())
    }

    /// Whether `member` is who it says it is.
    pub(super) fn check_member(
        &self,
        member: &str,
        instance: Option<&str>,
    ) -> Result<(), ErrorKind> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(ErrorKind::UnknownMember),
                Some(owner) if owner != member => return Err(ErrorKind::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) {
            Ok(())
        } else {
            Err(ErrorKind::UnknownMember)
        }
    }

    /// Whether there is room for the member of a join, with what it brings.
    pub(super) fn has_room(&self, member: &str, config: &GroupConfig) -> bool {
        let is_member = self.members.contains_key(member);
        let awaiting = || {
            self.members
                .values()
                .filter(|member| member.awaiting_join.is_some())
        };
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                let is_awaiting = self
                    .members
                    .get(member)
                    .is_some_and(|member| member.awaiting_join.is_some());
                is_awaiting || awaiting().count() < config.max_member_count
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                is_member || self.members.len() < config.max_member_count
            }
        }
    }

    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        let timeouts = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        timeouts.max().unwrap_or_default().max(1)
    }

    /// The answer to a member's join in the current generation.
    pub(super) fn joined(&self, member: &str) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = if self.is_leader(member) {
            let seen = self.in_order().map(|(id, member)| JoinedMember {
                member: id.clone(),
                instance: member.instance.clone(),
                metadata: member.metadata(&protocol),
            });
            seen.collect()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol,
            leader: self.leader.clone().unwrap_or_default(),
            member: member.to_owned(),
            members,
            skip_assignment: false,
        }
    }

    /// When something happens by itself.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let sessions = self.members.values().filter_map(Member::expires);
        let waits = self.join_wait.iter().map(|wait| wait.deadline);
        let rest = self
            .pending
            .values()
            .copied()
            .chain(self.sync_deadline)
            .chain(waits);
        sessions.chain(rest).min()
    }

    /// Whether nothing is lost when the group is forgotten.
    pub(super) fn is_blank(&self) -> bool {
        self.state == GroupState::Empty && self.generation == 0 && self.pending.is_empty()
    }

    /// The rules that hold between any two steps.
    pub(super) fn assert_sound(&self) {
        assert_eq!(
            self.join_wait.is_some(),
            self.state == GroupState::PreparingRebalance,
            "a group waits for joins exactly while it prepares a rebalance"
        );
        assert!(
            self.state != GroupState::Empty || self.members.is_empty(),
            "an empty group has no members"
        );
        assert_eq!(
            self.leader.is_none(),
            self.members.is_empty(),
            "a group is led exactly while it has members"
        );
    }
}
