//! Calls that this node carries out as the leader of a queue's partition.

use std::sync::Arc;

use weir_model::{ErrorKind, GroupId, PartitionId};

use crate::{
    Node,
    queue::{QueueAnswer, QueueCall},
};

/// Hears once what became of a call. `NotLeader` and the like: to be tried again, elsewhere.
pub(crate) type QueueCallDone = Box<dyn FnOnce(Result<QueueAnswer, ErrorKind>) + Send>;

impl Node {
    /// Carries a call out where this node leads the group; `done` hears of it once it is on
    /// stable storage.
    pub(crate) fn lead_queue_call(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        call: QueueCall,
        done: QueueCallDone,
    ) {
        tracing::debug!(%group, %partition, ?call, "not carried out yet");
        done(Err(ErrorKind::NotLeader));
    }
}
