//! JoinGroup: new members, members that come back, static members that were replaced.

use bytes::Bytes;
use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    classic::{Group, GroupState, Member, Step, metadata_bytes},
    config::{
        GroupConfig, MAX_CLIENT_TEXT_BYTES, MAX_INSTANCE_ID_BYTES, MAX_METADATA_BYTES,
        MAX_PROTOCOL_COUNT, MAX_PROTOCOL_NAME_BYTES, NEW_MEMBER_TIMEOUT_MS,
    },
    coordinator::{Action, Coordinator, check_group_id},
};
use crate::api::{Join, JoinRefused};

/// Longest wait that a client can ask for, in ms: what its wire format holds.
pub(super) const MAX_REBALANCE_TIMEOUT_MS: u64 = i32::MAX as u64;

impl<T> Coordinator<T> {
    /// A member joins; the answer comes when the generation begins. `new_member_suffix` is
    /// random and makes a new member's id unique.
    pub fn join(
        &mut self,
        now: Millis,
        join: Join,
        reply: T,
        new_member_suffix: u128,
        out: &mut Vec<Action<T>>,
    ) {
        if let Err(error) = self.admit(&join) {
            let member = join.member;
            out.push(Action::AnswerJoin(
                reply,
                Err(JoinRefused { error, member }),
            ));
            return;
        }
        let id = join.group.clone();
        self.with_group(now, &id, out, |group, step| {
            group.join(step, join, reply, new_member_suffix);
        })
        .expect("an admitted join has its group");
    }

    /// Checks what the request says for itself and makes the group for a first join.
    fn admit(&mut self, join: &Join) -> Result<(), ErrorKind> {
        check_group_id(&join.group)?;
        check_join(join, self.config())?;
        if join.member.is_empty() {
            self.open_group(&join.group)
        } else if self.group(&join.group).is_some() {
            Ok(())
        } else {
            Err(ErrorKind::UnknownMember)
        }
    }
}

pub(super) fn check_join(join: &Join, config: &GroupConfig) -> Result<(), ErrorKind> {
    let sessions = config.min_session_timeout_ms..=config.max_session_timeout_ms;
    if !sessions.contains(&join.session_timeout_ms) {
        return Err(ErrorKind::InvalidSessionTimeout);
    }
    if join.protocol_type.is_empty() || join.protocols.is_empty() {
        return Err(ErrorKind::InconsistentGroupProtocol);
    }
    let is_long = |name: &str| name.len() > MAX_PROTOCOL_NAME_BYTES;
    let instance = join.instance.as_deref();
    if is_long(&join.protocol_type)
        || join.protocols.len() > MAX_PROTOCOL_COUNT
        || join.protocols.iter().any(|(name, _)| is_long(name))
        || metadata_bytes(&join.protocols) > MAX_METADATA_BYTES
        || instance.is_some_and(|id| id.is_empty() || id.len() > MAX_INSTANCE_ID_BYTES)
    {
        return Err(ErrorKind::InvalidRequest);
    }
    Ok(())
}

impl<T> Group<T> {
    fn join(&mut self, step: &mut Step<'_, T>, join: Join, reply: T, suffix: u128) {
        if let Err(error) = self.check_fit(step, &join) {
            step.refuse_join(reply, error, &join.member);
        } else if join.member.is_empty() {
            self.join_unknown(step, join, reply, suffix);
        } else if join.instance.is_none() && self.pending.remove(&join.member).is_some() {
            let id = join.member.clone();
            self.add_member(step, join, reply, id);
        } else {
            self.join_known(step, &join, reply);
        }
    }

    fn check_fit(&self, step: &Step<'_, T>, join: &Join) -> Result<(), ErrorKind> {
        let replaced = join
            .instance
            .as_ref()
            .and_then(|instance| self.instances.get(instance));
        let id = replaced
            .filter(|_| join.member.is_empty())
            .unwrap_or(&join.member);
        if !self.has_room(id, step.config) {
            return Err(ErrorKind::GroupMaxSizeReached);
        }
        if !self.supports(&join.protocol_type, &join.protocols) {
            return Err(ErrorKind::InconsistentGroupProtocol);
        }
        let others = self.members.iter().filter(|(other, _)| *other != id);
        let others_bytes: usize = others.map(|(_, member)| member.metadata_bytes()).sum();
        if others_bytes + metadata_bytes(&join.protocols) > MAX_METADATA_BYTES {
            return Err(ErrorKind::GroupMaxSizeReached);
        }
        Ok(())
    }

    fn join_unknown(&mut self, step: &mut Step<'_, T>, join: Join, reply: T, suffix: u128) {
        let id = new_member_id(&join, suffix);
        if self.members.contains_key(&id) || self.pending.contains_key(&id) {
            // The source of randomness repeats itself; the client tries again.
            step.refuse_join(reply, ErrorKind::CoordinatorLoading, "");
            return;
        }
        let replaced = join
            .instance
            .as_ref()
            .and_then(|instance| self.instances.get(instance));
        if let Some(old) = replaced.cloned() {
            self.replace_static(step, join, reply, &old, id);
        } else if join.instance.is_none() && join.require_known_member {
            if self.pending.len() >= step.config.max_member_count {
                step.refuse_join(reply, ErrorKind::GroupMaxSizeReached, "");
                return;
            }
            let forgotten_at = step.now.plus(join.session_timeout_ms.max(1));
            self.pending.insert(id.clone(), forgotten_at);
            step.refuse_join(reply, ErrorKind::MemberIdRequired, &id);
        } else {
            self.add_member(step, join, reply, id);
        }
    }

