//! Members and their groups' coordinators: they join, tell that they live, and leave.

use weir_broker::api::{ConsumerBeat, Outcome, Refused, Request, ShareHeartbeat};
use weir_model::ErrorKind;

use super::state::{ShareAsked, group_name};
use crate::{
    campaign::cluster::{
        answers::{What, wrong_answer},
        run::Cluster,
    },
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// The epoch of a member that joins.
const JOINS: i32 = 0;
/// The epoch of one that leaves.
const LEAVES: i32 = -1;
/// Longest time between two heartbeats, in ms: less than members are told.
const MAX_BEAT_MS: u64 = 3_000;
/// A member that was heard of so recently, in ms, is not given up: the session's 45 s, by a clock
/// that is as fast as any here.
const SESSION_MS: u64 = 42_000;

impl Cluster<'_> {
    /// Tells the coordinator that the member lives, where it is time; or that it joins.
    pub(super) fn beat_when_due(&mut self, member: usize) {
        let it = &self.shares.members[member];
        if !it.is_beating && (it.epoch == JOINS || it.beat_at_ms <= self.now_ms) {
            self.beat(member, false);
        }
    }

    /// Whether it got as far as to the coordinator.
    pub(super) fn beat(&mut self, member: usize, leaves: bool) -> bool {
        let it = &self.shares.members[member];
        let (client, group, name) = (it.client, it.group, it.name());
        let epoch = if leaves { LEAVES } else { it.epoch };
        let Some(coordinator) = self.coordinator(client, &group_name(group)) else {
            return false;
        };
        let topics = (epoch == JOINS).then(|| self.topics_of(group));
        let request = Request::ShareHeartbeat(ShareHeartbeat {
            group: group_name(group),
            member: name,
            epoch,
            rack: None,
            topics: topics.map(|topics| {
                let names = topics.map(|topic| format!("topic-{topic}"));
                names.collect()
            }),
            client_id: format!("client-{client}"),
            client_host: "sim".to_owned(),
        });
        let sent_ms = self.now_ms;
        let asked = ShareAsked::Beat {
            member,
            sent_ms,
            leaves,
        };
        let is_asked = self.ask(coordinator, client, request, What::Share(asked));
        self.shares.members[member].is_beating = is_asked;
        if !is_asked {
            self.forget_coordinators(client);
        }
        is_asked
    }

    /// Topics that the group reads.
    pub(super) fn topics_of(&self, group: usize) -> std::ops::Range<usize> {
        match self.plan.shares.groups[group].is_narrow {
            true => 0..1,
            false => 0..self.plan.topics.len(),
        }
    }

    pub(super) fn beat_unsure(&mut self, member: usize) {
        let it = &mut self.shares.members[member];
        it.is_beating = false;
        let client = it.client;
        self.forget_coordinators(client);
    }

    pub(super) fn beat_answered(
        &mut self,
        member: usize,
        (sent_ms, leaves): (u64, bool),
        outcome: Outcome,
    ) -> Result<(), Broken> {
        self.shares.members[member].is_beating = false;
        let Outcome::ConsumerBeat(answer) = outcome else {
            return Err(wrong_answer("a share group's heartbeat"));
        };
        match answer {
            Ok(beat) if leaves => {
                let it = &self.shares.members[member];
                if beat.member == it.name() {
                    self.forget_membership(member);
                }
                Ok(())
            }
            Ok(beat) => self.beaten(member, sent_ms, beat),
            Err(refused) => self.beat_refused(member, leaves, &refused),
        }
    }

    fn beaten(&mut self, member: usize, sent_ms: u64, beat: ConsumerBeat) -> Result<(), Broken> {
        let now_ms = self.now_ms;
        let it = &mut self.shares.members[member];
        if it.epoch == JOINS {
            self.counts.add("share_members_joined", 1);
        }
        let is_back = beat.epoch < it.epoch;
        if is_back || beat.member != it.name() {
            let detail = format!("{}: {beat:?} after epoch {}", it.name(), it.epoch);
            return Err(broken(oracle_name::OWNERS, detail));
        }
        it.epoch = beat.epoch;
        it.alive_ms = sent_ms;
        it.beat_at_ms = now_ms + u64::from(beat.interval_ms).min(MAX_BEAT_MS);
        let group = it.group;
        let Some(assignment) = beat.assignment else {
            return Ok(());
        };
        let pairs = assignment.into_iter();
        let pairs = pairs.flat_map(|(id, indexes)| indexes.into_iter().map(move |at| (id, at)));
        self.shares.members[member].assigned = pairs.collect();
        let topics = self.topics_of(group);
        let known = &self.shares.topics;
        let assigned = self.shares.members[member].assigned.iter();
        let mut known = assigned.filter_map(|(id, _)| known.get(id));
        if let Some(other) = known.find(|topic| !topics.contains(topic)) {
            let detail = format!("member {member} is to read topic {other}, and wants {topics:?}");
            return Err(broken(oracle_name::OWNERS, detail));
        }
        Ok(())
    }

    fn beat_refused(
        &mut self,
        member: usize,
        leaves: bool,
        refused: &Refused,
    ) -> Result<(), Broken> {
        let it = &self.shares.members[member];
        let client = it.client;
        match refused.error {
            // Those who leave may have left: an answer was lost.
            ErrorKind::UnknownMember | ErrorKind::GroupNotFound if leaves => {
                self.forget_membership(member);
                Ok(())
            }
            ErrorKind::UnknownMember | ErrorKind::GroupNotFound => {
                let silent_ms = self.now_ms.saturating_sub(it.alive_ms);
                let detail = format!("{} is {refused:?}, heard {silent_ms} ms ago", it.name());
                self.counts.add("share_members_lost", 1);
                self.forget_membership(member);
                match silent_ms < SESSION_MS {
                    true => Err(broken(oracle_name::OWNERS, detail)),
                    false => Ok(()),
                }
            }
            // Answers with newer epochs were lost.
            ErrorKind::FencedMemberEpoch => {
                self.forget_membership(member);
                Ok(())
            }
            error => {
                self.forget_coordinators(client);
                self.check_error(error, false, "a share group's member")
            }
        }
    }

    /// It is in no group any more.
    fn forget_membership(&mut self, member: usize) {
        let it = &mut self.shares.members[member];
        it.epoch = JOINS;
        it.assigned.clear();
    }
}
