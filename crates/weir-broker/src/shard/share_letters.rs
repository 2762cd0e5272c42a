//! Dead letters of share groups, on their way from partitions that this node leads. What has arrived is settled
//! here: a leader that is lost in between sends it again.

use std::collections::BTreeSet;

use weir_model::ErrorKind;
use weir_raft::{Context, NotCommitted};

use super::{Shard, ShardCommand, fetched::Fetched, post::Post, pump::visit_shard};
use crate::{
    node::share::{LetterTo, LetterWay, ShareLetter},
    outcome::AppliedOutcome,
    share::{DeadRecord, ShareCommand, ShareKey},
};

/// Most letters of a share partition that are under way, of each kind.
const MAX_LETTERS_COUNT: usize = 250;
/// Pause before letters that did not arrive are sent again, in ms.
const RETRY_MS: u64 = 1_000;
/// Pause before it is seen again whether they can be sent, in ms.
const WAIT_MS: u64 = 5_000;

type ShardContext<'a> = Context<'a, AppliedOutcome>;

/// Whose letters are under way, and who may have others.
#[derive(Default)]
pub(super) struct SharePost {
    changed: BTreeSet<ShareKey>,
    pub(super) post: Post<ShareKey>,
}

impl Shard {
    /// A share partition has changed, or is led from now on.
    pub(super) fn note_share_letters(&mut self, key: &ShareKey) {
        let partition = self.shares.get(key);
        let has_dead = partition.is_some_and(|partition| partition.dead_count() > 0);
        if self.leads && has_dead {
            self.pump.share_post.changed.insert(key.clone());
            self.schedule_pump();
        }
    }

    /// Sends letters of share partitions that have changed, and again what did not arrive.
    pub(super) fn post_letters_of_shares(&mut self, context: &mut ShardContext<'_>) {
        let SharePost { changed, post } = &mut self.pump.share_post;
        let mut keys = std::mem::take(changed);
        keys.extend(post.end_pauses(context.elapsed));
        for key in keys {
            self.post_letters_of_share(&key, context);
        }
    }

    fn post_letters_of_share(&mut self, key: &ShareKey, context: &mut ShardContext<'_>) {
        if !self.pump.share_post.post.is_free(key) {
            return;
        }
        let partition = self.shares.get(key);
        let dead = partition.map_or_else(Vec::new, |it| it.dead(MAX_LETTERS_COUNT));
        let Some(node) = self.node().filter(|_| !dead.is_empty()) else {
            return;
        };
        match node.letter_way(key) {
            LetterWay::Later => {
                let until = context.elapsed.plus(WAIT_MS);
                self.pump.share_post.post.pause(key, until);
            }
            LetterWay::Away => {
                self.pump.share_post.post.begin(key);
                self.settle_share_letters(key, &dead, context);
            }
            LetterWay::To(to) => self.send_share_letters(key, &to, &dead, context),
        }
    }

    fn send_share_letters(
        &mut self,
        key: &ShareKey,
        to: &LetterTo,
        dead: &[DeadRecord],
        context: &mut ShardContext<'_>,
    ) {
        let mut letters = Vec::new();
        for dead in dead {
            let record = match to.copies {
                true => self.fetch_any(key.0, dead.offset),
                false => Fetched::Void,
            };
            let record = match record {
                Fetched::Message(message) => Some(message.record),
                Fetched::Expired | Fetched::Void => None,
                Fetched::Cold(read) if letters.is_empty() => {
                    self.pump.share_post.post.begin(key);
                    let key = key.clone();
                    return self.read_window(read, move |shard, is_read, context| {
                        shard.share_letters_sent(&key, is_read, context);
                    });
                }
                Fetched::Bodiless if letters.is_empty() => {
                    return self.share_letters_sent(key, false, context);
                }
                Fetched::Cold(_) | Fetched::Bodiless => break,
            };
            letters.push(ShareLetter {
                dead: *dead,
                record,
            });
        }
        let Some(node) = self.node() else { return };
        self.pump.share_post.post.begin(key);
        let (handle, shard, era) = (self.env.handle.clone(), self.id, self.pump.era());
        let (batch, sent_count) = node.letter_batch(to, &letters);
        let sent = letters[..sent_count].iter().map(|letter| letter.dead);
        let sent: Vec<DeadRecord> = sent.collect();
        let key = key.clone();
        let done = move |stored: Result<(), ErrorKind>| {
            visit_shard(&handle, shard, move |shard, context| {
                if shard.pump.era() != era || !context.leads {
                    return;
                }
                match stored {
                    Ok(()) => shard.settle_share_letters(&key, &sent, context),
                    Err(error) => {
                        tracing::debug!(?error, group = key.1, "dead letters did not arrive");
                        shard.share_letters_sent(&key, false, context);
                    }
                }
            });
        };
        node.post_share_letters(to, batch, done);
    }

    fn settle_share_letters(
        &mut self,
        key: &ShareKey,
        dead: &[DeadRecord],
        context: &mut ShardContext<'_>,
    ) {
        let (handle, shard, era) = (self.env.handle.clone(), self.id, self.pump.era());
        let copied = ShareCommand::Copied {
            group: key.1.clone(),
            partition: key.0,
            records: dead.iter().map(|it| (it.offset, it.serial)).collect(),
        };
        let key = key.clone();
        let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
            visit_shard(&handle, shard, move |shard, context| {
                if shard.pump.era() == era && context.leads {
                    shard.share_letters_sent(&key, outcome.is_ok(), context);
                }
            });
        };
        context.propose(ShardCommand::share(&copied), Some(Box::new(done)));
    }

    /// A round is over.
    fn share_letters_sent(
        &mut self,
        key: &ShareKey,
        is_done: bool,
        context: &mut ShardContext<'_>,
    ) {
        self.pump.share_post.post.end(key);
        if is_done {
            self.post_letters_of_share(key, context);
        } else {
            let until = context.elapsed.plus(RETRY_MS);
            self.pump.share_post.post.pause(key, until);
        }
    }
}
