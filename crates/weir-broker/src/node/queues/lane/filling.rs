//! A batch that is being filled, and whose messages are in it.

use std::sync::Arc;

use weir_model::{batch_builder::BatchBuilder, message::MessageForm};

use super::super::{publish::Publishing, sharing::Form};
use crate::api::queues::Message;

/// Messages of one publishing that stand together in a batch.
pub(in super::super) struct Receipt {
    pub(super) publishing: Arc<Publishing>,
    pub(super) first: u32,
    pub(super) count: u32,
}

/// A batch that is being filled.
pub(in super::super) struct Filling {
    pub(super) builder: BatchBuilder,
    pub(super) receipts: Vec<Receipt>,
    /// Bytes of bodies that its records refer to.
    pub(super) absent_bytes: usize,
}

impl Filling {
    /// Bytes of the batch as readers are given it, which have a limit: with all bodies in it.
    pub(super) fn whole_bytes(&self) -> usize {
        self.builder.size_bytes() + self.absent_bytes
    }

    pub(in super::super) fn new(builder: BatchBuilder) -> Self {
        Self {
            builder,
            receipts: Vec::new(),
            absent_bytes: 0,
        }
    }

    pub(in super::super) fn push(
        &mut self,
        publishing: &Arc<Publishing>,
        message: u32,
        (own, form): (&MessageForm, Form),
        now_ms: i64,
    ) {
        let body = &publishing.message(message).body;
        match form {
            Form::Whole => self.builder.push(own, body, now_ms),
            Form::Body => self.builder.push_plain(None, Some(body), now_ms),
            Form::Reference(reference) => {
                self.absent_bytes += body.len();
                self.builder.push_reference(own, reference, now_ms)
            }
        };
        match self.receipts.last_mut() {
            Some(last)
                if Arc::ptr_eq(&last.publishing, publishing)
                    && last.first + last.count == message =>
            {
                last.count += 1;
            }
            Some(_) | None => self.receipts.push(Receipt {
                publishing: Arc::clone(publishing),
                first: message,
                count: 1,
            }),
        }
    }
}

impl Receipt {
    /// The messages, in order.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        (self.first..self.first + self.count).map(|at| self.publishing.message(at))
    }

    /// Tells of the first `taken_count` messages that they are stored. Gives how many those were.
    pub(super) fn settle(self, taken_count: u32) -> u32 {
        let count = self.count.min(taken_count);
        if count > 0 {
            self.publishing.stored(self.first, count);
        }
        count
    }

    pub(super) fn lose(self) {
        self.publishing.lost(self.first, self.count);
    }
}
