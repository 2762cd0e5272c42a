//! A coordinator over a table of groups, with a clock in the hand and answers by token.

use std::collections::{BTreeMap, VecDeque};

pub(super) use weir_log::Millis;
pub(super) use weir_model::{ErrorKind, PartitionId, TopicId};

pub(super) use crate::api::{
    ConsumerBeat, ConsumerHeartbeat, GroupPhase, Heartbeat, Join, JoinRefused, Joined, Leave,
    Refused, Sync, Synced,
};
use crate::{
    configs::group::GroupSettings,
    group::{
        Catalogue, ConsumerAction, ConsumerAnswer, ConsumerCoordinator, Coordinator, GroupCommand,
        GroupConfig, GroupState, GroupTable, GroupTopic, StoreId,
    },
};

pub(super) const GROUP: &str = "g";
pub(super) const SESSION_MS: u64 = 45_000;
pub(super) const REBALANCE_MS: u64 = 20_000;

/// Topics by serial number.
#[derive(Default)]
pub(super) struct Topics {
    pub(super) by_serial: BTreeMap<u64, GroupTopic>,
    /// Serial numbers from here on are not known yet.
    pub(super) known_below: u64,
    pub(super) revision: u64,
}

impl Topics {
    pub(super) fn create(&mut self, name: &str, partition_count: u32) -> u64 {
        let serial = self.known_below.max(1);
        self.known_below = serial + 1;
        self.revision += 1;
        let topic = GroupTopic {
            id: id_of(serial),
            name: name.to_owned(),
            partition_count,
            is_read: true,
        };
        self.by_serial.insert(serial, topic);
        serial
    }

    pub(super) fn delete(&mut self, name: &str) {
        self.by_serial.retain(|_, topic| topic.name != name);
        self.revision += 1;
    }

    pub(super) fn grow(&mut self, name: &str, partition_count: u32) {
        let mut topics = self.by_serial.values_mut();
        let topic = topics.find(|topic| topic.name == name).unwrap();
        topic.partition_count = partition_count;
        self.revision += 1;
    }
}

pub(super) fn id_of(serial: u64) -> TopicId {
    TopicId(uuid::Uuid::from_u128(serial.into()))
}

impl Catalogue for Topics {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn by_name(&self, name: &str) -> Option<(u64, GroupTopic)> {
        let mut topics = self.by_serial.iter();
        let found = topics.find(|(_, topic)| topic.name == name)?;
        Some((*found.0, found.1.clone()))
    }

    fn by_serial(&self, serial: u64) -> Option<GroupTopic> {
        self.by_serial.get(&serial).cloned()
    }

    fn is_behind(&self, serial: u64) -> bool {
        serial >= self.known_below
    }

    fn each(&self, show: &mut dyn FnMut(u64, &str)) {
        let topics = self.by_serial.iter();
        topics.for_each(|(serial, topic)| show(*serial, &topic.name));
    }

    fn settings(&self, _: &str) -> GroupSettings {
        GroupSettings::resolve(&BTreeMap::new())
    }
}

pub(super) struct World {
    pub(super) coordinator: ConsumerCoordinator<u64>,
    /// The groups of the other kind.
    pub(super) classic: Coordinator<u64>,
    pub(super) topics: Topics,
    pub(super) table: GroupTable,
    pub(super) now: Millis,
    pub(super) answers: BTreeMap<u64, Result<ConsumerBeat, Refused>>,
    pub(super) left: BTreeMap<u64, Result<Vec<Result<(), ErrorKind>>, ErrorKind>>,
    pub(super) joins: BTreeMap<u64, Result<Joined, JoinRefused>>,
    pub(super) syncs: BTreeMap<u64, Result<Synced, ErrorKind>>,
    pub(super) lives: BTreeMap<u64, Result<(), ErrorKind>>,
    pub(super) stores: VecDeque<(StoreId, GroupCommand)>,
    /// Changes are stored at once.
    pub(super) stores_at_once: bool,
    pub(super) stored_count: usize,
    pub(super) next_token: u64,
}

/// What a client remembers of itself.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) topics: Vec<String>,
    pub(super) pattern: Option<String>,
    pub(super) epoch: i32,
    pub(super) owned: Vec<PartitionId>,
    pub(super) assigned: Vec<PartitionId>,
}

