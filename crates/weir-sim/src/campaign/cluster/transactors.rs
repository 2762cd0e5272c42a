//! Transactional producers: some commit, some abort, some die with a transaction open, some are
//! fenced by another one with the same id. Old clients add partitions before they write to them,
//! and keep their epoch; newer ones get another epoch with each transaction's end (KIP-890).

use std::collections::BTreeMap;

use weir_broker::api::{
    AddOffsets, AddPartitions, EndTransaction, InitProducer, InitTransactional, ProducerEpoch,
    Request,
};
use weir_model::{ErrorKind, ProducerId};

use super::{
    books::Place,
    clients::{Kind, topic_ref},
    control::Control,
    plan::ClientPlan,
    producers::Stream,
    run::Cluster,
    transactions::Copied,
};

/// Most batches of a transaction in one partition.
const MAX_BATCHES: usize = 4;

/// How a transaction is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Commit,
    /// Aborted, maybe with batches under way.
    Abort,
    /// Its producer dies.
    Die,
    /// Its producer says nothing until the transaction's time is over.
    Linger,
}

/// What a transaction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    AddPartitions,
    AddOffsets,
    Send,
    BringOffsets,
    End { commit: bool },
}

/// The transaction under way.
#[derive(Clone, Debug)]
pub(super) struct Current {
    pub(super) number: usize,
    pub(super) stage: Stage,
    fate: Fate,
    begun_ms: u64,
    /// Batches to write, by partition.
    wanted: BTreeMap<Place, usize>,
    pub(super) copied: Option<Copied>,
}

#[derive(Debug)]
pub(super) struct Transactor {
    /// Transactional id.
    pub(super) name: String,
    /// Adds partitions by writing to them, and gets an epoch with each end.
    pub(super) is_newer: bool,
    timeout_ms: u64,
    /// Begins again without memory in each.
    pub(super) life: u64,
    pub(super) producer: Option<(i64, i16)>,
    /// Something of an aborted transaction may be under way: another epoch makes it void.
    pub(super) wants_epoch: bool,
    pub(super) is_waiting: bool,
    away_until_ms: u64,
    pub(super) streams: BTreeMap<Place, Stream>,
    pub(super) current: Option<Current>,
}

impl Transactor {
    pub(super) fn all(plan: &ClientPlan) -> impl Iterator<Item = Self> {
        let copiers = plan.copier_count;
        (0..plan.transactor_count + copiers).map(move |number| {
            // Copiers have ids of their own: the group says who may copy.
            let is_twin = plan.has_twins && number < plan.transactor_count;
            let id = if is_twin { number / 2 } else { number };
            Self {
                name: format!("tx-{id}"),
                is_newer: plan.newer_flows >> number & 1 == 1,
                timeout_ms: plan.transaction_timeout_ms.max(1),
                life: 0,
                producer: None,
                wants_epoch: false,
                is_waiting: false,
                away_until_ms: 0,
                streams: BTreeMap::new(),
                current: None,
            }
        })
    }

    /// A new process, which knows nothing.
    pub(super) fn be_born_again(&mut self, at_ms: u64) {
        self.life += 1;
        self.producer = None;
        self.wants_epoch = false;
        self.is_waiting = false;
        self.away_until_ms = at_ms;
        self.streams.clear();
        self.current = None;
    }

    pub(super) fn epoch(&self) -> Option<ProducerEpoch> {
        let (id, epoch) = self.producer?;
        Some(ProducerEpoch {
            id: ProducerId(id),
            epoch,
        })
    }

    /// The transaction goes no further than to its abort.
    pub(super) fn give_up_transaction(&mut self) {
        if let Some(current) = &mut self.current {
            current.stage = Stage::End { commit: false };
        }
    }

    /// The same, unless it may be committed by now.
    pub(super) fn give_up_unless_ending(&mut self) {
        let commit = true;
        let stage = self.current.as_ref().map(|current| current.stage);
        if stage != Some(Stage::End { commit }) {
            self.give_up_transaction();
        }
    }

    /// The transaction is over; `producer`: as it goes on.
    pub(super) fn end(&mut self, commit: bool, producer: (i64, i16)) {
        let is_unanswered = self.streams.values().any(|stream| !stream.is_answered());
        self.wants_epoch |= !commit && !self.is_newer && is_unanswered;
        if self.is_newer {
            self.streams.clear();
        } else {
            self.streams.values_mut().for_each(Stream::forget_batches);
        }
        self.producer = Some(producer);
        self.current = None;
    }
}

