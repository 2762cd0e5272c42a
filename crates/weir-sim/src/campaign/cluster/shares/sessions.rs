//! Sessions from their members' side: how they end, and what is known then.

use super::{
    books::Key,
    state::{Phase, Records, ShareAsked},
};
use crate::campaign::cluster::{answers::What, books::Place, run::Cluster};

/// Longest time, in ms, until the other side hears that a connection was given up.
const MAX_CLOSING_MS: u64 = 1_500;

impl Cluster<'_> {
    /// Whether the process that a session is with goes on.
    fn is_alive(&self, machine: usize, life: u64) -> bool {
        let there = &self.machines[machine];
        there.life == life && there.process.is_some()
    }

    /// The member has no session with the machine any more. Where the process that it was with goes
    /// on, what the member has there may be given back; otherwise locks stay as they are.
    pub(super) fn lose_session(&mut self, member: usize, machine: usize) {
        let session = self.shares.members[member].sessions.remove(&machine);
        let Some(session) = session else { return };
        if !self.is_alive(machine, session.life) {
            return;
        }
        self.counts.add("share_sessions_lost", 1);
        let (now_ms, shares) = (self.now_ms, &mut self.shares);
        let closes_ms = now_ms + shares.rng.below(MAX_CLOSING_MS);
        let it = &mut shares.members[member];
        if let Some(hold) = session.hold {
            it.closing.push((closes_ms, machine, hold));
        }
        let group = it.group;
        let gone = it
            .held
            .extract_if(.., |(place, _), _| session.touched.contains(place));
        let gone: Vec<(Key, usize)> = gone
            .map(|((place, offset), at)| ((group, place, offset), at))
            .collect();
        for (key, at) in gone {
            shares.books.loosen(key, at, false);
        }
    }

    /// The client gave a connection up.
    pub(in super::super) fn share_disconnected(&mut self, client: usize, machine: usize) {
        if let Some(member) = self.member_of(client) {
            self.lose_session(member, machine);
        }
    }

    /// Connections to processes that are gone are broken.
    pub(super) fn notice_ended_processes(&mut self, member: usize) {
        let sessions = self.shares.members[member].sessions.iter();
        let ended = sessions.filter(|(machine, session)| !self.is_alive(**machine, session.life));
        let ended: Vec<usize> = ended.map(|(machine, _)| *machine).collect();
        for machine in ended {
            self.lose_session(member, machine);
        }
    }

    /// No answer comes: records may have been taken that nobody hears of, and what was said of others
    /// may be so, or come to be so later.
    pub(super) fn records_unsure(&mut self, records: &Records) {
        let (member, machine) = (records.member, records.machine);
        self.lose_session(member, machine);
        let it = &mut self.shares.members[member];
        if self.machines[machine].life == records.life {
            let process = (machine, records.life);
            it.losses.insert(process);
            if records.phase != Phase::GoesOn {
                it.doubts.insert(process);
            }
        }
        let (group, client) = (it.group, it.client);
        for place in &records.places {
            self.shares.books.note_unheard(group, *place);
            self.clients[client].forget_route(*place);
        }
    }

    /// Whether a request that was given up may still end a session of the member, or replace it.
    pub(super) fn is_doubtful(&self, member: usize) -> bool {
        let mut doubts = self.shares.members[member].doubts.iter();
        doubts.any(|(machine, life)| self.machines[*machine].life == *life)
    }

    /// Nobody hears the answers that the client waits for.
    pub(super) fn lose_all_requests(&mut self, client: usize) {
        let lost = self.open.extract_if(.., |_, asked| asked.client == client);
        let lost: Vec<_> = lost.map(|(_, asked)| asked).collect();
        lost.iter().for_each(|asked| self.give_up(asked));
    }

    /// Requests that have no answer yet and may get records of the partition for the group.
    pub(super) fn open_count(&self, group: usize, place: Place) -> u32 {
        let open = self.open.values().filter(|asked| {
            let What::Share(ShareAsked::Records(records)) = &asked.what else {
                return false;
            };
            let is_own = self.shares.members[records.member].group == group;
            is_own && records.places.contains(&place)
        });
        u32::try_from(open.count()).unwrap_or(u32::MAX)
    }
}
