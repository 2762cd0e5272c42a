//! What members ask of the leaders of partitions: records, and what became of those that they have.

use std::collections::{BTreeMap, BTreeSet};

use weir_broker::api::{
    Request,
    share::{ShareAcks, ShareFetch, SharePart, ShareRequest},
};
use weir_model::TopicId;

use super::{
    books::{Fate, How},
    state::{Ack, Phase, Records, Session, ShareAsked, group_name},
};
use crate::{
    campaign::cluster::{answers::What, books::Place, run::Cluster},
    world::Rng,
};

/// Turns with a session that end it, of a thousand.
const ENDS_PER_MILLE: u64 = 15;
/// Most bytes and records of a fetch that takes what is left.
const DRAIN_BYTES: usize = 1 << 20;
const DRAIN_COUNT: u32 = 2_000;

impl Cluster<'_> {
    /// Partitions of the member's assignment, as far as their topics are known.
    fn places_of_member(&self, member: usize) -> Vec<Place> {
        let assigned = self.shares.members[member].assigned.iter();
        let places = assigned.filter_map(|(id, index)| {
            let topic = *self.shares.topics.get(id)?;
            Some((topic, u32::try_from(*index).ok()?))
        });
        places.collect()
    }

    /// Asks one of the machines from which the member reads, where it waits for no answer of it.
    pub(super) fn ask_for_records(&mut self, member: usize) {
        let places = self.places_of_member(member);
        if places.is_empty() {
            return;
        }
        let place = self.shares.rng.pick(&places);
        let client = self.shares.members[member].client;
        let Some(machine) = self.route(client, place) else {
            return;
        };
        if !self.knows_settings(machine) {
            return;
        }
        let it = &self.shares.members[member];
        let session = it.sessions.get(&machine);
        if session.is_some_and(|session| session.is_waiting) {
            return;
        }
        let (has_session, drains) = (session.is_some(), it.drains);
        let ends = self.shares.rng.chance(ENDS_PER_MILLE) && !drains;
        let phase = match (has_session, ends) {
            (false, _) => Phase::Opens,
            (true, false) => Phase::GoesOn,
            (true, true) => Phase::Ends,
        };
        self.ask_records(member, machine, phase);
    }

    /// Sends a request within the member's session with the machine, or one that opens it.
    pub(super) fn ask_records(&mut self, member: usize, machine: usize, phase: Phase) {
        let acks = match phase {
            Phase::Opens => BTreeMap::new(),
            Phase::GoesOn | Phase::Ends => self.choose_acks(member, machine),
        };
        let wants = match phase {
            Phase::Opens => true,
            Phase::GoesOn => acks.is_empty() || self.shares.rng.chance(700),
            Phase::Ends => false,
        };
        let client = self.shares.members[member].client;
        let routes = &self.clients[client].routes;
        let mut places = self.places_of_member(member);
        places.retain(|place| routes.get(place) == Some(&machine));
        let mut places: BTreeSet<Place> = places.into_iter().collect();
        if wants && places.is_empty() && acks.is_empty() {
            return;
        }
        if wants {
            places.extend(acks.keys());
        } else {
            places.clear();
        }
        if phase == Phase::Opens {
            self.begin_session(member, machine);
        }
        let drains = self.shares.members[member].drains;
        let fetch = wants.then(|| draw_fetch(&mut self.shares.rng, drains));
        let records = Records {
            member,
            machine,
            life: self.machines[machine].life,
            session: 0,
            phase,
            asked_ms: self.now_ms,
            places,
            max_count: None,
            acks,
        };
        self.send_records(records, fetch);
    }

    fn begin_session(&mut self, member: usize, machine: usize) {
        let life = self.machines[machine].life;
        let number = self.shares.next_session;
        self.shares.next_session += 1;
        let session = Session {
            number,
            life,
            epoch: 0,
            hold: None,
            places: BTreeSet::new(),
            touched: BTreeSet::new(),
            is_waiting: false,
        };
        let sessions = &mut self.shares.members[member].sessions;
        sessions.insert(machine, session);
    }

    fn send_records(&mut self, mut records: Records, mut fetch: Option<ShareFetch>) {
        let (member, machine) = (records.member, records.machine);
        let ids = self.shares.topics.iter();
        let ids: BTreeMap<usize, TopicId> = ids.map(|(id, topic)| (*topic, *id)).collect();
        let key = |place: &Place| {
            let index = i32::try_from(place.1).unwrap_or(-1);
            Some((*ids.get(&place.0)?, index))
        };
        let it = &mut self.shares.members[member];
        let (client, group, name) = (it.client, it.group, it.name());
        let Some(session) = it.sessions.get_mut(&machine) else {
            return;
        };
        records.session = session.number;
        let mut named: BTreeSet<Place> = records.acks.keys().copied().collect();
        if let Some(fetch) = &mut fetch {
            named.extend(records.places.difference(&session.places));
            let forgotten = session.places.difference(&records.places);
            fetch.forgotten = forgotten.filter_map(key).collect();
            session.places.clone_from(&records.places);
        }
        session.touched.extend(&named);
        let parts = named.iter().filter_map(|place| {
            let (topic, index) = key(place)?;
            let acks = records.acks.get(place);
            let acks = acks.map_or_else(Vec::new, |acks| ranges(&mut self.shares.rng, acks));
            Some(SharePart { topic, index, acks })
        });
        let request = ShareRequest {
            group: group_name(group),
            member: name,
            epoch: match records.phase {
                Phase::Ends => -1,
                Phase::Opens | Phase::GoesOn => session.epoch,
            },
            renews: records
                .acks
                .values()
                .flatten()
                .any(|it| it.how == How::Renew),
            partitions: parts.collect(),
            fetch,
        };
        session.epoch += 1;
        session.is_waiting = true;
        let by_records = request.fetch.as_ref().filter(|fetch| fetch.by_records);
        records.max_count = by_records.map(|fetch| u64::from(fetch.max_records));
        let acks = records.acks.clone();
        let asked = ShareAsked::Records(Box::new(records));
        if self.ask(machine, client, Request::Share(request), What::Share(asked)) {
            self.counts.add("share_requests", 1);
            self.note_asked(member, &acks);
        } else {
            self.shares.members[member].sessions.remove(&machine);
        }
    }

    /// What the member says of records that it has, of partitions that the machine leads.
    fn choose_acks(&mut self, member: usize, machine: usize) -> BTreeMap<Place, Vec<Ack>> {
        let shares = &mut self.shares;
        let it = &mut shares.members[member];
        let (group, drains) = (it.group, it.drains);
        let routes = &self.clients[it.client].routes;
        let lock_ms = self.plan.shares.groups[group].lock_ms;
        let now_ms = self.now_ms;
        let mut acks: BTreeMap<Place, Vec<Ack>> = BTreeMap::new();
        let (books, rng) = (&shares.books, &mut shares.rng);
        it.held.retain(|(place, offset), delivery| {
            let story = books.story((group, *place, *offset));
            let Some(known) = story.get(*delivery) else {
                return false;
            };
            let is_here = routes.get(place) == Some(&machine);
            if is_here && let Some(how) = draw_how(rng, drains) {
                acks.entry(*place).or_default().push(Ack {
                    offset: *offset,
                    delivery: *delivery,
                    how,
                    is_sure: known.fate == Fate::Held,
                });
            }
            // What nobody believes to be the member's any more is forgotten.
            now_ms < known.heard_ms + 2 * lock_ms
        });
        acks
    }
}

