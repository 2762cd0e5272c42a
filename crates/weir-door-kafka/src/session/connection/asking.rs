//! What of a request the node is asked.

use weir_access::Caller;
use weir_broker::{api::Request, audit::Change};

use super::KafkaSession;
use crate::{
    codec::header::Head,
    mapping::{fetch, plan::Plan},
    permit::{
        asker::Asker,
        request::{self, Permit},
    },
    session::audited::Noter,
};

impl KafkaSession {
    /// Asks the ACLs. `None`: there are no users, and everybody may do everything.
    pub(super) fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut Asker<'_>) -> T,
    ) -> Option<(T, Vec<String>)> {
        let access = self.login.access().load();
        (!access.is_open()).then(|| {
            let mut asker = Asker {
                access: &access,
                caller: Caller {
                    principal: self.login.principal(),
                    host: self.login.host(),
                    grants: None,
                },
                cache: &mut self.allowed,
                names: &*self.names.0,
                denied: Vec::new(),
            };
            let answer = question(&mut asker);
            (answer, asker.denied)
        })
    }

    pub(super) fn noter(&self) -> Noter<'_> {
        Noter {
            access: self.login.access(),
            principal: self.login.principal(),
            peer: self.login.peer(),
        }
    }

    /// Lets the node be asked what the client may ask.
    pub(super) fn submit(
        &mut self,
        mut head: Head,
        mut asked: Request,
        plan: Plan,
        held_bytes: usize,
    ) {
        let now = self.client.now;
        if !self.throttle.admits(now, self.client.caller(), &mut asked)
            && let Plan::Fetch(fetching) = &plan
        {
            head.throttle_ms = self.throttle.left_ms(now);
            return match fetch::throttled(&head, fetching, &self.client) {
                Ok(answer) => self.queue.push_answer(answer, held_bytes),
                Err(error) => self.refuse(error.into()),
            };
        }
        let permit = self.ask(|asker| request::permit(&mut asked, &plan, asker));
        let ticket = self.queue.wait(head, plan, held_bytes);
        if let Some(change) = Change::of(&asked) {
            self.changes.insert(ticket.0, change);
        }
        match permit {
            None => self.hand_over(ticket, &head, asked),
            Some((Permit::Asked(held), denied)) => {
                if held.has_refusals() {
                    self.noter().refused(&denied);
                }
                if !held.is_empty() {
                    self.held.insert(ticket.0, held);
                }
                self.hand_over(ticket, &head, asked);
            }
            Some((Permit::Refused(outcome), denied)) => {
                self.changes.remove(&ticket.0);
                self.noter().refused(&denied);
                self.answer(ticket, outcome);
            }
        }
    }
}
