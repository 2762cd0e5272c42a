//! A member's request: what it says for itself, and where it goes.

use std::{collections::BTreeMap, sync::Arc};

use weir_log::Millis;
use weir_model::{ErrorKind, GroupId, PartitionId, Term};

use super::{
    place::Place,
    sessions::{ENDS, Entered, OPENS, PartKey},
    task::{Asker, Run, ShareTask, Wants},
};
use crate::{
    Node,
    api::{
        Outcome, TopicRef,
        share::{AckRefused, ShareAcks, ShareFetch, SharePart, ShareRefused, ShareRequest},
    },
    configs::group::ShareSettings,
    group::config::MAX_GROUP_ID_BYTES,
    mailbox::Reply,
    shard::ShardCommand,
    share::{Acks, ComesBack, ShareCommand, Terms},
};

/// Longest wait that a client may ask for, in ms.
const MAX_WAIT_MS: u64 = 5 * 60 * 1000;
/// Longest member id, in bytes (Kafka's own limit).
const MAX_MEMBER_BYTES: usize = 36;
/// Most bytes of one answer, whatever the client asks for: it must fit into a frame.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The acknowledgement that keeps a record for another while.
const RENEW: i8 = 4;

/// What a session that is over had.
#[derive(Debug)]
pub(super) struct Released {
    pub(super) group: String,
    pub(super) member: String,
    /// With the terms in which it came by what it may have.
    pub(super) partitions: BTreeMap<PartKey, Term>,
}

impl Node {
    /// Serves a member of a share group.
    pub(in crate::node) fn share_records(self: &Arc<Self>, request: ShareRequest, reply: Reply) {
        let entered = check(&request).and_then(|()| self.share_sessions.enter(self, &request));
        match entered {
            Ok(entered) => self.begin_share(request, entered, reply),
            Err(refused) => reply.send(Outcome::Share(Err(refused))),
        }
    }

    fn begin_share(self: &Arc<Self>, request: ShareRequest, entered: Entered, reply: Reply) {
        let ShareRequest {
            group,
            member,
            epoch,
            renews,
            partitions,
            fetch,
        } = request;
        let mut ended = entered.ended;
        if epoch != ENDS
            && let Some(replaced) = ended.take()
        {
            // What the member had before it began anew is nobody's: it has forgotten it.
            self.release_share(replaced);
        }
        let settings = self.topology.load().group_settings(&group).share;
        let may_renew = renews && settings.may_renew;
        let mut places: BTreeMap<PartKey, Place> = BTreeMap::new();
        let mut order = Vec::new();
        let is_fetch = fetch.is_some() && epoch != ENDS;
        let named = partitions.into_iter().map(|part| (part, false));
        let fetched = entered.partitions.into_iter().filter(|_| is_fetch);
        let fetched = fetched.map(|(topic, index)| {
            let acks = Vec::new();
            (SharePart { topic, index, acks }, true)
        });
        for (part, wants) in named.chain(fetched) {
            let key = (part.topic, part.index);
            let place = places.entry(key).or_insert_with(|| {
                order.push(key);
                self.share_place(key)
            });
            place.wants |= wants;
            place.acknowledge(acks(part.acks, may_renew));
        }
        let places = order.iter().filter_map(|key| places.remove(key));
        let asker = Asker {
            group,
            member,
            terms: terms(&settings),
            committed_only: settings.committed_only,
            begins: settings.begins,
        };
        let wait_ms = fetch.as_ref().filter(|_| is_fetch).map_or(0, wait_ms);
        let deadline: Option<Millis> = (wait_ms > 0).then(|| self.elapsed().plus(wait_ms));
        let task = ShareTask::new(Arc::clone(self), asker, deadline);
        let wants = fetch.filter(|_| is_fetch).map(|fetch| Wants {
            bytes: fetch.max_bytes.min(MAX_ANSWER_BYTES),
            count: u64::from(fetch.max_records),
            by_records: fetch.by_records,
        });
        let turn = usize::try_from(epoch).unwrap_or(0);
        let tells_all = epoch == OPENS || wants.is_none();
        Run::new(
            task,
            places.collect(),
            wants,
            (turn, tells_all),
            ended,
            entered.hold,
            reply,
        )
        .visit();
    }

