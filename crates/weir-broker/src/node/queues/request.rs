//! What doors ask of exchanges and queues.

use std::sync::Arc;

use weir_model::ErrorKind;

use super::topology::answer;
use crate::{
    Node,
    api::queues::{QueueOutcome, QueueRequest, Refused},
    mailbox::Reply,
};

impl Node {
    pub(in crate::node) fn queue_request(self: &Arc<Self>, request: QueueRequest, reply: Reply) {
        match request {
            QueueRequest::DeclareExchange(declare) => self.declare_exchange(declare, reply),
            QueueRequest::DeleteExchange {
                session,
                name,
                if_unused,
            } => self.delete_exchange(&session, name, if_unused, reply),
            QueueRequest::Bind(bind) => self.bind(bind, reply),
            QueueRequest::Unbind(bind) => self.unbind(bind, reply),
            QueueRequest::DeclareQueue(declare) => self.declare_queue(declare, reply),
            QueueRequest::DeleteQueue {
                session,
                name,
                if_unused,
                if_empty,
            } => self.delete_queue(&session, name, (if_unused, if_empty), reply),
            QueueRequest::Open(_)
            | QueueRequest::Purge { .. }
            | QueueRequest::Publish(_)
            | QueueRequest::Consume(_)
            | QueueRequest::Cancel { .. }
            | QueueRequest::Limit { .. }
            | QueueRequest::End { .. }
            | QueueRequest::Get { .. }
            | QueueRequest::Settle { .. } => answer(
                reply,
                QueueOutcome::Refused(Refused::Failed(ErrorKind::UnsupportedVersion)),
            ),
        }
    }
}
