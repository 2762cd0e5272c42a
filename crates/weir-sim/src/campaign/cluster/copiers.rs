//! Transactional producers that are members of a group as well: what they read of the first topic
//! they write to the last one, and commit where they got to within the same transaction (KIP-447).

use std::collections::BTreeMap;

use weir_broker::api::{OffsetCommit, Request, TransactionOffsetCommit};

use super::{
    books::Place, consumers::committed, control::Control, run::Cluster, seat::group_name,
    transactions::Copied, transactors::Current,
};

impl Cluster<'_> {
    /// Reads on, where there is something to copy.
    pub(super) fn copy(&mut self, client: usize) {
        if let Some(position) = self.any_position(client) {
            self.read_on(client, position, 0, true);
        }
    }

    /// Begins a transaction with what was read.
    pub(super) fn copy_read(&mut self, client: usize, place: Place, from: u64, next: u64) {
        let last = self.plan.topics.len() - 1;
        let mut targets = self.places();
        targets.retain(|(topic, _)| *topic == last && last > 0);
        let is_ending = self.is_ending;
        let Some(it) = self.transactor(client) else {
            return;
        };
        let is_free = it.current.is_none() && it.producer.is_some() && !it.wants_epoch;
        if next <= from || targets.is_empty() || !is_free || is_ending {
            return;
        }
        let target = self.rng.pick(&targets);
        let Some(seat) = self.seat(client) else {
            return;
        };
        let copied = Copied {
            group: seat.group,
            place,
            from,
            to: next,
        };
        self.begin_with(client, BTreeMap::from([(target, 1)]), Some(copied));
    }

    /// Commits where the copy got to, as part of its transaction.
    pub(super) fn bring_offsets(&mut self, client: usize, current: &Current) {
        let Some(copied) = current.copied else { return };
        let name = group_name(copied.group);
        let Some(coordinator) = self.coordinator(client, &name) else {
            return;
        };
        let connection = self.connection(client, coordinator);
        let identity = self.seat(client).and_then(|seat| seat.identity());
        let Some(it) = self.transactor(client) else {
            return;
        };
        let (Some(producer), Some((generation, member))) = (it.epoch(), identity) else {
            return it.give_up_transaction();
        };
        let request = Request::TransactionOffsetCommit(TransactionOffsetCommit {
            transaction: it.name.clone(),
            producer,
            adds: it.is_newer,
            connection,
            commit: OffsetCommit {
                group: name,
                generation,
                member,
                instance: None,
                offsets: vec![committed(copied.place, copied.to)],
            },
        });
        self.control(client, coordinator, request, Control::Bring);
    }

    /// From now on the transaction's offsets may count.
    pub(super) fn commits_copy(&mut self, number: usize) {
        let transaction = self.books.transactions.get_mut(number);
        let Some(copied) = transaction.copied else {
            return;
        };
        if transaction.commit.is_none() {
            let commit = self
                .books
                .commit_sent(copied.group, copied.place, copied.to);
            self.books.transactions.get_mut(number).commit = Some(commit);
        }
    }

    /// Its producer was told that they do.
    pub(super) fn copy_committed(&mut self, number: usize) {
        let transaction = self.books.transactions.get_mut(number);
        if let (Some(copied), Some(commit)) = (transaction.copied, transaction.commit) {
            self.counts.add("copies_committed", 1);
            self.books
                .commit_answered(copied.group, copied.place, commit);
        }
    }

    /// A copy is made or void: goes on behind it, or from it.
    pub(super) fn copy_ended(&mut self, client: usize, copied: Copied, commit: bool) {
        if let Some(seat) = self.seat(client)
            && let Some(at) = seat.places.get_mut(&copied.place)
            && *at == Some(copied.from)
            && commit
        {
            *at = Some(copied.to);
        }
    }

    /// A process that copies is gone, and its seat with it.
    pub(super) fn forget_positions(&mut self, client: usize) {
        if self.seat(client).is_some() {
            self.lose_seat(client, true);
        }
    }
}
