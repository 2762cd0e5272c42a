//! From a live classic group to a consumer group and back.

use std::collections::BTreeSet;

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId};

use super::{
    admission::{self, Rules},
    coordinator::{ConsumerAction, ConsumerCoordinator},
    group::Group,
    record::{ClassicMember, ConsumerMember, ConsumerRecord, GroupTopics},
    resolve::Catalogue,
    turn::Asked,
};
use crate::{
    api::{ConsumerHeartbeat, Refused},
    group::{
        classic::{self, elected_protocol},
        coordinator::Coordinator,
        record::{GroupRecord, MemberRecord},
        subscription::{self, CONSUMER_TYPE, Named, Subscription},
    },
};

impl<T> Coordinator<T> {
    /// What a consumer group in the place of this one would be, where it can be one. `stored` is the
    /// empty consumer group that is stored still, where this one was in no generation yet.
    pub fn upgraded(
        &self,
        now: Millis,
        catalogue: &impl Catalogue,
        id: &str,
        stored: Option<&ConsumerRecord>,
    ) -> Result<ConsumerRecord, Refused> {
        let Some(group) = self.group(id) else {
            return Ok(ConsumerRecord::new(id.to_owned()));
        };
        if group.persist.is_some() {
            // Members may have been told of these assignments or not.
            return Err(ErrorKind::CoordinatorLoading.into());
        }
        if let Some(stored) = stored {
            // Who came to the classic group has nothing, and joins again when it is told to.
            return Ok(stored.clone());
        }
        upgraded(group, now, catalogue).map_err(|reason| Refused {
            error: ErrorKind::GroupNotFound,
            reason: format!(
                "Cannot upgrade classic group {id} to consumer group because {reason}."
            ),
        })
    }
}

fn upgraded<T>(
    group: &classic::Group<T>,
    now: Millis,
    catalogue: &impl Catalogue,
) -> Result<ConsumerRecord, &'static str> {
    const MALFORMED: &str = "the embedded consumer protocol is malformed";
    let mut record = ConsumerRecord {
        epoch: group.generation,
        target_epoch: group.generation,
        since: now,
        ..ConsumerRecord::new(group.id.clone())
    };
    // Who was in no generation yet has nothing, and joins again when it is told to.
    let members: Vec<_> = group.in_order().filter(|(_, it)| !it.is_new).collect();
    if !members.is_empty() && group.protocol_type != CONSUMER_TYPE {
        return Err("the group does not use the consumer embedded protocol");
    }
    let mut held = BTreeSet::new();
    let mut claims = Vec::new();
    for (id, member) in members {
        let subscription = subscription_of(group, member).ok_or(MALFORMED)?;
        let assignment = subscription::read_assignment(&member.assignment).ok_or(MALFORMED)?;
        if assignment.has_user_data {
            return Err("an unsupported custom assignor is in use");
        }
        let named = &assignment.partitions;
        let assigned = take(&mut record.topics, &mut held, catalogue, named);
        claims.push((id.clone(), subscription.owned.clone()));
        let upgraded = upgraded_member(group.generation, (id, member), subscription, assigned);
        record.members.insert(id.clone(), upgraded);
    }
    // A member may still have what was taken from it: nobody gets that before it says otherwise.
    for (id, owned) in claims {
        let more = take(&mut record.topics, &mut held, catalogue, &owned);
        if let Some(member) = record.members.get_mut(&id) {
            member.assigned.extend(more);
            member.assigned.sort_unstable();
            member.target.clone_from(&member.assigned);
        }
    }
    Ok(record)
}

/// What the member said in the group's protocol, or in its own first one.
fn subscription_of<T>(
    group: &classic::Group<T>,
    member: &classic::Member<T>,
) -> Option<Subscription> {
    let chosen = group.protocol.as_deref().unwrap_or_default();
    let mut own = member.protocols.iter();
    let (_, metadata) = own
        .clone()
        .find(|(name, _)| name == chosen)
        .or_else(|| own.next())?;
    subscription::read(metadata)
}

fn upgraded_member<T>(
    generation: i32,
    (id, member): (&String, &classic::Member<T>),
    subscription: Subscription,
    assigned: Vec<PartitionId>,
) -> ConsumerMember {
    let mut topics = subscription.topics;
    topics.sort_unstable();
    topics.dedup();
    ConsumerMember {
        member: id.clone(),
        instance: member.instance.clone(),
        rack: subscription.rack,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        topics,
        pattern: None,
        assignor: None,
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
        epoch: generation,
        previous_epoch: generation,
        assigned,
        revoking: Vec::new(),
        target: Vec::new(),
    }
}

