//! Where answers to one connection's requests arrive, whichever thread gives them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::api::Outcome;

/// Ties an answer to the request it belongs to. Unique within a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Called, at most once between two calls of [`Mailbox::take`], when something arrived. May be
/// called from any thread and must not block.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// One connection's inbox. Bounded by the connection's own limit of requests in flight: an
/// answer takes the place of the request that it answers.
///
/// A mutex rather than a channel: the reader takes everything at once, and the lock is shared
/// by one connection and whoever answers it, never by two connections.
pub struct Mailbox {
    arrived: Mutex<Vec<(Ticket, Outcome)>>,
    wake: Wake,
}

impl Mailbox {
    /// An empty mailbox that calls `wake` when its first answer arrives.
    pub fn new(wake: Wake) -> Arc<Self> {
        Arc::new(Self {
            arrived: Mutex::new(Vec::new()),
            wake,
        })
    }

    /// Moves everything that arrived to the end of `into`.
    pub fn take(&self, into: &mut Vec<(Ticket, Outcome)>) {
        into.append(&mut self.lock());
    }

    fn put(&self, ticket: Ticket, outcome: Outcome) {
        let was_empty = {
            let mut arrived = self.lock();
            arrived.push((ticket, outcome));
            arrived.len() == 1
        };
        if was_empty {
            (self.wake)();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Ticket, Outcome)>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right and the duty to answer one request.
pub struct Reply(To);

enum To {
    Mailbox(Arc<Mailbox>, Ticket),
    /// To the broker itself.
    Call(Box<dyn FnOnce(Outcome) + Send>),
}

impl Reply {
    /// An answer to `ticket` will arrive in `mailbox`.
    pub fn new(mailbox: Arc<Mailbox>, ticket: Ticket) -> Self {
        Self(To::Mailbox(mailbox, ticket))
    }

    /// `then` hears the answer, on any thread. Must not block.
    pub(crate) fn call(then: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(To::Call(Box::new(then)))
    }

    /// Answers.
    pub fn send(self, outcome: Outcome) {
        match self.0 {
            To::Mailbox(mailbox, ticket) => mailbox.put(ticket, outcome),
            To::Call(then) => then(outcome),
        }
    }

    /// A way to say more under the same ticket, after the answer.
    pub fn sink(&self) -> Sink {
        match &self.0 {
            To::Mailbox(mailbox, ticket) => Sink {
                mailbox: Arc::downgrade(mailbox),
                ticket: *ticket,
            },
            To::Call(_) => Sink {
                mailbox: Weak::new(),
                ticket: Ticket(0),
            },
        }
    }
}

/// The right to say things under the ticket of a request that is answered: for whoever bounds what
/// is said and not taken yet. Does not keep the mailbox.
#[derive(Clone)]
pub struct Sink {
    mailbox: Weak<Mailbox>,
    ticket: Ticket,
}

impl Sink {
    /// Says something. `false`: nobody listens any more.
    pub fn tell(&self, outcome: Outcome) -> bool {
        match self.mailbox.upgrade() {
            Some(mailbox) => {
                mailbox.put(self.ticket, outcome);
                true
            }
            None => false,
        }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sink").field(&self.ticket).finish()
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            To::Mailbox(_, ticket) => f.debug_tuple("Reply").field(ticket).finish(),
            To::Call(_) => f.debug_tuple("Reply").finish(),
        }
    }
}
