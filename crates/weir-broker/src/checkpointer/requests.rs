//! What others want of the checkpointer, which alone writes checkpoints and removes what they do
//! not name any more.

use std::collections::BTreeMap;

use weir_log::{Checkpoint, CheckpointError, wal::WalPort};
use weir_model::{GroupId, PartitionId};

use super::{CheckpointFailed, CheckpointState, Checkpointer};

/// Served between checkpoints, in this order.
#[derive(Default)]
pub(super) struct Requests {
    retired: Vec<GroupId>,
    /// Partitions of groups that retire, until the write-ahead log has forgotten the group.
    retiring: BTreeMap<GroupId, Vec<PartitionId>>,
    removed: Vec<PartitionId>,
    /// Partitions that groups let go of, with the entry that did it, until a checkpoint no
    /// longer names them.
    dropped: BTreeMap<GroupId, Vec<(u64, PartitionId)>>,
    wants_room: bool,
    taken_over: Vec<TakenOver>,
    /// All groups are due, changed or not.
    is_forced: bool,
    /// Groups to be left alone.
    holds: BTreeMap<GroupId, Hold>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Hold {
    /// Once everything that the group has applied is flushed.
    #[default]
    Wanted,
    Held,
    /// The group retires: what it is held for comes to nothing. Its files stay until the release.
    Lost,
}

/// Another replica's checkpoint with this node's segments.
pub(crate) struct TakenOver {
    pub(crate) group: GroupId,
    pub(crate) checkpoint: Checkpoint,
    /// Hears whether it is durable.
    pub(crate) done: Box<dyn FnOnce(bool) + Send>,
}

impl Requests {
    pub(super) fn is_empty(&self) -> bool {
        self.retired.is_empty()
            && self.removed.is_empty()
            && self.taken_over.is_empty()
            && !self.is_forced
            && self.holds.values().all(|hold| *hold != Hold::Wanted)
    }
}

impl CheckpointState {
    /// Asks for a checkpoint of the group, and for none after it until
    /// [`CheckpointState::release`]: its partitions stay as they are on the disk.
    pub(crate) fn hold(&self, group: GroupId) {
        self.lock().requests.holds.entry(group).or_default();
        self.arrived.notify_one();
    }

    /// Whether the group is left alone: everything that it has applied is flushed.
    pub(crate) fn is_held(&self, group: GroupId) -> bool {
        self.lock().requests.holds.get(&group) == Some(&Hold::Held)
    }

    /// Whether the group has retired since it was asked to be held.
    pub(crate) fn is_hold_lost(&self, group: GroupId) -> bool {
        self.lock().requests.holds.get(&group) == Some(&Hold::Lost)
    }

    pub(crate) fn release(&self, group: GroupId) {
        self.lock().requests.holds.remove(&group);
        self.arrived.notify_one();
    }

    /// Saves a checkpoint that was taken over from another replica. The group must be held.
    pub(crate) fn take_over(&self, taken_over: TakenOver) {
        self.lock().requests.taken_over.push(taken_over);
        self.arrived.notify_one();
    }

    /// Asks for a checkpoint of every group: segments wait to be replaced.
    pub(crate) fn force(&self) {
        self.lock().requests.is_forced = true;
        self.arrived.notify_one();
    }

    /// The group has let go of these partitions. Their files stay until
    /// [`CheckpointState::retired`], since the last checkpoint names them.
    pub(crate) fn retiring(&self, group: GroupId, ids: impl IntoIterator<Item = PartitionId>) {
        let mut inbox = self.lock();
        let partitions = inbox.requests.retiring.entry(group).or_default();
        partitions.extend(ids);
        if let Some(hold) = inbox.requests.holds.get_mut(&group) {
            *hold = Hold::Lost;
        }
    }

    /// The write-ahead log has forgotten the group: its checkpoint goes, and then its files.
    /// Never before, since what the log has would not fit without it.
    pub(crate) fn retired(&self, group: GroupId) {
        self.lock().requests.retired.push(group);
        self.arrived.notify_one();
    }

    /// Whether the group has let go of its state and the disk has not yet.
    pub(super) fn is_retiring(&self, group: GroupId) -> bool {
        self.lock().requests.retiring.contains_key(&group)
    }

    /// The group let go of these partitions with the entry at `index`: their files go with the
    /// next checkpoint of the group, which is due soon.
    pub(crate) fn dropped(
        &self,
        group: GroupId,
        index: u64,
        ids: impl IntoIterator<Item = PartitionId>,
    ) {
        let mut inbox = self.lock();
        let dropped = inbox.requests.dropped.entry(group).or_default();
        dropped.extend(ids.into_iter().map(|id| (index, id)));
    }

