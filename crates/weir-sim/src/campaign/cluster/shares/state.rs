//! What a run knows of its share groups, and of those who are in them.

use std::collections::{BTreeMap, BTreeSet};

use weir_broker::api::share::ShareHold;
use weir_model::{GroupId, TopicId};

use super::{
    books::{Books, How},
    plan::SharesPlan,
};
use crate::{campaign::cluster::books::Place, world::Rng};

/// Keeps what members do apart from everything else that is drawn.
const WORK_SALT: u64 = 0x5A2E;

/// A process of a machine: the machine, and which of its lives.
pub(super) type Life = (usize, u64);

/// A member as the cluster knows it: which client, and which of its lives.
pub(super) type MemberId = (usize, u64);

/// A member's session with a node, as the member sees it.
#[derive(Debug)]
pub(super) struct Session {
    /// Among all of the run.
    pub(super) number: u64,
    /// The process that it is with.
    pub(super) life: u64,
    /// Of the next request.
    pub(super) epoch: i32,
    /// It ends when that is dropped, as it does with the member's connection.
    pub(super) hold: Option<ShareHold>,
    /// What the member fetches there.
    pub(super) places: BTreeSet<Place>,
    /// All that was ever named: the end of the session may give back what the member has of it.
    pub(super) touched: BTreeSet<Place>,
    pub(super) is_waiting: bool,
}

/// One client that is a member of a share group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) client: usize,
    pub(super) group: usize,
    /// Takes all that is left at the end.
    pub(super) drains: bool,
    /// Begins again without memory, under another name, in each.
    pub(super) life: u64,
    /// Its epoch in the group; 0: it is in none.
    pub(super) epoch: i32,
    pub(super) is_beating: bool,
    pub(super) beat_at_ms: u64,
    /// When the last heartbeat that was answered was sent.
    pub(super) alive_ms: u64,
    pub(super) away_until_ms: u64,
    pub(super) assigned: BTreeSet<(TopicId, i32)>,
    /// By machine.
    pub(super) sessions: BTreeMap<usize, Session>,
    /// What it has, each with the place of the delivery in the record's story.
    pub(super) held: BTreeMap<(Place, u64), usize>,
    /// Processes that may still get a request of its which begins or ends a session, and which it
    /// has given up: whenever that comes, what the member has there may be given back.
    pub(super) doubts: BTreeSet<Life>,
    /// Processes from which it has lost an answer: the epoch of a session may be another there.
    pub(super) losses: BTreeSet<Life>,
    /// Connections that are given up, and of which the other side does not know yet: when it does,
    /// and which machine that is.
    pub(super) closing: Vec<(u64, usize, ShareHold)>,
}

impl Member {
    pub(super) fn id(&self) -> MemberId {
        (self.client, self.life)
    }

    /// As it calls itself.
    pub(super) fn name(&self) -> String {
        format!("member-{}-{}", self.client, self.life)
    }
}

/// What a member says of a record in a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) offset: u64,
    /// Place of the delivery in the record's story.
    pub(super) delivery: usize,
    pub(super) how: How,
    /// The member has it, as far as it can know.
    pub(super) is_sure: bool,
}

/// What a request does to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opens,
    GoesOn,
    Ends,
}

/// A request of a member for records, or about those that it has.
#[derive(Clone, Debug)]
pub(in super::super) struct Records {
    pub(super) member: usize,
    pub(super) machine: usize,
    /// The process that it goes to.
    pub(super) life: u64,
    /// Number of the session.
    pub(super) session: u64,
    pub(super) phase: Phase,
    pub(super) asked_ms: u64,
    /// Of which it may get records.
    pub(super) places: BTreeSet<Place>,
    /// Most records, where that is to be kept to.
    pub(super) max_count: Option<u64>,
    pub(super) acks: BTreeMap<Place, Vec<Ack>>,
}

/// What somebody asks who has to do with share groups.
#[derive(Clone, Debug)]
pub(in super::super) enum ShareAsked {
    /// The group's topic for dead letters.
    CreateLetters {
        group: usize,
    },
    /// The group's settings.
    Configure {
        group: usize,
    },
    Beat {
        member: usize,
        sent_ms: u64,
        leaves: bool,
    },
    Records(Box<Records>),
    /// How much the group has not done with yet.
    Left {
        group: usize,
    },
    /// Dead letters, from an offset on.
    Letters {
        place: Place,
        from: u64,
    },
}

/// How far a group is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SetUp {
    pub(super) has_letters_topic: bool,
    pub(super) is_configured: bool,
    pub(super) is_asking: bool,
}

/// All of it.
pub(in super::super) struct Shares {
    pub(super) rng: Rng,
    pub(super) members: Vec<Member>,
    pub(super) next_session: u64,
    pub(super) set_up: Vec<SetUp>,
    /// What of group 0 a node must have applied to know all settings.
    pub(super) set_up_applied: u64,
    pub(super) is_draining: bool,
    /// Topics of the plan by their ids.
    pub(super) topics: BTreeMap<TopicId, usize>,
    /// Groups of partitions, as far as they were looked up.
    pub(super) shards: BTreeMap<Place, GroupId>,
    pub(super) books: Books,
    /// By group: how much is left, as it was told last.
    pub(super) left: BTreeMap<usize, u64>,
    pub(super) next_count_ms: u64,
    /// The read of dead letters that goes on: where it is, and whether that is the end.
    pub(super) letters: (u64, bool),
}

impl Shares {
    /// The groups of the plan, whose members are the clients from `first_client` on.
    pub(in super::super) fn new(plan: &SharesPlan, seed: u64, first_client: usize) -> Self {
        let groups = plan.groups.iter().enumerate();
        let kinds = groups.flat_map(|(group, plan)| {
            let members = (0..plan.member_count).map(move |_| (group, false));
            members.chain(std::iter::once((group, true)))
        });
        let members = kinds.enumerate().map(|(number, (group, drains))| Member {
            client: first_client + number,
            group,
            drains,
            life: 0,
            epoch: 0,
            is_beating: false,
            beat_at_ms: 0,
            alive_ms: 0,
            away_until_ms: 0,
            assigned: BTreeSet::new(),
            sessions: BTreeMap::new(),
            held: BTreeMap::new(),
            doubts: BTreeSet::new(),
            losses: BTreeSet::new(),
            closing: Vec::new(),
        });
        Self {
            rng: Rng::new(seed ^ WORK_SALT),
            members: members.collect(),
            next_session: 0,
            set_up: vec![SetUp::default(); plan.groups.len()],
            set_up_applied: 0,
            is_draining: false,
            topics: BTreeMap::new(),
            shards: BTreeMap::new(),
            books: Books::default(),
            left: BTreeMap::new(),
            next_count_ms: 0,
            letters: (0, false),
        }
    }

    /// Whether the run has none.
    pub(in super::super) fn is_unused(&self) -> bool {
        self.members.is_empty()
    }

    /// How many clients are members.
    pub(in super::super) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// A topic's id was told.
    pub(in super::super) fn note_topic(&mut self, id: TopicId, topic: usize) {
        self.topics.insert(id, topic);
    }
}

pub(super) fn group_name(group: usize) -> String {
    format!("shares-{group}")
}
