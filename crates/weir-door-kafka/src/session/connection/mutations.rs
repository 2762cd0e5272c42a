//! Partitions that clients make and delete, by quota (KIP-599).

use weir_broker::{
    Ticket,
    access::TopicNames,
    api::{
        NewTopic, Outcome, Request, TopicRef,
        admin::{Manage, Managed, MorePartitions, Refusal},
    },
    quota::QuotaKey,
};
use weir_model::{ErrorKind, TopicName};

use super::KafkaSession;
use crate::{
    codec::{header::Head, versions::Api},
    permit::held::insert,
};

/// Kafka's words.
const WORDS: &str = "The throttling quota has been exceeded.";

/// First versions whose clients understand the refusal; others are held instead.
fn understands(head: &Head) -> bool {
    let from = match head.api {
        Api::CreateTopics => 6,
        Api::DeleteTopics => 5,
        Api::CreatePartitions => 3,
        _ => return false,
    };
    head.version >= from
}

/// Places in a request that the node is not asked for, ascending.
#[derive(Debug)]
pub(super) struct TooMany(Vec<usize>);

impl TooMany {
    /// Puts the refusals where they belong.
    pub(super) fn apply(self, outcome: &mut Outcome) {
        fn refused<T>(places: Vec<usize>) -> Vec<(usize, Result<T, Refusal>)> {
            let refusal = || Refusal::new(ErrorKind::ThrottlingQuotaExceeded, WORDS);
            let places = places.into_iter();
            places.map(|at| (at, Err(refusal()))).collect()
        }
        match outcome {
            Outcome::CreateTopics(all) => insert(all, refused(self.0)),
            Outcome::Managed(Managed::DeletedTopics(all)) => insert(all, refused(self.0)),
            Outcome::Managed(Managed::Checked(all)) => insert(all, refused(self.0)),
            // Told as a whole.
            _ => {}
        }
    }
}

/// Takes what is too much out of a request, and gives its places and the answer to nothing. `None`: it changes
/// nothing of this kind.
fn limit(
    asked: &mut Request,
    names: &dyn TopicNames,
    mut takes: impl FnMut(usize) -> bool,
) -> Option<(Vec<usize>, Outcome)> {
    match asked {
        Request::CreateTopics(create) if !create.validate_only => {
            let refused = part(&mut create.topics, |topic| takes(created(topic, names)));
            Some((refused, Outcome::CreateTopics(Vec::new())))
        }
        Request::Manage(Manage::DeleteTopics(all)) => {
            let refused = part(all, |topic| takes(names.partition_count(topic)));
            let nothing = Managed::DeletedTopics(Vec::new());
            Some((refused, Outcome::Managed(nothing)))
        }
        Request::Manage(Manage::CreatePartitions(create)) if !create.validate_only => {
            let refused = part(&mut create.topics, |more| takes(added(more, names)));
            Some((refused, Outcome::Managed(Managed::Checked(Vec::new()))))
        }
        _ => None,
    }
}

fn part<T>(items: &mut Vec<T>, mut takes: impl FnMut(&T) -> bool) -> Vec<usize> {
    let mut refused = Vec::new();
    let mut at = 0;
    items.retain(|item| {
        let is_taken = takes(item);
        refused.extend((!is_taken).then_some(at));
        at += 1;
        is_taken
    });
    refused
}

fn created(topic: &NewTopic, names: &dyn TopicNames) -> usize {
    let assigned = topic.assignments.as_ref().map(Vec::len);
    let counted = topic.partition_count;
    let counted = counted.and_then(|count| usize::try_from(count).ok());
    assigned
        .or(counted)
        .unwrap_or_else(|| names.default_partition_count())
}

fn added(more: &MorePartitions, names: &dyn TopicNames) -> usize {
    let name = TopicName::new(&more.topic).ok();
    let known = name.map_or(0, |name| names.partition_count(&TopicRef::Name(name)));
    let wanted = usize::try_from(more.count).unwrap_or(0);
    wanted.saturating_sub(known)
}

fn is_empty(asked: &Request) -> bool {
    match asked {
        Request::CreateTopics(create) => create.topics.is_empty(),
        Request::Manage(Manage::DeleteTopics(all)) => all.is_empty(),
        Request::Manage(Manage::CreatePartitions(create)) => create.topics.is_empty(),
        _ => false,
    }
}

impl KafkaSession {
    /// Hands a request over, without what its client may not change now.
    pub(super) fn hand_over(&mut self, ticket: Ticket, head: &Head, mut asked: Request) {
        if self.throttle.is_limited(QuotaKey::ControllerMutationRate) {
            let (now, understands) = (self.client.now, understands(head));
            let (throttle, client) = (&mut self.throttle, &self.client);
            let takes = |count| throttle.changes(now, client.caller(), count, understands);
            if let Some((refused, nothing)) = limit(&mut asked, &*self.names.0, takes)
                && !refused.is_empty()
            {
                self.too_many.insert(ticket.0, TooMany(refused));
                if is_empty(&asked) {
                    return self.finish(ticket, nothing);
                }
            }
        }
        let (now, caller) = (self.client.now, self.client.caller());
        self.throttle.written(now, caller, &asked, &*self.names.0);
        self.asked.push_back((ticket, asked));
    }
}
