//! A client that has had too much: it is answered, and then nothing more is read of it for a while (KIP-13, KIP-219).

use weir_broker::{
    access::TopicNames,
    api::{FetchedBatches, Outcome, Request, TopicRef},
    quota::{Caller, ConnectionMeters, QuotaKey, QuotaView},
};
use weir_door::Millis;
use weir_model::{ErrorKind, TopicName};

/// Time between two looks at whether quotas have changed, while the client is held, in ms.
const LOOK_MS: u64 = 1_000;

/// What a connection has had, and for how long it is held.
#[derive(Debug)]
pub(super) struct Throttle {
    meters: ConnectionMeters,
    /// Topics of the fetch that the node works on, by partition; none where no topic is bound.
    fetched: Vec<Option<TopicName>>,
    /// Until when nothing is read, and when that is looked at again.
    held: Option<(Millis, Millis)>,
}

fn name_of(topic: &TopicRef, names: &dyn TopicNames) -> Option<TopicName> {
    match topic {
        TopicRef::Name(name) => Some(name.clone()),
        TopicRef::Id(id) => names.name_of(*id),
    }
}

fn size_bytes(batches: &Result<FetchedBatches, ErrorKind>) -> usize {
    batches.as_ref().map_or(0, |batches| batches.size_bytes)
}

impl Throttle {
    pub(super) fn new(view: &QuotaView) -> Self {
        Self {
            meters: ConnectionMeters::new(view.clone()),
            fetched: Vec::new(),
            held: None,
        }
    }

    /// It is another's, or calls itself something else.
    pub(super) fn forget(&mut self) {
        self.meters.forget();
    }

    /// Nothing more is read.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// For how long still, as answers tell it.
    pub(super) fn left_ms(&self, now: Millis) -> i32 {
        let left_ms = self.held.map_or(0, |(until, _)| until.since(now));
        i32::try_from(left_ms).unwrap_or(i32::MAX)
    }

    /// Holds it for so long, or longer where that was so.
    fn hold(&mut self, now: Millis, held_ms: u64) {
        if held_ms > 0 {
            let until = now.plus(held_ms);
            let until = self.held.map_or(until, |(before, _)| before.max(until));
            self.held = Some((until, until.min(now.plus(LOOK_MS))));
        }
    }

    /// Counts what it has sent or was given.
    pub(super) fn count(&mut self, now: Millis, key: QuotaKey, caller: Caller<'_>, bytes: usize) {
        let held_ms = self.meters.count(key, caller, bytes);
        self.hold(now, held_ms);
    }

    /// Takes so many partitions that are to be made or deleted. `false`: there were too many already, and the client
    /// understands that these are refused.
    pub(super) fn changes(
        &mut self,
        now: Millis,
        caller: Caller<'_>,
        count: usize,
        understands: bool,
    ) -> bool {
        let key = QuotaKey::ControllerMutationRate;
        if !understands {
            self.count(now, key, caller, count);
            return true;
        }
        let held_ms = self.meters.count(key, caller, 0);
        self.hold(now, held_ms);
        if held_ms == 0 {
            self.meters.add(key, caller, count);
        }
        held_ms == 0
    }

    /// Whether there is a limit to how much of something it may have.
    pub(super) fn is_limited(&self, key: QuotaKey) -> bool {
        self.meters.is_limited(key)
    }

    /// A request has come: its client is bound by the quotas that there are now.
    pub(super) fn refresh(&mut self, caller: Caller<'_>) {
        self.meters.refresh(caller);
    }

    /// Lets a request of records ask for no more than what can be given. `false`: too much was given already, and
    /// there is nothing for it now.
    pub(super) fn admits(&mut self, now: Millis, caller: Caller<'_>, asked: &mut Request) -> bool {
        let Request::Fetch(fetch) = asked else {
            return true;
        };
        let key = QuotaKey::ConsumerByteRate;
        if let Some(window_bytes) = self.meters.window(key, caller) {
            fetch.max_bytes = fetch.max_bytes.min(window_bytes);
            fetch.min_bytes = fetch.min_bytes.min(window_bytes);
            self.count(now, key, caller, 0);
        }
        !self.is_holding()
    }

    /// Counts what is written to topics.
    pub(super) fn written(
        &mut self,
        now: Millis,
        caller: Caller<'_>,
        asked: &Request,
        names: &dyn TopicNames,
    ) {
        if let Request::Produce(produce) = asked
            && self.meters.has_topics(caller)
        {
            for partition in &produce.partitions {
                if let Some(topic) = name_of(&partition.topic, names) {
                    let key = QuotaKey::ProducerByteRate;
                    self.count_of_topic(now, key, &topic, partition.batch.len());
                }
            }
        }
    }

    /// The node is asked for records of these topics.
    pub(super) fn asks(&mut self, caller: Caller<'_>, asked: &Request, names: &dyn TopicNames) {
        if let Request::Fetch(fetch) = asked {
            self.fetched.clear();
            if self.meters.has_topics(caller) {
                let topics = fetch.partitions.iter();
                let topics = topics.map(|partition| name_of(&partition.topic, names));
                self.fetched.extend(topics);
            }
        }
    }

    /// Counts the records of an answer.
    pub(super) fn given(
        &mut self,
        now: Millis,
        caller: Caller<'_>,
        outcome: &Outcome,
        names: &dyn TopicNames,
    ) {
        let key = QuotaKey::ConsumerByteRate;
        let mut all_bytes = 0;
        match outcome {
            Outcome::Fetch(all) => {
                let topics = std::mem::take(&mut self.fetched);
                for (at, fetched) in all.iter().enumerate() {
                    let bytes = size_bytes(&fetched.batches);
                    all_bytes += bytes;
                    if let Some(Some(topic)) = topics.get(at) {
                        self.count_of_topic(now, key, topic, bytes);
                    }
                }
            }
            Outcome::Share(Ok(answer)) => {
                let has_topics = self.meters.has_topics(caller);
                for partition in &answer.partitions {
                    let bytes = size_bytes(&partition.batches);
                    all_bytes += bytes;
                    if has_topics && let Some(topic) = names.name_of(partition.topic) {
                        self.count_of_topic(now, key, &topic, bytes);
                    }
                }
            }
            _ => {}
        }
        if all_bytes > 0 {
            self.count(now, key, caller, all_bytes);
        }
    }

    fn count_of_topic(&mut self, now: Millis, key: QuotaKey, topic: &TopicName, bytes: usize) {
        if bytes > 0 {
            let held_ms = self.meters.count_of_topic(key, topic, bytes);
            self.hold(now, held_ms);
        }
    }

    /// When [`Self::look`] is due.
    pub(super) fn due(&self) -> Option<Millis> {
        self.held.map(|(_, look)| look)
    }

    /// Lets the client go on where it has waited, or where quotas have changed so that it need not.
    pub(super) fn look(&mut self, now: Millis, caller: Caller<'_>) {
        let Some((until, _)) = self.held.take_if(|(_, look)| *look <= now) else {
            return;
        };
        let mut left_ms = until.since(now);
        if left_ms > 0 && self.meters.is_stale() {
            let debts = QuotaKey::ALL.map(|key| self.meters.debt_ms(key, caller));
            left_ms = debts.into_iter().max().unwrap_or(0);
        }
        self.hold(now, left_ms);
    }
}
