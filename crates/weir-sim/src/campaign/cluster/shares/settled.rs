//! What members say of records, and what they are told of that.

use std::collections::BTreeMap;

use weir_broker::api::share::AckRefused;
use weir_model::GroupId;

use super::{
    books::{Delivery, Fate, How},
    state::{Ack, Records},
};
use crate::{
    campaign::cluster::{
        answers::wrong_answer, books::Place, clients::topic_name, run::Cluster, walls::Times,
    },
    oracle::{Broken, broken},
    verdict::oracle_name,
};

impl Cluster<'_> {
    /// A request with these is on its way: the member counts on none of them any more but those that
    /// it keeps.
    pub(super) fn note_asked(&mut self, member: usize, acks: &BTreeMap<Place, Vec<Ack>>) {
        let group = self.shares.members[member].group;
        for (place, acks) in acks {
            for ack in acks {
                let key = (group, *place, ack.offset);
                let books = &mut self.shares.books;
                books.settle_asked(key, ack.delivery, ack.how, self.now_ms);
                if ack.how != How::Renew {
                    let held = &mut self.shares.members[member].held;
                    held.remove(&(*place, ack.offset));
                }
            }
        }
    }

    /// What came of a partition's acknowledgements.
    pub(super) fn acks_answered(
        &mut self,
        records: &Records,
        place: Place,
        told: Result<(), AckRefused>,
    ) -> Result<(), Broken> {
        let Some(acks) = records.acks.get(&place) else {
            return match told {
                Ok(()) => Ok(()),
                Err(refused) => Err(wrong_answer(&format!("{place:?}: {refused:?}"))),
            };
        };
        let it = &self.shares.members[records.member];
        let (group, client) = (it.group, it.client);
        match told {
            Ok(()) => {
                let times = (records.asked_ms, self.now_ms);
                for ack in acks {
                    let key = (group, place, ack.offset);
                    let books = &mut self.shares.books;
                    books.settle_done(key, ack.delivery, ack.how, times)?;
                    self.counts.add(counter(ack.how), 1);
                }
                Ok(())
            }
            Err(AckRefused::NotHeld) => self.acks_refused(records, place),
            Err(AckRefused::Invalid) => Err(wrong_answer("acknowledgements that make sense")),
            // They may be so all the same.
            Err(AckRefused::Failed(error)) => {
                self.counts.add("share_acks_unsure", acks.len() as u64);
                self.clients[client].forget_route(place);
                self.check_error(error, false, "acknowledgements")
            }
        }
    }

    /// None of them came to pass: there has to be one that the member may have lost.
    fn acks_refused(&mut self, records: &Records, place: Place) -> Result<(), Broken> {
        let group = self.shares.members[records.member].group;
        let lock_ms = self.plan.shares.groups[group].lock_ms;
        let is_doubtful = self.is_doubtful(records.member);
        self.counts.add("share_acks_refused", 1);
        let acks = records.acks.get(&place).map_or(&[][..], Vec::as_slice);
        let shard = self.shard_of(place);
        let books = &self.shares.books;
        let times = Times {
            walls: &self.walls,
            now_ms: self.now_ms,
            started_ms: self.last_start_ms(),
        };
        let is_had = |ack: &Ack| {
            let story = books.story((group, place, ack.offset));
            let delivery = story.get(ack.delivery);
            let since_ms = delivery.map_or(0, |it| it.locked_ms);
            // What the member asked for in an earlier session may have come to pass only now.
            let earlier = &story[..ack.delivery.min(story.len())];
            let is_same = |it: &Delivery| delivery.is_some_and(|own| own.member == it.member);
            let was_asked = |it: &Delivery| is_same(it) && matches!(it.fate, Fate::Asked(_));
            let is_over = times.may_be_over(shard, since_ms, lock_ms);
            ack.is_sure && !is_over && !earlier.iter().any(was_asked)
        };
        if !is_doubtful && acks.iter().all(is_had) {
            let detail = format!("{place:?}: refused, but nothing has ended {records:?}");
            return Err(broken(oracle_name::HELD_ONCE, detail));
        }
        for ack in acks {
            let key = (group, place, ack.offset);
            self.shares.books.loosen(key, ack.delivery, true);
            let held = &mut self.shares.members[records.member].held;
            held.remove(&(place, ack.offset));
        }
        Ok(())
    }

    /// The group that carries the partition, once some node knows it.
    pub(super) fn shard_of(&mut self, place: Place) -> Option<GroupId> {
        let known = self.shares.shards.get(&place).copied();
        let shard = known.or_else(|| {
            let topic = topic_name(place.0);
            let index = i32::try_from(place.1).ok()?;
            let mut processes = self.machines.iter().filter_map(|it| it.process.as_ref());
            processes.find_map(|process| process.node.group_at(&topic, index))
        })?;
        self.shares.shards.insert(place, shard);
        Some(shard)
    }
}

fn counter(how: How) -> &'static str {
    match how {
        How::Accept => "share_accepted",
        How::Release => "share_released",
        How::Reject => "share_rejected",
        How::Renew => "share_renewed",
    }
}
