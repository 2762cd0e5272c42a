//! Clients that speak the classic protocol, and the way of their requests to the group.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::world::*;
use crate::group::{Action, GroupState, subscription};

pub(super) const CLASSIC_SESSION_MS: u64 = 10_000;

/// A client as Java's is, as far as groups go.
#[derive(Clone, Debug)]
pub(super) struct ClassicClient {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) topics: Vec<String>,
    /// It keeps what it has while it joins again.
    pub(super) is_cooperative: bool,
    pub(super) generation: i32,
    pub(super) owned: Vec<PartitionId>,
    pub(super) waits: Waits,
    /// Another has its instance id.
    pub(super) is_fenced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// It is to join.
    No,
    Join(u64),
    Sync(u64),
    /// In the generation.
    In,
}

impl ClassicClient {
    pub(super) fn new(topics: &[&str], is_cooperative: bool) -> Self {
        Self {
            id: String::new(),
            instance: None,
            topics: topics.iter().map(|it| (*it).to_owned()).collect(),
            is_cooperative,
            generation: -1,
            owned: Vec::new(),
            waits: Waits::No,
            is_fenced: false,
        }
    }

    pub(super) fn protocol(&self) -> &'static str {
        match self.is_cooperative {
            true => "cooperative-sticky",
            false => "range",
        }
    }

    pub(super) fn join(&self, topics: &Topics) -> Join {
        Join {
            group: GROUP.to_owned(),
            member: self.id.clone(),
            instance: self.instance.clone(),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: CLASSIC_SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            protocol_type: "consumer".to_owned(),
            protocols: vec![(
                self.protocol().to_owned(),
                metadata(&self.topics, &named(topics, &self.owned)),
            )],
            require_known_member: true,
            can_skip_assignment: true,
        }
    }

    fn lose_all(&mut self) {
        self.id.clear();
        self.generation = -1;
        self.owned.clear();
        self.waits = Waits::No;
    }

    fn hear_error(&mut self, error: ErrorKind) {
        match error {
            ErrorKind::RebalanceInProgress | ErrorKind::CoordinatorLoading => {}
            ErrorKind::NotLeader | ErrorKind::NotCoordinator => {}
            ErrorKind::UnknownMember | ErrorKind::IllegalGeneration => self.lose_all(),
            ErrorKind::FencedInstance => self.is_fenced = true,
            other => panic!("{other:?}"),
        }
        self.waits = Waits::No;
    }
}

pub(super) fn named(topics: &Topics, partitions: &[PartitionId]) -> subscription::Named {
    let known = partitions.iter().filter_map(|it| {
        let topic = topics.by_serial.get(&it.topic_serial())?;
        let index = i32::try_from(it.index()).unwrap();
        Some((topic.name.clone(), vec![index]))
    });
    known.collect()
}

/// A subscription, version 1.
pub(super) fn metadata(topics: &[String], owned: &subscription::Named) -> Bytes {
    let mut out = BytesMut::new();
    let length = |count: usize| i32::try_from(count).unwrap();
    let text = |out: &mut BytesMut, text: &str| {
        out.put_i16(i16::try_from(text.len()).unwrap());
        out.put_slice(text.as_bytes());
    };
    out.put_i16(1);
    out.put_i32(length(topics.len()));
    topics.iter().for_each(|topic| text(&mut out, topic));
    out.put_i32(-1);
    out.put_i32(length(owned.len()));
    for (topic, indexes) in owned {
        text(&mut out, topic);
        out.put_i32(length(indexes.len()));
        indexes.iter().for_each(|index| out.put_i32(*index));
    }
    out.freeze()
}

