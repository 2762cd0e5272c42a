//! Where a node's answers arrive.

use std::sync::{
    Arc,
    mpsc::{Receiver, channel},
};

use anyhow::Result;
use weir_broker::{Mailbox, Reply, Ticket, api::Outcome};

/// A mailbox with somebody who waits for it.
pub(crate) struct Mail {
    mailbox: Arc<Mailbox>,
    woken: Receiver<()>,
}

impl Mail {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let (wake, woken) = channel();
        let wake = Box::new(move || {
            // Nobody waits any more where a run ended by an error.
            let _ = wake.send(());
        });
        Self {
            mailbox: Mailbox::new(wake),
            woken,
        }
    }

    /// The right to answer the request with this number.
    pub(crate) fn reply(&self, number: usize) -> Result<Reply> {
        let ticket = Ticket(u64::try_from(number)?);
        Ok(Reply::new(Arc::clone(&self.mailbox), ticket))
    }

    /// Waits for answers, at least one.
    pub(crate) fn wait(&self, answers: &mut Vec<(Ticket, Outcome)>) -> Result<()> {
        self.mailbox.take(answers);
        while answers.is_empty() {
            self.woken.recv()?;
            self.mailbox.take(answers);
        }
        Ok(())
    }
}
