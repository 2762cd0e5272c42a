//! A client's seat in a group: it joins, lives, leaves or vanishes, and joins again.
//!
//! What reads and commits ([`super::consumers`], [`super::copiers`]) only sees which partitions the
//! seat has, and under which name it may commit: groups of another kind would be seats as well.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir_broker::api::{
    Heartbeat, Join, JoinRefused, Joined, Leave, Outcome, Request, Sync, Synced,
};
use weir_model::ErrorKind;

use super::{
    answers::{What, wrong_answer},
    books::Place,
    clients::Kind,
    run::Cluster,
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

const SESSION_TIMEOUT_MS: u64 = 3_000;
pub(super) const REBALANCE_TIMEOUT_MS: u64 = 3_000;
/// Time between two heartbeats.
const BEAT_MS: u64 = 700;
/// Turns of a seat that end with its departure, of a thousand.
const DEPARTURES_PER_MILLE: u64 = 6;

pub(super) fn group_name(group: usize) -> String {
    format!("members-{group}")
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Standing {
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

/// One member as it sees itself.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) group: usize,
    /// Assigns the first topic alone.
    is_copying: bool,
    member: String,
    standing: Standing,
    is_waiting: bool,
    beat_at_ms: u64,
    away_until_ms: u64,
    /// Places that it may read from, each with where it is, once that is known.
    pub(super) places: BTreeMap<Place, Option<u64>>,
    /// What it asks about these has no answer yet.
    pub(super) is_busy: bool,
    /// Partitions that it shared out, where it leads: the same ones however often it says so within
    /// a generation, since what was said first may be stored. When there are more, it shares out
    /// anew.
    shared: Option<Vec<Place>>,
    /// Tells answers to an earlier assignment from those to this one.
    pub(super) tenure: u64,
}

/// What a seat asks.
#[derive(Clone, Debug)]
pub(super) enum SeatAsked {
    Join { at_least: i32 },
    Sync { generation: i32 },
    Beat,
    Leave,
}

impl Seat {
    pub(super) fn new(group: usize, is_copying: bool) -> Self {
        Self {
            group,
            is_copying,
            ..Self::default()
        }
    }

    /// Generation and member id to commit under; `None`: it has nothing to commit.
    pub(super) fn identity(&self) -> Option<(i32, String)> {
        match self.standing {
            Standing::Stable { generation } => Some((generation, self.member.clone())),
            Standing::Out | Standing::Joined { .. } => None,
        }
    }

    fn lose(&mut self, is_forgotten: bool) {
        self.standing = Standing::Out;
        self.places.clear();
        self.is_busy = false;
        self.shared = None;
        self.tenure += 1;
        if is_forgotten {
            self.member.clear();
        }
    }
}

/// An assignment: topics and indexes.
fn assignment(places: &[Place]) -> Bytes {
    let words = places
        .iter()
        .map(|(topic, index)| format!("{topic}.{index}"));
    words.collect::<Vec<_>>().join(",").into()
}

fn read_assignment(bytes: &[u8]) -> Option<Vec<Place>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let words = text.split(',').filter(|word| !word.is_empty());
    let place = |word: &str| {
        let (topic, index) = word.split_once('.')?;
        Some((topic.parse().ok()?, index.parse().ok()?))
    };
    words.map(place).collect()
}

impl Cluster<'_> {
    pub(super) fn seat(&mut self, client: usize) -> Option<&mut Seat> {
        self.clients[client].seat.as_mut()
    }

    pub(super) fn seat_turn(&mut self, client: usize) {
        let (now_ms, is_ending) = (self.now_ms, self.is_ending);
        let departs = self.rng.chance(DEPARTURES_PER_MILLE) && !is_ending;
        let Some(seat) = self.seat(client) else {
            return;
        };
        if now_ms < seat.away_until_ms && !is_ending {
            return;
        }
        if departs && !seat.member.is_empty() {
            return self.depart(client);
        }
        if seat.is_waiting {
            return;
        }
        let name = group_name(seat.group);
        let Some(coordinator) = self.coordinator(client, &name) else {
            return;
        };
        let Some(seat) = self.seat(client) else {
            return;
        };
        match seat.standing.clone() {
            Standing::Out => self.join(client, coordinator, name),
            Standing::Joined {
                generation,
                assigns,
            } => self.sync(client, coordinator, generation, &assigns),
            Standing::Stable { generation } if seat.beat_at_ms <= now_ms => {
                seat.beat_at_ms = now_ms + BEAT_MS;
                let request = Request::Heartbeat(Heartbeat {
                    group: name,
                    generation,
                    member: seat.member.clone(),
                    instance: None,
                });
                self.ask_for_seat(client, coordinator, request, SeatAsked::Beat);
            }
            Standing::Stable { .. } => self.look_for_partitions(client),
        }
    }

    fn look_for_partitions(&mut self, client: usize) {
        let Some(seat) = self.seat(client) else {
            return;
        };
        let (is_copying, shared) = (seat.is_copying, seat.shared.clone());
        let places = self.places_of_group(is_copying);
        if shared.is_some_and(|shared| shared != places) {
            self.lose_seat(client, false);
        }
    }

    /// The member says that it goes, or does not.
    fn depart(&mut self, client: usize) {
        let says_so = self.rng.chance(500);
        let away_ms = self.rng.below(2 * SESSION_TIMEOUT_MS);
        let at_ms = self.now_ms + away_ms;
        let Some(seat) = self.seat(client) else {
            return;
        };
        let name = group_name(seat.group);
        let leave = Leave {
            group: name.clone(),
            members: vec![(seat.member.clone(), None)],
        };
        seat.away_until_ms = at_ms;
        self.counts.add("members_gone", 1);
        self.lose_seat(client, true);
        if says_so && let Some(coordinator) = self.coordinator(client, &name) {
            let request = Request::LeaveGroup(leave);
            self.ask_for_seat(client, coordinator, request, SeatAsked::Leave);
        }
    }

    /// The seat's partitions may be somebody else's from now on.
    pub(super) fn lose_seat(&mut self, client: usize, is_forgotten: bool) {
        if let Some(seat) = self.seat(client) {
            seat.lose(is_forgotten);
        }
        if let Some(it) = self.transactor(client) {
            it.give_up_unless_ending();
        }
    }

    fn ask_for_seat(
        &mut self,
        client: usize,
        coordinator: usize,
        request: Request,
        asked: SeatAsked,
    ) {
        let is_asked = self.ask(coordinator, client, request, What::Seat(asked));
        if let Some(seat) = self.seat(client) {
            seat.is_waiting = is_asked;
        }
        if !is_asked {
            self.forget_coordinators(client);
        }
    }

    fn join(&mut self, client: usize, coordinator: usize, name: String) {
        let Some(seat) = self.seat(client) else {
            return;
        };
        let (group, member) = (seat.group, seat.member.clone());
        let at_least = self.books.group(group).generation;
        let join = Join {
            group: name,
            member,
            instance: None,
            client_id: format!("client-{client}"),
            client_host: "sim".to_owned(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(b"all"))],
            require_known_member: true,
            can_skip_assignment: false,
        };
        let request = Request::JoinGroup(join);
        self.ask_for_seat(client, coordinator, request, SeatAsked::Join { at_least });
    }

    /// Partitions that the seat's group reads.
    fn places_of_group(&self, is_copying: bool) -> Vec<Place> {
        let mut places = self.places();
        places.retain(|(topic, _)| !is_copying || *topic == 0);
        places
    }

    fn sync(&mut self, client: usize, coordinator: usize, generation: i32, assigns: &[String]) {
        let Some(seat) = self.seat(client) else {
            return;
        };
        let (group, member, is_copying) = (seat.group, seat.member.clone(), seat.is_copying);
        let mut shares: Vec<Vec<Place>> = vec![Vec::new(); assigns.len()];
        if !assigns.is_empty() {
            let places = self.places_of_group(is_copying);
            let Some(seat) = self.seat(client) else {
                return;
            };
            let shared = seat.shared.get_or_insert(places);
            for (at, place) in shared.iter().copied().enumerate() {
                shares[at % assigns.len()].push(place);
            }
        }
        let shares = shares.iter().map(|share| assignment(share));
        let request = Request::SyncGroup(Sync {
            group: group_name(group),
            generation,
            member,
            instance: None,
            protocol_type: None,
            protocol: None,
            assignments: assigns.iter().cloned().zip(shares).collect(),
        });
        let asked = SeatAsked::Sync { generation };
        self.ask_for_seat(client, coordinator, request, asked);
    }

    pub(super) fn seat_unsure(&mut self, client: usize) {
        if let Some(seat) = self.seat(client) {
            seat.is_waiting = false;
        }
        self.forget_coordinators(client);
    }

    pub(super) fn hear_seat(
        &mut self,
        client: usize,
        asked: SeatAsked,
        outcome: Outcome,
    ) -> Result<(), Broken> {
        if let Some(seat) = self.seat(client) {
            seat.is_waiting = false;
        }
        match (asked, outcome) {
            (SeatAsked::Join { at_least }, Outcome::Join(Ok(joined))) => {
                self.joined(client, at_least, joined)
            }
            (SeatAsked::Join { .. }, Outcome::Join(Err(refused))) => {
                let JoinRefused { error, member } = refused;
                if error != ErrorKind::MemberIdRequired {
                    return self.seat_refused(client, error);
                }
                if let Some(seat) = self.seat(client) {
                    seat.member = member;
                }
                Ok(())
            }
            (SeatAsked::Sync { generation }, Outcome::Sync(Ok(synced))) => {
                self.synced(client, generation, &synced)
            }
            (SeatAsked::Sync { .. }, Outcome::Sync(Err(error)))
            | (SeatAsked::Beat, Outcome::Heartbeat(Err(error))) => self.seat_refused(client, error),
            (SeatAsked::Beat, Outcome::Heartbeat(Ok(()))) | (SeatAsked::Leave, _) => Ok(()),
            (asked, outcome) => Err(wrong_answer(&format!("{asked:?}: {outcome:?}"))),
        }
    }

    fn seat_refused(&mut self, client: usize, error: ErrorKind) -> Result<(), Broken> {
        match error {
            ErrorKind::RebalanceInProgress | ErrorKind::IllegalGeneration => {
                self.lose_seat(client, false);
                Ok(())
            }
            ErrorKind::UnknownMember => {
                self.counts.add("members_lost", 1);
                self.lose_seat(client, true);
                Ok(())
            }
            error => {
                self.forget_coordinators(client);
                self.check_error(error, false, "a member")
            }
        }
    }

    fn joined(&mut self, client: usize, at_least: i32, joined: Joined) -> Result<(), Broken> {
        let Some(seat) = self.seat(client) else {
            return Ok(());
        };
        if joined.generation < at_least {
            let detail = format!("{}: {joined:?} after {at_least}", group_name(seat.group));
            return Err(broken(oracle_name::OWNERS, detail));
        }
        seat.member = joined.member;
        seat.standing = Standing::Joined {
            generation: joined.generation,
            assigns: joined.members.into_iter().map(|it| it.member).collect(),
        };
        self.counts.add("members_joined", 1);
        Ok(())
    }

    fn synced(&mut self, client: usize, generation: i32, synced: &Synced) -> Result<(), Broken> {
        let now_ms = self.now_ms;
        let places = read_assignment(&synced.assignment);
        let places = places.ok_or_else(|| wrong_answer("an assignment"))?;
        let Some(seat) = self.seat(client) else {
            return Ok(());
        };
        let expected = matches!(&seat.standing, Standing::Joined { generation: own, .. } if *own == generation);
        if !expected {
            return Ok(());
        }
        seat.standing = Standing::Stable { generation };
        seat.beat_at_ms = now_ms + BEAT_MS;
        seat.tenure += 1;
        seat.is_busy = false;
        seat.places = places.iter().map(|place| (*place, None)).collect();
        let (group, member) = (seat.group, seat.member.clone());
        let book = self.books.group(group);
        if book.generation < generation {
            book.generation = generation;
            self.counts.add("rebalances", 1);
        }
        for place in places {
            let book = self.books.group(group);
            let owner = book.owners.entry((generation, place));
            let owner = owner.or_insert_with(|| member.clone());
            if *owner != member {
                let detail = format!(
                    "{} generation {generation}: {place:?} is {owner}'s and {member}'s",
                    group_name(group)
                );
                return Err(broken(oracle_name::OWNERS, detail));
            }
        }
        Ok(())
    }

    /// A group is alive when all who want to be in it are, with all partitions between them.
    pub(super) fn missing_of_seats(&self) -> Option<String> {
        let mut groups: BTreeMap<usize, (BTreeSet<i32>, BTreeSet<Place>, bool)> = BTreeMap::new();
        for (number, client) in self.clients.iter().enumerate() {
            let Some(seat) = &client.seat else { continue };
            let Standing::Stable { generation } = seat.standing else {
                let place = (group_name(seat.group), number);
                return Some(format!("{place:?} is no member: {seat:?}"));
            };
            let (generations, places, is_copying) = groups.entry(seat.group).or_default();
            generations.insert(generation);
            places.extend(seat.places.keys());
            *is_copying = seat.is_copying;
        }
        groups
            .into_iter()
            .find_map(|(group, (generations, places, is_copying))| {
                let all: BTreeSet<Place> = self.places_of_group(is_copying).into_iter().collect();
                let is_alive = generations.len() == 1 && places == all;
                let name = group_name(group);
                (!is_alive)
                    .then(|| format!("{name} has {generations:?} with {places:?} of {all:?}"))
            })
    }

    /// Whether the client is a plain consumer of its group.
    pub(super) fn is_consumer(&self, client: usize) -> bool {
        matches!(self.clients[client].kind, Kind::Consumer)
    }
}