/// What a leader assigns: partitions in turn, but for those that another member has not let go of.
fn assign(joined: &Joined, topics: &Topics) -> Vec<(String, Bytes)> {
    let read = |it: &crate::api::JoinedMember| subscription::read(&it.metadata).unwrap();
    let members: Vec<_> = joined.members.iter().map(|it| (it, read(it))).collect();
    let mut given: BTreeMap<&str, subscription::Named> = BTreeMap::new();
    for topic in topics.by_serial.values() {
        let readers = members
            .iter()
            .filter(|(_, it)| it.topics.contains(&topic.name));
        let readers: Vec<_> = readers.collect();
        for index in 0..topic
            .partition_count
            .min(u32::MAX * u32::from(!readers.is_empty()))
        {
            let (reader, _) = readers[usize::try_from(index).unwrap() % readers.len()];
            let one = (topic.name.clone(), vec![i32::try_from(index).unwrap()]);
            let mut others = members.iter().filter(|(it, _)| it.member != reader.member);
            if !others.any(|(_, it)| it.owned.contains(&one)) {
                given.entry(&reader.member).or_default().push(one);
            }
        }
    }
    let bytes = |(it, _): &(&crate::api::JoinedMember, _)| {
        let own = given.get(it.member.as_str()).cloned().unwrap_or_default();
        (
            it.member.clone(),
            subscription::write_assignment(&it.metadata, &own),
        )
    };
    members.iter().map(bytes).collect()
}

impl World {
    pub(super) fn upgrade(&mut self, beat: ConsumerHeartbeat, token: u64) {
        let stored = self.table.consumer(GROUP);
        let upgraded = self.classic.upgraded(self.now, &self.topics, GROUP, stored);
        let checked = upgraded.and_then(|record| {
            let coordinator = &self.coordinator;
            let checked = coordinator.check_upgrade(self.now, &self.topics, &record, &beat);
            checked.map(|()| record)
        });
        match checked {
            Err(refused) => drop(self.answers.insert(token, Err(refused))),
            Ok(record) => {
                let (mut dismissed, mut out) = (Vec::new(), Vec::new());
                self.classic.hand_over(GROUP, &mut dismissed);
                self.take_classic(dismissed);
                let asked = (beat, token);
                self.coordinator
                    .upgrade(self.now, &self.topics, record, asked, &mut out);
                self.take(out);
            }
        }
    }

