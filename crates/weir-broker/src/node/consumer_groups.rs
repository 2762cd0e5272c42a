//! Groups whose assignment the broker makes (KIP-848).

use std::sync::Arc;

use weir_model::ErrorKind;

use super::Node;
use crate::{
    api::{ConsumerHeartbeat, Outcome},
    mailbox::Reply,
};

impl Node {
    pub(super) fn consumer_heartbeat(self: &Arc<Self>, _: ConsumerHeartbeat, reply: Reply) {
        let refused = ErrorKind::UnsupportedFormat.into();
        reply.send(Outcome::ConsumerHeartbeat(Err(refused)));
    }

    pub(super) fn describe_consumer_groups(self: &Arc<Self>, groups: Vec<String>, reply: Reply) {
        let refused = |_| Err(ErrorKind::UnsupportedFormat.into());
        let answers = groups.into_iter().map(refused).collect();
        reply.send(Outcome::DescribeConsumerGroups(answers));
    }
}
