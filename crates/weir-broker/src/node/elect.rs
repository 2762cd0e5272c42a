//! Preferred leaders: partitions of a group share their leader, so that one change of leadership
//! serves all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use weir_log::Millis;
use weir_model::{ErrorKind, GroupId, NodeId, TopicName};

use super::{Node, topics::replicas};
use crate::{
    api::{
        Outcome,
        admin::{ElectLeaders, Managed, Refusal},
    },
    mailbox::Reply,
    steward, view,
};

/// Pause between two looks at whether leaders have changed, in ms.
const LOOK_MS: u64 = 50;
/// Longest wait for leaders to change, in ms.
const MAX_WAIT_MS: u64 = 10_000;

type Checked = Result<(), Refusal>;
type Elected = Vec<(String, i32, Checked)>;

/// An election under way: what is known of each partition, and the groups that are waited for.
struct Electing {
    partitions: Vec<(String, i32, Result<GroupId, Refusal>)>,
    groups: BTreeMap<GroupId, State>,
}

#[derive(Clone)]
enum State {
    Waiting(NodeId),
    Over(Checked),
}

impl Node {
    pub(super) fn elect_leaders(self: &Arc<Self>, elect: &ElectLeaders, reply: Reply) {
        let mut electing = Electing {
            partitions: self.wanted_partitions(elect),
            groups: BTreeMap::new(),
        };
        let is_all = elect.partitions.is_none();
        let named = electing
            .partitions
            .iter()
            .filter_map(|(_, _, group)| group.as_ref().ok());
        let groups: BTreeSet<GroupId> = named.copied().collect();
        for group in groups {
            let state = self.begin_election(group, elect.is_unclean);
            electing.groups.insert(group, state);
        }
        let give_up = self.elapsed().plus(MAX_WAIT_MS);
        let reply = Arc::new(Mutex::new(Some(reply)));
        self.await_leaders(electing, is_all, give_up, &reply);
    }

    fn wanted_partitions(
        &self,
        elect: &ElectLeaders,
    ) -> Vec<(String, i32, Result<GroupId, Refusal>)> {
        let topology = self.topology.load();
        let unknown = || {
            Refusal::new(
                ErrorKind::UnknownTopicOrPartition,
                "No such topic, or no such partition of it.",
            )
        };
        let Some(wanted) = &elect.partitions else {
            let all = topology.topics().flat_map(|topic| {
                let groups = (0..).zip(&topic.partitions);
                groups.map(|(index, group)| (topic.name.as_str().to_owned(), index, Ok(*group)))
            });
            return all.collect();
        };
        let place = |(name, index): &(String, i32)| {
            let topic = TopicName::new(name).ok();
            let topic = topic.and_then(|name| topology.by_name(&name));
            let group = topic.and_then(|topic| topic.partition(*index));
            (
                name.clone(),
                *index,
                group.map(|(_, group)| group).ok_or_else(unknown),
            )
        };
        wanted.iter().map(place).collect()
    }

    fn begin_election(self: &Arc<Self>, group: GroupId, is_unclean: bool) -> State {
        let view = self.view_of(group);
        let over = |kind, message: &str| State::Over(Err(Refusal::new(kind, message)));
        let Some(leader) = view.leader else {
            return over(
                ErrorKind::EligibleLeadersNotAvailable,
                "No majority of the replicas is up: nobody can lead without losing records.",
            );
        };
        let topology = self.topology.load();
        let replicas = replicas(group, &view, topology.placement(group));
        let Some(preferred) = replicas.first().copied() else {
            return over(
                ErrorKind::PreferredLeaderNotAvailable,
                "The replicas are not known.",
            );
        };
        if is_unclean || leader == preferred {
            return over(
                ErrorKind::ElectionNotNeeded,
                "Leader election not needed for topic partition.",
            );
        }
        if !view::in_sync(&view).contains(&preferred) {
            return over(
                ErrorKind::PreferredLeaderNotAvailable,
                "The preferred leader is down or behind.",
            );
        }
        steward::transfer(self, group, preferred);
        State::Waiting(preferred)
    }

    fn await_leaders(
        self: &Arc<Self>,
        mut electing: Electing,
        is_all: bool,
        give_up: Millis,
        reply: &Arc<Mutex<Option<Reply>>>,
    ) {
        let is_late = self.elapsed() > give_up;
        for (group, state) in &mut electing.groups {
            let State::Waiting(preferred) = *state else {
                continue;
            };
            let leads = self
                .leader_of(*group)
                .is_some_and(|(leader, _)| leader == preferred);
            if leads {
                *state = State::Over(Ok(()));
            } else if is_late {
                *state = State::Over(Err(Refusal::new(
                    ErrorKind::PreferredLeaderNotAvailable,
                    "The preferred leader did not take over in time.",
                )));
            }
        }
        let is_waiting = |state: &State| matches!(state, State::Waiting(_));
        if !electing.groups.values().any(is_waiting) {
            let reply = reply.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(reply) = reply {
                let elected = electing.answers(is_all);
                reply.send(Outcome::Managed(Managed::Elected(elected)));
            }
            return;
        }
        let (node, reply) = (Arc::clone(self), Arc::clone(reply));
        let again = Box::new(move || node.await_leaders(electing, is_all, give_up, &reply));
        self.purgatory.at(self.elapsed().plus(LOOK_MS), again);
    }
}

impl Electing {
    /// Where all partitions were meant, those that needed nothing are left out, as in Kafka.
    fn answers(self, is_all: bool) -> Elected {
        let Self { partitions, groups } = self;
        let state = |group: GroupId| match groups.get(&group) {
            Some(State::Over(checked)) => checked.clone(),
            Some(State::Waiting(_)) | None => Err(ErrorKind::TimedOut.into()),
        };
        let answers = partitions
            .into_iter()
            .map(|(name, index, group)| (name, index, group.and_then(state)));
        let is_told = |(_, _, checked): &(String, i32, Checked)| {
            let kind = checked.as_ref().err().map(|refusal| refusal.kind);
            !is_all || kind != Some(ErrorKind::ElectionNotNeeded)
        };
        answers.filter(is_told).collect()
    }
}
