//! Carries out a plan: machines, network and clients in one order of time.

use std::collections::{BTreeMap, BTreeSet};

use weir_broker::{Engine, Ticket};
use weir_log::disk::Disk;
use weir_model::NodeId;

use super::{
    answers::Asked,
    books::Books,
    clients::{Client, Kind},
    events::{Event, Queue},
    machine::Machine,
    plan::ClusterPlan,
    process::{Process, address, wal_config},
    queues::Queues,
    shares::Shares,
    walls::Walls,
    watch::Watch,
    weather::Weather,
};
use crate::{
    options::Options,
    oracle::{Broken, broken},
    verdict::{Failure, Outcome, Verdict, oracle_name},
    world::{Counts, Rng, Trace},
};

/// A process takes a turn at least this often.
const POLL_MS: u64 = 50;
/// Turns of one millisecond before time goes on.
const MAX_TURN_COUNT: u64 = 40;
/// Time between two looks at all replicas.
const LOOK_MS: u64 = 2_000;
/// How long a process that failed stays down, at most.
const MAX_DOWN_MS: u64 = 2_000;

/// Runs `plan` from empty disks to a last check.
pub fn run(plan: &ClusterPlan, options: Options, trace: &Trace) -> Outcome {
    let mut cluster = Cluster::new(plan, options, trace);
    let ran = cluster.all_steps();
    let failure = ran.err().map(|broken| broken.at(cluster.step));
    if let Some(Failure { detail, .. }) = &failure {
        trace.note("failure", detail);
    }
    Outcome {
        verdict: Verdict {
            trace_hash: trace.hash(),
            failure,
        },
        counts: cluster.all_counts(),
        trace: trace.text(),
    }
}

pub(super) struct Cluster<'a> {
    pub(super) plan: &'a ClusterPlan,
    pub(super) options: Options,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
    pub(super) now_ms: u64,
    /// The plan's step that was begun last.
    step: usize,
    pub(super) queue: Queue,
    pub(super) weather: Weather,
    pub(super) machines: Vec<Machine>,
    /// Decides what clients and people do.
    pub(super) rng: Rng,
    pub(super) watch: Watch,
    pub(super) books: Books,
    pub(super) clients: Vec<Client>,
    /// Topics whose creation was acknowledged.
    pub(super) created: BTreeSet<usize>,
    pub(super) open: BTreeMap<Ticket, Asked>,
    pub(super) next_ticket: u64,
    pub(super) next_connection: u64,
    /// Nodes whose disks are lost: they are to be removed.
    pub(super) lost_nodes: BTreeSet<NodeId>,
    /// Machines whose nodes are to carry nothing.
    pub(super) drained: BTreeSet<usize>,
    /// The last read of a partition, while it goes on.
    pub(super) swept: super::finish::Sweep,
    pub(super) queues: Queues,
    pub(super) shares: Shares,
    pub(super) walls: Walls,
    /// Clients send nothing new.
    pub(super) is_ending: bool,
    /// All that is left in queues is taken.
    pub(super) is_draining: bool,
    /// The machine of which stored bits changed.
    pub(super) rotten: Option<usize>,
    /// The latest look at all data met damage.
    pub(super) has_damage: bool,
    /// Some machine's wall clock was set back so far that clients' times lie in its future.
    pub(super) has_clock_behind: bool,
    turns_now: (u64, u64),
}

impl<'a> Cluster<'a> {
    fn new(plan: &'a ClusterPlan, options: Options, trace: &Trace) -> Self {
        let mut rng = Rng::new(plan.seed ^ 0xC105_7E12);
        let weather = Weather::new(plan.net, Rng::new(rng.next_u64()));
        let machine = |number| Machine::new(plan, number, trace);
        let mut clients = Client::all(&plan.clients);
        let shares = Shares::new(&plan.shares, plan.seed, clients.len());
        clients.extend((0..shares.member_count()).map(|_| Client::of(Kind::Member)));
        Self {
            plan,
            options,
            trace: trace.clone(),
            counts: Counts::default(),
            now_ms: 0,
            step: 0,
            queue: Queue::default(),
            weather,
            machines: (0..plan.machine_count).map(machine).collect(),
            rng,
            watch: Watch::default(),
            books: Books::default(),
            clients,
            created: BTreeSet::new(),
            open: BTreeMap::new(),
            next_ticket: 0,
            next_connection: 0,
            lost_nodes: BTreeSet::new(),
            drained: BTreeSet::new(),
            swept: super::finish::Sweep::default(),
            queues: Queues::new(&plan.queues, plan.seed),
            shares,
            walls: Walls::default(),
            is_ending: false,
            is_draining: false,
            rotten: None,
            has_damage: false,
            has_clock_behind: false,
            turns_now: (0, 0),
        }
    }

