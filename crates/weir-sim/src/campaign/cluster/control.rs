//! What transactional producers ask of coordinators, one thing at a time.

use weir_broker::api::{Outcome, Request};
use weir_model::ErrorKind;

use super::{
    answers::{What, wrong_answer},
    run::Cluster,
    transactors::{Stage, is_told},
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// A request of one life of a producer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Controlled {
    life: u64,
    /// The transaction.
    number: Option<usize>,
    control: Control,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    /// An epoch, higher than the one that is known.
    Init { at_least: Option<(i64, i16)> },
    /// Something becomes part of the transaction.
    Add { next: Stage },
    /// Offsets.
    Bring,
    /// Its end.
    End { commit: bool },
}

impl Cluster<'_> {
    /// Asks; `false`: the connection is refused.
    pub(super) fn control(
        &mut self,
        client: usize,
        machine: usize,
        request: Request,
        control: Control,
    ) -> bool {
        let Some(it) = self.transactor(client) else {
            return false;
        };
        let number = it.current.as_ref().map(|it| it.number);
        let controlled = Controlled {
            life: it.life,
            number,
            control,
        };
        let is_asked = self.ask(machine, client, request, What::Control(controlled));
        if let Some(it) = self.transactor(client) {
            it.is_waiting = is_asked;
        }
        if !is_asked {
            self.forget_coordinators(client);
        }
        is_asked
    }

    /// There is no answer.
    pub(super) fn control_unsure(&mut self, client: usize, asked: Controlled) {
        if let Control::End { .. } = asked.control {
            self.counts.add("ends_unanswered", 1);
        }
        if let Some(it) = self.transactor(client)
            && it.life == asked.life
        {
            it.is_waiting = false;
        }
        self.forget_coordinators(client);
    }

    pub(super) fn hear_control(
        &mut self,
        client: usize,
        asked: Controlled,
        outcome: Outcome,
    ) -> Result<(), Broken> {
        if let (Control::End { commit }, Outcome::EndTransaction(Ok(_)), Some(number)) =
            (asked.control, &outcome, asked.number)
        {
            self.told(number, commit)?;
        }
        let Some(it) = self.transactor(client) else {
            return Ok(());
        };
        if it.life != asked.life {
            return Ok(());
        }
        it.is_waiting = false;
        let error = match (asked.control, outcome) {
            (Control::Init { at_least }, Outcome::ProducerId(Ok((id, epoch)))) => {
                return self.take_epoch(client, at_least, (id.0, epoch));
            }
            (Control::Init { .. }, Outcome::ProducerId(Err(error))) => error,
            (Control::Add { next }, Outcome::AddPartitions(answers)) => {
                let answers = answers.first().ok_or_else(|| wrong_answer("partitions"))?;
                match answers.iter().find_map(|answer| answer.err()) {
                    None => return self.go_to(client, next),
                    Some(error) => error,
                }
            }
            (Control::Add { next }, Outcome::AddOffsets(Ok(()))) => {
                return self.go_to(client, next);
            }
            (Control::Add { .. }, Outcome::AddOffsets(Err(error))) => error,
            (Control::Bring, Outcome::OffsetCommit(answers)) => {
                match answers.iter().find_map(|answer| answer.err()) {
                    None => return self.go_to(client, Stage::End { commit: true }),
                    Some(error) => error,
                }
            }
            (Control::End { commit }, Outcome::EndTransaction(Ok(producer))) => {
                return self.ended(client, commit, (producer.id.0, producer.epoch));
            }
            (Control::End { .. }, Outcome::EndTransaction(Err(error))) => error,
            (_, outcome) => return Err(wrong_answer(&format!("{asked:?}: {outcome:?}"))),
        };
        self.control_refused(client, asked.control, error)
    }

    fn go_to(&mut self, client: usize, stage: Stage) -> Result<(), Broken> {
        if let Some(it) = self.transactor(client)
            && let Some(current) = &mut it.current
            // Something else may have made it give up meanwhile.
            && current.stage != (Stage::End { commit: false })
        {
            current.stage = stage;
        }
        Ok(())
    }

    fn take_epoch(
        &mut self,
        client: usize,
        at_least: Option<(i64, i16)>,
        producer: (i64, i16),
    ) -> Result<(), Broken> {
        let is_higher = at_least.is_none_or(|(id, epoch)| producer.0 != id || producer.1 > epoch);
        let Some(it) = self.transactor(client) else {
            return Ok(());
        };
        let owner = (client, it.life);
        if !is_higher {
            let detail = format!("{}: {producer:?} after {at_least:?}", it.name);
            return Err(broken(oracle_name::EPOCHS, detail));
        }
        it.producer = Some(producer);
        it.wants_epoch = false;
        it.streams.clear();
        self.counts.add("transactors_begun", 1);
        self.books.transactions.own(producer, owner)
    }

    /// A transaction's producer was told how it ended.
    fn told(&mut self, number: usize, commit: bool) -> Result<(), Broken> {
        let transaction = self.books.transactions.get_mut(number);
        let before = transaction.told.replace(commit);
        match (before, commit) {
            (None, true) => {
                self.counts.add("transactions_committed", 1);
                self.copy_committed(number);
            }
            (None, false) => self.counts.add("transactions_aborted", 1),
            (Some(before), _) if before != commit => {
                let detail = format!("{number}: committed {before}, then {commit}");
                return Err(broken(oracle_name::ATOMIC, detail));
            }
            (Some(_), _) => {}
        }
        Ok(())
    }

    fn ended(&mut self, client: usize, commit: bool, producer: (i64, i16)) -> Result<(), Broken> {
        let Some(it) = self.transactor(client) else {
            return Ok(());
        };
        let (owner, before, is_newer) = ((client, it.life), it.producer, it.is_newer);
        let copied = it.current.as_ref().and_then(|it| it.copied);
        it.end(commit, producer);
        let is_right = if is_newer {
            before.is_some_and(|(id, epoch)| producer.0 != id || producer.1 == epoch + 1)
        } else {
            before == Some(producer)
        };
        if !is_right {
            let detail = format!("client {client}: {producer:?} behind {before:?}");
            return Err(broken(oracle_name::EPOCHS, detail));
        }
        if let Some(copied) = copied {
            self.copy_ended(client, copied, commit);
        }
        self.books.transactions.own(producer, owner)
    }

    fn control_refused(
        &mut self,
        client: usize,
        control: Control,
        error: ErrorKind,
    ) -> Result<(), Broken> {
        let is_end = matches!(control, Control::End { .. } | Control::Init { .. });
        match error {
            ErrorKind::ProducerFenced
            | ErrorKind::InvalidProducerEpoch
            | ErrorKind::InvalidProducerIdMapping => self.fenced(client, error),
            ErrorKind::InvalidTxnState | ErrorKind::TransactionAbortable if is_end => {
                self.counts.add("ends_refused", 1);
                self.fenced(client, error);
            }
            ErrorKind::InvalidTxnState
            | ErrorKind::TransactionAbortable
            | ErrorKind::IllegalGeneration
            | ErrorKind::UnknownMember
            | ErrorKind::RebalanceInProgress => {
                if let Some(it) = self.transactor(client) {
                    it.give_up_transaction();
                }
                let is_member = !is_told(error);
                return self.check_error(error, is_member || is_told(error), "a transaction");
            }
            ErrorKind::ConcurrentTransactions => self.counts.add("ends_awaited", 1),
            error => {
                self.forget_coordinators(client);
                return self.check_error(error, false, "a transaction");
            }
        }
        Ok(())
    }
}
