//! Consumer groups: members that join, sync and live, and offsets that they commit.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_broker::api::{
    CommittedOffset, FetchedOffset, Heartbeat, Join, JoinRefused, Joined, Leave, OffsetCommit,
    OffsetFetch, Request, Sync, Synced, TopicRef,
};
use weir_model::ErrorKind;

use super::{
    answers::{Asked, wrong_answer},
    books::Place,
    clients::topic_ref,
    run::Run,
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

const SESSION_TIMEOUT_MS: u64 = 30_000;
const REBALANCE_TIMEOUT_MS: u64 = 5_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Out,
    /// Has joined, and brings assignments for these where it leads.
    Joined {
        generation: i32,
        assigns: Vec<String>,
    },
    Stable {
        generation: i32,
    },
}

/// A member as it sees itself.
#[derive(Clone, Debug, Default)]
struct Member {
    id: String,
    state: State,
    is_waiting: bool,
    /// Wall-clock time of its last sign of life, in ms.
    lived_at_ms: i64,
}

/// Offsets of one partition: values only grow.
#[derive(Clone, Copy, Debug, Default)]
struct Commits {
    tried: i64,
    kept: i64,
}

/// A group as its members see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    members: Vec<Member>,
    /// Generation of the last assignment that was answered.
    generation: i32,
    /// All members are stable in one generation, and nobody came or went since.
    is_quiet: bool,
    commits: BTreeMap<Place, Commits>,
}

impl Group {
    pub(super) fn new(member_count: usize) -> Self {
        Self {
            members: vec![Member::default(); member_count],
            ..Self::default()
        }
    }

    fn look(&mut self) {
        let generation = self.generation;
        let inside = || self.members.iter().filter(|member| !member.id.is_empty());
        let all_stable = inside().all(|m| m.state == State::Stable { generation });
        let nobody_waits = self.members.iter().all(|member| !member.is_waiting);
        self.is_quiet = all_stable && nobody_waits && inside().next().is_some();
    }

    /// What was under way is gone with the node.
    pub(super) fn forget_in_flight(&mut self) {
        for member in &mut self.members {
            member.is_waiting = false;
        }
    }

    pub(super) fn disturb(&mut self) {
        self.is_quiet = false;
    }
}

fn group_name(group: usize) -> String {
    format!("group-{group}")
}

/// What a member is assigned: it can tell whether it is its own.
fn assignment(member: &str, generation: i32) -> Bytes {
    Bytes::from(format!("{member} in {generation}"))
}

fn note(value: i64) -> String {
    format!("at {value}")
}

