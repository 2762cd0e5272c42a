//! Retention and compaction of all partitions that this node leads, from time to time.

use std::sync::Arc;

use weir_log::{
    FlushError, Millis, PartitionLog,
    compaction::{self, Compaction, CompactionPolicy, MAX_KEY_MAP_BYTES},
    retention::{self, RetentionPolicy},
};
use weir_model::{GroupId, Offset};
use weir_raft::{Context, Input};

use super::{CheckpointFailed, Checkpointer};
use crate::{
    bodies::{SEGMENT_BYTES, group_of_bodies},
    machine::Machine,
    metadata::TopicRecord,
    outcome::AppliedOutcome,
    shard::ShardCommand,
};

impl Checkpointer {
    /// Looks after all partitions where it is time to.
    pub(super) fn clean_up(&mut self) -> Result<(), CheckpointFailed> {
        let now = self.node.elapsed();
        if self.next_cleanup.is_some_and(|at| now < at) || self.is_busy() {
            return Ok(());
        }
        let is_first = self.next_cleanup.is_none();
        self.next_cleanup = Some(now.plus(self.node.config.cleanup_interval_ms));
        if is_first {
            return Ok(());
        }
        let topology = self.node.topology.load_full();
        for log in self.node.env.registry.all() {
            if let Some(group) = group_of_bodies(log.id()) {
                self.drop_dead_bodies(&log, group)?;
                continue;
            }
            let topic = topology.by_serial(log.id().topic_serial());
            let Some((topic, group)) = topic.and_then(|topic| {
                let index = i32::try_from(log.id().index()).ok()?;
                Some((topic, topic.partition(index)?.1))
            }) else {
                continue;
            };
            self.retain(&log, topic, group);
            self.compact(&log, topic, group)?;
        }
        Ok(())
    }

    /// Proposes a new start where segments are too old or too many.
    fn retain(&mut self, log: &Arc<PartitionLog>, topic: &TopicRecord, group: GroupId) {
        if !topic.settings.cleanup_policy.delete {
            return;
        }
        let policy = RetentionPolicy {
            retention_ms: topic.settings.retention_ms,
            retention_bytes: topic.settings.retention_bytes,
        };
        let now = self.node.clock.now();
        // Only what is in segments goes: what is over its time must get there first.
        let is_over =
            |time_ms| time_ms >= 0 && Some(now.since(Millis(time_ms))) > policy.retention_ms;
        let is_too_old =
            policy.retention_ms.is_some() && log.oldest_unflushed_ms().is_some_and(is_over);
        let is_too_long = policy
            .retention_bytes
            .is_some_and(|limit| log.size_bytes() > limit);
        let is_unflushed = log.end_offset() > log.manifest().end();
        if is_unflushed && (is_too_old || is_too_long) {
            self.want_segments(group);
        }
        let start = log.start_offset();
        if let Some(start) = retention::new_start(&log.manifest(), start, policy, now) {
            self.trim(log, group, start);
        }
    }

    fn trim(&mut self, log: &PartitionLog, group: GroupId, start: Offset) {
        tracing::info!(partition = %log.id(), %start, topic_group = %group, "retention");
        let command = ShardCommand::trim(log.id(), start);
        self.node.handle_of(group).send(Input::Propose {
            group,
            command,
            done: None,
        });
        self.want_flush(group);
    }

    /// What groups of that kind have in memory goes to segments soon.
    fn want_segments(&mut self, group: GroupId) {
        match group.is_transient() {
            true => self.spilling.is_wanted = true,
            false => self.is_hurried = true,
        }
    }

    /// The same, also where nothing was applied meanwhile.
    fn want_flush(&mut self, group: GroupId) {
        match group.is_transient() {
            true => self.spilling.is_wanted = true,
            false => self.is_forced = true,
        }
    }

    fn compact(
        &mut self,
        log: &Arc<PartitionLog>,
        topic: &TopicRecord,
        group: GroupId,
    ) -> Result<(), CheckpointFailed> {
        if !topic.settings.cleanup_policy.compact {
            return Ok(());
        }
        let now = self.node.clock.now();
        // Only sealed segments are compacted: what is as old as one gets must become part of one,
        // however little it is.
        let roll_ms = topic.settings.roll_ms();
        let is_over = |time_ms| time_ms >= 0 && now.since(Millis(time_ms)) >= roll_ms;
        if log.oldest_unflushed_ms().is_some_and(is_over) {
            self.want_segments(group);
        }
        let policy = CompactionPolicy {
            delete_retention_ms: topic.settings.delete_retention_ms,
            min_dirty_percent: topic.settings.min_dirty_percent,
            min_lag_ms: topic.settings.min_compaction_lag_ms,
            max_lag_ms: topic.settings.max_compaction_lag_ms,
            segment_bytes: u64::from(topic.settings.segment_bytes),
            key_map_bytes: MAX_KEY_MAP_BYTES,
            now,
        };
        let done = compaction::run(&self.node.env.store, log, policy);
        self.compacted(log, group, done)
    }

    /// Lets go of bodies on the disk that nobody refers to.
    fn drop_dead_bodies(
        &mut self,
        log: &Arc<PartitionLog>,
        group: GroupId,
    ) -> Result<(), CheckpointFailed> {
        let start = log.start_offset();
        let manifest = log.manifest();
        let dead = manifest.segments[..manifest.segment_at(start)].iter();
        if dead.map(|segment| segment.size_bytes).sum::<u64>() > 0 {
            self.want_segments(group);
        }
        let known = self.state.lock().bodies.remove(&log.id());
        self.ask_for_bodies(group);
        let Some(live) = known else {
            return Ok(());
        };
        // The checkpoint that will name the new files is taken after this: its state has no chunk
        // either that they lack.
        let done = compaction::drop_dead(&self.node.env.store, log, &live, SEGMENT_BYTES);
        if matches!(done, Ok(Compaction::Staged { .. })) {
            // There may be more, once this is in a checkpoint.
            self.next_cleanup = Some(self.node.elapsed());
        }
        self.compacted(log, group, done)
    }

    /// Asks the group for the bodies that are not dead, for the next look.
    fn ask_for_bodies(&self, group: GroupId) {
        let state = Arc::clone(&self.state);
        let visit = Box::new(
            move |machine: &mut Machine, _: &mut Context<'_, AppliedOutcome>| {
                if let Machine::Shard(shard) = machine {
                    let live = shard.live_bodies();
                    state.lock().bodies.extend(live);
                }
            },
        );
        self.node
            .handle_of(group)
            .send(Input::Visit { group, visit });
    }

    fn compacted(
        &mut self,
        log: &Arc<PartitionLog>,
        group: GroupId,
        done: Result<Compaction, FlushError>,
    ) -> Result<(), CheckpointFailed> {
        match done {
            Ok(Compaction::Nothing) => Ok(()),
            Ok(Compaction::Staged {
                before_bytes,
                after_bytes,
                ..
            }) => {
                tracing::info!(partition = %log.id(), before_bytes, after_bytes, "compaction");
                self.want_flush(group);
                Ok(())
            }
            // Compaction can wait: for space, or until damage is mended.
            Err(error @ (FlushError::Full { .. } | FlushError::Corrupt { .. })) => {
                if let FlushError::Corrupt { path, .. } = &error {
                    self.node.offers.found_damage(log, path);
                }
                tracing::warn!(partition = %log.id(), %error, "compaction put off");
                Ok(())
            }
            Err(error @ FlushError::Failed { .. }) => Err(error.into()),
        }
    }
}
