//! Members of groups that read on from what was committed, and commit how far they got.

use weir_broker::api::{
    CommittedOffset, Fetched, FetchedOffset, OffsetCommit, OffsetFetch, Outcome, Request,
};
use weir_model::ErrorKind;

use super::{
    answers::{What, wrong_answer},
    books::Place,
    clients::topic_ref,
    read::check_served,
    readers::fetch_request,
    run::Cluster,
    seat::group_name,
};
use crate::oracle::Broken;

/// What a member asks about the partitions that it has.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    tenure: u64,
    step: ReadStep,
}

#[derive(Clone, Debug)]
enum ReadStep {
    /// Where to begin.
    Resume {
        asked_at: u64,
    },
    Fetch {
        place: Place,
        from: u64,
    },
    Commit {
        place: Place,
        commit: u64,
    },
}

impl Cluster<'_> {
    pub(super) fn consumer_turn(&mut self, client: usize) {
        let commits = self.rng.chance(300) && !self.is_ending;
        let Some((place, position)) = self.any_position(client) else {
            return;
        };
        if commits {
            self.commit_position(client, place, position);
        } else {
            let wait_ms = self.rng.pick(&[0, 0, 200]);
            self.read_on(client, (place, position), wait_ms, false);
        }
    }

    /// One of the seat's partitions with where it is; asks where to begin where that is not known.
    pub(super) fn any_position(&mut self, client: usize) -> Option<(Place, u64)> {
        let seat = self.seat(client)?;
        seat.identity()?;
        if seat.is_busy || seat.places.is_empty() {
            return None;
        }
        let known: Option<Vec<(Place, u64)>> = seat
            .places
            .iter()
            .map(|(place, at)| Some((*place, (*at)?)))
            .collect();
        match known {
            Some(known) => Some(self.rng.pick(&known)),
            None => {
                self.resume(client);
                None
            }
        }
    }

    fn resume(&mut self, client: usize) {
        let is_consumer = self.is_consumer(client);
        let asked_at = self.books.tick();
        let Some(seat) = self.seat(client) else {
            return;
        };
        let name = group_name(seat.group);
        let places = seat.places.keys().map(|(topic, index)| {
            let index = i32::try_from(*index).unwrap_or(-1);
            (topic_ref(*topic), index)
        });
        let request = Request::OffsetFetch(vec![OffsetFetch {
            group: name.clone(),
            partitions: Some(places.collect()),
            // What a transaction brings is waited for by those who copy.
            require_stable: !is_consumer,
            member: None,
            tells_ids: false,
        }]);
        if let Some(coordinator) = self.coordinator(client, &name) {
            self.ask_reading(client, coordinator, request, ReadStep::Resume { asked_at });
        }
    }

    fn ask_reading(&mut self, client: usize, machine: usize, request: Request, step: ReadStep) {
        let Some(seat) = self.seat(client) else {
            return;
        };
        let reading = Reading {
            tenure: seat.tenure,
            step,
        };
        let is_asked = self.ask(machine, client, request, What::Reading(reading.clone()));
        if let Some(seat) = self.seat(client) {
            seat.is_busy = is_asked;
        }
        if !is_asked {
            self.reading_unsure(client, &reading);
        }
    }

    pub(super) fn reading_unsure(&mut self, client: usize, reading: &Reading) {
        if let Some(seat) = self.seat(client)
            && seat.tenure == reading.tenure
        {
            seat.is_busy = false;
        }
        match reading.step {
            ReadStep::Fetch { place, .. } => self.clients[client].forget_route(place),
            ReadStep::Resume { .. } | ReadStep::Commit { .. } => self.forget_coordinators(client),
        }
    }

    pub(super) fn read_on(
        &mut self,
        client: usize,
        (place, from): (Place, u64),
        wait_ms: u64,
        committed_only: bool,
    ) {
        if let Some(machine) = self.route(client, place) {
            let request = fetch_request(place, from, wait_ms, committed_only);
            self.ask_reading(client, machine, request, ReadStep::Fetch { place, from });
        }
    }

    fn commit_position(&mut self, client: usize, place: Place, position: u64) {
        let Some(seat) = self.seat(client) else {
            return;
        };
        let Some((generation, member)) = seat.identity() else {
            return;
        };
        let (group, name) = (seat.group, group_name(seat.group));
        let Some(coordinator) = self.coordinator(client, &name) else {
            return;
        };
        let request = Request::OffsetCommit(OffsetCommit {
            knows_epochs: false,
            group: name,
            generation,
            member,
            instance: None,
            offsets: vec![committed(place, position)],
        });
        let commit = self.books.commit_sent(group, place, position);
        self.ask_reading(
            client,
            coordinator,
            request,
            ReadStep::Commit { place, commit },
        );
    }

    pub(super) fn hear_reading(
        &mut self,
        client: usize,
        reading: &Reading,
        outcome: Outcome,
    ) -> Result<(), Broken> {
        let Some(seat) = self.seat(client) else {
            return Ok(());
        };
        let group = seat.group;
        let is_current = seat.tenure == reading.tenure;
        if is_current {
            seat.is_busy = false;
        }
        match (&reading.step, outcome) {
            (ReadStep::Resume { asked_at }, Outcome::OffsetFetch(answers)) => {
                let answer = answers.into_iter().next();
                let answer = answer.ok_or_else(|| wrong_answer("offsets"))?;
                self.resumed(client, *asked_at, is_current, answer)
            }
            (ReadStep::Fetch { place, from }, Outcome::Fetch(fetched)) => {
                let fetched = fetched.first().ok_or_else(|| wrong_answer("a fetch"))?;
                self.read(client, (*place, *from), is_current, fetched)
            }
            (ReadStep::Commit { place, commit }, Outcome::OffsetCommit(answers)) => {
                let answer = answers.first().ok_or_else(|| wrong_answer("a commit"))?;
                match *answer {
                    Ok(()) => {
                        self.books.commit_answered(group, *place, *commit);
                        self.counts.add("member_commits", 1);
                        Ok(())
                    }
                    Err(
                        ErrorKind::IllegalGeneration
                        | ErrorKind::UnknownMember
                        | ErrorKind::RebalanceInProgress,
                    ) => {
                        self.books.commit_refused(group, *place, *commit);
                        self.counts.add("member_commits_refused", 1);
                        Ok(())
                    }
                    Err(error) => {
                        self.forget_coordinators(client);
                        self.check_error(error, false, "a member's commit")
                    }
                }
            }
            (step, outcome) => Err(wrong_answer(&format!("{step:?}: {outcome:?}"))),
        }
    }

    fn resumed(
        &mut self,
        client: usize,
        asked_at: u64,
        is_current: bool,
        answer: Result<Vec<FetchedOffset>, ErrorKind>,
    ) -> Result<(), Broken> {
        let found = match answer {
            Ok(found) => found,
            Err(error) => {
                self.forget_coordinators(client);
                return self.check_error(error, false, "a member's offsets");
            }
        };
        for one in found {
            let Some(place) = self.place_of(&one) else {
                return Err(wrong_answer("a member's offsets"));
            };
            if one.error == Some(ErrorKind::UnstableOffsetCommit) {
                self.counts.add("offsets_awaited", 1);
                continue;
            }
            let value = one.offset.map(|offset| offset.unsigned_abs());
            let Some(seat) = self.seat(client) else {
                continue;
            };
            let group = seat.group;
            self.books.check_offset(group, place, value, asked_at)?;
            self.counts.add("member_offsets_fetched", 1);
            if is_current
                && let Some(seat) = self.seat(client)
                && let Some(at @ None) = seat.places.get_mut(&place)
            {
                *at = Some(value.unwrap_or(0));
            }
        }
        Ok(())
    }

    fn place_of(&self, one: &FetchedOffset) -> Option<Place> {
        let topic = (0..self.plan.topics.len()).find(|topic| topic_ref(*topic) == one.topic)?;
        Some((topic, u32::try_from(one.index).ok()?))
    }

    fn read(
        &mut self,
        client: usize,
        (place, from): (Place, u64),
        is_current: bool,
        fetched: &Fetched,
    ) -> Result<(), Broken> {
        let is_consumer = self.is_consumer(client);
        let next = match &fetched.batches {
            Ok(batches) => {
                let (served, next) = check_served(&mut self.books, place, from, batches)?;
                if !is_consumer {
                    self.check_committed(place, (from, next), fetched, &served)?;
                }
                next
            }
            Err(error) => {
                self.clients[client].forget_route(place);
                let start = fetched.log_start.0;
                let is_cut = *error == ErrorKind::OffsetOutOfRange;
                self.check_error(*error, is_cut, "a member's fetch")?;
                if is_cut && start > from { start } else { from }
            }
        };
        let Some(seat) = self.seat(client) else {
            return Ok(());
        };
        let group = seat.group;
        if !is_current {
            return Ok(());
        }
        self.books.deliver(group, place, next);
        if !is_consumer {
            self.copy_read(client, place, from, next);
        } else if let Some(seat) = self.seat(client) {
            seat.places.insert(place, Some(next));
        }
        Ok(())
    }
}

pub(super) fn committed(place: Place, offset: u64) -> CommittedOffset {
    CommittedOffset {
        topic: topic_ref(place.0),
        index: i32::try_from(place.1).unwrap_or(-1),
        offset: i64::try_from(offset).unwrap_or(i64::MAX),
        leader_epoch: -1,
        metadata: String::new(),
    }
}