    fn all_steps(&mut self) -> Result<(), Broken> {
        self.found()?;
        for client in 0..self.clients.len() {
            let at_ms = self.rng.below(self.plan.clients.pause_ms + 1);
            self.queue.put(at_ms, Event::Client(client));
        }
        self.begin_queue_clients();
        for (number, step) in self.plan.steps.iter().enumerate() {
            if step.at_ms < self.plan.duration_ms {
                self.queue.put(step.at_ms, Event::Act(number));
            }
        }
        self.queue.put(LOOK_MS, Event::Look);
        self.run_until(self.plan.duration_ms)?;
        self.step = self.plan.steps.len();
        self.finish()
    }

    fn found(&mut self) -> Result<(), Broken> {
        let failed = |error: String| broken(oracle_name::NO_FAULT_NO_ERROR, error);
        if self.plan.starts_whole {
            let count = self.machines.len() as u64;
            let founders: Vec<NodeId> = (1..=count).map(NodeId).collect();
            let cluster = u128::from(self.plan.seed) << 64 | 0x5eed;
            for machine in &mut self.machines {
                let founded = machine.found(self.plan, self.options, cluster, &founders);
                founded.map_err(failed)?;
            }
            return (0..self.machines.len()).try_for_each(|number| self.start(number));
        }
        let first = &mut self.machines[0];
        let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(first.host.disk.clone());
        let wal = wal_config(self.plan, self.options);
        let shards = self.plan.shard_count;
        let identity = Engine::found(&disk, &*first.host.entropy, &wal, shards, address(0, 0));
        first.node = Some(identity.map_err(|error| failed(error.to_string()))?.node);
        for number in 1..self.machines.len() {
            let at_ms = self.rng.between(500, 4_000);
            self.queue.put(at_ms, Event::Ask(number));
        }
        self.start(0)
    }

    /// Lets time pass, and whatever is due happen.
    pub(super) fn run_until(&mut self, end_ms: u64) -> Result<(), Broken> {
        loop {
            let event_ms = self.queue.next_ms().unwrap_or(u64::MAX);
            let (turn_ms, number) = self.next_turn();
            let at_ms = event_ms.min(turn_ms);
            if at_ms > end_ms {
                self.now_ms = end_ms.max(self.now_ms);
                return Ok(());
            }
            self.now_ms = at_ms.max(self.now_ms);
            if event_ms <= turn_ms {
                if let Some(event) = self.queue.take() {
                    self.happen(event)?;
                }
            } else {
                self.turn(number)?;
            }
        }
    }

