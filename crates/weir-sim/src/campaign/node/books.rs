//! What clients know of the node's partitions: what they sent, what was acknowledged or read.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// A partition: place of the topic in the plan, and index.
pub(super) type Place = (usize, u32);

/// A batch that was sent at least once.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) place: Place,
    /// The idempotent producer and the batch's number in its stream.
    pub(super) stream: Option<(usize, usize)>,
    pub(super) bytes: Bytes,
    pub(super) record_count: u32,
    pub(super) time_ms: i64,
    /// Acknowledged or read there.
    pub(super) offset: Option<u64>,
    /// As it was read first.
    pub(super) epoch: Option<i32>,
    /// Was not there when nothing was under way any more.
    pub(super) is_absent: bool,
}

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Serial numbers of batches by their first offset.
    pub(super) by_offset: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    /// By serial number.
    pub(super) sent: Vec<Sent>,
    pub(super) partitions: BTreeMap<Place, Known>,
}

impl Books {
    pub(super) fn sent(&self, serial: u64) -> Option<&Sent> {
        self.sent.get(usize::try_from(serial).ok()?)
    }

    fn sent_mut(&mut self, serial: u64) -> Option<&mut Sent> {
        self.sent.get_mut(usize::try_from(serial).ok()?)
    }

    pub(super) fn known(&mut self, place: Place) -> &mut Known {
        self.partitions.entry(place).or_default()
    }

    pub(super) fn add(&mut self, sent: Sent) -> u64 {
        self.sent.push(sent);
        self.sent.len() as u64 - 1
    }

    /// The batch is under way again.
    pub(super) fn send_again(&mut self, serial: u64) -> Option<Sent> {
        let sent = self.sent_mut(serial)?;
        sent.is_absent = false;
        Some(sent.clone())
    }

    /// A batch stands at `offset`: from now on it does for ever.
    pub(super) fn learn(&mut self, serial: u64, place: Place, offset: u64) -> Result<(), Broken> {
        let Some(sent) = self.sent_mut(serial) else {
            let detail = format!("{place:?}: nobody sent batch {serial}");
            return Err(broken(oracle_name::INVENTED, detail));
        };
        if sent.place != place || sent.is_absent || sent.offset.is_some_and(|at| at != offset) {
            let detail = format!(
                "{place:?}: batch {serial} at {offset}, known of {:?} at {:?}, absent {}",
                sent.place, sent.offset, sent.is_absent
            );
            return Err(broken(oracle_name::INVENTED, detail));
        }
        sent.offset = Some(offset);
        let end = offset + u64::from(sent.record_count);
        let known = self.known(place);
        known.end = known.end.max(end);
        let before = known.by_offset.insert(offset, serial);
        if before.is_some_and(|before| before != serial) {
            let detail = format!("{place:?}: batches {before:?} and {serial} both at {offset}");
            return Err(broken(oracle_name::LOST, detail));
        }
        self.check_room(place, offset, end)
    }

    /// No two batches overlap.
    fn check_room(&mut self, place: Place, offset: u64, end: u64) -> Result<(), Broken> {
        let known = self.known(place);
        let next = known.by_offset.range(offset + 1..).next();
        let before = known.by_offset.range(..offset).next_back();
        let next = next.map_or(u64::MAX, |(at, _)| *at);
        let before = before.map(|(at, serial)| (*at, *serial));
        let before_end = before
            .and_then(|(at, serial)| Some(at + u64::from(self.sent(serial)?.record_count)))
            .unwrap_or(0);
        if before_end <= offset && end <= next {
            return Ok(());
        }
        let detail = format!(
            "{place:?}: {offset} to {end} overlaps what ends at {before_end} or begins at {next}"
        );
        Err(broken(oracle_name::LOST, detail))
    }

    /// What was read stays the same: so does the epoch.
    pub(super) fn learn_epoch(&mut self, serial: u64, epoch: i32) -> Result<(), Broken> {
        let Some(sent) = self.sent_mut(serial) else {
            return Ok(());
        };
        let first = *sent.epoch.get_or_insert(epoch);
        if first == epoch && epoch > 0 {
            return Ok(());
        }
        let detail = format!("batch {serial} has leader epoch {epoch}, had {first}");
        Err(broken(oracle_name::CORRUPTION, detail))
    }

    /// Ends never go back.
    pub(super) fn learn_ends(
        &mut self,
        place: Place,
        start: u64,
        end: u64,
        at_least: (u64, u64),
    ) -> Result<(), Broken> {
        let known = self.known(place);
        if start < at_least.0 || end < at_least.1 || start > end {
            let detail = format!("{place:?} goes from {start} to {end}, was {at_least:?}");
            return Err(broken(oracle_name::LOST, detail));
        }
        known.start = known.start.max(start);
        known.end = known.end.max(end);
        Ok(())
    }

    /// Start and end as far as they are known.
    pub(super) fn ends(&mut self, place: Place) -> (u64, u64) {
        let known = self.known(place);
        (known.start, known.end)
    }

    /// Everything of the partition that was not found is not there, and must not appear.
    pub(super) fn mark_absent(&mut self, place: Place) {
        let unseen = self.sent.iter_mut();
        for sent in unseen.filter(|sent| sent.place == place && sent.offset.is_none()) {
            sent.is_absent = true;
        }
    }
}