    fn add_member(&mut self, step: &mut Step<'_, T>, join: Join, reply: T, id: String) {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&join.protocol_type);
            self.leader = Some(id.clone());
        }
        if let Some(instance) = &join.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        let member = Member {
            arrival: self.take_arrival(),
            instance: join.instance,
            client_id: clipped(&join.client_id).to_owned(),
            client_host: clipped(&join.client_host).to_owned(),
            session_timeout_ms: join.session_timeout_ms.max(1),
            rebalance_timeout_ms: join.rebalance_timeout_ms.clamp(1, MAX_REBALANCE_TIMEOUT_MS),
            protocols: kept(&join.protocols),
            can_skip_assignment: join.can_skip_assignment,
            assignment: Bytes::new(),
            awaiting_join: Some(reply),
            awaiting_sync: None,
            is_new: true,
            owes_sync: false,
            session_deadline: step.now.plus(NEW_MEMBER_TIMEOUT_MS),
        };
        self.members.insert(id, member);
        if let Some(wait) = &mut self.join_wait {
            wait.has_newcomer = true;
        }
        self.rebalance_or_go_on(step);
    }

    fn join_known(&mut self, step: &mut Step<'_, T>, join: &Join, reply: T) {
        if let Err(error) = self.check_member(&join.member, join.instance.as_deref()) {
            step.refuse_join(reply, error, &join.member);
            return;
        }
        let member = self.members.get(&join.member);
        let is_unchanged = member.is_some_and(|member| member.protocols == join.protocols);
        let is_answered_at_once = match self.state {
            GroupState::PreparingRebalance => false,
            GroupState::CompletingRebalance => is_unchanged,
            // A leader that comes back wants to assign anew.
            GroupState::Stable => is_unchanged && !self.is_leader(&join.member),
            GroupState::Empty | GroupState::Dead => false,
        };
        if is_answered_at_once {
            let answer = self.joined(&join.member);
            let known = self.members.get_mut(&join.member);
            let member = known.expect("a checked member is a member");
            member.refresh(step.now);
            if let Some(earlier) = member.awaiting_join.take() {
                // It was replaced and its record is on the way, which this join waits for too.
                member.awaiting_join = Some(reply);
                step.refuse_join(earlier, ErrorKind::RebalanceInProgress, &join.member);
            } else {
                step.answer_join(reply, Ok(answer));
            }
            return;
        }
        self.update_member(step, join, reply);
        self.rebalance_or_go_on(step);
    }

    /// Takes over what a known member's new join says.
    fn update_member(&mut self, step: &mut Step<'_, T>, join: &Join, reply: T) {
        let Some(member) = self.members.get_mut(&join.member) else {
            step.refuse_join(reply, ErrorKind::UnknownMember, &join.member);
            return;
        };
        member.protocols = kept(&join.protocols);
        member.can_skip_assignment = join.can_skip_assignment;
        member.session_timeout_ms = join.session_timeout_ms.max(1);
        member.rebalance_timeout_ms = join.rebalance_timeout_ms.clamp(1, MAX_REBALANCE_TIMEOUT_MS);
        if !member.is_new {
            member.refresh(step.now);
        }
        if let Some(earlier) = member.awaiting_join.replace(reply) {
            step.refuse_join(earlier, ErrorKind::RebalanceInProgress, &join.member);
        }
    }

    fn rebalance_or_go_on(&mut self, step: &mut Step<'_, T>) {
        if self.state == GroupState::PreparingRebalance {
            self.try_complete_join(step);
        } else {
            self.prepare_rebalance(step);
        }
    }

    /// A static member came back without its id: it gets a new one, and who had the old one is
    /// fenced. A stable group goes on with its generation where the protocol stays.
    fn replace_static(
        &mut self,
        step: &mut Step<'_, T>,
        mut join: Join,
        reply: T,
        old: &str,
        new: String,
    ) {
        let mut member = self
            .members
            .remove(old)
            .expect("an instance's member is a member");
        if let Some(fenced) = member.awaiting_join.take() {
            step.refuse_join(fenced, ErrorKind::FencedInstance, old);
        }
        if let Some(fenced) = member.awaiting_sync.take() {
            step.answer_sync(fenced, Err(ErrorKind::FencedInstance));
        }
        let instance = member
            .instance
            .clone()
            .expect("a static member has an instance id");
        member.client_id = clipped(&join.client_id).to_owned();
        member.client_host = clipped(&join.client_host).to_owned();
        self.members.insert(new.clone(), member);
        self.instances.insert(instance, new.clone());
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        join.member = new;
        self.update_member(step, &join, reply);
        if self.state == GroupState::Stable && self.elected_protocol() == self.protocol {
            self.emit_record(step);
        } else {
            self.rebalance_or_go_on(step);
        }
    }
}

/// The id of a member that comes without one.
pub(super) fn new_member_id(join: &Join, suffix: u128) -> String {
    let prefix = join.instance.as_deref().unwrap_or(&join.client_id);
    let unique = uuid::Builder::from_random_bytes(suffix.to_be_bytes()).into_uuid();
    format!("{}-{unique}", clipped(prefix))
}

/// Copies out of the request's buffer, which would otherwise live as long as the member.
pub(super) fn kept(protocols: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
    let copy =
        |(name, metadata): &(String, Bytes)| (name.clone(), Bytes::copy_from_slice(metadata));
    protocols.iter().map(copy).collect()
}

/// The first [`MAX_CLIENT_TEXT_BYTES`] of a client's own words.
fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_CLIENT_TEXT_BYTES)]
}