    /// Which machine has something to do next, and when.
    fn next_turn(&self) -> (u64, usize) {
        let due = |machine: &Machine| {
            let at_ms = match (&machine.process, machine.start_at_ms) {
                (Some(_), _) => machine.next_wake_ms.max(machine.busy_until_ms()),
                (None, Some(at_ms)) => at_ms,
                (None, None) => u64::MAX,
            };
            (at_ms, machine.number)
        };
        self.machines.iter().map(due).min().unwrap_or((u64::MAX, 0))
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Frame {
                from,
                from_node,
                to,
                to_node,
                frame,
            } => self.arrive(from, from_node, to, to_node, frame),
            Event::Request {
                machine,
                life,
                ticket,
                request,
            } => self.deliver(machine, life, ticket, request),
            Event::Act(number) => {
                let step = self.plan.steps[number];
                self.step = number;
                self.trace.begin_step(number, || format!("{step:?}"));
                self.act(step.act);
            }
            Event::Client(client) => {
                let pause_ms = self.plan.clients.pause_ms;
                let next_ms = self.now_ms + self.rng.between(pause_ms / 2, pause_ms * 3 / 2);
                self.queue.put(next_ms, Event::Client(client));
                self.client_turn(client);
            }
            Event::QueueClient(client) => self.queue_client(client),
            Event::Ask(machine) => self.ask_in(machine),
            Event::Look => {
                self.queue.put(self.now_ms + LOOK_MS, Event::Look);
                self.look_at_replicas(false);
                self.remove_lost();
            }
        }
        Ok(())
    }

    /// A machine's turn: its process does one round, or starts.
    fn turn(&mut self, number: usize) -> Result<(), Broken> {
        let now_ms = self.now_ms;
        self.machines[number].pass_time(now_ms);
        // What it proposes has a time from now on, however slow its disk is in this turn.
        self.note_wall(number);
        let machine = &mut self.machines[number];
        let Some(process) = &mut machine.process else {
            return self.start(number);
        };
        if now_ms >= process.next_announce_ms && !process.node.is_ready() {
            /// Time between two announcements.
            const ANNOUNCE_MS: u64 = 500;
            process.next_announce_ms = now_ms + ANNOUNCE_MS;
            Engine::announce(&process.node);
        }
        let stepped = process.step(now_ms);
        let has_worked = match stepped {
            Ok(has_worked) => has_worked,
            Err(error) => return self.fail(number, &error),
        };
        machine.next_wake_ms = now_ms + POLL_MS;
        if has_worked {
            self.turns_now = if self.turns_now.0 == now_ms {
                (now_ms, self.turns_now.1 + 1)
            } else {
                (now_ms, 0)
            };
            let must_pause = self.turns_now.1 > MAX_TURN_COUNT;
            let pause_ms = u64::from(must_pause || self.rng.chance(100));
            self.machines[number].next_wake_ms = now_ms + pause_ms;
        }
        self.watch(number)?;
        self.note_wall(number);
        self.send_out(number);
        self.send_beacons(number);
        self.take_answers(number)?;
        if self.machines[number].host.disk.is_off() {
            self.go_down(number, true, now_ms ^ self.plan.seed);
        }
        Ok(())
    }

    /// The process cannot go on, which needs a fault that explains it.
    fn fail(&mut self, number: usize, error: &str) -> Result<(), Broken> {
        self.trace.note("error", error);
        self.take_answers(number)?;
        let salt = self.now_ms ^ self.plan.seed;
        if !self.machines[number].may_fail() {
            let detail = format!("machine {number}: {error}");
            return Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail));
        }
        self.counts.add("processes_failed", 1);
        self.go_down(number, !salt.is_multiple_of(4), salt);
        Ok(())
    }

    fn go_down(&mut self, number: usize, power_cut: bool, salt: u64) {
        let down_ms = self.rng.below(MAX_DOWN_MS);
        self.end_process(number, power_cut, salt, down_ms);
    }

    pub(super) fn end_process(&mut self, number: usize, power_cut: bool, salt: u64, down_ms: u64) {
        if self.machines[number].node.is_none() {
            return;
        }
        self.machines[number].end(power_cut, salt);
        self.machines[number].start_at_ms = Some(self.now_ms + down_ms);
        if !power_cut {
            self.close_connections(number);
        }
        self.lose_requests(number);
    }

    /// Starts the machine's process.
    pub(super) fn start(&mut self, number: usize) -> Result<(), Broken> {
        let now_ms = self.now_ms;
        let machine = &mut self.machines[number];
        machine.pass_time(now_ms);
        machine.start_at_ms = None;
        machine.life += 1;
        machine.started_ms = now_ms;
        match Process::open(self.plan, self.options, &machine.host) {
            Ok(process) => {
                machine.process = Some(process);
                machine.next_wake_ms = now_ms;
                self.trace
                    .event("start", &[number as u64], || number.to_string());
                Ok(())
            }
            Err(error) => self.fail(number, &error),
        }
    }

    fn all_counts(&self) -> Counts {
        let mut counts = self.counts.clone();
        for machine in &self.machines {
            counts.merge(&machine.host.all_counts());
        }
        counts.add("cluster_ms", self.now_ms);
        counts
    }
}
