//! What a heartbeat says about its member: who it is, whether it may go on, what it reads.

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, TopicId};

use super::{
    assign::Assignor,
    config::{MAX_MEMBER_ID_BYTES, MAX_PATTERN_COUNT, MAX_RACK_BYTES, MAX_SUBSCRIPTION_BYTES},
    group::{Group, Presence},
    partitions::{is_subset, sorted},
    pattern,
    record::ConsumerMember,
};
use crate::{
    api::{ConsumerHeartbeat, Refused},
    configs::group::GroupSettings,
    group::config::{
        GroupConfig, MAX_CLIENT_TEXT_BYTES, MAX_GROUP_ID_BYTES, MAX_INSTANCE_ID_BYTES,
    },
};

/// A member joins, or comes back without anything.
pub(super) const JOINS: i32 = 0;
/// A member leaves.
pub(super) const LEAVES: i32 = -1;
/// A static member leaves and will come back.
pub(super) const IS_AWAY: i32 = -2;

/// A heartbeat of a member.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) member: String,
    /// What the member has, ascending; `None`: it does not say.
    pub(super) owned: Option<Vec<PartitionId>>,
    /// The member wants to know all.
    pub(super) is_full: bool,
}

/// What a heartbeat is measured with.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) now: Millis,
    pub(super) config: &'a GroupConfig,
    pub(super) settings: GroupSettings,
}

fn refused(error: ErrorKind, reason: impl Into<String>) -> Refused {
    Refused {
        error,
        reason: reason.into(),
    }
}