    fn share_place(&self, (topic, index): PartKey) -> Place {
        let route = self.route(&TopicRef::Id(topic), index);
        let route = route.map(|route| {
            let log = self.log_of(&route);
            (route.group, log)
        });
        Place::new((topic, index), route)
    }

    /// The term of the group that carries the partition.
    pub(super) fn term_of_part(&self, (topic, index): PartKey) -> Term {
        let route = self.route(&TopicRef::Id(topic), index);
        route.map_or(Term(0), |route| self.status(route.group).term())
    }

    /// Gives back what a session had: nobody has seen it. Not where another node has led since then, whose
    /// session with the same member may go on: those locks end by themselves.
    pub(super) fn release_share(self: &Arc<Self>, released: Released) {
        let mut by_shard: BTreeMap<GroupId, Vec<PartitionId>> = BTreeMap::new();
        for ((topic, index), term) in released.partitions {
            if let Ok(route) = self.route(&TopicRef::Id(topic), index)
                && self.status(route.group).term() == term
            {
                by_shard
                    .entry(route.group)
                    .or_default()
                    .push(route.partition);
            }
        }
        for (shard, partitions) in by_shard {
            let release = ShareCommand::Release {
                group: released.group.clone(),
                member: released.member.clone(),
                partitions,
            };
            self.visit_leading(shard, move |visited| {
                if let Ok((_, context)) = visited {
                    context.propose(ShardCommand::share(&release), None);
                }
            });
        }
    }
}

/// How long a fetch waits for records.
fn wait_ms(fetch: &ShareFetch) -> u64 {
    let waits = fetch.max_records > 0 && fetch.min_bytes > 0;
    if waits {
        fetch.max_wait_ms.min(MAX_WAIT_MS)
    } else {
        0
    }
}

fn terms(settings: &ShareSettings) -> Terms {
    Terms {
        lock_ms: settings.lock_ms,
        comes_back: ComesBack {
            delivery_limit: settings.delivery_limit,
            retry_ms: settings.retry_ms,
            retry_max_ms: settings.retry_max_ms,
            keeps_dead: settings.has_dead_letters,
        },
        max_locks: settings.max_locks,
    }
}

/// Whether a request makes sense by itself.
fn check(request: &ShareRequest) -> Result<(), ShareRefused> {
    if request.group.is_empty() || request.group.len() > MAX_GROUP_ID_BYTES {
        return Err(ShareRefused::Invalid("GroupId can't be empty."));
    }
    if request.member.is_empty() || request.member.len() > MAX_MEMBER_BYTES {
        return Err(ShareRefused::Invalid("MemberId is invalid."));
    }
    let acknowledges = request.partitions.iter().any(|part| !part.acks.is_empty());
    if request.epoch == OPENS && request.fetch.is_some() && acknowledges {
        let reason = "Cannot acknowledge records in the first request of a session.";
        return Err(ShareRefused::Invalid(reason));
    }
    Ok(())
}

/// The acknowledgements of a partition, ascending, or that they make no sense.
fn acks(asked: Vec<ShareAcks>, may_renew: bool) -> Result<Vec<Acks>, AckRefused> {
    let mut all: Vec<Acks> = Vec::with_capacity(asked.len());
    for each in asked {
        let range = (u64::try_from(each.first), u64::try_from(each.last));
        let (Ok(first), Ok(last)) = range else {
            return Err(AckRefused::Invalid);
        };
        let is_next = all.last().is_none_or(|before| before.last < first);
        let kinds_count = each.kinds.len() as u64;
        let fits =
            kinds_count == 1 || last.checked_sub(first).map(|it| it + 1) == Some(kinds_count);
        let highest = if may_renew { RENEW } else { RENEW - 1 };
        let is_known = each.kinds.iter().all(|kind| (0..=highest).contains(kind));
        if !is_next || first > last || !fits || !is_known {
            return Err(AckRefused::Invalid);
        }
        all.push(Acks {
            first,
            last,
            kinds: each.kinds.iter().map(|kind| kind.cast_unsigned()).collect(),
        });
    }
    Ok(all)
}

impl From<ErrorKind> for AckRefused {
    fn from(error: ErrorKind) -> Self {
        Self::Failed(error)
    }
}
