//! Members of a consumer group that speak the classic protocol: they join, ask for what the broker
//! has assigned, and are told to join again whenever there is something to change.

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId};

use super::{
    admission::{Admitted, Rules, clipped},
    coordinator::{ConsumerAction, ConsumerCoordinator},
    group::{Group, Presence},
    partitions::{sorted, without},
    record::{ClassicMember, ConsumerMember},
    resolve::Catalogue,
    turn::{Asked, ClassicJoin, ConsumerAnswer},
};
use crate::{
    api::{Heartbeat, Join, JoinRefused, Joined, Sync, Synced},
    group::{
        classic::metadata_bytes,
        coordinator::check_group_id,
        join::{MAX_REBALANCE_TIMEOUT_MS, check_join, kept, new_member_id},
        subscription::{self, CONSUMER_TYPE, Named, Subscription},
    },
};

impl<T> ConsumerCoordinator<T> {
    /// A member joins by the classic protocol. `new_member_suffix` is random and makes a new
    /// member's id unique.
    pub fn join(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        (mut join, new_member_suffix): (Join, u128),
        reply: T,
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        let checked = check_group_id(&join.group);
        if let Err(error) = checked.and_then(|()| check_join(&join, self.config())) {
            let member = join.member;
            let answer = ConsumerAnswer::Joined(Err(JoinRefused { error, member }));
            out.push(ConsumerAction::Answer(reply, answer));
            return;
        }
        let (id, is_new) = (join.group.clone(), join.member.is_empty());
        if is_new {
            join.member = new_member_id(&join, new_member_suffix);
        }
        let asked = Asked::Join(Box::new(ClassicJoin { join, is_new }));
        self.ask(now, catalogue, &id, (asked, reply), out);
    }

    /// A member of the classic protocol asks what it is to have.
    pub fn sync(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        sync: Sync,
        reply: T,
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        let id = sync.group.clone();
        self.ask(
            now,
            catalogue,
            &id,
            (Asked::Sync(Box::new(sync)), reply),
            out,
        );
    }

    /// A member of the classic protocol lives.
    pub fn classic_heartbeat(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        heartbeat: Heartbeat,
        reply: T,
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        let id = heartbeat.group.clone();
        let asked = Asked::Heartbeat(Box::new(heartbeat));
        self.ask(now, catalogue, &id, (asked, reply), out);
    }
}

impl Group {
    /// Whether there are members and all speak the classic protocol.
    pub(super) fn is_all_classic(&self) -> bool {
        let members = &self.record.members;
        !members.is_empty() && members.values().all(|it| it.classic.is_some())
    }

    /// Lets a member of the classic protocol in, or go on.
    pub(super) fn admit_join(
        &mut self,
        rules: Rules<'_>,
        asked: &ClassicJoin,
    ) -> Result<Admitted, ErrorKind> {
        let join = &asked.join;
        let replaced = self.check_member_id(asked)?;
        let before = replaced.as_ref().unwrap_or(&join.member);
        let before = self.record.members.get(before);
        if before.is_none() && self.record.members.len() >= rules.config.max_member_count {
            return Err(ErrorKind::GroupMaxSizeReached);
        }
        let subscription = self.check_protocols(join, before)?;
        let names = subscription.topics.iter().map(String::len);
        let bytes = names.sum::<usize>() + metadata_bytes(&join.protocols);
        if !self.has_room_for(bytes, before) {
            return Err(ErrorKind::GroupMaxSizeReached);
        }
        if asked.is_new && join.instance.is_none() && join.require_known_member {
            return Err(ErrorKind::MemberIdRequired);
        }
        match replaced {
            Some(old) => self.replace(&old, &join.member),
            None if self.record.members.contains_key(&join.member) => {}
            None => self.add(&join.member),
        }
        let owned = self.partitions_of(&subscription.owned);
        let member = &self.record.members[&join.member];
        self.take_over(joined(member, join, subscription));
        self.begin_session(rules.now, join);
        Ok(Admitted {
            member: join.member.clone(),
            owned: Some(owned),
            is_full: true,
        })
    }

