//! The end: one fresh member of each group takes all that is left.

use weir_broker::api::{
    Request,
    share::{DescribeShareOffsets, ShareAdmin, ShareAdminAnswer},
};
use weir_model::ErrorKind;

use super::state::{ShareAsked, group_name};
use crate::{
    campaign::cluster::{
        answers::{What, wrong_answer},
        clients::topic_name,
        run::Cluster,
    },
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Within this time less is left, or nothing: locks of those who are gone last up to a minute where
/// clocks were set back, and so do their places in the group.
const DRAIN_MS: u64 = 130_000;
/// Time between two looks whether it has.
const DRAIN_STEP_MS: u64 = 250;
/// Time between two questions how much is left.
const COUNT_MS: u64 = 1_000;

impl Cluster<'_> {
    /// Takes everything, and judges what came.
    pub(in super::super) fn drain_shares(&mut self) -> Result<(), Broken> {
        if self.shares.is_unused() {
            return Ok(());
        }
        self.shares.is_draining = true;
        let mut until_ms = self.now_ms + DRAIN_MS;
        let mut least_count = u64::MAX;
        while least_count > 0 {
            self.run_until(self.now_ms + DRAIN_STEP_MS)?;
            if self.now_ms >= self.shares.next_count_ms {
                self.shares.next_count_ms = self.now_ms + COUNT_MS;
                self.count_left_of_shares();
            }
            let groups = 0..self.plan.shares.groups.len();
            let left = groups.map(|group| self.shares.left.get(&group).copied());
            let left_count = left.sum::<Option<u64>>();
            if let Some(count) = left_count.filter(|count| *count < least_count) {
                least_count = count;
                until_ms = self.now_ms + DRAIN_MS;
            }
            if self.now_ms >= until_ms {
                let left = &self.shares.left;
                let members = self.shares.members.iter().filter(|member| member.drains);
                let members: Vec<_> = members.collect();
                let detail =
                    format!("{DRAIN_MS} ms without another record: {left:?} are left: {members:?}");
                return Err(broken(oracle_name::PROGRESS, detail));
            }
        }
        self.counts.add("shares_drained", 1);
        self.read_letters()?;
        self.judge_shares()?;
        // Members were given records since the markers were looked at.
        self.judge_transactions()
    }

    fn count_left_of_shares(&mut self) {
        for member in 0..self.shares.members.len() {
            let it = &self.shares.members[member];
            if !it.drains {
                continue;
            }
            let (client, group) = (it.client, it.group);
            let Some(coordinator) = self.coordinator(client, &group_name(group)) else {
                continue;
            };
            let topics = self.topics_of(group).map(|topic| {
                let count = self.plan.topics[topic].partition_count;
                let indexes = (0..count).filter_map(|index| i32::try_from(index).ok());
                (topic_name(topic), indexes.collect())
            });
            let describe = DescribeShareOffsets {
                group: group_name(group),
                topics: Some(topics.collect()),
            };
            let request = Request::ShareAdmin(ShareAdmin::Describe(vec![describe]));
            let asked = ShareAsked::Left { group };
            if !self.ask(coordinator, client, request, What::Share(asked)) {
                self.forget_coordinators(client);
            }
        }
    }

    pub(super) fn left_answered(
        &mut self,
        client: usize,
        group: usize,
        answer: &ShareAdminAnswer,
    ) -> Result<(), Broken> {
        let ShareAdminAnswer::Described(described) = answer else {
            return Err(wrong_answer("how much is left"));
        };
        let described = described.first();
        let described = described.ok_or_else(|| wrong_answer("how much is left"))?;
        self.shares.left.remove(&group);
        let places = match described {
            Ok(places) => places,
            Err(refused) => {
                self.forget_coordinators(client);
                // A group that nobody is in or has been in is none.
                let is_new = refused.error == ErrorKind::GroupNotFound;
                return self.check_error(refused.error, is_new, "how much is left");
            }
        };
        let mut left_count = Some(0);
        for place in places {
            match &place.place {
                Ok(Some((_, lag))) => left_count = left_count.map(|count| count + lag),
                // The group has not begun there.
                Ok(None) => left_count = None,
                Err(error) => return self.check_error(*error, false, "how much is left"),
            }
        }
        if let Some(count) = left_count {
            self.shares.left.insert(group, count);
        }
        Ok(())
    }
}
