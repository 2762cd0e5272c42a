//! Consumers that keep their offsets in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use weir_broker::api::{
    Broker, CommittedOffset, FetchedOffset, OffsetCommit, OffsetFetch, Request,
};
use weir_model::ErrorKind;

use super::{
    answers::What,
    books::Place,
    clients::{Kind, topic_ref},
    run::Cluster,
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// One group with one consumer.
#[derive(Debug)]
pub(super) struct GroupClient {
    name: String,
    coordinator: Option<usize>,
    next_value: i64,
    /// Partitions with a commit under way.
    open: BTreeSet<Place>,
    acknowledged: BTreeMap<Place, i64>,
    /// Values whose commits had no answer: they may still come to pass.
    unsure: BTreeMap<Place, BTreeSet<i64>>,
}

impl GroupClient {
    pub(super) fn new(group: usize) -> Self {
        Self {
            name: format!("group-{group}"),
            coordinator: None,
            next_value: 1,
            open: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            unsure: BTreeMap::new(),
        }
    }
}

impl Cluster<'_> {
    fn group(&mut self, client: usize) -> Option<&mut GroupClient> {
        match &mut self.clients[client].kind {
            Kind::Group(group) => Some(group),
            Kind::Producer(_)
            | Kind::Plain { .. }
            | Kind::Reader { .. }
            | Kind::Transactor(_)
            | Kind::Consumer
            | Kind::Member => None,
        }
    }

    pub(super) fn group_turn(&mut self, client: usize) {
        let Some(place) = self.any_place() else {
            return;
        };
        let (asks_anybody, commits) = (self.rng.chance(200), self.rng.chance(500));
        let any = self.any_up();
        let is_ending = self.is_ending;
        let Some(group) = self.group(client) else {
            return;
        };
        let name = group.name.clone();
        let (Some(coordinator), Some(any)) = (group.coordinator, any) else {
            if let Some(machine) = any {
                let request = Request::FindCoordinator(vec![name]);
                self.ask(machine, client, request, What::Coordinator);
            }
            return;
        };
        if commits && !is_ending {
            return self.commit(client, coordinator, place);
        }
        let at_least = group.acknowledged.get(&place).copied();
        let machine = if asks_anybody { any } else { coordinator };
        let request = Request::OffsetFetch(vec![OffsetFetch {
            member: None,
            tells_ids: false,
            require_stable: false,
            group: name,
            partitions: Some(vec![(
                topic_ref(place.0),
                i32::try_from(place.1).unwrap_or(-1),
            )]),
        }]);
        let what = What::Committed { place, at_least };
        if !self.ask(machine, client, request, what) {
            self.forget_coordinator(client);
        }
    }

    fn commit(&mut self, client: usize, coordinator: usize, place: Place) {
        let Some(group) = self.group(client) else {
            return;
        };
        if !group.open.insert(place) {
            return;
        }
        let value = group.next_value;
        group.next_value += 1;
        let request = Request::OffsetCommit(OffsetCommit {
            knows_epochs: false,
            group: group.name.clone(),
            generation: -1,
            member: String::new(),
            instance: None,
            offsets: vec![CommittedOffset {
                topic: topic_ref(place.0),
                index: i32::try_from(place.1).unwrap_or(-1),
                offset: value,
                leader_epoch: -1,
                metadata: String::new(),
            }],
        });
        if !self.ask(coordinator, client, request, What::Commit { place, value }) {
            self.commit_unsure(client, place, value);
        }
    }

    pub(super) fn commit_unsure(&mut self, client: usize, place: Place, value: i64) {
        if let Some(group) = self.group(client) {
            group.open.remove(&place);
            group.unsure.entry(place).or_default().insert(value);
            group.coordinator = None;
        }
    }

    pub(super) fn forget_coordinator(&mut self, client: usize) {
        if let Some(group) = self.group(client) {
            group.coordinator = None;
        }
    }

    pub(super) fn hear_coordinator(
        &mut self,
        client: usize,
        found: &Result<Broker, ErrorKind>,
    ) -> Result<(), Broken> {
        match found {
            Ok(broker) => {
                let machine = self.machine_of(broker.node);
                if let Some(group) = self.group(client) {
                    group.coordinator = machine;
                }
                Ok(())
            }
            Err(error) => self.check_error(*error, false, "a coordinator"),
        }
    }

    pub(super) fn hear_commit(
        &mut self,
        client: usize,
        place: Place,
        value: i64,
        answer: Result<(), ErrorKind>,
    ) -> Result<(), Broken> {
        let Some(group) = self.group(client) else {
            return Ok(());
        };
        match answer {
            Ok(()) => {
                group.open.remove(&place);
                group.acknowledged.insert(place, value);
                self.counts.add("offsets_committed", 1);
                Ok(())
            }
            Err(error) => {
                // A leader that lost its office may still see the commit stored.
                self.commit_unsure(client, place, value);
                self.check_error(error, false, "a commit")
            }
        }
    }

    pub(super) fn hear_committed(
        &mut self,
        client: usize,
        place: Place,
        at_least: Option<i64>,
        answer: &Result<Vec<FetchedOffset>, ErrorKind>,
    ) -> Result<(), Broken> {
        let offsets = match answer {
            Ok(offsets) => offsets,
            Err(error) => {
                self.forget_coordinator(client);
                return self.check_error(*error, false, "committed offsets");
            }
        };
        let value = offsets.first().and_then(|one| one.offset);
        let Some(group) = self.group(client) else {
            return Ok(());
        };
        let is_unsure = |value| {
            let unsure = group.unsure.get(&place);
            unsure.is_some_and(|unsure| unsure.contains(&value))
        };
        let is_right = match (value, at_least) {
            (None, least) => least.is_none(),
            (Some(value), least) => {
                value < group.next_value && (Some(value) >= least || is_unsure(value))
            }
        };
        self.counts.add("offsets_fetched", 1);
        if is_right {
            return Ok(());
        }
        let detail = format!("{place:?}: committed is {value:?}, acknowledged was {at_least:?}");
        Err(broken(oracle_name::STALE, detail))
    }
}