    fn take_classic(&mut self, mut out: Vec<Action<u64>>) {
        while !out.is_empty() {
            let mut next = Vec::new();
            for action in out {
                match action {
                    Action::AnswerJoin(token, answer) => {
                        assert!(self.joins.insert(token, answer).is_none(), "answered twice");
                    }
                    Action::AnswerSync(token, answer) => {
                        assert!(self.syncs.insert(token, answer).is_none(), "answered twice");
                    }
                    Action::Persist { persist, record } => {
                        self.table.apply(record);
                        let classic = &mut self.classic;
                        classic.persisted(self.now, GROUP, persist, Ok(()), &mut next);
                    }
                }
            }
            out = next;
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let classic = self.classic.next_deadline();
        classic
            .into_iter()
            .chain(self.coordinator.next_deadline())
            .min()
    }

    pub(super) fn pass_for_classic(&mut self) {
        let mut out = Vec::new();
        self.classic.handle_timeout(self.now, &mut out);
        self.take_classic(out);
    }

    pub(super) fn fail_over_classic(&mut self) {
        let mut out = Vec::new();
        self.classic.unload(&mut out);
        self.take_classic(out);
        self.classic.restore(self.now, self.table.records());
    }

    pub(super) fn join(&mut self, join: Join) -> u64 {
        self.next_token += 1;
        let token = self.next_token;
        let suffix = u128::from(token) << 64 | 0xabcd;
        if self.coordinator.forget(GROUP) {
            let mut out = Vec::new();
            self.classic.join(self.now, join, token, suffix, &mut out);
            self.take_classic(out);
        } else {
            let mut out = Vec::new();
            let asked = (join, suffix);
            self.coordinator
                .join(self.now, &self.topics, asked, token, &mut out);
            self.take(out);
        }
        token
    }

    pub(super) fn sync(&mut self, client: &ClassicClient, given: Vec<(String, Bytes)>) -> u64 {
        self.next_token += 1;
        let token = self.next_token;
        let sync = Sync {
            group: GROUP.to_owned(),
            generation: client.generation,
            member: client.id.clone(),
            instance: client.instance.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol: Some(client.protocol().to_owned()),
            assignments: given,
        };
        if self.coordinator.contains(GROUP) {
            let mut out = Vec::new();
            self.coordinator
                .sync(self.now, &self.topics, sync, token, &mut out);
            self.take(out);
        } else {
            let mut out = Vec::new();
            self.classic.sync(self.now, sync, token, &mut out);
            self.take_classic(out);
        }
        token
    }

    pub(super) fn live(&mut self, client: &ClassicClient) -> Result<(), ErrorKind> {
        let heartbeat = Heartbeat {
            group: GROUP.to_owned(),
            generation: client.generation,
            member: client.id.clone(),
            instance: client.instance.clone(),
        };
        if !self.coordinator.contains(GROUP) {
            return self.classic.heartbeat(self.now, &heartbeat);
        }
        self.next_token += 1;
        let (token, mut out) = (self.next_token, Vec::new());
        self.coordinator
            .classic_heartbeat(self.now, &self.topics, heartbeat, token, &mut out);
        self.take(out);
        self.lives.remove(&token).expect("answered at once")
    }

    pub(super) fn leave(&mut self, client: &ClassicClient) {
        let member = (client.id.as_str(), client.instance.as_deref());
        if self.coordinator.contains(GROUP) {
            let _ = self.take_out(&[member]);
            return;
        }
        let leave = Leave {
            group: GROUP.to_owned(),
            members: vec![(client.id.clone(), client.instance.clone())],
        };
        let mut out = Vec::new();
        let _ = self.classic.leave(self.now, &leave, &mut out);
        self.take_classic(out);
    }

    /// Where the client goes next, be it by one request or by one answer.
    pub(super) fn step(&mut self, client: &mut ClassicClient) {
        match client.waits {
            Waits::No => {
                if !client.is_cooperative {
                    client.owned.clear();
                }
                let join = client.join(&self.topics);
                client.waits = Waits::Join(self.join(join));
            }
            Waits::Join(token) => match self.joins.remove(&token) {
                None => {}
                Some(Ok(joined)) => {
                    client.id.clone_from(&joined.member);
                    client.generation = joined.generation;
                    let is_leading = joined.leader == client.id && !joined.skip_assignment;
                    let given = match is_leading {
                        true => assign(&joined, &self.topics),
                        false => Vec::new(),
                    };
                    client.waits = Waits::Sync(self.sync(client, given));
                }
                Some(Err(refused)) if refused.error == ErrorKind::MemberIdRequired => {
                    client.id = refused.member;
                    client.waits = Waits::No;
                }
                Some(Err(refused)) => client.hear_error(refused.error),
            },
            Waits::Sync(token) => match self.syncs.remove(&token) {
                None => {}
                Some(Ok(synced)) => self.take_assignment(client, &synced),
                Some(Err(error)) => client.hear_error(error),
            },
            Waits::In => {
                if let Err(error) = self.live(client) {
                    client.hear_error(error);
                }
            }
        }
    }

    fn take_assignment(&self, client: &mut ClassicClient, synced: &Synced) {
        let given = subscription::read_assignment(&synced.assignment).unwrap();
        let mut assigned = Vec::new();
        for (name, indexes) in given.partitions {
            if let Some((serial, _)) = crate::group::Catalogue::by_name(&self.topics, &name) {
                let indexes = indexes.iter().map(|it| u32::try_from(*it).unwrap());
                assigned.extend(indexes.map(|index| PartitionId::new(serial, index)));
            }
        }
        assigned.sort_unstable();
        let lets_go = client.owned.iter().any(|it| !assigned.contains(it));
        client.owned = assigned;
        client.waits = match lets_go && client.is_cooperative {
            true => Waits::No,
            false => Waits::In,
        };
    }

    /// Whether the group is a classic one now.
    pub(super) fn is_classic(&self) -> bool {
        self.classic.state(GROUP) != GroupState::Dead
    }
}