    /// A checkpoint would let files go.
    pub(crate) fn want_room(&self) {
        self.lock().requests.wants_room = true;
    }

    /// Whether there are files that a checkpoint would let go. The wish is taken.
    pub(super) fn take_wish_for_room(&self) -> bool {
        let mut inbox = self.lock();
        let has_dropped = inbox
            .requests
            .dropped
            .values()
            .any(|dropped| !dropped.is_empty());
        std::mem::take(&mut inbox.requests.wants_room) || has_dropped
    }

    /// What no checkpoint of the group at `index` or later names.
    pub(super) fn take_dropped(&self, group: GroupId, index: u64) -> Vec<PartitionId> {
        let mut inbox = self.lock();
        let Some(dropped) = inbox.requests.dropped.get_mut(&group) else {
            return Vec::new();
        };
        let gone = dropped.extract_if(.., |(at, _)| *at <= index);
        gone.map(|(_, id)| id).collect()
    }

    /// Removes files of partitions that nobody has open any more.
    pub(crate) fn remove_partitions(&self, ids: impl IntoIterator<Item = PartitionId>) {
        self.lock().requests.removed.extend(ids);
        self.arrived.notify_one();
    }
}

impl Checkpointer {
    /// To be called while no checkpoint is under way.
    pub(super) fn serve_requests(&mut self) -> Result<(), CheckpointFailed> {
        self.remove_retired()?;
        let (removed, taken_over) = {
            let mut inbox = self.state.lock();
            let requests = &mut inbox.requests;
            self.is_forced |= std::mem::take(&mut requests.is_forced);
            (
                std::mem::take(&mut requests.removed),
                std::mem::take(&mut requests.taken_over),
            )
        };
        self.remove_partitions(removed);
        for taken_over in taken_over {
            self.save_taken_over(taken_over)?;
        }
        self.hold_groups();
        Ok(())
    }

    fn remove_retired(&mut self) -> Result<(), CheckpointFailed> {
        let retired: Vec<GroupId> = {
            let requests = &mut self.state.lock().requests;
            // What still writes to its files ends first.
            let holds = &requests.holds;
            let is_free = |group: &mut GroupId| holds.get(group) != Some(&Hold::Lost);
            requests.retired.extract_if(.., is_free).collect()
        };
        for group in retired {
            // First: no checkpoint may name files that are gone.
            self.checkpoints.remove(group)?;
            self.saved.remove(&group);
            let partitions = self.state.lock().requests.retiring.remove(&group);
            self.remove_partitions(partitions.unwrap_or_default());
        }
        Ok(())
    }

    pub(super) fn remove_partitions(&self, ids: Vec<PartitionId>) {
        for id in ids {
            if let Err(error) = self.node.env.store.drop_partition(id) {
                tracing::warn!(partition = %id, %error, "files stay until the next start");
            }
        }
    }

    fn save_taken_over(&mut self, taken_over: TakenOver) -> Result<(), CheckpointFailed> {
        let TakenOver {
            group,
            checkpoint,
            done,
        } = taken_over;
        let index = checkpoint.index;
        if index < self.saved_index(group) || !self.state.is_held(group) {
            done(false);
            return Ok(());
        }
        match self.checkpoints.save(group, &checkpoint) {
            Ok(()) => {
                self.saved.insert(group, index);
                self.wal.release(group, index);
                done(true);
                Ok(())
            }
            Err(error @ (CheckpointError::Full { .. } | CheckpointError::TooLarge { .. })) => {
                tracing::warn!(%group, %error, "checkpoint of another node is not taken over");
                done(false);
                Ok(())
            }
            Err(
                error @ (CheckpointError::Io { .. }
                | CheckpointError::Corrupt { .. }
                | CheckpointError::UnknownVersion { .. }),
            ) => Err(error.into()),
        }
    }

    /// Leaves groups alone whose state is all in a checkpoint; asks for one of the others.
    fn hold_groups(&mut self) {
        let mut inbox = self.state.lock();
        self.is_hold_awaited = false;
        let requests = &mut inbox.requests;
        for (group, hold) in &mut requests.holds {
            let is_saved = self.node.applied(*group) <= self.saved_index(*group);
            let may_hold = is_saved && !requests.retiring.contains_key(group);
            if *hold == Hold::Wanted && may_hold {
                *hold = Hold::Held;
            }
            self.is_hold_awaited |= *hold == Hold::Wanted;
        }
    }
}
