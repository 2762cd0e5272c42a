//! What the plan's steps do: faults of machines and network, and what people ask of the cluster.

use weir_broker::steward::AdminRequest;
use weir_model::{GroupId, NodeId};

use super::{machine::Machine, plan::Act, port::Caller, process::Incoming, run::Cluster};

/// The caller of a person's request: nobody waits for the answer.
const PERSON: usize = usize::MAX;

impl Cluster<'_> {
    // Table: one arm per kind of act.
    pub(super) fn act(&mut self, act: Act) {
        let count = self.machines.len();
        match act {
            Act::Kill {
                machine,
                salt,
                down_ms,
            } => {
                self.counts.add("kills", 1);
                self.end_process(machine, false, salt, down_ms);
            }
            Act::PowerCut {
                machine,
                salt,
                down_ms,
            } => self.end_process(machine, true, salt, down_ms),
            Act::Pause { machine, count_ms } => {
                self.counts.add("pauses", 1);
                let until_ms = self.now_ms + count_ms;
                let paused = &mut self.machines[machine].paused_until_ms;
                *paused = until_ms.max(*paused);
            }
            Act::Arm { machine, fault } => self.machines[machine].host.disk.arm(fault),
            Act::Foreign { machine, percent } => {
                self.counts.add("disks_filled", percent / 100);
                self.machines[machine].fill(percent);
            }
            Act::Jump { machine, off_ms } => {
                /// How far ahead a batch's time may be.
                const HOUR_MS: i64 = 60 * 60 * 1000;
                self.counts.add("clock_jumps", 1);
                self.has_clock_behind |= off_ms < -HOUR_MS;
                self.jump(machine, off_ms);
            }
            Act::Split { side } => {
                self.counts.add("splits", 1);
                self.weather.split(count, side);
            }
            Act::OneWay { from, to } => {
                self.counts.add("one_way_cuts", 1);
                self.weather.block(from, to);
            }
            Act::Bridge { machine, side } => {
                self.counts.add("bridges", 1);
                self.weather.bridge(count, machine, side);
            }
            Act::Isolate { group } => {
                let group = GroupId(group);
                let leads = |machine: &Machine| {
                    let process = machine.process.as_ref();
                    process.is_some_and(|process| {
                        process.node.observed(group).1 == Some(process.node.id())
                    })
                };
                if let Some(leader) = self.machines.iter().position(leads) {
                    self.counts.add("leaders_cut_off", 1);
                    self.weather.split(count, 1 << leader);
                }
            }
            Act::Mend => self.weather.mend(),
            Act::Loss { per_mille } => {
                self.counts.add("losses", 1);
                self.weather.lose(per_mille);
            }
            Act::Checkpoint { machine } => {
                if let Some(process) = &mut self.machines[machine].process {
                    process.checkpoint();
                }
            }
            Act::Rot { machine, salt } => self.rot(machine, salt),
            Act::Replace { machine } if self.rotten.is_none_or(|rotten| rotten == machine) => {
                self.replace(machine);
            }
            // What only the damaged replica would be left with could not be repaired.
            Act::Replace { .. } => {}
            Act::Drain { .. } if self.rotten.is_some() => {}
            Act::Drain { machine } => {
                self.drained.insert(machine);
                self.ask_people(machine, "drains", |node| AdminRequest::Drain { node });
            }
            Act::Activate { machine } => {
                self.drained.remove(&machine);
                self.ask_people(machine, "adds_back", |node| AdminRequest::Add { node });
            }
            Act::Transfer { group, machine } => {
                self.ask_people(machine, "transfers", |node| AdminRequest::Transfer {
                    group,
                    node,
                });
            }
            Act::Balance => self.ask_people(0, "balances", |_| AdminRequest::Balance),
        }
    }

    fn ask_people(
        &mut self,
        machine: usize,
        counter: &'static str,
        request: impl Fn(u64) -> AdminRequest,
    ) {
        if let Some(node) = self.machines[machine].node {
            self.counts.add(counter, 1);
            self.request(&request(node.0));
        }
    }

    /// A person asks any node that is up.
    pub(super) fn request(&mut self, request: &AdminRequest) {
        let Some(number) = self.any_up() else {
            return;
        };
        let caller = Caller {
            machine: PERSON,
            life: 0,
            call: 0,
        };
        if let Some(process) = &mut self.machines[number].process {
            let incoming = Incoming::Call {
                from: NodeId(0),
                caller,
                request: request.to_call(),
            };
            process.hear(NodeId(0), incoming);
            self.wake(number);
        }
    }

    pub(super) fn any_up(&mut self) -> Option<usize> {
        let up: Vec<usize> = self
            .machines
            .iter()
            .filter(|machine| machine.process.is_some())
            .map(|machine| machine.number)
            .collect();
        (!up.is_empty()).then(|| self.rng.pick(&up))
    }

    /// The disk of a machine is lost, where the groups can do without it.
    fn replace(&mut self, number: usize) {
        let Some(node) = self.machines[number].node else {
            return;
        };
        // A drained node leaves others alone with what it carried: they may not be lost as well.
        if !self.drained.is_empty() || !self.can_lose(node) {
            return;
        }
        self.counts.add("disks_lost", 1);
        self.lose_requests(number);
        self.machines[number].replace_disk(self.plan, self.now_ms, &self.trace);
        self.lost_nodes.insert(node);
        let at_ms = self.now_ms + self.rng.between(100, 3_000);
        self.queue.put(at_ms, super::events::Event::Ask(number));
    }

    /// Whether every group has two more voters whose disks are there, and which know that they
    /// are: a change of members that its leader alone knows the end of binds the others to voters
    /// that are gone.
    pub(super) fn can_lose(&self, node: NodeId) -> bool {
        let lives = |node: &NodeId| {
            let mut nodes = self.machines.iter().filter_map(|machine| machine.node);
            nodes.any(|other| other == *node)
        };
        self.groups().all(|group| {
            let processes = self.machines.iter().filter_map(|m| m.process.as_ref());
            let views = processes.map(|process| process.node.own_view(group));
            let Some(latest) = views.max_by_key(|view| view.conf_index) else {
                return false;
            };
            let knows = |voter: &NodeId| {
                let mut processes = self.machines.iter().filter_map(|m| m.process.as_ref());
                let process = processes.find(|process| process.node.id() == *voter);
                process.is_some_and(|process| {
                    process.node.own_view(group).conf_index == latest.conf_index
                })
            };
            let members = &latest.members;
            let is_joint = !members.voters_outgoing.is_empty();
            let voters = &members.voters;
            !is_joint
                && voters.iter().all(lives)
                && voters.iter().all(knows)
                && (voters.len() >= 3 || (!voters.contains(&node) && !voters.is_empty()))
        })
    }

    /// People take the nodes out whose disks are lost; until it is done they ask again.
    pub(super) fn remove_lost(&mut self) {
        let mut lost = std::mem::take(&mut self.lost_nodes);
        lost.retain(|node| !self.is_out(*node));
        for node in &lost {
            self.request(&AdminRequest::Remove { node: node.0 });
        }
        self.lost_nodes = lost;
    }

    /// Whether nobody counts on the node any more.
    fn is_out(&self, node: NodeId) -> bool {
        self.machines.iter().all(|machine| {
            let Some(process) = &machine.process else {
                return false;
            };
            !process.node.known_nodes().contains(&node)
                && self.groups().all(|group| {
                    let members = &process.node.own_view(group).members;
                    !members.voters.contains(&node) && !members.learners.contains(&node)
                })
        })
    }
}
