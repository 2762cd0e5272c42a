//! Offsets that a transaction brings to a group.

use std::sync::Arc;

use weir_model::{ErrorKind, PartitionId};

use super::{
    Node,
    coordinator::{Membership, MembershipAnswer},
    groups::propose_offsets,
    transactional::only_answer,
};
use crate::{
    api::{OffsetCommit, Outcome, TransactionOffsetCommit},
    group::{CommitOffsets, StoredOffset},
    mailbox::Reply,
    outcome::AppliedOutcome,
    shard::{Shard, ShardCommand},
    transaction::pending::BringOffsets,
};

type Resolved = Vec<Result<(PartitionId, StoredOffset), ErrorKind>>;
type ShardContext<'a> = weir_raft::Context<'a, AppliedOutcome>;

/// A commit whose member was checked.
struct Bringing {
    node: Arc<Node>,
    commit: TransactionOffsetCommit,
    resolved: Resolved,
    reply: Reply,
}

impl Node {
    /// Keeps offsets until their transaction ends.
    pub(super) fn commit_in_transaction(
        self: &Arc<Self>,
        commit: TransactionOffsetCommit,
        reply: Reply,
    ) {
        let now = self.clock.now();
        let offsets = commit.commit.offsets.iter();
        let resolved: Resolved = offsets.map(|offset| self.to_stored(offset, now)).collect();
        let bringing = Bringing {
            node: Arc::clone(self),
            commit,
            resolved,
            reply,
        };
        let group = self.coordinating_shard(&bringing.commit.commit.group);
        self.visit_leading(group, move |visited| match visited {
            Ok((shard, context)) => bringing.begin(shard, context),
            Err(error) => bringing.refuse(error),
        });
    }
}

impl Bringing {
    fn refuse(self, error: ErrorKind) {
        let answers = vec![Err(error); self.resolved.len()];
        self.reply.send(Outcome::OffsetCommit(answers));
    }

    fn begin(self, shard: &mut Shard, context: &mut ShardContext<'_>) {
        let checked = check_member(shard, context, &self.commit.commit);
        let (id, connection) = (&self.commit.transaction, self.commit.connection);
        // Where each transaction has its epoch, that tells what is late.
        let heard = checked.and_then(|()| match self.commit.adds {
            true => Ok(()),
            false => shard.hear_offsets(id, connection),
        });
        if let Err(error) = heard {
            return self.refuse(error);
        }
        match shard.pending().standing(self.commit.producer, context.now) {
            Err(error) => self.refuse(error),
            Ok((_, true)) => self.propose(None, context),
            Ok((ended_at, false)) => self.ask(ended_at),
        }
    }

    /// The coordinator says whether the group is part of the transaction, or makes it so.
    fn ask(self, ended_at: u64) {
        let node = Arc::clone(&self.node);
        let group = self.commit.commit.group.clone();
        let membership = Membership {
            transaction: self.commit.transaction.clone(),
            producer: self.commit.producer,
            adds: self.commit.adds,
            partitions: vec![node.offsets_partition(&group)],
        };
        let asking = Arc::clone(&node);
        let answered = move |answer: MembershipAnswer| match only_answer(answer) {
            Ok(()) => {
                let shard = asking.coordinating_shard(&group);
                asking.visit_leading(shard, move |visited| match visited {
                    Ok((shard, context)) => {
                        let verified = self.verified(ended_at, shard, context);
                        self.propose(Some(verified), context);
                    }
                    Err(error) => self.refuse(error),
                });
            }
            Err(error) => self.refuse(error),
        };
        node.ask_coordinator(membership, Box::new(answered));
    }

    /// See [`Shard::answered`] for why the question's own time does not matter where the epoch
    /// guards.
    fn verified(&self, asked_at: u64, shard: &Shard, context: &ShardContext<'_>) -> u64 {
        let standing = shard.pending().standing(self.commit.producer, context.now);
        match standing {
            Ok((ended_at, _)) if self.commit.adds => ended_at,
            Ok(_) | Err(_) => asked_at,
        }
    }

    fn propose(self, verified: Option<u64>, context: &mut ShardContext<'_>) {
        let (group, producer) = (self.commit.commit.group, self.commit.producer);
        let command = move |offsets| {
            let commit = CommitOffsets { group, offsets };
            ShardCommand::bring_offsets(&BringOffsets {
                producer,
                verified,
                commit,
            })
        };
        propose_offsets(command, self.resolved, context, self.reply);
    }
}

/// A producer may bring offsets without being a member, or as the member that it says it is.
fn check_member(
    shard: &mut Shard,
    context: &ShardContext<'_>,
    commit: &OffsetCommit,
) -> Result<(), ErrorKind> {
    if commit.generation < 0 && commit.member.is_empty() && commit.instance.is_none() {
        return match commit.group.is_empty() {
            true => Err(ErrorKind::InvalidGroupId),
            false => Ok(()),
        };
    }
    shard.check_commit(context.elapsed, commit, true)
}