impl Run<'_> {
    pub(super) fn turn_member(&mut self, group: usize, at: usize, leaves: bool) {
        let member = self.groups[group].members[at].clone();
        if member.is_waiting {
            return;
        }
        if leaves && !member.id.is_empty() {
            self.groups[group].disturb();
            self.groups[group].members[at].is_waiting = true;
            let leave = Leave {
                group: group_name(group),
                members: vec![(member.id, None)],
            };
            return self.ask(
                Request::LeaveGroup(leave),
                Asked::Leave { group, member: at },
            );
        }
        match member.state {
            State::Out => self.join(group, at, member.id),
            State::Joined {
                generation,
                assigns,
            } => self.sync(group, at, member.id, generation, assigns),
            State::Stable { generation } => self.beat(group, at, member.id, generation, false),
        }
    }

    fn join(&mut self, group: usize, at: usize, id: String) {
        self.groups[group].disturb();
        self.groups[group].members[at].is_waiting = true;
        let join = Join {
            group: group_name(group),
            member: id,
            instance: None,
            client_id: format!("client-{at}"),
            client_host: "sim".to_owned(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(b"all"))],
            require_known_member: true,
            can_skip_assignment: false,
        };
        self.ask(Request::JoinGroup(join), Asked::Join { group, member: at });
    }

    fn sync(&mut self, group: usize, at: usize, id: String, generation: i32, all: Vec<String>) {
        self.groups[group].members[at].is_waiting = true;
        let assign = |member: String| {
            let bytes = assignment(&member, generation);
            (member, bytes)
        };
        let sync = Sync {
            group: group_name(group),
            generation,
            member: id,
            instance: None,
            protocol_type: None,
            protocol: None,
            assignments: all.into_iter().map(assign).collect(),
        };
        let asked = Asked::Sync {
            group,
            member: at,
            generation,
        };
        self.ask(Request::SyncGroup(sync), asked);
    }

    fn beat(&mut self, group: usize, at: usize, id: String, generation: i32, must_succeed: bool) {
        self.groups[group].members[at].is_waiting = true;
        let heartbeat = Heartbeat {
            group: group_name(group),
            generation,
            member: id,
            instance: None,
        };
        let asked = Asked::Heartbeat {
            group,
            member: at,
            must_succeed,
        };
        self.ask(Request::Heartbeat(heartbeat), asked);
    }

    /// After a start: members of groups that were quiet go on in their generation.
    pub(super) fn beat_again(&mut self) {
        let now_ms = self.host.clock.now_ms();
        for group in 0..self.groups.len() {
            let members = self.groups[group].members.clone();
            let lives = |m: &Member| {
                m.id.is_empty()
                    || now_ms < m.lived_at_ms.saturating_add_unsigned(SESSION_TIMEOUT_MS)
            };
            if !self.groups[group].is_quiet || !members.iter().all(lives) {
                continue;
            }
            for (at, member) in members.into_iter().enumerate() {
                if let State::Stable { generation } = member.state {
                    self.host.counts.add("sessions_continued", 1);
                    self.beat(group, at, member.id, generation, true);
                }
            }
        }
    }

    /// The member knows from an error where it stands.
    fn refused(&mut self, group: usize, at: usize, error: ErrorKind) -> Result<(), Broken> {
        let member = &mut self.groups[group].members[at];
        member.is_waiting = false;
        match error {
            ErrorKind::RebalanceInProgress | ErrorKind::IllegalGeneration => {
                member.state = State::Out;
                Ok(())
            }
            ErrorKind::UnknownMember => {
                *member = Member::default();
                Ok(())
            }
            _ => {
                member.state = State::Out;
                self.explained(error, "a member")
            }
        }
    }

    pub(super) fn hear_joined(
        &mut self,
        group: usize,
        at: usize,
        joined: Result<Joined, JoinRefused>,
    ) -> Result<(), Broken> {
        let joined = match joined {
            Ok(joined) => joined,
            Err(refused) if refused.error == ErrorKind::MemberIdRequired => {
                let member = &mut self.groups[group].members[at];
                member.is_waiting = false;
                member.id = refused.member;
                return Ok(());
            }
            Err(refused) => return self.refused(group, at, refused.error),
        };
        let before = self.groups[group].generation;
        if joined.generation < before || joined.generation < 1 {
            let detail = format!(
                "group {group}: generation {} behind {before}",
                joined.generation
            );
            return Err(broken(oracle_name::LOST, detail));
        }
        self.host.counts.add("members_joined", 1);
        let member = &mut self.groups[group].members[at];
        member.is_waiting = false;
        member.id = joined.member;
        member.state = State::Joined {
            generation: joined.generation,
            assigns: joined.members.into_iter().map(|m| m.member).collect(),
        };
        Ok(())
    }

    pub(super) fn hear_synced(
        &mut self,
        group: usize,
        at: usize,
        generation: i32,
        synced: Result<Synced, ErrorKind>,
    ) -> Result<(), Broken> {
        let synced = match synced {
            Ok(synced) => synced,
            Err(error) => return self.refused(group, at, error),
        };
        let now_ms = self.host.clock.now_ms();
        let group = &mut self.groups[group];
        let member = &mut group.members[at];
        if synced.assignment != assignment(&member.id, generation) {
            let detail = format!("{member:?} is assigned {:?}", synced.assignment);
            return Err(broken(oracle_name::INVENTED, detail));
        }
        member.is_waiting = false;
        member.state = State::Stable { generation };
        member.lived_at_ms = now_ms;
        group.generation = group.generation.max(generation);
        group.look();
        Ok(())
    }

    pub(super) fn hear_heartbeat(
        &mut self,
        group: usize,
        at: usize,
        must_succeed: bool,
        answer: Result<(), ErrorKind>,
    ) -> Result<(), Broken> {
        let Err(error) = answer else {
            let now_ms = self.host.clock.now_ms();
            let group = &mut self.groups[group];
            group.members[at].is_waiting = false;
            group.members[at].lived_at_ms = now_ms;
            group.look();
            return Ok(());
        };
        if must_succeed && self.explained(error, "").is_err() {
            let detail = format!("group {group} member {at} is told {error:?} after a restart");
            return Err(broken(oracle_name::LOST, detail));
        }
        self.refused(group, at, error)
    }

    pub(super) fn hear_left(
        &mut self,
        group: usize,
        at: usize,
        answer: Result<Vec<Result<(), ErrorKind>>, ErrorKind>,
    ) -> Result<(), Broken> {
        let answer = answer.and_then(|answers| answers.first().copied().unwrap_or(Ok(())));
        match answer {
            Ok(()) => {
                self.groups[group].members[at] = Member::default();
                Ok(())
            }
            Err(error) => self.refused(group, at, error),
        }
    }

    pub(super) fn commit(&mut self, group: usize, at: Option<usize>, place: Place) {
        let member = at.map(|at| self.groups[group].members[at].clone());
        let (member, generation) = match member {
            Some(Member {
                id,
                state: State::Stable { generation },
                ..
            }) => (id, generation),
            Some(_) => return,
            None => (String::new(), -1),
        };
        let commits = self.groups[group].commits.entry(place).or_default();
        commits.tried += 1;
        let value = commits.tried;
        let commit = OffsetCommit {
            knows_epochs: false,
            group: group_name(group),
            generation,
            member,
            instance: None,
            offsets: vec![CommittedOffset {
                topic: topic_ref(place.0),
                index: i32::try_from(place.1).unwrap_or(-1),
                offset: value,
                leader_epoch: -1,
                metadata: note(value),
            }],
        };
        let asked = Asked::Commit {
            group,
            place,
            value,
        };
        self.ask(Request::OffsetCommit(commit), asked);
    }

    pub(super) fn hear_commit(
        &mut self,
        group: usize,
        place: Place,
        value: i64,
        answers: &[Result<(), ErrorKind>],
    ) -> Result<(), Broken> {
        match answers.first() {
            Some(Ok(())) => {
                self.host.counts.add("offsets_committed", 1);
                let commits = self.groups[group].commits.entry(place).or_default();
                commits.kept = commits.kept.max(value);
                Ok(())
            }
            Some(Err(
                ErrorKind::UnknownMember
                | ErrorKind::IllegalGeneration
                | ErrorKind::RebalanceInProgress,
            )) => Ok(()),
            Some(Err(ErrorKind::UnknownTopicOrPartition)) if !self.created.contains(&place.0) => {
                Ok(())
            }
            Some(Err(error)) => self.explained(*error, "a commit"),
            None => Err(wrong_answer("a commit")),
        }
    }

    pub(super) fn ask_committed(&mut self, group: usize) {
        let commits = &self.groups[group].commits;
        let at_least = commits.iter().map(|(place, c)| (*place, c.kept)).collect();
        let wanted = OffsetFetch {
            member: None,
            tells_ids: false,
            require_stable: false,
            group: group_name(group),
            partitions: None,
        };
        let asked = Asked::Committed { group, at_least };
        self.ask(Request::OffsetFetch(vec![wanted]), asked);
    }

    /// Offsets are those of the last acknowledged commit, or of one behind it.
    pub(super) fn hear_committed(
        &mut self,
        group: usize,
        at_least: &BTreeMap<Place, i64>,
        mut answers: Vec<Result<Vec<FetchedOffset>, ErrorKind>>,
    ) -> Result<(), Broken> {
        let found = match answers.pop() {
            Some(Ok(found)) => found,
            Some(Err(error)) => return self.explained(error, "committed offsets"),
            None => return Err(wrong_answer("committed offsets")),
        };
        let mut values: BTreeMap<Place, i64> = BTreeMap::new();
        for one in found {
            let value = one.offset.unwrap_or(-1);
            let place = place_of(&one).ok_or_else(|| wrong_answer("committed offsets"))?;
            let commits = self.groups[group].commits.entry(place).or_default();
            if one.metadata != note(value) || value > commits.tried {
                let detail = format!("group {group}: {one:?}, tried {commits:?}");
                return Err(broken(oracle_name::INVENTED, detail));
            }
            commits.kept = commits.kept.max(value);
            values.insert(place, value);
        }
        if !self.node().is_ready() {
            return Ok(());
        }
        for (place, least) in at_least {
            let value = values.get(place).copied().unwrap_or(0);
            if value < *least {
                let detail = format!("group {group}: {place:?} is at {value}, was at {least}");
                return Err(broken(oracle_name::LOST, detail));
            }
        }
        Ok(())
    }
}

fn place_of(one: &FetchedOffset) -> Option<Place> {
    let TopicRef::Name(name) = &one.topic else {
        return None;
    };
    let topic = name.as_str().strip_prefix("topic-")?.parse().ok()?;
    Some((topic, u32::try_from(one.index).ok()?))
}