/// The partitions that are there and nobody's yet, ascending.
fn take(
    topics: &mut GroupTopics,
    held: &mut BTreeSet<PartitionId>,
    catalogue: &impl Catalogue,
    named: &Named,
) -> Vec<PartitionId> {
    let mut taken = Vec::new();
    for (name, indexes) in named {
        let Some((serial, topic)) = catalogue.by_name(name) else {
            continue;
        };
        let indexes = indexes.iter().filter_map(|it| u32::try_from(*it).ok());
        let indexes = indexes.filter(|it| *it < topic.partition_count);
        let partitions = indexes.map(|index| PartitionId::new(serial, index));
        taken.extend(partitions.filter(|it| held.insert(*it)));
        topics.insert(serial, topic);
    }
    taken.sort_unstable();
    taken
}

impl<T> ConsumerCoordinator<T> {
    /// Whether a first member of the consumer protocol could join the group that `record` would
    /// become.
    pub fn check_upgrade(
        &self,
        now: Millis,
        catalogue: &impl Catalogue,
        record: &ConsumerRecord,
        beat: &ConsumerHeartbeat,
    ) -> Result<(), Refused> {
        admission::check(beat)?;
        let rules = Rules {
            now,
            config: self.config(),
            settings: catalogue.settings(&record.group),
        };
        Group::new(record.clone()).admit(rules, beat).map(drop)
    }

    /// A first member of the consumer protocol joins a classic group, which `record` was made of.
    pub fn upgrade(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        record: ConsumerRecord,
        (beat, reply): (ConsumerHeartbeat, T),
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        let id = record.group.clone();
        tracing::info!(group = id, "a consumer group from here on");
        let mut group = Group::new(record);
        group.all_changed();
        group.begin_sessions(now, &catalogue.settings(&id), &Default::default());
        self.take_up(group);
        self.ask(
            now,
            catalogue,
            &id,
            (Asked::Beat(Box::new(beat)), reply),
            out,
        );
    }
}

impl Group {
    /// The classic group of those who are left: whoever was in an epoch of this one.
    pub(super) fn downgraded(&self, now: Millis) -> GroupRecord {
        let members = self.record.members.values().filter(|it| it.epoch > 0);
        let members: Vec<(&ConsumerMember, &ClassicMember)> = members
            .filter_map(|it| Some((it, it.classic.as_ref()?)))
            .collect();
        let offered = members.iter().map(|(_, it)| it.protocols.as_slice());
        let protocol = elected_protocol(&offered.collect::<Vec<_>>());
        let leader = members.first().map(|(it, _)| it.member.clone());
        let record = |(member, classic): (&ConsumerMember, &ClassicMember)| {
            let chosen = classic.protocols.iter();
            let chosen = chosen
                .clone()
                .find(|(name, _)| Some(name) == protocol.as_ref());
            let metadata = chosen.map_or_else(Bytes::new, |(_, metadata)| metadata.clone());
            let mut has = [&member.assigned[..], &member.revoking[..]].concat();
            has.sort_unstable();
            MemberRecord {
                member: member.member.clone(),
                instance: member.instance.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                session_timeout_ms: classic.session_timeout_ms,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                assignment: subscription::write_assignment(&metadata, &self.by_name(&has)),
                metadata,
            }
        };
        GroupRecord {
            group: self.record.group.clone(),
            generation: self.record.epoch,
            since: now,
            protocol_type: CONSUMER_TYPE.to_owned(),
            must_rebalance: !members.is_empty(),
            members: members.into_iter().map(record).collect(),
            protocol,
            leader,
        }
    }

    /// Partitions by their topics' names, without topics that are gone.
    pub(super) fn by_name(&self, partitions: &[PartitionId]) -> Named {
        let by_serial = partitions.chunk_by(|one, next| one.topic_serial() == next.topic_serial());
        let named = by_serial.filter_map(|own| {
            let topic = self.record.topics.get(&own[0].topic_serial())?;
            Some((topic.name.clone(), super::reconcile::indexes(own)))
        });
        named.collect()
    }
}
