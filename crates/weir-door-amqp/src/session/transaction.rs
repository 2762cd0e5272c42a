//! The class `tx`: messages and acknowledgements that count together.

use bytes::Bytes;
use weir_broker::api::queues::{
    DeliveryId, Message, Publish, QueueOutcome, QueueRequest, Settlement,
};

use super::{
    asks::{Published, Then},
    channel::{Batch, Channel, Link, Mode, misplaced},
    settle::Delivery,
};
use crate::{
    codec::{Method, MethodId, method},
    wire_code::{Failure, ReplyCode},
};

/// Most bytes of messages in a connection's open transactions.
const MAX_TRANSACTION_BYTES: usize = 16 << 20;
/// Most messages, and most acknowledgements, in one.
const MAX_TRANSACTION_COUNT: usize = 1 << 16;

/// What counts once it is committed.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    batch: Batch,
    /// Messages, without their bodies, of which it is not known whether they could be published,
    /// and their bytes.
    unchecked: Vec<Message>,
    unchecked_bytes: usize,
    settled: Vec<(u64, Delivery, Settlement)>,
}

impl Transaction {
    /// Adds a message, `transacted_bytes` with it.
    pub(super) fn publish(
        &mut self,
        message: Message,
        bytes: usize,
        transacted_bytes: usize,
    ) -> Result<(), Failure> {
        self.unchecked_bytes += bytes - message.body.len();
        self.unchecked.push(Message {
            body: Bytes::new(),
            ..message.clone()
        });
        self.batch.add(message, bytes);
        let is_large = transacted_bytes > MAX_TRANSACTION_BYTES
            || self.batch.messages.len() > MAX_TRANSACTION_COUNT;
        match is_large {
            true => Err(Failure::new(
                ReplyCode::PreconditionFailed,
                "the transaction is too large",
            )),
            false => Ok(()),
        }
    }

    pub(super) fn settle(&mut self, tag: u64, delivery: Delivery, settlement: Settlement) {
        self.settled.push((tag, delivery, settlement));
    }
}

impl Channel {
    pub(super) fn on_transaction(
        &mut self,
        link: &mut Link,
        method: &Method,
    ) -> Result<(), Failure> {
        match method {
            Method::TxSelect(_) => {
                match &self.mode {
                    Mode::Plain => self.mode = Mode::Transaction(Transaction::default()),
                    Mode::Transaction(_) => {}
                    Mode::Confirm(_) => {
                        let text = "cannot switch from confirm to tx mode";
                        return Err(Failure::new(ReplyCode::PreconditionFailed, text));
                    }
                }
                self.say(link, method::TxSelectOk {});
                Ok(())
            }
            Method::TxCommit(_) => self.commit(link),
            Method::TxRollback(_) => {
                self.transaction()?;
                self.roll_back(link);
                self.say(link, method::TxRollbackOk {});
                Ok(())
            }
            method => Err(misplaced(method)),
        }
    }

    /// What could not be published is told when it comes, as RabbitMQ does: there the publisher
    /// is still at it.
    pub(super) fn check_transaction(&mut self, link: &mut Link) -> Result<(), Failure> {
        let Mode::Transaction(transaction) = &mut self.mode else {
            return Ok(());
        };
        if transaction.unchecked.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut transaction.unchecked_bytes);
        let request = QueueRequest::CheckPublish {
            session: link.session()?,
            messages: std::mem::take(&mut transaction.unchecked),
        };
        self.ask_beside(link, request, bytes, Then::Noted(PUBLISH));
        Ok(())
    }

    fn transaction(&mut self) -> Result<&mut Transaction, Failure> {
        match &mut self.mode {
            Mode::Transaction(transaction) => Ok(transaction),
            Mode::Plain | Mode::Confirm(_) => Err(Failure::new(
                ReplyCode::PreconditionFailed,
                "channel is not transactional",
            )),
        }
    }

    fn commit(&mut self, link: &mut Link) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.transaction()?.batch);
        link.transacted_bytes -= batch.bytes;
        if batch.messages.is_empty() {
            return self.commit_acks(link);
        }
        let request = QueueRequest::Publish(Publish {
            session: link.session()?,
            messages: batch.messages,
            is_atomic: true,
        });
        let then = Then::Committed(batch.published);
        self.ask_first(link, request, batch.bytes, then);
        Ok(())
    }

    /// The messages are safe: acknowledgements follow.
    pub(super) fn committed(
        &mut self,
        link: &mut Link,
        mut published: Published,
        outcome: QueueOutcome,
    ) -> Result<(), Failure> {
        self.is_busy = false;
        match outcome {
            QueueOutcome::Published(verdicts) => {
                self.give_returns(link, &mut published, &verdicts);
                for verdict in &verdicts {
                    if let weir_broker::api::queues::Verdict::Refused(refused) = verdict {
                        return Err(Failure::refused(refused).of(COMMIT));
                    }
                }
                self.commit_acks(link)
            }
            QueueOutcome::Refused(refused) => Err(Failure::refused(&refused).of(COMMIT)),
            _ => Err(Failure::new(ReplyCode::InternalError, "no verdicts").of(COMMIT)),
        }
    }

    fn commit_acks(&mut self, link: &mut Link) -> Result<(), Failure> {
        let settled = std::mem::take(&mut self.transaction()?.settled);
        if settled.is_empty() {
            self.say(link, method::TxCommitOk {});
            return Ok(());
        }
        let deliveries = settled
            .into_iter()
            .map(|(_, delivery, settlement)| (delivery.id, settlement));
        let request = QueueRequest::Settle {
            session: link.session()?,
            deliveries: deliveries.collect(),
        };
        self.ask_first(link, request, 0, Then::CommittedAcks);
        self.release(link);
        Ok(())
    }

    pub(super) fn committed_acks(
        &mut self,
        link: &mut Link,
        outcome: QueueOutcome,
    ) -> Result<(), Failure> {
        self.is_busy = false;
        if let QueueOutcome::Refused(refused) = outcome {
            return Err(Failure::refused(&refused).of(COMMIT));
        }
        self.say(link, method::TxCommitOk {});
        Ok(())
    }

    /// Messages are forgotten; what was acknowledged is not.
    fn roll_back(&mut self, link: &mut Link) {
        if let Mode::Transaction(transaction) = &mut self.mode {
            let Transaction { batch, settled, .. } = std::mem::take(transaction);
            link.transacted_bytes -= batch.bytes;
            for (tag, delivery, _) in settled {
                self.unacked.add(tag, delivery);
            }
        }
    }

    /// The channel ends: nothing of an open transaction counts.
    pub(super) fn roll_back_all(&mut self, link: &mut Link) {
        self.roll_back(link);
        let held = std::mem::take(&mut self.consumers.held);
        let held = held.into_iter().map(|(_, delivered)| delivered.id);
        let mut back: Vec<(DeliveryId, Settlement)> = self.unacked.end();
        back.extend(held.map(|id| (id, Settlement::Requeue)));
        self.settled.extend(back);
    }
}

const PUBLISH: MethodId = MethodId {
    class: 60,
    method: 40,
};
const COMMIT: MethodId = MethodId {
    class: 90,
    method: 20,
};