impl Client {
    pub(super) fn new(id: &str, topics: &[&str]) -> Self {
        Self {
            id: id.to_owned(),
            instance: None,
            topics: topics.iter().map(|it| (*it).to_owned()).collect(),
            pattern: None,
            epoch: 0,
            owned: Vec::new(),
            assigned: Vec::new(),
        }
    }

    /// All that a client can say.
    pub(super) fn full(&self) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            rebalance_timeout_ms: Some(REBALANCE_MS),
            topics: Some(self.topics.clone()),
            pattern: self.pattern.clone(),
            owned: Some(by_topic(&self.owned)),
            ..self.short()
        }
    }

    /// The usual heartbeat.
    pub(super) fn short(&self) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            group: GROUP.to_owned(),
            member: self.id.clone(),
            epoch: self.epoch,
            instance: self.instance.clone(),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            ..ConsumerHeartbeat::default()
        }
    }

    pub(super) fn leaving(&self, epoch: i32) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            epoch,
            ..self.short()
        }
    }

    /// Takes over what it was told; lets go at once of what it is not to have any more.
    pub(super) fn hear(&mut self, beat: &ConsumerBeat) {
        assert!(beat.epoch >= self.epoch, "epochs never go back");
        self.epoch = beat.epoch;
        if let Some(assignment) = &beat.assignment {
            self.assigned = partitions(assignment);
        }
    }

    /// Lets go of what it is not to have, and takes what it is to have.
    pub(super) fn reconcile(&mut self) {
        self.owned.clone_from(&self.assigned);
    }
}

pub(super) fn by_topic(partitions: &[PartitionId]) -> Vec<(TopicId, Vec<i32>)> {
    let own = partitions.iter().map(|it| {
        let index = i32::try_from(it.index()).unwrap();
        (id_of(it.topic_serial()), vec![index])
    });
    own.collect()
}

