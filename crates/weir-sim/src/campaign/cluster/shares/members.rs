//! What members do in their turns: they live, vanish, and go.

use super::state::{Member, Phase};
use crate::campaign::cluster::run::Cluster;

/// Longest time that a member stays away, in ms.
const MAX_AWAY_MS: u64 = 4_000;

impl Cluster<'_> {
    /// The member that this client is.
    pub(super) fn member_of(&self, client: usize) -> Option<usize> {
        let members = &self.shares.members;
        members.iter().position(|member| member.client == client)
    }

    /// A member's turn.
    pub(in super::super) fn share_turn(&mut self, client: usize) {
        let Some(member) = self.member_of(client) else {
            return;
        };
        self.close_connections_of(member);
        if !self.are_shares_set_up(client) {
            return;
        }
        self.notice_ended_processes(member);
        let it = &self.shares.members[member];
        let works = match it.drains {
            true => self.shares.is_draining,
            false => !self.is_ending,
        };
        if !works {
            return self.go(member);
        }
        if self.now_ms < it.away_until_ms {
            return;
        }
        let vanish_per_mille = self.plan.shares.groups[it.group].vanish_per_mille;
        if !it.drains && self.shares.rng.chance(vanish_per_mille) {
            return self.vanish(member);
        }
        self.beat_when_due(member);
        self.ask_for_records(member);
    }

    /// The process is gone, and another one takes its place, which knows nothing of it.
    fn vanish(&mut self, member: usize) {
        self.counts.add("share_members_gone", 1);
        let client = self.shares.members[member].client;
        self.lose_all_requests(client);
        let machines: Vec<usize> = self.shares.members[member]
            .sessions
            .keys()
            .copied()
            .collect();
        for machine in machines {
            self.lose_session(member, machine);
        }
        self.clients[client].disconnect_all();
        let away_ms = self.shares.rng.below(MAX_AWAY_MS);
        let at_ms = self.now_ms + away_ms;
        self.shares.members[member].be_born_again(at_ms);
    }

    /// It ends its sessions, then leaves its group.
    fn go(&mut self, member: usize) {
        let it = &self.shares.members[member];
        if it.is_beating || it.sessions.values().any(|session| session.is_waiting) {
            return;
        }
        let next = it.sessions.keys().next().copied();
        if let Some(machine) = next {
            if self.machines[machine].process.is_none() {
                return self.lose_session(member, machine);
            }
            return self.ask_records(member, machine, Phase::Ends);
        }
        if it.epoch != 0 {
            self.beat(member, true);
        }
    }

    /// The other side hears of connections that were given up.
    fn close_connections_of(&mut self, member: usize) {
        let now_ms = self.now_ms;
        let closing = &mut self.shares.members[member].closing;
        let due = closing.extract_if(.., |(at_ms, ..)| *at_ms <= now_ms);
        let due: Vec<_> = due.collect();
        for (_, machine, hold) in due {
            drop(hold);
            self.wake(machine);
        }
    }
}

impl Member {
    fn be_born_again(&mut self, at_ms: u64) {
        self.life += 1;
        self.epoch = 0;
        self.is_beating = false;
        self.beat_at_ms = 0;
        self.away_until_ms = at_ms;
        self.assigned.clear();
        self.held.clear();
        self.doubts.clear();
        self.losses.clear();
    }
}
