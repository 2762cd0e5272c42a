//! Share groups: their members' heartbeats, and how they stand.

use std::sync::Arc;

use weir_model::ErrorKind;

use crate::{
    Node,
    api::{Outcome, ShareHeartbeat},
    gather::Gather,
    mailbox::Reply,
};

impl Node {
    pub(in crate::node) fn share_heartbeat(self: &Arc<Self>, beat: ShareHeartbeat, reply: Reply) {
        let refuse = |error: ErrorKind| Outcome::ConsumerBeat(Err(error.into()));
        self.coordinate(
            &beat.group.clone(),
            reply,
            refuse,
            move |shard, context, reply| shard.share_heartbeat(beat, reply, context),
        );
    }

    pub(in crate::node) fn describe_share_groups(
        self: &Arc<Self>,
        groups: Vec<String>,
        reply: Reply,
    ) {
        let unsettled = Err(ErrorKind::TimedOut.into());
        let task = Arc::new(Gather::new(
            groups.len(),
            unsettled,
            reply,
            Outcome::DescribeConsumerGroups,
        ));
        for (at, id) in groups.into_iter().enumerate() {
            let refuse = Arc::clone(&task);
            let task = Arc::clone(&task);
            self.visit_group(
                &id.clone(),
                move |error| refuse.settle(at, Err(error.into())),
                Box::new(move |shard, _| task.settle(at, shard.describe_share(&id))),
            );
        }
    }
}
