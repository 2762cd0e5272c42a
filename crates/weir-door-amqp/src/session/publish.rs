//! Messages of publishers, verdicts on them, and confirms.

use std::collections::BTreeMap;

use weir_broker::{
    api::queues::{Message, Publish, QueueOutcome, QueueRequest, Refused, Verdict},
    quota::QuotaKey,
};
use weir_model::ErrorKind;

use super::{
    asks::{Published, Then},
    assembly::Incomer,
    channel::{Batch, Channel, Link, Mode},
    checks,
    delivery::encoded,
    outbox::{Content, word},
};
use crate::{
    codec::{Method, method},
    wire_code::{Failure, ReplyCode},
};

/// Most messages of one request.
const MAX_BATCH_COUNT: usize = 1024;

/// Numbers of messages that are to be confirmed.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    last: u64,
    /// First and last numbers of what has no verdict yet.
    outstanding: BTreeMap<u64, u64>,
}

impl Confirms {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn sent(&mut self, first: u64, count: usize) {
        self.outstanding.insert(first, first + count as u64 - 1);
    }

    /// Takes the verdicts on messages from number `first` on, `true` for those that are safe. Gives
    /// what the publisher is told: number, whether it means all before it too, whether they are safe.
    fn decided(&mut self, first: u64, are_safe: &[bool]) -> Vec<(u64, bool, bool)> {
        let is_oldest = self.outstanding.keys().next() == Some(&first);
        self.outstanding.remove(&first);
        let mut told: Vec<(u64, bool, bool)> = Vec::new();
        for (number, is_safe) in (first..).zip(are_safe) {
            match told.last_mut() {
                Some((last, is_multiple, was_safe)) if is_oldest && was_safe == is_safe => {
                    (*last, *is_multiple) = (number, true);
                }
                Some(_) | None => told.push((number, false, *is_safe)),
            }
        }
        told
    }
}

impl Channel {
    /// `confirm.select`
    pub(super) fn select_confirm(
        &mut self,
        link: &mut Link,
        select: &method::ConfirmSelect,
    ) -> Result<(), Failure> {
        match &self.mode {
            Mode::Plain => self.mode = Mode::Confirm(Confirms::default()),
            Mode::Confirm(_) => {}
            Mode::Transaction(_) => {
                let text = "cannot switch from tx to confirm mode";
                return Err(Failure::new(ReplyCode::PreconditionFailed, text));
            }
        }
        if !select.nowait {
            self.say(link, method::ConfirmSelectOk {});
        }
        Ok(())
    }