fn draw_how(rng: &mut Rng, drains: bool) -> Option<How> {
    if drains {
        return Some(How::Accept);
    }
    match rng.below(100) {
        0..50 => Some(How::Accept),
        50..62 => Some(How::Release),
        62..70 => Some(How::Reject),
        70..76 => Some(How::Renew),
        // It lies.
        _ => None,
    }
}

fn draw_fetch(rng: &mut Rng, drains: bool) -> ShareFetch {
    let fetch = ShareFetch {
        min_bytes: 1,
        max_bytes: rng.pick(&[1, 2_000, 50_000]),
        max_wait_ms: rng.pick(&[0, 0, 100, 400]),
        max_records: rng.pick(&[1, 5, 50, 500]),
        by_records: rng.chance(500),
        forgotten: Vec::new(),
    };
    if !drains {
        return fetch;
    }
    ShareFetch {
        max_bytes: DRAIN_BYTES,
        max_records: DRAIN_COUNT,
        by_records: false,
        ..fetch
    }
}

/// Offsets that follow each other become one range, with a kind each, or one for all where that is
/// so and fate wants it.
fn ranges(rng: &mut Rng, acks: &[Ack]) -> Vec<ShareAcks> {
    let runs = acks.chunk_by(|one, next| one.offset + 1 == next.offset);
    let ranges = runs.map(|run| {
        let offset = |ack: Option<&Ack>| {
            let offset = ack.map_or(0, |ack| ack.offset);
            i64::try_from(offset).unwrap_or(i64::MAX)
        };
        let mut kinds: Vec<i8> = run.iter().map(|ack| ack.how.kind()).collect();
        let is_one = kinds.iter().all(|kind| *kind == kinds[0]);
        if is_one && rng.chance(500) {
            kinds.truncate(1);
        }
        ShareAcks {
            first: offset(run.first()),
            last: offset(run.last()),
            kinds,
        }
    });
    ranges.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_each_other_is_one_range_with_a_kind_each() {
        let said = [(3, How::Accept), (4, How::Reject), (7, How::Release)];
        let acks = said.map(|(offset, how)| Ack {
            offset,
            delivery: 0,
            how,
            is_sure: true,
        });
        let told = ranges(&mut Rng::new(1), &acks);
        let told: Vec<_> = told
            .iter()
            .map(|range| (range.first, range.last, range.kinds.as_slice()))
            .collect();
        assert_eq!(told, [(3, 4, &[1, 3][..]), (7, 7, &[2][..])]);
    }
}