/// Whether the request makes sense by itself.
pub(super) fn check(beat: &ConsumerHeartbeat) -> Result<(), Refused> {
    let invalid = |reason: &str| Err(refused(ErrorKind::InvalidRequest, reason));
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
    let is_long =
        |text: &Option<String>, max_bytes| text.as_ref().is_some_and(|text| text.len() > max_bytes);
    if beat.group.is_empty() {
        return invalid("GroupId can't be empty.");
    } else if beat.group.len() > MAX_GROUP_ID_BYTES {
        return Err(refused(ErrorKind::InvalidGroupId, "GroupId is too long."));
    } else if beat.member.is_empty() && beat.epoch != JOINS {
        return invalid("MemberId can't be empty.");
    } else if is_empty(&beat.instance) {
        return invalid("InstanceId can't be empty.");
    } else if is_empty(&beat.rack) {
        return invalid("RackId can't be empty.");
    } else if beat.member.len() > MAX_MEMBER_ID_BYTES
        || is_long(&beat.instance, MAX_INSTANCE_ID_BYTES)
        || is_long(&beat.rack, MAX_RACK_BYTES)
    {
        return invalid("MemberId, InstanceId or RackId is too long.");
    }
    match beat.epoch {
        JOINS if beat.rebalance_timeout_ms.is_none() => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        JOINS if beat.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        JOINS if beat.topics.is_none() && beat.pattern.is_none() => {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
        IS_AWAY if beat.instance.is_none() => return invalid("InstanceId can't be null."),
        epoch if epoch < IS_AWAY => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    match &beat.assignor {
        Some(name) if Assignor::named(name).is_none() => {
            let known = Assignor::ALL.map(Assignor::name).join(", ");
            let reason =
                format!("ServerAssignor {name} is not supported. Supported assignors: {known}.");
            Err(refused(ErrorKind::UnsupportedAssignor, reason))
        }
        Some(_) | None => Ok(()),
    }
}

impl Group {
    /// Lets a member in, or go on.
    pub(super) fn admit(
        &mut self,
        rules: Rules<'_>,
        beat: &ConsumerHeartbeat,
    ) -> Result<Admitted, Refused> {
        let is_known = self.record.members.contains_key(&beat.member);
        if !is_known && self.record.members.len() >= rules.config.max_member_count {
            let max = rules.config.max_member_count;
            let reason =
                format!("The consumer group has reached its maximum capacity of {max} members.");
            return Err(refused(ErrorKind::GroupMaxSizeReached, reason));
        }
        let owned = beat.owned.as_ref().map(|owned| self.to_partitions(owned));
        let replaced = match &beat.instance {
            None => {
                self.check_dynamic(beat, owned.as_ref())?;
                None
            }
            Some(instance) => self.check_static(beat, instance, owned.as_ref())?,
        };
        self.check_subscription(beat, replaced.as_deref())?;
        match replaced {
            Some(old) => self.replace(&old, &beat.member),
            None if !is_known => self.add(&beat.member),
            None => {}
        }
        self.update(beat);
        let session_ms = rules.settings.consumer_session_timeout_ms;
        let session_deadline = rules.now.plus(session_ms.into());
        let presence = self.presence.entry(beat.member.clone());
        let presence = presence.or_insert(Presence {
            session_deadline,
            revoke_deadline: None,
            call_deadline: None,
        });
        presence.call_deadline = None;
        presence.session_deadline = session_deadline;
        self.note(session_deadline);
        let says_all = beat.rebalance_timeout_ms.is_some()
            && (beat.topics.is_some() || beat.pattern.is_some())
            && beat.owned.is_some();
        Ok(Admitted {
            member: beat.member.clone(),
            owned: owned.map(|(known, _)| known),
            is_full: beat.epoch == JOINS || says_all,
        })
    }

    /// A member leaves. Its answer says what it said.
    pub(super) fn leave(&mut self, beat: &ConsumerHeartbeat) -> Result<(), Refused> {
        if let Some(instance) = &beat.instance {
            self.check_instance(instance, &beat.member)?;
        } else if !self.record.members.contains_key(&beat.member) {
            return Err(self.unknown_member(&beat.member));
        }
        if beat.epoch == LEAVES {
            self.remove(&beat.member);
            return Ok(());
        }
        let member = self.change(&beat.member).expect("the member was just seen");
        member.epoch = IS_AWAY;
        let revoking = std::mem::take(&mut member.revoking);
        self.release(&revoking);
        if let Some(presence) = self.presence.get_mut(&beat.member) {
            presence.revoke_deadline = None;
        }
        Ok(())
    }

    /// Somebody else takes a member out.
    pub(super) fn take_out(
        &mut self,
        member: &str,
        instance: Option<&str>,
    ) -> Result<(), ErrorKind> {
        let owner = match instance {
            None => Some(member),
            Some(instance) => self.instances.get(instance).map(String::as_str),
        };
        let owner = owner.filter(|owner| self.record.members.contains_key(*owner));
        let owner = owner.ok_or(ErrorKind::UnknownMember)?.to_owned();
        if !member.is_empty() && member != owner {
            return Err(ErrorKind::FencedInstance);
        }
        self.remove(&owner);
        Ok(())
    }

    /// The partitions, and whether all of them are in topics that the group knows.
    fn to_partitions(&self, owned: &[(TopicId, Vec<i32>)]) -> (Vec<PartitionId>, bool) {
        let mut all = Vec::new();
        let mut is_known = true;
        for (id, indexes) in owned {
            let serial = self.serials.get(id);
            for index in indexes {
                let index = u32::try_from(*index).ok();
                let index = index.filter(|it| *it < PartitionId::MAX_INDEX_COUNT);
                match (serial, index) {
                    (Some(serial), Some(index)) => all.push(PartitionId::new(*serial, index)),
                    _ => is_known = false,
                }
            }
        }
        (sorted(all), is_known)
    }

    fn check_dynamic(
        &self,
        beat: &ConsumerHeartbeat,
        owned: Option<&(Vec<PartitionId>, bool)>,
    ) -> Result<(), Refused> {
        match self.record.members.get(&beat.member) {
            Some(member) => check_epoch(member, beat.epoch, owned),
            None if beat.epoch == JOINS => Ok(()),
            None => Err(self.unknown_member(&beat.member)),
        }
    }

    /// The member whose place this one takes.
    fn check_static(
        &self,
        beat: &ConsumerHeartbeat,
        instance: &str,
        owned: Option<&(Vec<PartitionId>, bool)>,
    ) -> Result<Option<String>, Refused> {
        if beat.epoch != JOINS {
            let member = self.check_instance(instance, &beat.member)?;
            check_epoch(member, beat.epoch, owned)?;
            return Ok(None);
        }
        match self.instances.get(instance) {
            // Its first answer was lost.
            Some(owner) if *owner == beat.member => Ok(None),
            Some(owner) if self.record.members[owner].is_replaceable() => Ok(Some(owner.clone())),
            Some(owner) => {
                let reason = format!(
                    "Static member {} with instance id {instance} cannot join the group because the instance id is owned by {owner} member.",
                    beat.member
                );
                Err(refused(ErrorKind::UnreleasedInstance, reason))
            }
            None => Ok(None),
        }
    }

    fn check_instance(&self, instance: &str, member: &str) -> Result<&ConsumerMember, Refused> {
        match self.instances.get(instance) {
            None => {
                let reason = format!("Instance id {instance} is unknown.");
                Err(refused(ErrorKind::UnknownMember, reason))
            }
            Some(owner) if owner != member => {
                let reason = format!(
                    "Static member {member} with instance id {instance} was fenced by member {owner}."
                );
                Err(refused(ErrorKind::FencedInstance, reason))
            }
            Some(owner) => Ok(&self.record.members[owner]),
        }
    }

    fn check_subscription(
        &self,
        beat: &ConsumerHeartbeat,
        replaced: Option<&str>,
    ) -> Result<(), Refused> {
        let before = replaced.unwrap_or(&beat.member);
        let before = self.record.members.get(before);
        if let Some(asked) = beat.pattern.as_ref().filter(|it| !it.is_empty()) {
            let is_known = self.matches.contains_key(asked);
            let is_own = before.is_some_and(|it| it.pattern.as_ref() == Some(asked));
            if !is_known && !is_own {
                pattern::compile(asked).map_err(|error| {
                    let reason = format!(
                        "SubscribedTopicRegex `{asked}` is not a valid regular expression: {error}."
                    );
                    refused(ErrorKind::InvalidRegularExpression, reason)
                })?;
                if self.matches.len() >= MAX_PATTERN_COUNT {
                    let reason = "The group has too many patterns.";
                    return Err(refused(ErrorKind::GroupMaxSizeReached, reason));
                }
            }
        }
        let names = beat.topics.iter().flatten().map(String::len);
        let new_bytes = names.sum::<usize>() + beat.pattern.as_ref().map_or(0, String::len);
        if !self.has_room_for(new_bytes, before) {
            let reason = "The group is subscribed to too many topics.";
            return Err(refused(ErrorKind::GroupMaxSizeReached, reason));
        }
        Ok(())
    }

    /// Whether a member may bring so many bytes in the place of what it brought before.
    pub(super) fn has_room_for(&self, bytes: usize, before: Option<&ConsumerMember>) -> bool {
        let old_bytes = before.map_or(0, ConsumerMember::subscription_bytes);
        (self.subscription_bytes + bytes).saturating_sub(old_bytes) <= MAX_SUBSCRIPTION_BYTES
    }

    pub(super) fn add(&mut self, id: &str) {
        self.put(ConsumerMember {
            member: id.to_owned(),
            instance: None,
            rack: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: 0,
            topics: Vec::new(),
            pattern: None,
            assignor: None,
            classic: None,
            epoch: 0,
            previous_epoch: 0,
            assigned: Vec::new(),
            revoking: Vec::new(),
            target: Vec::new(),
        });
        self.must_resolve = true;
        self.must_assign = true;
    }

    /// A static member comes back under another id and takes its own place again.
    pub(super) fn replace(&mut self, old: &str, new: &str) {
        if new != old {
            self.remove(new);
        }
        let presence = self.presence.get(old).copied();
        let member = self.detach(old).expect("a replaced member is a member");
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), new.to_owned());
        }
        self.put(ConsumerMember {
            member: new.to_owned(),
            epoch: 0,
            previous_epoch: 0,
            ..member
        });
        if let Some(presence) = presence {
            self.presence.insert(new.to_owned(), presence);
        }
    }

    /// Takes over what the heartbeat says about the member.
    fn update(&mut self, beat: &ConsumerHeartbeat) {
        let id = &beat.member;
        let before = &self.record.members[id];
        if says_nothing_new(before, beat) {
            return;
        }
        self.take_over(updated(before, beat));
    }

    /// Puts a known member's new state in the place of the old one.
    pub(super) fn take_over(&mut self, after: ConsumerMember) {
        let id = after.member.clone();
        let before = &self.record.members[&id];
        if after == *before {
            return;
        }
        let has_new_topics = after.topics != before.topics || after.pattern != before.pattern;
        let old_bytes = before.subscription_bytes();
        self.subscription_bytes =
            (self.subscription_bytes + after.subscription_bytes()).saturating_sub(old_bytes);
        if let Some(old) = before.instance.clone() {
            self.instances.remove(&old);
        }
        if let Some(instance) = &after.instance {
            self.instances.insert(instance.clone(), id);
        }
        self.put(after);
        if has_new_topics {
            self.must_resolve = true;
            self.must_assign = true;
        }
    }
}

