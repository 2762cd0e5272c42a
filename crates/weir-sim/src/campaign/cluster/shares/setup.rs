//! Topics for dead letters and groups' settings, which are there before members come.

use weir_broker::api::{
    CreateTopics, NewTopic, Outcome, Request,
    admin::{AlterConfigs, ConfigChange, ConfigOp, ConfigResource, Manage, Managed},
};
use weir_model::{ErrorKind, GroupId};

use super::{
    plan::ShareGroupPlan,
    state::{ShareAsked, group_name},
};
use crate::{
    campaign::cluster::{
        answers::{What, wrong_answer},
        run::Cluster,
    },
    oracle::Broken,
};

/// Places with topics from this one on are of dead letters: the plan has fewer topics.
pub(in super::super) const FIRST_LETTERS_TOPIC: usize = 1_000;

/// The name of a topic for dead letters, by its place among topics.
pub(in super::super) fn letters_topic_name(topic: usize) -> String {
    format!("dlq.shares-{}", topic.saturating_sub(FIRST_LETTERS_TOPIC))
}

/// The place among topics of that for a group's dead letters.
pub(super) fn letters_topic(group: usize) -> usize {
    FIRST_LETTERS_TOPIC + group
}

fn settings(group: usize, plan: &ShareGroupPlan) -> Vec<ConfigChange> {
    let isolation = match plan.committed_only {
        true => "read_committed",
        false => "read_uncommitted",
    };
    let mut all = vec![
        ("share.auto.offset.reset", "earliest".to_owned()),
        ("share.isolation.level", isolation.to_owned()),
        ("share.record.lock.duration.ms", plan.lock_ms.to_string()),
        (
            "share.delivery.count.limit",
            plan.delivery_limit.to_string(),
        ),
        ("share.retry.delay.ms", plan.retry_ms.to_string()),
        ("share.retry.delay.max.ms", plan.retry_max_ms.to_string()),
        (
            "share.partition.max.record.locks",
            plan.max_locks.to_string(),
        ),
    ];
    if plan.letter_partition_count.is_some() {
        let topic = letters_topic_name(letters_topic(group));
        let copies = plan.copies_letters.to_string();
        all.push(("errors.deadletterqueue.topic.name", topic));
        all.push(("errors.deadletterqueue.copy.record.enable", copies));
    }
    let changes = all.into_iter().map(|(name, value)| ConfigChange {
        name: name.to_owned(),
        op: ConfigOp::Set,
        value: Some(value),
    });
    changes.collect()
}

impl Cluster<'_> {
    /// Whether all is set up; asks for what is not.
    pub(super) fn are_shares_set_up(&mut self, client: usize) -> bool {
        let mut is_all = true;
        for group in 0..self.plan.shares.groups.len() {
            let state = self.shares.set_up[group];
            is_all &= state.is_configured;
            if state.is_configured || state.is_asking {
                continue;
            }
            let plan = self.plan.shares.groups[group];
            let Some(machine) = self.any_up() else {
                return false;
            };
            let lacks_topic = !state.has_letters_topic;
            let letters = plan.letter_partition_count.filter(|_| lacks_topic);
            let (request, asked) = match letters {
                Some(count) => (create(group, count), ShareAsked::CreateLetters { group }),
                None => {
                    let resource = ConfigResource::Group(group_name(group));
                    let request = Request::Manage(Manage::AlterConfigs(AlterConfigs {
                        resources: vec![(resource, settings(group, &plan))],
                        is_whole: false,
                        validate_only: false,
                    }));
                    (request, ShareAsked::Configure { group })
                }
            };
            self.shares.set_up[group].is_asking =
                self.ask(machine, client, request, What::Share(asked));
        }
        is_all
    }

    pub(super) fn letters_topic_made(
        &mut self,
        group: usize,
        outcome: &Outcome,
    ) -> Result<(), Broken> {
        let state = &mut self.shares.set_up[group];
        state.is_asking = false;
        let Outcome::CreateTopics(created) = outcome else {
            return Err(wrong_answer("a topic for dead letters"));
        };
        match created.first() {
            Some(Ok(_)) => state.has_letters_topic = true,
            Some(Err(refusal)) if refusal.kind == ErrorKind::TopicExists => {
                state.has_letters_topic = true;
            }
            Some(Err(refusal)) => {
                // Nodes that are not known yet cannot carry copies.
                let is_early = refusal.kind == ErrorKind::InvalidReplicationFactor;
                return self.check_error(refusal.kind, is_early, "a topic for dead letters");
            }
            None => return Err(wrong_answer("a topic for dead letters")),
        }
        Ok(())
    }

    pub(super) fn group_configured(
        &mut self,
        group: usize,
        machine: usize,
        outcome: &Outcome,
    ) -> Result<(), Broken> {
        self.shares.set_up[group].is_asking = false;
        let Outcome::Managed(Managed::Checked(checked)) = outcome else {
            return Err(wrong_answer("a share group's settings"));
        };
        match checked.first() {
            Some(Ok(())) => {
                // The node that answers knows the settings by then.
                let applied = self.applied_of_group_0(machine);
                let shares = &mut self.shares;
                shares.set_up_applied = applied.max(shares.set_up_applied);
                shares.set_up[group].is_configured = true;
                Ok(())
            }
            Some(Err(refusal)) => self.check_error(refusal.kind, false, "a share group's settings"),
            None => Err(wrong_answer("a share group's settings")),
        }
    }

    /// Whether the machine's node knows the groups' settings: what it does before is by the default
    /// ones, as on any broker to which settings are still on their way.
    pub(super) fn knows_settings(&self, machine: usize) -> bool {
        self.applied_of_group_0(machine) >= self.shares.set_up_applied
    }

    fn applied_of_group_0(&self, machine: usize) -> u64 {
        let process = self.machines[machine].process.as_ref();
        process.map_or(0, |process| process.node.observed(GroupId::METADATA).2)
    }
}

fn create(group: usize, partition_count: u32) -> Request {
    let takes_letters = "errors.deadletterqueue.group.enable".to_owned();
    Request::CreateTopics(CreateTopics {
        topics: vec![NewTopic {
            name: letters_topic_name(letters_topic(group)),
            partition_count: Some(partition_count),
            replication_factor: None,
            configs: vec![(takes_letters, Some("true".to_owned()))],
            assignments: None,
        }],
        validate_only: false,
    })
}
