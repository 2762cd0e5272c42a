//! Reads partitions from whoever leads them, and goes on where leaders change.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use super::position::From;
use crate::client::{
    Client, ClientError,
    fetched::Fetched,
    offsets::{At, Place},
    records::{self, Incoming},
};

/// How long one round waits for something to come, in ms.
const WAIT_MS: i32 = 500;

/// What is read, and how far it is.
pub(super) struct Reader {
    from: From,
    next: BTreeMap<Place, i64>,
    /// Where the partitions ended when they were assigned.
    ends: BTreeMap<Place, i64>,
}

/// A message and where it comes from.
type Read = (Place, Incoming);

impl Reader {
    /// Reads nothing yet.
    pub(super) fn new(from: From) -> Self {
        Self {
            from,
            next: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    /// Reads these partitions from now on: from where they were committed, or else from where it
    /// was told to begin.
    pub(super) fn assign(
        &mut self,
        client: &mut Client,
        places: &[Place],
        committed: &BTreeMap<Place, i64>,
    ) -> anyhow::Result<()> {
        let is_new = |place: &&Place| !committed.contains_key(place);
        let new: Vec<Place> = places.iter().filter(is_new).cloned().collect();
        let mut next = self.from.offsets(client, &new)?;
        for place in places {
            if let Some(offset) = committed.get(place) {
                next.insert(place.clone(), *offset);
            }
        }
        self.ends = client.offsets(places, At::Latest)?;
        self.next = next;
        Ok(())
    }

    /// Whether everything that was there when it began has been read.
    pub(super) fn is_at_end(&self) -> bool {
        let mut places = self.next.iter();
        places.all(|(place, next)| self.ends.get(place).is_none_or(|end| next >= end))
    }

    /// Reads what is there, or waits for it a little.
    pub(super) fn read(&mut self, client: &mut Client) -> anyhow::Result<Vec<Read>> {
        let mut read = Vec::new();
        if self.next.is_empty() {
            // Other members have it all.
            std::thread::sleep(std::time::Duration::from_millis(u64::from(
                WAIT_MS.unsigned_abs(),
            )));
            return Ok(read);
        }
        client.retried(|client| self.round(client, &mut read))?;
        Ok(read)
    }

    fn round(&mut self, client: &mut Client, read: &mut Vec<Read>) -> Result<(), ClientError> {
        let places: Vec<Place> = self.next.keys().cloned().collect();
        let led = client.leaders(&places)?;
        let wait_ms = WAIT_MS / i32::try_from(led.len()).unwrap_or(WAIT_MS).max(1);
        for (leader, places) in led {
            let of_leader = |place: Place| {
                let offset = self.next.get(&place).copied()?;
                Some((place, offset))
            };
            let from: BTreeMap<Place, i64> = places.into_iter().filter_map(of_leader).collect();
            let taken = client.fetch(leader, &from, wait_ms).and_then(|all| {
                let mut all = all.into_iter();
                all.try_for_each(|fetched| self.take(client, fetched, read))
            });
            match taken {
                Ok(()) => {}
                // What came is not held back; the next round tries again.
                Err(error) if error.retriable() && !read.is_empty() => client.forget_leaders(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        client: &mut Client,
        fetched: Fetched,
        read: &mut Vec<Read>,
    ) -> Result<(), ClientError> {
        let place = fetched.place;
        let Some(next) = self.next.get(&place).copied() else {
            return Ok(());
        };
        let batches = match fetched.batches {
            Ok(batches) => batches,
            Err(error) if error.refusal() == Some(ResponseError::OffsetOutOfRange) => {
                return self.back_in_range(client, &place, next, error);
            }
            Err(error) => {
                client.forget_leaders();
                return Err(error);
            }
        };
        let decoded = records::decode(&batches, next).map_err(|error| ClientError::Malformed {
            address: format!("partition {} of topic {}", place.1, place.0),
            what: format!("{error:#}"),
        })?;
        let messages = decoded.messages.into_iter();
        read.extend(messages.map(|incoming| (place.clone(), incoming)));
        if let Some(after) = decoded.next_offset {
            self.next.insert(place, after.max(next));
        }
        Ok(())
    }

    /// What was deleted meanwhile is skipped, and said; an offset that never was is an error.
    fn back_in_range(
        &mut self,
        client: &mut Client,
        place: &Place,
        next: i64,
        error: ClientError,
    ) -> Result<(), ClientError> {
        let places = [place.clone()];
        let start = client.offsets(&places, At::Earliest)?;
        match start.get(place) {
            Some(start) if *start > next => {
                let (topic, index) = place;
                eprintln!(
                    "partition {index} of topic {topic} begins at offset {start}: what was before \
                     it is deleted"
                );
                self.next.insert(place.clone(), *start);
                Ok(())
            }
            Some(_) | None => Err(error),
        }
    }
}
