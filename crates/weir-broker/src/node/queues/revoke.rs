//! Consumers whose user may not read their queue any more: they end, and their clients hear of it as where the
//! queue is gone.

use std::sync::Arc;

use weir_access::Permission;

use super::QueueSession;
use crate::{
    Node,
    access::What,
    api::queues::{ConsumerTag, Held},
    queue::{ConsumerKey, SessionKey},
};

impl Node {
    /// Ends the consumers of this node that may not be any more, where they are those of sessions that are meant.
    pub(super) fn review_consumers(self: &Arc<Self>, is_meant: impl Fn(SessionKey) -> bool) {
        let topology = self.topology.load_full();
        for queue in self.watchers.queues() {
            let Some(record) = topology.routing().queue_by_id(queue) else {
                continue;
            };
            for ConsumerKey { session, tag } in self.watchers.of(queue) {
                let session = is_meant(session).then(|| self.sessions.get(session));
                let Some(session) = session.flatten() else {
                    continue;
                };
                let permitted = session.permit(Permission::Read, What::Queue, record.name.as_str());
                if let Err(refused) = permitted {
                    tracing::info!(%refused, "a consumer ends");
                    session.note_refused(&refused);
                    self.revoke_consumer(&session, tag);
                }
            }
        }
    }

    /// What it holds stays with the session, which may settle it.
    fn revoke_consumer(self: &Arc<Self>, session: &Arc<QueueSession>, tag: ConsumerTag) {
        let Some(consumer) = session.told.consumer(tag) else {
            return;
        };
        self.end_consumer(session, (tag, Held::Stays), || ());
        if let Some(queue) = consumer.queue {
            self.watchers.remove(queue, consumer.attach.consumer);
        }
        session.streams.end(tag);
        session.told.cancel(tag);
    }
}
