//! Consumers: they read from whoever leads, and ask where partitions begin and end.

use weir_broker::api::{
    Fetch, FetchPartition, Fetched, ListOffset, ListedOffset, OffsetSpec, ReadFrom, Request,
};
use weir_model::ErrorKind;

use super::{
    answers::What,
    books::Place,
    clients::{Kind, topic_ref},
    read::check_served,
    run::Cluster,
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Most bytes of one read.
const READ_BYTES: usize = 20_000;

pub(super) fn fetch_request(
    place: Place,
    from: u64,
    wait_ms: u64,
    committed_only: bool,
) -> Request {
    Request::Fetch(Fetch {
        committed_only,
        min_bytes: 1,
        max_bytes: READ_BYTES,
        max_wait_ms: wait_ms,
        room: None,
        from: ReadFrom::Leader,
        partitions: vec![FetchPartition {
            topic: topic_ref(place.0),
            index: i32::try_from(place.1).unwrap_or(-1),
            offset: i64::try_from(from).unwrap_or(i64::MAX),
            max_bytes: READ_BYTES,
            leader_epoch: -1,
            last_epoch: -1,
        }],
    })
}

impl Cluster<'_> {
    pub(super) fn reader_turn(&mut self, client: usize) {
        let Some(place) = self.any_place() else {
            return;
        };
        // Some do not trust what they were told, and ask anybody.
        let machine = if self.rng.chance(250) {
            self.any_up()
        } else {
            self.route(client, place)
        };
        let Some(machine) = machine else { return };
        // Nobody who answers may be out of date, whoever it is.
        if self.rng.chance(400) {
            for machine in 0..self.machines.len() {
                self.ask_ends(client, machine, place);
            }
            return;
        }
        let begin_again = self.rng.chance(50);
        let wait_ms = self.rng.pick(&[0, 0, 300]);
        let Kind::Reader {
            positions,
            is_committed,
        } = &mut self.clients[client].kind
        else {
            return;
        };
        let committed_only = *is_committed;
        let position = positions.entry(place).or_default();
        if begin_again {
            *position = 0;
        }
        let from = *position;
        self.ask(
            machine,
            client,
            fetch_request(place, from, wait_ms, committed_only),
            What::Fetch {
                place,
                from,
                committed_only,
            },
        );
    }

    pub(super) fn ask_ends(&mut self, client: usize, machine: usize, place: Place) {
        let wanted = |at| ListOffset {
            committed_only: false,
            topic: topic_ref(place.0),
            index: i32::try_from(place.1).unwrap_or(-1),
            at,
            leader_epoch: -1,
        };
        let wanted = [OffsetSpec::Earliest, OffsetSpec::Latest].map(wanted);
        let at_least = self.books.known(place).acknowledged_end;
        let what = What::Ends { place, at_least };
        self.ask(
            machine,
            client,
            Request::ListOffsets(wanted.to_vec().into()),
            what,
        );
    }

    pub(super) fn hear_fetched(
        &mut self,
        client: usize,
        place: Place,
        (from, committed_only): (u64, bool),
        fetched: &Fetched,
    ) -> Result<(), Broken> {
        let (start, end) = (fetched.log_start.0, fetched.high_watermark.0);
        let next = match &fetched.batches {
            Ok(batches) => {
                let (served, next) = check_served(&mut self.books, place, from, batches)?;
                self.counts.add("batches_read", served.len() as u64);
                if committed_only {
                    self.check_committed(place, (from, next), fetched, &served)?;
                }
                if next > end {
                    let detail = format!("{place:?}: served {from} to {next}, the end is {end}");
                    return Err(broken(oracle_name::INVENTED, detail));
                }
                next
            }
            Err(ErrorKind::OffsetOutOfRange) => {
                self.clients[client].forget_route(place);
                self.check_out_of_range(place, from, start, end)?;
                // A leader that does not know all of it yet has a lower end.
                if start > from { start } else { from }
            }
            Err(error) => {
                self.clients[client].forget_route(place);
                return self.check_error(*error, false, "a fetch");
            }
        };
        if let Kind::Reader { positions, .. } = &mut self.clients[client].kind {
            positions.insert(place, next);
        }
        Ok(())
    }

    fn check_out_of_range(
        &self,
        place: Place,
        from: u64,
        start: u64,
        end: u64,
    ) -> Result<(), Broken> {
        let is_retained = self.plan.topics[place.0].retention_bytes.is_none();
        if from > end || (start > from && !is_retained) {
            return Ok(());
        }
        let detail = format!("{place:?}: {from} is not there, it goes from {start} to {end}");
        Err(broken(oracle_name::LOST, detail))
    }

    /// Offsets are asked for behind a barrier: what was acknowledged before is there.
    pub(super) fn hear_ends(
        &mut self,
        client: usize,
        place: Place,
        at_least: u64,
        listed: &[Result<ListedOffset, ErrorKind>],
    ) -> Result<(), Broken> {
        for answer in listed {
            if let Err(error) = answer {
                self.clients[client].forget_route(place);
                return self.check_error(*error, false, "offsets");
            }
        }
        let offset = |answer: &Result<ListedOffset, _>| answer.ok().and_then(|l| l.offset);
        let [earliest, latest] = listed else {
            return Err(super::answers::wrong_answer("offsets"));
        };
        let (Some(start), Some(end)) = (offset(earliest), offset(latest)) else {
            return Err(super::answers::wrong_answer("offsets"));
        };
        self.counts.add("barrier_reads", 1);
        let is_retained = self.plan.topics[place.0].retention_bytes.is_none();
        if end.0 < at_least || (is_retained && start.0 > 0) {
            let detail =
                format!("{place:?} goes from {start} to {end}, acknowledged before was {at_least}");
            return Err(broken(oracle_name::STALE, detail));
        }
        Ok(())
    }
}