    /// `basic.publish` with its content.
    pub(super) fn publish(&mut self, link: &mut Link, incomer: Incomer) -> Result<(), Failure> {
        let Incomer {
            publish,
            mut properties,
            header_bytes,
            body,
        } = incomer;
        if publish.immediate {
            return Err(Failure::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        checks::check(&properties, &link.user)?;
        link.note_publish();
        if checks::wants_replies(&properties) {
            let Some(consumer) = self.consumers.replies else {
                let text = "fast reply consumer does not exist";
                return Err(Failure::new(ReplyCode::PreconditionFailed, text));
            };
            properties.reply_to = Some(link.session()?.reply_address(consumer));
        }
        let bytes = header_bytes + body.len();
        link.count_sent(QuotaKey::ProducerByteRate, bytes);
        let message = Message {
            exchange: publish.exchange,
            routing_key: publish.routing_key,
            is_mandatory: publish.mandatory,
            properties,
            body,
        };
        match &mut self.mode {
            Mode::Transaction(transaction) => {
                link.transacted_bytes += bytes;
                return transaction.publish(message, bytes, link.transacted_bytes);
            }
            Mode::Confirm(confirms) => {
                let number = confirms.next();
                self.batch.published.first_confirm.get_or_insert(number);
            }
            Mode::Plain => {}
        }
        self.batch.add(message, bytes);
        if self.batch.messages.len() >= MAX_BATCH_COUNT {
            self.flush_batch(link)?;
        }
        Ok(())
    }

    pub(super) fn flush_batch(&mut self, link: &mut Link) -> Result<(), Failure> {
        if self.batch.messages.is_empty() {
            return Ok(());
        }
        let Batch {
            messages,
            bytes,
            published,
        } = std::mem::take(&mut self.batch);
        if let (Mode::Confirm(confirms), Some(first)) = (&mut self.mode, published.first_confirm) {
            confirms.sent(first, messages.len());
        }
        let request = QueueRequest::Publish(Publish {
            session: link.session()?,
            messages,
            is_atomic: false,
        });
        self.ask_beside(link, request, bytes, Then::Published(published));
        Ok(())
    }

    /// Verdicts have come: returns first, then confirms, then what ends the channel.
    pub(super) fn published(
        &mut self,
        link: &mut Link,
        mut published: Published,
        outcome: QueueOutcome,
    ) -> Result<(), Failure> {
        let verdicts = match outcome {
            QueueOutcome::Published(verdicts) => verdicts,
            QueueOutcome::Refused(refused) => {
                return self.not_published(link, &published, &refused);
            }
            _ => return Err(Failure::new(ReplyCode::InternalError, "no verdicts")),
        };
        let failed_at = verdicts
            .iter()
            .position(|verdict| matches!(verdict, Verdict::Refused(_)));
        let decided = &verdicts[..failed_at.unwrap_or(verdicts.len())];
        self.give_returns(link, &mut published, decided);
        let are_safe: Vec<bool> = decided
            .iter()
            .map(|verdict| *verdict != Verdict::Rejected)
            .collect();
        self.confirm(link, &published, &are_safe);
        match failed_at.map(|at| &verdicts[at]) {
            Some(Verdict::Refused(refused)) => Err(Failure::refused(refused)),
            _ => Ok(()),
        }
    }

    /// Gives mandatory messages back that nobody took.
    pub(super) fn give_returns(
        &self,
        link: &mut Link,
        published: &mut Published,
        verdicts: &[Verdict],
    ) {
        for (at, message) in std::mem::take(&mut published.mandatory) {
            if verdicts.get(at) != Some(&Verdict::Unroutable) {
                continue;
            }
            let method = Method::from(method::BasicReturn {
                reply_code: ReplyCode::NoRoute.number(),
                reply_text: word(ReplyCode::NoRoute.name()),
                exchange: message.exchange,
                routing_key: message.routing_key,
            });
            let content = Content {
                properties: &encoded(&message.properties),
                body: &message.body,
            };
            link.outbox.content(self.number, &method, &content);
        }
    }

    fn confirm(&mut self, link: &mut Link, published: &Published, are_safe: &[bool]) {
        let (Mode::Confirm(confirms), Some(first)) = (&mut self.mode, published.first_confirm)
        else {
            return;
        };
        for (delivery_tag, multiple, is_safe) in confirms.decided(first, are_safe) {
            let method = if is_safe {
                Method::from(method::BasicAck {
                    delivery_tag,
                    multiple,
                })
            } else {
                Method::from(method::BasicNack {
                    delivery_tag,
                    multiple,
                    requeue: false,
                })
            };
            link.outbox.method(self.number, &method);
        }
    }

    /// None of the messages is safe: publishers that wait for confirms are told so, others lose
    /// their connection.
    fn not_published(
        &mut self,
        link: &mut Link,
        published: &Published,
        refused: &Refused,
    ) -> Result<(), Failure> {
        let is_ours = matches!(refused, Refused::Failed(kind) if *kind != ErrorKind::ShuttingDown);
        if let (true, Mode::Confirm(confirms), Some(first)) =
            (is_ours, &self.mode, published.first_confirm)
        {
            let last = confirms.outstanding.get(&first).copied().unwrap_or(first);
            let are_safe: Vec<bool> = (first..=last).map(|_| false).collect();
            self.confirm(link, published, &are_safe);
            return Ok(());
        }
        Err(Failure::refused(refused))
    }
}

impl Batch {
    pub(super) fn add(&mut self, message: Message, bytes: usize) {
        if message.is_mandatory {
            let at = self.messages.len();
            self.published.mandatory.push((at, message.clone()));
        }
        self.bytes += bytes;
        self.messages.push(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(batches: &[usize]) -> Confirms {
        let mut confirms = Confirms::default();
        for count in batches {
            let first = confirms.next();
            (1..*count).for_each(|_| {
                confirms.next();
            });
            confirms.sent(first, *count);
        }
        confirms
    }

    #[test]
    fn the_oldest_batch_is_confirmed_in_runs_and_a_younger_one_message_by_message() {
        let mut confirms = of(&[3, 2, 1]);
        let younger = confirms.decided(4, &[true, true]);
        assert_eq!(younger, [(4, false, true), (5, false, true)]);
        let oldest = confirms.decided(1, &[true, true, false]);
        assert_eq!(oldest, [(2, true, true), (3, false, false)]);
        assert_eq!(confirms.decided(6, &[true]), [(6, false, true)]);
    }
}