/// The usual heartbeat.
fn says_nothing_new(before: &ConsumerMember, beat: &ConsumerHeartbeat) -> bool {
    beat.topics.is_none()
        && beat.pattern.is_none()
        && beat.assignor.is_none()
        && beat.rack.is_none()
        && beat.rebalance_timeout_ms.is_none()
        && before.classic.is_none()
        && (beat.instance.is_none() || beat.instance == before.instance)
        && clipped(&beat.client_id) == before.client_id
        && clipped(&beat.client_host) == before.client_host
}

/// The first [`MAX_CLIENT_TEXT_BYTES`] of a client's own words.
pub(super) fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_CLIENT_TEXT_BYTES)]
}

impl ConsumerMember {
    /// Whether another member may take its instance id: it is away, or it cannot say that it goes
    /// away and comes back.
    fn is_replaceable(&self) -> bool {
        self.epoch == IS_AWAY || self.classic.is_some()
    }
}

fn updated(before: &ConsumerMember, beat: &ConsumerHeartbeat) -> ConsumerMember {
    let mut after = before.clone();
    after.classic = None;
    clipped(&beat.client_id).clone_into(&mut after.client_id);
    clipped(&beat.client_host).clone_into(&mut after.client_host);
    if let Some(instance) = &beat.instance {
        after.instance = Some(instance.clone());
    }
    if let Some(rack) = &beat.rack {
        after.rack = Some(rack.clone());
    }
    if let Some(timeout_ms) = beat.rebalance_timeout_ms {
        after.rebalance_timeout_ms = timeout_ms;
    }
    if let Some(name) = &beat.assignor {
        after.assignor = Assignor::named(name);
    }
    if let Some(topics) = &beat.topics {
        after.topics.clone_from(topics);
        after.topics.sort_unstable();
        after.topics.dedup();
    }
    if let Some(pattern) = &beat.pattern {
        after.pattern = Some(pattern.clone()).filter(|it| !it.is_empty());
    }
    after
}

/// The epoch before is let through where the answer with the new one may have been lost.
fn check_epoch(
    member: &ConsumerMember,
    epoch: i32,
    owned: Option<&(Vec<PartitionId>, bool)>,
) -> Result<(), Refused> {
    if epoch == JOINS || epoch == member.epoch {
        return Ok(());
    }
    let size = if epoch > member.epoch {
        "greater"
    } else {
        let is_known =
            owned.is_some_and(|(all, is_known)| *is_known && is_subset(all, &member.assigned));
        if epoch == member.previous_epoch && is_known {
            return Ok(());
        }
        "smaller"
    };
    let reason = format!(
        "The consumer group member has a {size} member epoch ({epoch}) than the one known by the group coordinator ({}). The member must abandon all its partitions and rejoin.",
        member.epoch
    );
    Err(refused(ErrorKind::FencedMemberEpoch, reason))
}
