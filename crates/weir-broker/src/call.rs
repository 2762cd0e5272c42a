//! Calls between nodes: the first byte says which module answers.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use weir_model::NodeId;

use crate::{
    Node, access_admin, catch_up, forward, node, peer::Answer, queue_admin, steward, topic_admin,
};

// Tags are never used again for something else.
/// Batches of a partition: [`catch_up`].
pub(crate) const READ_BATCHES: u8 = 1;
/// A command for the metadata group's leader: [`forward`].
pub(crate) const METADATA: u8 = 2;
/// A node that wants to join: [`forward`].
pub(crate) const JOIN: u8 = 3;
/// A step of the steward for a group that the callee leads: [`steward`].
pub(crate) const STEP: u8 = 4;
/// A person's request about the cluster: [`steward`].
pub(crate) const ADMIN: u8 = 5;
/// A question to a transaction's coordinator, or a transaction's end: `node/transaction_calls`.
pub(crate) const TRANSACTION: u8 = 6;
/// Queues: a call to a partition's leader, a batch, deliveries: `node/queues`.
pub(crate) const QUEUE: u8 = 7;
/// A person's request about queues and what leads to them: [`queue_admin`].
pub(crate) const QUEUE_ADMIN: u8 = 8;
/// Share groups: where they stand in a shard, a change of that: `node/share`.
pub(crate) const SHARE: u8 = 10;
/// A person's request about users, permissions and ACLs: [`access_admin`].
pub(crate) const ACCESS_ADMIN: u8 = 9;
/// A person's request for a partition's leader or a group's coordinator: [`topic_admin`].
pub(crate) const TOPIC_ADMIN: u8 = 11;

impl Node {
    /// Answers another node's call; what is not understood has no answer. `from` is 0 where the
    /// caller is no member of the cluster.
    pub fn take_call(self: &Arc<Self>, from: NodeId, mut request: Bytes, answer: Answer) {
        let Ok(tag) = request.try_get_u8() else {
            return;
        };
        match tag {
            READ_BATCHES => catch_up::serve(self, &request, answer),
            METADATA | JOIN => forward::serve(self, from, tag, &request, answer),
            STEP | ADMIN => steward::serve(self, from, tag, &request, answer),
            TRANSACTION => node::transaction_calls::serve(self, from, &request, answer),
            QUEUE_ADMIN => queue_admin::serve(self, &request, answer),
            ACCESS_ADMIN => access_admin::serve(self, &request, answer),
            TOPIC_ADMIN => topic_admin::serve(self, &request, answer),
            SHARE => node::share::serve(self, from, &request, answer),
            QUEUE => node::queues::serve(self, from, &request, answer),
            tag => tracing::warn!(%from, tag, "a call that this version does not know"),
        }
    }
}