impl Cluster<'_> {
    pub(super) fn transactor(&mut self, client: usize) -> Option<&mut Transactor> {
        match &mut self.clients[client].kind {
            Kind::Transactor(transactor) => Some(transactor),
            Kind::Producer(_)
            | Kind::Plain { .. }
            | Kind::Reader { .. }
            | Kind::Group(_)
            | Kind::Consumer
            | Kind::Member => None,
        }
    }

    pub(super) fn transactor_turn(&mut self, client: usize) {
        let (now_ms, is_ending) = (self.now_ms, self.is_ending);
        let Some(it) = self.transactor(client) else {
            return;
        };
        if it.is_waiting || (now_ms < it.away_until_ms && !is_ending) {
            return;
        }
        let name = it.name.clone();
        let Some(coordinator) = self.coordinator(client, &name) else {
            return;
        };
        let copies = self.clients[client].seat.is_some();
        let Some(it) = self.transactor(client) else {
            return;
        };
        match &it.current {
            None if it.producer.is_none() || it.wants_epoch => self.init(client, coordinator),
            None if is_ending => {}
            None if copies => self.copy(client),
            None => self.begin(client),
            Some(current) => {
                let current = current.clone();
                self.go_on(client, coordinator, &current);
            }
        }
    }

    fn init(&mut self, client: usize, coordinator: usize) {
        let Some(it) = self.transactor(client) else {
            return;
        };
        let at_least = it.producer;
        let init = InitProducer {
            transactional: Some(InitTransactional {
                id: it.name.clone(),
                timeout_ms: i32::try_from(it.timeout_ms).unwrap_or(i32::MAX),
            }),
            known: it.epoch(),
        };
        let request = Request::InitProducerId(init);
        self.control(client, coordinator, request, Control::Init { at_least });
    }

    fn begin(&mut self, client: usize) {
        let places = self.places();
        if places.is_empty() {
            return;
        }
        let count = 1 + self.rng.index(3);
        let mut wanted = BTreeMap::new();
        for _ in 0..count {
            let (place, count) = (self.rng.pick(&places), 1 + self.rng.index(MAX_BATCHES));
            wanted.insert(place, count);
        }
        self.begin_with(client, wanted, None);
    }

    /// Begins a transaction of these many batches.
    pub(super) fn begin_with(
        &mut self,
        client: usize,
        wanted: BTreeMap<Place, usize>,
        copied: Option<Copied>,
    ) {
        let fates = [
            Fate::Commit,
            Fate::Commit,
            Fate::Commit,
            Fate::Commit,
            Fate::Commit,
            Fate::Abort,
            Fate::Abort,
            Fate::Die,
            Fate::Linger,
        ];
        let fate = self.rng.pick(&fates);
        let number = self.books.transactions.begin(copied);
        let begun_ms = self.now_ms;
        self.counts.add("transactions_begun", 1);
        if let Some(it) = self.transactor(client) {
            it.current = Some(Current {
                number,
                stage: if it.is_newer {
                    Stage::Send
                } else {
                    Stage::AddPartitions
                },
                fate,
                begun_ms,
                wanted,
                copied,
            });
        }
    }

    fn go_on(&mut self, client: usize, coordinator: usize, current: &Current) {
        match current.stage {
            Stage::AddPartitions => self.add_partitions(client, coordinator, current),
            Stage::AddOffsets => self.add_offsets(client, coordinator, current),
            Stage::Send => self.send_or_end(client, current),
            Stage::BringOffsets => self.bring_offsets(client, current),
            Stage::End { commit } => self.end(client, coordinator, current.number, commit),
        }
    }

    fn add_partitions(&mut self, client: usize, coordinator: usize, current: &Current) {
        let Some(it) = self.transactor(client) else {
            return;
        };
        let Some(producer) = it.epoch() else { return };
        let wanted = current.wanted.keys();
        let named = wanted.map(|(topic, index)| {
            let index = i32::try_from(*index).unwrap_or(-1);
            (topic_ref(*topic), index)
        });
        let request = Request::AddPartitions(vec![AddPartitions {
            transaction: it.name.clone(),
            producer,
            verify_only: false,
            partitions: named.collect(),
        }]);
        let next = match current.copied {
            Some(_) => Stage::AddOffsets,
            None => Stage::Send,
        };
        self.control(client, coordinator, request, Control::Add { next });
    }

    fn add_offsets(&mut self, client: usize, coordinator: usize, current: &Current) {
        let Some(it) = self.transactor(client) else {
            return;
        };
        let (Some(producer), Some(copied)) = (it.epoch(), current.copied) else {
            return;
        };
        let request = Request::AddOffsets(AddOffsets {
            transaction: it.name.clone(),
            producer,
            group: super::seat::group_name(copied.group),
        });
        let next = Stage::Send;
        self.control(client, coordinator, request, Control::Add { next });
    }

    fn send_or_end(&mut self, client: usize, current: &Current) {
        let (is_ending, now_ms) = (self.is_ending, self.now_ms);
        let (ends_early, dies) = (self.rng.chance(150), self.rng.chance(100));
        let Some(it) = self.transactor(client) else {
            return;
        };
        let Some(producer) = it.producer else { return };
        let is_written = current.wanted.iter().all(|(place, count)| {
            let stream = it.streams.get(place);
            stream.is_some_and(|stream| stream.is_answered() && stream.len() >= *count)
        });
        let lingers_ms = 2 * it.timeout_ms;
        match current.fate {
            Fate::Die if (dies || is_written) && !is_ending => return self.die(client),
            Fate::Abort if ends_early || is_written => {
                return it.give_up_transaction();
            }
            Fate::Linger if is_written && !is_ending && now_ms < current.begun_ms + lingers_ms => {
                return;
            }
            Fate::Commit | Fate::Linger | Fate::Abort | Fate::Die => {}
        }
        if is_written {
            let stage = match current.copied {
                Some(_) => Stage::BringOffsets,
                None => Stage::End { commit: true },
            };
            if let Some(current) = &mut it.current {
                current.stage = stage;
            }
            return;
        }
        for (place, count) in &current.wanted {
            let stream = self.transactor(client).and_then(|it| it.streams.get(place));
            let begun_count = stream.map_or(0, Stream::len);
            let left_count = count.saturating_sub(begun_count);
            let new_count = self
                .rng
                .index(left_count + 1)
                .max(usize::from(left_count > 0));
            self.produce(client, producer, *place, new_count);
        }
    }

    fn die(&mut self, client: usize) {
        let away_ms = match self.transactor(client) {
            Some(it) => 2 * it.timeout_ms,
            None => return,
        };
        self.counts.add("transactors_died", 1);
        let at_ms = self.now_ms + self.rng.below(away_ms);
        self.begin_again(client, at_ms);
    }

    /// Another process takes over, with connections of its own.
    pub(super) fn begin_again(&mut self, client: usize, at_ms: u64) {
        self.clients[client].disconnect_all();
        if let Some(it) = self.transactor(client) {
            it.be_born_again(at_ms);
        }
        self.forget_positions(client);
    }

    fn end(&mut self, client: usize, coordinator: usize, number: usize, commit: bool) {
        let connection = self.connection(client, coordinator);
        let Some(it) = self.transactor(client) else {
            return;
        };
        let Some(producer) = it.epoch() else { return };
        let request = Request::EndTransaction(EndTransaction {
            transaction: it.name.clone(),
            producer,
            commit,
            bumps_epoch: it.is_newer,
            connection,
        });
        let transaction = self.books.transactions.get_mut(number);
        transaction.may_commit |= commit;
        if commit {
            self.commits_copy(number);
        }
        let is_asked = self.control(client, coordinator, request, Control::End { commit });
        if is_asked {
            self.counts.add("ends_sent", 1);
        }
    }

    /// Somebody else has the id, or the transaction was aborted: a new process begins.
    pub(super) fn fenced(&mut self, client: usize, error: ErrorKind) {
        self.trace.note("fenced", &format!("{client}: {error:?}"));
        self.counts.add("transactors_fenced", 1);
        let at_ms = self.now_ms + self.rng.below(4 * self.plan.clients.pause_ms + 1);
        self.begin_again(client, at_ms);
    }

    /// A batch of the transaction was refused.
    pub(super) fn refuse_in_transaction(&mut self, client: usize, serial: u64, error: ErrorKind) {
        let number = self.books.batch(serial).and_then(|it| it.transaction);
        let Some(it) = self.transactor(client) else {
            return;
        };
        let is_current = it.current.as_ref().map(|it| it.number) == number;
        if !is_current {
            return;
        }
        match error {
            ErrorKind::InvalidProducerEpoch
            | ErrorKind::ProducerFenced
            | ErrorKind::InvalidProducerIdMapping => self.fenced(client, error),
            ErrorKind::InvalidTxnState
            | ErrorKind::TransactionAbortable
            | ErrorKind::OutOfOrderSequence
            | ErrorKind::UnknownProducer
            | ErrorKind::InvalidTimestamp => it.give_up_transaction(),
            _ => {}
        }
    }
}

/// Whether a refusal tells a transactional producer what to do, other than to try again.
pub(super) fn is_told(error: ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::InvalidProducerEpoch
            | ErrorKind::ProducerFenced
            | ErrorKind::InvalidProducerIdMapping
            | ErrorKind::InvalidTxnState
            | ErrorKind::TransactionAbortable
            | ErrorKind::UnknownProducer
    )
}
