//! What clients wait for, and what may come back.

use std::collections::BTreeSet;

use weir_broker::{
    Ticket,
    api::{ClusterMetadata, Outcome},
};
use weir_model::{ErrorKind, NodeId};

use super::{
    books::Place,
    clients::{Kind, topic_ref},
    consumers::Reading,
    control::Controlled,
    run::Cluster,
    seat::{REBALANCE_TIMEOUT_MS, SeatAsked},
    shares::ShareAsked,
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) client: usize,
    pub(super) machine: usize,
    pub(super) sent_ms: u64,
    pub(super) due_ms: u64,
    pub(super) what: What,
}

/// What was asked for, with what was known when it was sent.
#[derive(Clone, Debug)]
pub(super) enum What {
    Create {
        topic: usize,
    },
    Metadata,
    ProducerId,
    Produce {
        serial: u64,
        /// All batches of the stream before it were stored when it was sent.
        is_first: bool,
    },
    Fetch {
        place: Place,
        from: u64,
        committed_only: bool,
    },
    /// The last read of everything.
    Sweep {
        place: Place,
        from: u64,
    },
    Ends {
        place: Place,
        at_least: u64,
    },
    Coordinator,
    Commit {
        place: Place,
        value: i64,
    },
    Committed {
        place: Place,
        at_least: Option<i64>,
    },
    /// Who coordinates.
    Find {
        name: String,
    },
    Control(Controlled),
    Seat(SeatAsked),
    Reading(Reading),
    Share(ShareAsked),
}

impl What {
    /// How much longer than for others its answer is waited for.
    pub(super) fn more_ms(&self) -> u64 {
        match self {
            Self::Seat(SeatAsked::Join { .. } | SeatAsked::Sync { .. }) => 2 * REBALANCE_TIMEOUT_MS,
            Self::Seat(SeatAsked::Beat | SeatAsked::Leave)
            | Self::Create { .. }
            | Self::Metadata
            | Self::ProducerId
            | Self::Produce { .. }
            | Self::Fetch { .. }
            | Self::Sweep { .. }
            | Self::Ends { .. }
            | Self::Coordinator
            | Self::Commit { .. }
            | Self::Committed { .. }
            | Self::Find { .. }
            | Self::Control(_)
            | Self::Reading(_)
            | Self::Share(_) => 0,
        }
    }
}

