//! Where leader epochs end, for clients that want to know whether what they have is still the log
//! (KIP-320).

use std::{collections::BTreeMap, sync::Arc};

use weir_model::{ErrorKind, GroupId};

use super::Node;
use crate::{
    api::{EndOfEpoch, EpochEnd, Outcome},
    gather::Gather,
    mailbox::Reply,
};

impl Node {
    /// Answered after a round with a majority: a leader that was replaced would tell a client that
    /// records are gone which it lacks itself.
    pub(super) fn ends_of_epochs(self: &Arc<Self>, wanted: Vec<EndOfEpoch>, reply: Reply) {
        let unsettled = Err(ErrorKind::TimedOut);
        let count = wanted.len();
        let task = Arc::new(Gather::new(count, unsettled, reply, Outcome::EndOfEpoch));
        let mut by_group: BTreeMap<GroupId, Vec<(usize, EndOfEpoch)>> = BTreeMap::new();
        for (at, wanted) in wanted.into_iter().enumerate() {
            match self.route(&wanted.topic, wanted.index) {
                Ok(route) => by_group.entry(route.group).or_default().push((at, wanted)),
                Err(error) => task.settle(at, Err(error)),
            }
        }
        for (group, wanted) in by_group {
            let (node, task) = (Arc::clone(self), Arc::clone(&task));
            self.after_barrier(group, move |passed| {
                for (at, wanted) in wanted {
                    task.settle(at, passed.and_then(|()| node.end_of_epoch(&wanted)));
                }
            });
        }
    }

    fn end_of_epoch(&self, wanted: &EndOfEpoch) -> Result<Option<EpochEnd>, ErrorKind> {
        let route = self.route(&wanted.topic, wanted.index)?;
        let log = self.readable_on(&route, wanted.leader_epoch)?;
        let current = self.status(route.group).term().leader_epoch();
        Ok(log.end_of_epoch(wanted.epoch, current))
    }
}