pub(super) fn partitions(assignment: &[(TopicId, Vec<i32>)]) -> Vec<PartitionId> {
    let all = assignment.iter().flat_map(|(id, indexes)| {
        let serial = u64::try_from(id.0.as_u128()).unwrap();
        let indexes = indexes.iter().map(|it| u32::try_from(*it).unwrap());
        indexes.map(move |index| PartitionId::new(serial, index))
    });
    all.collect()
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(GroupConfig::default())
    }

    pub(super) fn with(config: GroupConfig) -> Self {
        Self {
            coordinator: ConsumerCoordinator::new(config),
            classic: Coordinator::new(GroupConfig {
                initial_rebalance_delay_ms: 0,
                ..config
            }),
            topics: Topics::default(),
            table: GroupTable::default(),
            now: Millis(1_000_000),
            answers: BTreeMap::new(),
            left: BTreeMap::new(),
            joins: BTreeMap::new(),
            syncs: BTreeMap::new(),
            lives: BTreeMap::new(),
            stores: VecDeque::new(),
            stores_at_once: true,
            stored_count: 0,
            next_token: 0,
        }
    }

    pub(super) fn take(&mut self, out: Vec<ConsumerAction<u64>>) {
        for action in out {
            match action {
                ConsumerAction::Answer(token, ConsumerAnswer::Left(left)) => {
                    self.left.insert(token, left);
                }
                ConsumerAction::Answer(token, ConsumerAnswer::Beat(answer)) => {
                    assert!(
                        self.answers.insert(token, answer).is_none(),
                        "answered twice"
                    );
                }
                ConsumerAction::Answer(token, ConsumerAnswer::Joined(joined)) => {
                    assert!(self.joins.insert(token, joined).is_none(), "answered twice");
                }
                ConsumerAction::Answer(token, ConsumerAnswer::Synced(synced)) => {
                    assert!(self.syncs.insert(token, synced).is_none(), "answered twice");
                }
                ConsumerAction::Answer(token, ConsumerAnswer::Lives(lives)) => {
                    assert!(self.lives.insert(token, lives).is_none(), "answered twice");
                }
                ConsumerAction::Store { store, change } => {
                    let command = GroupCommand::ChangeConsumers(change);
                    self.stores.push_back((store, command));
                }
                ConsumerAction::Downgrade { store, record } => {
                    self.stores
                        .push_back((store, GroupCommand::PutGroup(record)));
                }
            }
        }
        assert!(self.stores.len() <= 1, "one change of a group at a time");
        if self.stores_at_once && !self.stores.is_empty() {
            self.stored(Ok(()));
        }
        if let Some(group) = self.coordinator.group(GROUP) {
            group.assert_sound();
        }
    }

    /// Stores the oldest change, or fails to.
    pub(super) fn stored(&mut self, result: Result<(), ErrorKind>) {
        let (store, command) = self.stores.pop_front().unwrap();
        let group = GROUP.to_owned();
        let result = result.and_then(|()| {
            self.stored_count += 1;
            match command {
                GroupCommand::ChangeConsumers(change) => self.table.change(change),
                GroupCommand::PutGroup(record) => {
                    self.table.apply(record);
                    Ok(())
                }
                other => panic!("{other:?}"),
            }
        });
        let mut out = Vec::new();
        let record = self.table.consumer(&group);
        self.coordinator.stored(
            self.now,
            &self.topics,
            (&group, store),
            result,
            record,
            &mut out,
        );
        self.take(out);
        let is_known =
            self.coordinator.contains(GROUP) || self.classic.state(GROUP) != GroupState::Dead;
        if let (false, Some(record)) = (is_known, self.table.get(GROUP)) {
            self.classic.adopt(self.now, record);
        }
    }

    /// Sends; the answer comes under the token.
    pub(super) fn send(&mut self, beat: ConsumerHeartbeat) -> u64 {
        self.next_token += 1;
        let (token, mut out) = (self.next_token, Vec::new());
        if !self.coordinator.contains(&beat.group)
            && self.classic.state(&beat.group) != GroupState::Dead
        {
            self.upgrade(beat, token);
            return token;
        }
        let record = self.table.consumer(&beat.group);
        self.coordinator
            .heartbeat(self.now, &self.topics, record, beat, token, &mut out);
        self.take(out);
        token
    }

    pub(super) fn ask(&mut self, beat: ConsumerHeartbeat) -> Result<ConsumerBeat, Refused> {
        let token = self.send(beat);
        self.answers.remove(&token).expect("answered at once")
    }

    /// Somebody takes members out.
    pub(super) fn take_out(
        &mut self,
        members: &[(&str, Option<&str>)],
    ) -> Result<Vec<Result<(), ErrorKind>>, ErrorKind> {
        self.next_token += 1;
        let (token, mut out) = (self.next_token, Vec::new());
        let owned =
            |(id, instance): &(&str, Option<&str>)| ((*id).to_owned(), instance.map(str::to_owned));
        let leave = Leave {
            group: GROUP.to_owned(),
            members: members.iter().map(owned).collect(),
        };
        self.coordinator
            .leave(self.now, &self.topics, leave, token, &mut out);
        self.take(out);
        self.left.remove(&token).expect("answered at once")
    }

    pub(super) fn refusal(&mut self, beat: ConsumerHeartbeat) -> ErrorKind {
        self.ask(beat).unwrap_err().error
    }

    /// A whole round of one client: it says all, and does as it is told.
    pub(super) fn round(&mut self, client: &mut Client) {
        let beat = self.ask(client.full()).unwrap();
        client.hear(&beat);
        client.reconcile();
    }

    /// Rounds until nobody changes.
    pub(super) fn settle(&mut self, clients: &mut [&mut Client]) {
        for _ in 0..6 {
            for client in clients.iter_mut() {
                self.round(client);
            }
        }
        assert_eq!(self.coordinator.phase(GROUP), GroupPhase::Stable);
    }

    pub(super) fn pass(&mut self, count_ms: u64) {
        let end = self.now.plus(count_ms);
        while let Some(at) = self.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.pass_for_classic();
            let mut out = Vec::new();
            self.coordinator
                .handle_timeout(self.now, &self.topics, &mut out);
            self.take(out);
        }
        self.now = end;
    }

    /// Another node leads now: everything but the table is forgotten.
    pub(super) fn fail_over(&mut self) {
        let mut out = Vec::new();
        self.coordinator.unload(&mut out);
        self.stores.clear();
        self.take(out);
        self.coordinator
            .restore(self.now, &self.topics, self.table.consumers());
        self.fail_over_classic();
    }
}