    /// The member whose place a static member takes that came without an id.
    fn check_member_id(&self, asked: &ClassicJoin) -> Result<Option<String>, ErrorKind> {
        let id = &asked.join.member;
        let Some(instance) = &asked.join.instance else {
            let known = self.record.members.get(id);
            return match known {
                // Its id is that of a member of the other protocol.
                Some(known) if known.classic.is_none() => Err(ErrorKind::UnknownMember),
                Some(_) | None => Ok(None),
            };
        };
        match self.instances.get(instance) {
            Some(owner) if owner == id => Ok(None),
            Some(owner) if asked.is_new => Ok(Some(owner.clone())),
            Some(_) => Err(ErrorKind::FencedInstance),
            None if asked.is_new => Ok(None),
            None => Err(ErrorKind::UnknownMember),
        }
    }

    /// Whether the member has a protocol in common with the others; what it says of itself.
    fn check_protocols(
        &self,
        join: &Join,
        before: Option<&ConsumerMember>,
    ) -> Result<Subscription, ErrorKind> {
        let others = self.record.members.values();
        let others: Vec<&ClassicMember> = others
            .filter(|it| before.is_none_or(|before| before.member != it.member))
            .filter_map(|it| it.classic.as_ref())
            .collect();
        let is_common = |name: &String| others.iter().all(|other| other.offers(name));
        let has_common = join.protocols.iter().any(|(name, _)| is_common(name));
        if join.protocol_type != CONSUMER_TYPE || !has_common {
            return Err(ErrorKind::InconsistentGroupProtocol);
        }
        let subscription = subscription::read(&join.protocols[0].1);
        subscription.ok_or(ErrorKind::InconsistentGroupProtocol)
    }

    /// The partitions, as far as they are in topics of the group.
    fn partitions_of(&self, named: &Named) -> Vec<PartitionId> {
        let topics = &self.record.topics;
        let mut all = Vec::new();
        for (name, indexes) in named {
            let Some((serial, topic)) = topics.iter().find(|(_, it)| it.name == *name) else {
                continue;
            };
            let indexes = indexes.iter().filter_map(|it| u32::try_from(*it).ok());
            let indexes = indexes.filter(|it| *it < topic.partition_count);
            all.extend(indexes.map(|index| PartitionId::new(*serial, index)));
        }
        sorted(all)
    }

    fn begin_session(&mut self, now: Millis, join: &Join) {
        let session_deadline = now.plus(join.session_timeout_ms.max(1));
        let presence = self.presence.entry(join.member.clone());
        let presence = presence.or_insert(Presence {
            session_deadline,
            revoke_deadline: None,
            call_deadline: None,
        });
        presence.session_deadline = session_deadline;
        self.note(session_deadline);
    }

    /// Takes a member on its way; it is to ask for its assignment next.
    pub(super) fn conclude_join(
        &mut self,
        now: Millis,
        admitted: &Admitted,
    ) -> Result<Joined, ErrorKind> {
        let id = &admitted.member;
        if !self.record.members.contains_key(id) {
            return Err(ErrorKind::UnknownMember);
        }
        self.reconcile(now, id, admitted.owned.as_deref());
        let member = &self.record.members[id];
        let classic = member.classic.as_ref().ok_or(ErrorKind::UnknownMember)?;
        let joined = Joined {
            generation: member.epoch,
            protocol_type: CONSUMER_TYPE.to_owned(),
            protocol: classic.protocols[0].0.clone(),
            leader: String::new(),
            member: id.clone(),
            members: Vec::new(),
            skip_assignment: false,
        };
        let deadline = now.plus(member.rebalance_timeout_ms);
        self.expect_call(id, |_| deadline);
        Ok(joined)
    }

    /// When the member's next join or sync must have come.
    fn expect_call(&mut self, id: &str, at: impl FnOnce(Option<Millis>) -> Millis) {
        if let Some(presence) = self.presence.get_mut(id) {
            let deadline = at(presence.call_deadline);
            presence.call_deadline = Some(deadline);
            self.note(deadline);
        }
    }

