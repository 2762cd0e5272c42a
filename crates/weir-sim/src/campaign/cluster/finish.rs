//! After the last step: faults end, the cluster comes to rest, and everything is read.

use std::collections::BTreeMap;

use weir_broker::{Ticket, api::Fetched, steward::AdminRequest};
use weir_model::{GroupId, NodeId};

use super::{
    answers::What, books::Place, clients::Kind, producers::Stream, read::check_served,
    readers::fetch_request, run::Cluster,
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Within this time after everything is healed the cluster is whole again.
const HEAL_MS: u64 = 60_000;
/// Time between two looks whether it is.
const HEAL_STEP_MS: u64 = 250;
/// Looks between two requests for the same.
const ASK_ROUNDS: u64 = 20;
/// Reads of one partition, at most; more means that they do not get on.
const MAX_READ_COUNT: usize = 10_000;
/// Copies of a shard.
const COPIES: usize = 3;

/// The last read of a partition.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    next: u64,
    /// First offset of the log.
    start: u64,
    offsets: Vec<u64>,
    is_whole: bool,
}

impl Cluster<'_> {
    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        self.is_ending = true;
        self.heal();
        self.come_to_rest("healed")?;
        self.sweep_all()?;
        self.compare_data()?;
        for number in 0..self.machines.len() {
            self.end_process(number, true, self.plan.seed ^ number as u64, 0);
        }
        self.come_to_rest("all nodes started again")?;
        self.sweep_all()?;
        self.drain_shares()?;
        self.drain_queues()
    }

    fn heal(&mut self) {
        self.weather.calm();
        let now_ms = self.now_ms;
        for machine in 0..self.machines.len() {
            self.jump(machine, 0);
        }
        for machine in &mut self.machines {
            machine.host.disk.disarm();
            machine.fill(0);
            machine.paused_until_ms = 0;
            if machine.process.is_none() && machine.node.is_some() {
                machine.start_at_ms = Some(now_ms);
            }
        }
    }

    /// People want every node to carry its share; who does not answer is asked again.
    fn activate_all(&mut self) {
        let nodes: Vec<NodeId> = self.machines.iter().filter_map(|m| m.node).collect();
        for node in nodes {
            self.request(&AdminRequest::Add { node: node.0 });
        }
    }

    fn come_to_rest(&mut self, when: &str) -> Result<(), Broken> {
        let until_ms = self.now_ms + HEAL_MS;
        let began_ms = self.now_ms;
        for round in 0_u64.. {
            if round % ASK_ROUNDS == 0 {
                self.activate_all();
            }
            self.run_until(self.now_ms + HEAL_STEP_MS)?;
            let Some(missing) = self.missing() else {
                self.counts.add("rests", 1);
                self.counts.add("rest_ms", self.now_ms - began_ms);
                return Ok(());
            };
            if self.now_ms >= until_ms {
                let detail = format!("{HEAL_MS} ms after {when}: {missing}");
                return Err(broken(oracle_name::PROGRESS, detail));
            }
        }
        Ok(())
    }

    /// What keeps the cluster from being whole.
    fn missing(&self) -> Option<String> {
        let mut nodes = Vec::new();
        for machine in &self.machines {
            let number = machine.number;
            let Some(process) = &machine.process else {
                let (node, at_ms) = (machine.node, machine.start_at_ms);
                return Some(format!(
                    "machine {number} has no process: node {node:?}, start {at_ms:?}"
                ));
            };
            if !process.node.is_ready() {
                let groups = self.groups();
                let seen: Vec<_> = groups
                    .map(|group| (process.node.observed(group), process.node.leader_of(group)))
                    .collect();
                let nodes = process.node.known_nodes();
                return Some(format!(
                    "machine {number} is not ready: knows {nodes:?}, groups {seen:?}"
                ));
            }
            nodes.push(process.node.id());
        }
        if !self.lost_nodes.is_empty() {
            return Some(format!("nodes {:?} are not removed", self.lost_nodes));
        }
        let groups = self.groups();
        let unfit = groups.filter_map(|group| self.missing_of(group, &nodes));
        unfit.chain(self.missing_of_clients()).next()
    }

    fn missing_of(&self, group: GroupId, nodes: &[NodeId]) -> Option<String> {
        let processes = || self.machines.iter().filter_map(|m| m.process.as_ref());
        let seen = || processes().map(|process| (process, process.node.observed(group)));
        let led = seen().filter(|(process, seen)| seen.1 == Some(process.node.id()));
        let Some((leader, (term, _, applied))) = led.max_by_key(|(_, seen)| seen.0) else {
            return Some(format!("group {group} has no leader"));
        };
        let view = leader.node.own_view(group);
        let members = &view.members;
        let wanted = if group == GroupId::METADATA {
            nodes.len()
        } else {
            nodes.len().min(COPIES)
        };
        let is_right = members.voters_outgoing.is_empty()
            && members.learners_next.is_empty()
            && members.learners.is_empty()
            && members.voters.len() == wanted
            && members.voters.iter().all(|voter| nodes.contains(voter));
        if !is_right {
            return Some(format!(
                "group {group} has {members:?}, nodes are {nodes:?}"
            ));
        }
        let mut behind = seen().filter(|(process, seen)| {
            members.voters.contains(&process.node.id())
                && (seen.0 != term || seen.2 != applied || seen.1 != Some(leader.node.id()))
        });
        behind.next().map(|(process, seen)| {
            format!(
                "group {group}: leader {} has {term} {applied}, {} has {seen:?}",
                leader.node.id(),
                process.node.id()
            )
        })
    }

    fn missing_of_clients(&self) -> Option<String> {
        if self.created.len() < self.plan.topics.len() {
            return Some(format!("only topics {:?} are created", self.created));
        }
        let waiting = self
            .clients
            .iter()
            .enumerate()
            .find(|(_, client)| match &client.kind {
                Kind::Producer(producer) => !producer.streams.values().all(|s| s.is_answered()),
                Kind::Plain { under_way, failed } => !under_way.is_empty() || !failed.is_empty(),
                Kind::Transactor(transactor) => transactor.current.is_some(),
                Kind::Reader { .. } | Kind::Group(_) | Kind::Consumer | Kind::Member => false,
            });
        let waiting = waiting.map(|(client, _)| format!("producer {client} waits for answers"));
        waiting
            .or_else(|| self.missing_of_seats())
            .or_else(|| self.missing_of_queues())
    }

    fn sweep_all(&mut self) -> Result<(), Broken> {
        for place in self.places() {
            self.swept = Sweep::default();
            self.sweep(place)?;
            self.check_swept(place)?;
            self.counts.add("sweeps", 1);
        }
        self.judge_transactions()
    }

    fn sweep(&mut self, place: Place) -> Result<(), Broken> {
        let mut until_ms = self.now_ms + HEAL_MS;
        let mut reached = self.swept.next;
        for _ in 0..MAX_READ_COUNT {
            if self.swept.is_whole {
                return Ok(());
            }
            // As long as it goes on, however much there is.
            if self.swept.next != reached {
                reached = self.swept.next;
                until_ms = self.now_ms + HEAL_MS;
            }
            if self.now_ms > until_ms {
                break;
            }
            let Some(machine) = self.route(0, place) else {
                self.run_until(self.now_ms + 1)?;
                continue;
            };
            let from = self.swept.next;
            let ticket = Ticket(self.next_ticket);
            let what = What::Sweep { place, from };
            // What is not decided by now never will be.
            let request = fetch_request(place, from, 0, true);
            self.ask(machine, 0, request, what);
            while self.open.contains_key(&ticket) {
                self.run_until(self.now_ms + 1)?;
            }
        }
        let detail = format!("{place:?} cannot be read to its end: {:?}", self.swept.next);
        Err(broken(oracle_name::PROGRESS, detail))
    }

    pub(super) fn hear_swept(
        &mut self,
        place: Place,
        from: u64,
        fetched: &Fetched,
    ) -> Result<(), Broken> {
        let (start, end) = (fetched.log_start.0, fetched.high_watermark.0);
        let Ok(batches) = &fetched.batches else {
            let is_retained = self.plan.topics[place.0].retention_bytes.is_none();
            if start > from && !is_retained {
                self.swept.next = start;
                self.swept.offsets.clear();
            } else {
                self.clients[0].forget_route(place);
            }
            return Ok(());
        };
        let (served, next) = check_served(&mut self.books, place, from, batches)?;
        self.check_committed(place, (from, next), fetched, &served)?;
        self.swept.start = start;
        self.swept.next = next;
        self.swept.is_whole = served.is_empty() && next == end;
        let bases = served.iter().map(|batch| batch.base);
        self.swept.offsets.extend(bases);
        Ok(())
    }

    /// All that was acknowledged is there, and each producer's batches stand in their order.
    fn check_swept(&mut self, place: Place) -> Result<(), Broken> {
        let topic = self.plan.topics[place.0];
        let Sweep { start, offsets, .. } = std::mem::take(&mut self.swept);
        if start > 0 && topic.retention_bytes.is_none() {
            let detail = format!("{place:?} begins at {start} without retention");
            return Err(broken(oracle_name::LOST, detail));
        }
        let known = self.books.known(place);
        known.swept_start = start;
        let from = offsets.first().copied().unwrap_or(start);
        let there: std::collections::BTreeSet<u64> = offsets.iter().copied().collect();
        let missing = known
            .standing
            .range(from..)
            .find(|(at, _)| !there.contains(at));
        if let Some((at, standing)) = missing {
            let detail = format!("{place:?}: {standing:?} at {at} is gone");
            return Err(broken(oracle_name::LOST, detail));
        }
        self.check_stored(place)?;
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for (at, standing) in &self.books.known(place).standing.clone() {
            let serial = standing.stood.serial();
            let batch = serial.and_then(|serial| self.books.batch(serial));
            let stream = batch.and_then(|batch| batch.stream);
            let Some((producer, number)) = stream else {
                continue;
            };
            let before = last.insert(producer, number);
            let is_next = match before {
                Some(before) if topic.retention_bytes.is_none() => number == before + 1,
                Some(before) => number > before,
                None => number == 0 || topic.retention_bytes.is_some(),
            };
            if !is_next {
                let detail = format!(
                    "{place:?}: {number} of producer {producer} stands at {at} behind {before:?}"
                );
                return Err(broken(oracle_name::ONCE, detail));
            }
        }
        Ok(())
    }

    /// What a producer was told is stored is there, also where it was not told the offset.
    fn check_stored(&self, place: Place) -> Result<(), Broken> {
        if self.plan.topics[place.0].retention_bytes.is_some() {
            return Ok(());
        }
        for client in &self.clients {
            let Kind::Producer(producer) = &client.kind else {
                continue;
            };
            let stream = producer.streams.get(&place);
            let mut stored = stream.into_iter().flat_map(Stream::stored);
            let is_absent =
                |serial: &u64| self.books.batch(*serial).is_none_or(|b| b.offset.is_none());
            if let Some(serial) = stored.find(is_absent) {
                let detail =
                    format!("{place:?}: batch {serial} counts as stored, and is not there");
                return Err(broken(oracle_name::LOST, detail));
            }
        }
        Ok(())
    }
}
