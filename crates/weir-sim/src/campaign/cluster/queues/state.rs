//! What a run knows of its queues, and of those who use them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weir_broker::{
    Ticket,
    api::queues::{DeliveryId, QueueSession, Settlement},
};
use weir_model::fields::ShortString;

use super::{books::Books, plan::QueuesPlan};
use crate::world::Rng;

/// Keeps what queue clients do apart from everything else that is drawn.
const WORK_SALT: u64 = 0x9E0E;

/// A queue of the plan, or one of those beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// Its place in the plan.
    pub(super) queue: usize,
    pub(super) role: Role,
}

/// Which of the queues that belong to one of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Own,
    /// Of its dead letters.
    Dead,
    /// Of what failed too often, where there is none for dead letters.
    Parked,
}

impl Spot {
    pub(super) fn own(queue: usize) -> Self {
        let role = Role::Own;
        Self { queue, role }
    }

    pub(super) fn name(self) -> ShortString {
        let queue = self.queue;
        short(&match self.role {
            Role::Own => format!("q{queue}"),
            Role::Dead => format!("q{queue}-dead"),
            Role::Parked => format!("q{queue}.parked"),
        })
    }
}

pub(super) fn short(text: &str) -> ShortString {
    ShortString::new(text).expect("names of the simulator are short")
}

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Publish,
    Consume,
    /// Takes all that is left at the end.
    Drain,
}

/// One client: it has a session, or none at the moment.
#[derive(Debug)]
pub(super) struct QueueClient {
    pub(super) job: Job,
    pub(super) session: Option<usize>,
    pub(super) is_opening: bool,
    pub(super) away_until_ms: u64,
    pub(super) is_blocked: bool,
    /// When its last request arrives: its requests stay in order.
    pub(super) last_arrival_ms: u64,
}

/// A consumer of a session.
#[derive(Clone, Debug)]
pub(super) struct Tagged {
    pub(super) spot: Spot,
    pub(super) no_ack: bool,
    /// It was told that it is one.
    pub(super) is_attached: bool,
    pub(super) is_cancelled: bool,
    /// What it holds goes back with it.
    pub(super) returns: bool,
}

/// One session from its client's side.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: usize,
    pub(super) machine: usize,
    pub(super) handle: Option<Arc<QueueSession>>,
    /// Its client is gone, its node's process is, or it was told that it is lost.
    pub(super) over: Option<Over>,
    pub(super) consumers: BTreeMap<u64, Tagged>,
    /// Queues that it has asked for messages.
    pub(super) used: BTreeSet<Spot>,
    pub(super) next_tag: u64,
    /// Deliveries that it may settle, each with the consumer that it came to.
    pub(super) held: Vec<(Spot, u64, DeliveryId, Option<u64>)>,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Left,
    ProcessEnded,
    Lost,
}

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct QueueAsked {
    pub(super) client: usize,
    pub(super) machine: usize,
    pub(super) session: Option<usize>,
    pub(super) what: QueueWhat,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) enum QueueWhat {
    Open,
    Declare,
    Publish(Vec<u64>),
    Consume(u64),
    Cancel(u64),
    Get(Spot, bool),
    Settle(Vec<(Spot, u64, DeliveryId, Settlement)>),
    End,
    /// How many are left.
    Count(Spot),
}

/// All of it.
pub(in super::super) struct Queues {
    pub(super) rng: Rng,
    pub(super) clients: Vec<QueueClient>,
    pub(super) sessions: Vec<Session>,
    /// Sessions by the tickets under which they are told things.
    pub(super) ears: BTreeMap<Ticket, usize>,
    pub(super) open: BTreeMap<Ticket, QueueAsked>,
    /// Declarations that were answered: they go one after the other.
    pub(super) declared_count: usize,
    /// What of group 0 a node must have applied to know all that was declared.
    pub(super) declared_applied: u64,
    pub(super) books: Books,
    /// Ready messages by queue, as they were told last.
    pub(super) left: BTreeMap<Spot, u64>,
    pub(super) next_count_ms: u64,
}

impl Queues {
    /// Whether the run has none.
    pub(in super::super) fn is_unused(&self) -> bool {
        self.clients.is_empty()
    }

    pub(in super::super) fn new(plan: &QueuesPlan, seed: u64) -> Self {
        let client = |job| QueueClient {
            job,
            session: None,
            is_opening: false,
            away_until_ms: 0,
            is_blocked: false,
            last_arrival_ms: 0,
        };
        let publishers = (0..plan.publisher_count).map(|_| client(Job::Publish));
        let consumers = (0..plan.consumer_count).map(|_| client(Job::Consume));
        let drain = (!plan.queues.is_empty()).then(|| client(Job::Drain));
        Self {
            rng: Rng::new(seed ^ WORK_SALT),
            clients: publishers.chain(consumers).chain(drain).collect(),
            sessions: Vec::new(),
            ears: BTreeMap::new(),
            open: BTreeMap::new(),
            declared_count: 0,
            declared_applied: 0,
            books: Books::default(),
            left: BTreeMap::new(),
            next_count_ms: 0,
        }
    }
}