    /// What a member of the classic protocol is to have.
    pub(super) fn sync(&mut self, now: Millis, sync: &Sync) -> Result<Synced, ErrorKind> {
        let member = self.known(&sync.member, sync.instance.as_deref(), sync.generation)?;
        let classic = member.classic.as_ref().ok_or(ErrorKind::UnknownMember)?;
        let (protocol, metadata) = &classic.protocols[0];
        let differs = |said: &Option<String>, is: &str| said.as_deref().is_some_and(|s| s != is);
        if differs(&sync.protocol_type, CONSUMER_TYPE) || differs(&sync.protocol, protocol) {
            return Err(ErrorKind::InconsistentGroupProtocol);
        }
        if self.record.epoch > member.epoch && member.revoking.is_empty() {
            return Err(self.rejoin(now, &sync.member));
        }
        let assigned = self.by_name(&member.assigned);
        let answer = Synced {
            protocol_type: CONSUMER_TYPE.to_owned(),
            protocol: protocol.clone(),
            assignment: subscription::write_assignment(metadata, &assigned),
        };
        let session_ms = classic.session_timeout_ms;
        if let Some(presence) = self.presence.get_mut(&sync.member) {
            presence.session_deadline = now.plus(session_ms);
            presence.call_deadline = None;
        }
        Ok(answer)
    }

    /// A member of the classic protocol lives. `RebalanceInProgress`: it has to join again, since
    /// there is something new, or something to let go of, or all that it waits for is free.
    pub(super) fn lives(&mut self, now: Millis, beat: &Heartbeat) -> Result<(), ErrorKind> {
        let member = self.known(&beat.member, beat.instance.as_deref(), beat.generation)?;
        let classic = member.classic.as_ref().ok_or(ErrorKind::UnknownMember)?;
        let wanted = without(&member.target, &member.assigned);
        let is_free = wanted.iter().all(|it| !self.held.contains(it));
        let must_rejoin = member.epoch < self.record.epoch
            || !member.revoking.is_empty()
            || (!wanted.is_empty() && is_free);
        let session_ms = classic.session_timeout_ms;
        if let Some(presence) = self.presence.get_mut(&beat.member) {
            presence.session_deadline = now.plus(session_ms);
        }
        match must_rejoin {
            true => Err(self.rejoin(now, &beat.member)),
            false => Ok(()),
        }
    }

    /// Gives the member a while to join again, where it has none yet.
    fn rejoin(&mut self, now: Millis, id: &str) -> ErrorKind {
        let timeout_ms = self.record.members[id].rebalance_timeout_ms;
        self.expect_call(id, |known| known.unwrap_or_else(|| now.plus(timeout_ms)));
        ErrorKind::RebalanceInProgress
    }

    fn known(
        &self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<&ConsumerMember, ErrorKind> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(ErrorKind::UnknownMember),
                Some(owner) if owner != id => return Err(ErrorKind::FencedInstance),
                Some(_) => {}
            }
        }
        let member = self.record.members.get(id);
        let member = member.filter(|it| it.classic.is_some());
        let member = member.ok_or(ErrorKind::UnknownMember)?;
        match generation == member.epoch {
            true => Ok(member),
            false => Err(ErrorKind::IllegalGeneration),
        }
    }
}

impl ClassicMember {
    pub(super) fn offers(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }
}

fn joined(before: &ConsumerMember, join: &Join, subscription: Subscription) -> ConsumerMember {
    let mut topics = subscription.topics;
    topics.sort_unstable();
    topics.dedup();
    ConsumerMember {
        instance: join.instance.clone(),
        rack: subscription.rack,
        client_id: clipped(&join.client_id).to_owned(),
        client_host: clipped(&join.client_host).to_owned(),
        rebalance_timeout_ms: join.rebalance_timeout_ms.clamp(1, MAX_REBALANCE_TIMEOUT_MS),
        topics,
        pattern: None,
        assignor: None,
        classic: Some(ClassicMember {
            session_timeout_ms: join.session_timeout_ms.max(1),
            protocols: kept(&join.protocols),
        }),
        ..before.clone()
    }
}
