//! A batch that is being filled, and whose messages are in it.

use std::sync::Arc;

use weir_model::{batch_builder::BatchBuilder, message::MessageForm};

use super::super::publish::Publishing;

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
}

impl Filling {
    pub(in super::super) fn new(builder: BatchBuilder) -> Self {
        Self {
            builder,
            receipts: Vec::new(),
        }
    }

    pub(in super::super) fn push(
        &mut self,
        publishing: &Arc<Publishing>,
        message: u32,
        form: &MessageForm,
        now_ms: i64,
    ) {
        let body = &publishing.message(message).body;
        self.builder.push(form, body, now_ms);
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