impl Cluster<'_> {
    pub(super) fn take_answers(&mut self, machine: usize) -> Result<(), Broken> {
        let answers = match &self.machines[machine].process {
            Some(process) => process.take_answers(),
            None => return Ok(()),
        };
        for (ticket, outcome) in answers {
            let now_ms = self.now_ms;
            self.trace.event("heard", &[ticket.0, now_ms], || {
                let mut text = format!("{} {outcome:?}", ticket.0);
                text.truncate(600);
                text
            });
            // Whoever gave up does not hear it any more.
            if let Some(asked) = self.open.remove(&ticket) {
                self.counts
                    .add("answer_ms", self.now_ms.saturating_sub(asked.sent_ms));
                self.hear(asked, outcome)?;
            } else {
                self.hear_queues(ticket, outcome)?;
            }
        }
        Ok(())
    }

    // Table: one arm per kind of answer.
    fn hear(&mut self, asked: Asked, outcome: Outcome) -> Result<(), Broken> {
        let (client, machine) = (asked.client, asked.machine);
        match (asked.what, outcome) {
            (What::Create { topic }, Outcome::CreateTopics(created)) => match created.first() {
                Some(Ok(_)) => {
                    self.created.insert(topic);
                    Ok(())
                }
                Some(Err(refusal)) if refusal.kind == ErrorKind::TopicExists => {
                    self.created.insert(topic);
                    Ok(())
                }
                Some(Err(refusal)) => {
                    let error = &refusal.kind;
                    // Nodes that are not known yet cannot carry copies.
                    let is_early = *error == ErrorKind::InvalidReplicationFactor;
                    self.check_error(*error, is_early, "a new topic")
                }
                None => Err(wrong_answer("a new topic")),
            },
            (What::Metadata, Outcome::Metadata(metadata)) => {
                self.hear_metadata(client, &metadata);
                Ok(())
            }
            (What::ProducerId, Outcome::ProducerId(Ok((id, epoch)))) => {
                if !self.books.producer_ids.insert(id.0) {
                    let detail = format!("producer id {id} was given out twice");
                    return Err(broken(oracle_name::INVENTED, detail));
                }
                if let Kind::Producer(producer) = &mut self.clients[client].kind {
                    producer.id.get_or_insert((id.0, epoch));
                }
                Ok(())
            }
            (What::ProducerId, Outcome::ProducerId(Err(error))) => {
                self.check_error(error, false, "a producer id")
            }
            (What::Produce { serial, is_first }, Outcome::Produce(produced)) => {
                let produced = produced.first().ok_or_else(|| wrong_answer("a batch"))?;
                self.hear_produced(client, serial, is_first, produced)
            }
            (
                What::Fetch {
                    place,
                    from,
                    committed_only,
                },
                Outcome::Fetch(fetched),
            ) => {
                let fetched = fetched.first().ok_or_else(|| wrong_answer("a fetch"))?;
                self.hear_fetched(client, place, (from, committed_only), fetched)
            }
            (What::Sweep { place, from }, Outcome::Fetch(fetched)) => {
                let fetched = fetched.first().ok_or_else(|| wrong_answer("a fetch"))?;
                self.hear_swept(place, from, fetched)
            }
            (What::Ends { place, at_least }, Outcome::ListOffsets(listed)) => {
                self.hear_ends(client, place, at_least, &listed)
            }
            (What::Coordinator, Outcome::Coordinators(found)) => {
                let found = found.first().ok_or_else(|| wrong_answer("a coordinator"))?;
                self.hear_coordinator(client, found)
            }
            (What::Commit { place, value }, Outcome::OffsetCommit(answers)) => {
                let answer = answers.first().ok_or_else(|| wrong_answer("a commit"))?;
                self.hear_commit(client, place, value, *answer)
            }
            (What::Committed { place, at_least }, Outcome::OffsetFetch(answers)) => {
                let answer = answers.first().ok_or_else(|| wrong_answer("offsets"))?;
                self.hear_committed(client, place, at_least, answer)
            }
            (What::Find { name }, Outcome::Coordinators(found)) => {
                let found = found.first().ok_or_else(|| wrong_answer("a coordinator"))?;
                let machine = found.as_ref().ok().and_then(|it| self.machine_of(it.node));
                self.looked(client, machine.map(|machine| (name, machine)));
                let error = found.as_ref().err();
                error.map_or(Ok(()), |error| {
                    self.check_error(*error, false, "a coordinator")
                })
            }
            (What::Control(asked), outcome) => self.hear_control(client, asked, outcome),
            (What::Seat(asked), outcome) => self.hear_seat(client, asked, outcome),
            (What::Reading(reading), outcome) => self.hear_reading(client, &reading, outcome),
            (What::Share(share), outcome) => self.hear_share(client, machine, share, outcome),
            (what, outcome) => Err(wrong_answer(&format!("{what:?}: {outcome:?}"))),
        }
    }

    fn hear_metadata(&mut self, client: usize, metadata: &ClusterMetadata) {
        let mut routes = Vec::new();
        for (topic, partition_count) in self.known_topics() {
            let wanted = topic_ref(topic);
            let found = metadata.topics.iter().find(|found| found.topic == wanted);
            let Some(Ok(description)) = found.map(|found| &found.result) else {
                continue;
            };
            self.shares.note_topic(description.id, topic);
            for index in 0..partition_count {
                let at = usize::try_from(index).unwrap_or(usize::MAX);
                let leader = description.partitions.get(at).and_then(|one| one.leader);
                let machine = leader.and_then(|leader| self.machine_of(leader));
                routes.extend(machine.map(|machine| ((topic, index), machine)));
            }
        }
        self.clients[client].refreshed();
        self.clients[client].routes = routes.into_iter().collect();
    }

    /// Topics that clients ask about, each with how many partitions it has.
    fn known_topics(&self) -> Vec<(usize, u32)> {
        let topics = self.plan.topics.iter().enumerate();
        let topics = topics.map(|(topic, plan)| (topic, plan.partition_count));
        topics.chain(self.plan.shares.letters_topics()).collect()
    }

    /// The machine that a client connects to for a node that it was told of.
    pub(super) fn machine_of(&self, node: i32) -> Option<usize> {
        let node = Some(NodeId(u64::try_from(node).ok()?));
        let mut machines = self.machines.iter();
        machines
            .find(|machine| machine.node == node)
            .map(|m| m.number)
    }

    /// A refusal that a client cannot go on from needs a reason.
    pub(super) fn check_error(
        &self,
        error: ErrorKind,
        is_expected: bool,
        what: &str,
    ) -> Result<(), Broken> {
        if is_expected || (error.retriable() && error != ErrorKind::CorruptBatch) {
            return Ok(());
        }
        let detail = format!("{what}: {error:?}");
        Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail))
    }

    /// Requests whose time is over have an unknown outcome, and so have all others that went to
    /// the same machine: the client gives the connection up.
    pub(super) fn give_up_waiting(&mut self) {
        let now_ms = self.now_ms;
        let is_late = |asked: &&Asked| asked.due_ms <= now_ms;
        let late = self.open.values().filter(is_late);
        let ends: BTreeSet<(usize, usize)> = late.map(|a| (a.client, a.machine)).collect();
        for (client, machine) in ends {
            self.clients[client].disconnect(machine);
            self.share_disconnected(client, machine);
            let is_lost =
                |_: &Ticket, asked: &mut Asked| (asked.client, asked.machine) == (client, machine);
            let lost: Vec<_> = self.open.extract_if(.., is_lost).collect();
            self.counts.add("timeouts", lost.len() as u64);
            lost.into_iter().for_each(|(_, asked)| self.give_up(&asked));
        }
    }

    /// A process is gone, and with it all answers that it owed.
    pub(super) fn lose_requests(&mut self, machine: usize) {
        let lost = self
            .open
            .extract_if(.., |_, asked| asked.machine == machine);
        let lost: Vec<(Ticket, Asked)> = lost.collect();
        self.counts.add("answers_lost", lost.len() as u64);
        lost.into_iter().for_each(|(_, asked)| self.give_up(&asked));
        self.lose_queue_sessions(machine);
    }

    pub(super) fn give_up(&mut self, asked: &Asked) {
        match &asked.what {
            What::Metadata => self.clients[asked.client].refreshed(),
            What::Produce { serial, .. } => self.batch_failed(asked.client, *serial),
            What::Fetch { place, .. } | What::Ends { place, .. } => {
                self.clients[asked.client].forget_route(*place);
            }
            What::Coordinator | What::Committed { .. } => self.forget_coordinator(asked.client),
            What::Commit { place, value } => self.commit_unsure(asked.client, *place, *value),
            What::Find { .. } => self.looked(asked.client, None),
            What::Control(control) => self.control_unsure(asked.client, *control),
            What::Seat(_) => self.seat_unsure(asked.client),
            What::Reading(reading) => self.reading_unsure(asked.client, reading),
            What::Share(share) => self.share_unsure(asked.client, share),
            What::Create { .. } | What::ProducerId | What::Sweep { .. } => {}
        }
    }
}

pub(super) fn wrong_answer(what: &str) -> Broken {
    broken(
        oracle_name::INVENTED,
        format!("an answer to something else: {what}"),
    )
}
