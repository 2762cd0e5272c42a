//! Dead letters of the queues that this node leads, on their way to other queues. What has arrived
//! there is settled here: a leader that is lost in between sends it again, and the other queue
//! knows it.

use weir_model::PartitionId;
use weir_raft::{Context, NotCommitted};

use super::{Shard, ShardCommand, fetched::Fetched, pump::visit_shard};
use crate::{
    node::queues::Letter,
    outcome::AppliedOutcome,
    queue::{QueueCommand, unassigned},
};

/// Most letters of a queue that are under way.
const MAX_LETTERS_COUNT: usize = 500;
/// Most bytes of them; one may be larger.
const MAX_LETTERS_BYTES: usize = 1 << 20;
/// Pause before letters that did not arrive are sent again, in ms.
const RETRY_MS: u64 = 1_000;

type ShardContext<'a> = Context<'a, AppliedOutcome>;

impl Shard {
    /// Sends letters again that did not arrive.
    pub(super) fn post_again(&mut self, context: &mut ShardContext<'_>) {
        for id in self.pump.post.end_pauses(context.elapsed) {
            self.post_letters(id, context);
        }
    }

    /// Sends the next letters, where there are some and none are under way.
    pub(super) fn post_letters(&mut self, id: PartitionId, context: &mut ShardContext<'_>) {
        if !self.pump.post.is_free(&id) {
            return;
        }
        let Some(queue) = self.queue(id) else { return };
        let dead: Vec<_> = queue.dead_letters().take(MAX_LETTERS_COUNT).collect();
        let Some(floor) = dead.first().map(|letter| letter.serial) else {
            return;
        };
        let (mut letters, mut void) = (Vec::new(), Vec::new());
        let mut size_bytes = 0;
        for letter in dead {
            match self.fetch_assigned(id, &unassigned(letter.offset)) {
                Fetched::Message(message) => {
                    size_bytes += message.record.len();
                    letters.push(Letter {
                        dead: letter,
                        record: message.record,
                        timestamp_ms: message.timestamp_ms,
                    });
                }
                Fetched::Expired | Fetched::Void => void.push((letter.offset, letter.serial)),
                Fetched::Cold(read) if letters.is_empty() && void.is_empty() => {
                    self.pump.post.begin(&id);
                    return self.read_window(read, move |shard, is_read, context| {
                        shard.posted(id, is_read, context);
                    });
                }
                Fetched::Bodiless if letters.is_empty() && void.is_empty() => {
                    return self.posted(id, false, context);
                }
                Fetched::Cold(_) | Fetched::Bodiless => break,
            }
            if size_bytes >= MAX_LETTERS_BYTES {
                break;
            }
        }
        self.pump.post.begin(&id);
        if letters.is_empty() {
            return self.settle_letters(id, void, true, context);
        }
        if self.env.seeded.settles_letters_early() {
            return self.settle_and_post(id, floor, letters, context);
        }
        let Some(node) = self.node() else { return };
        let (handle, shard, era) = (self.env.handle.clone(), self.id, self.pump.era());
        let sent_count = letters.len();
        let done = move |mut arrived: Vec<(u64, u64)>| {
            visit_shard(&handle, shard, move |shard, context| {
                if shard.pump.era() == era && context.leads {
                    let is_all = arrived.len() == sent_count;
                    arrived.append(&mut void);
                    shard.settle_letters(id, arrived, is_all, context);
                }
            });
        };
        node.post_letters(id, floor, letters, Box::new(done));
    }

    /// The seeded bug: letters are settled, and sent after that.
    fn settle_and_post(
        &mut self,
        id: PartitionId,
        floor: u64,
        letters: Vec<Letter>,
        context: &mut ShardContext<'_>,
    ) {
        let (handle, shard, era) = (self.env.handle.clone(), self.id, self.pump.era());
        let all = letters.iter().map(|it| (it.dead.offset, it.dead.serial));
        let hopped = QueueCommand::Hopped(all.collect());
        let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
            visit_shard(&handle, shard, move |shard, context| {
                if shard.pump.era() == era && context.leads {
                    if let Some(node) = shard.node().filter(|_| outcome.is_ok()) {
                        node.post_letters(id, floor, letters, Box::new(|_| ()));
                    }
                    shard.posted(id, outcome.is_ok(), context);
                }
            });
        };
        context.propose(ShardCommand::queue(id, &hopped), Some(Box::new(done)));
    }

    fn settle_letters(
        &mut self,
        id: PartitionId,
        arrived: Vec<(u64, u64)>,
        is_all: bool,
        context: &mut ShardContext<'_>,
    ) {
        if arrived.is_empty() {
            return self.posted(id, is_all, context);
        }
        let (handle, shard, era) = (self.env.handle.clone(), self.id, self.pump.era());
        let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
            visit_shard(&handle, shard, move |shard, context| {
                if shard.pump.era() == era && context.leads {
                    shard.posted(id, is_all && outcome.is_ok(), context);
                }
            });
        };
        let hopped = ShardCommand::queue(id, &QueueCommand::Hopped(arrived));
        context.propose(hopped, Some(Box::new(done)));
    }

    /// A round is over.
    fn posted(&mut self, id: PartitionId, is_all: bool, context: &mut ShardContext<'_>) {
        self.pump.post.end(&id);
        if is_all {
            self.post_letters(id, context);
        } else {
            let until = context.elapsed.plus(RETRY_MS);
            self.pump.post.pause(&id, until);
        }
    }
}
