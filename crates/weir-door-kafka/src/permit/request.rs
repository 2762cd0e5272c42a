//! What each request wants to be allowed: Kafka's own table (KIP-11 and those after it).

use weir_access::acl::Operation;
use weir_broker::api::{
    JoinRefused, Outcome, Produce, Request, TopicRef,
    admin::{ConfigResource, Manage, Managed},
    share::{ShareAdmin, ShareAdminAnswer, ShareRefused, ShareRequest},
};
use weir_model::ErrorKind;

use super::{
    asker::{Asker, Verdict},
    held::{Gaps, Held, Hidden},
};
use crate::mapping::plan::Plan;

/// What of a request is allowed.
#[derive(Debug)]
pub enum Permit {
    /// What is left of it.
    Asked(Held),
    /// Nothing: the node is not asked.
    Refused(Outcome),
}

/// Takes away what is not allowed.
// Table: one arm per request.
pub fn permit(request: &mut Request, plan: &Plan, asker: &mut Asker<'_>) -> Permit {
    use Operation::{Delete, Describe, Read, Write};
    let mut held = Held::default();
    let empty = match request {
        Request::Produce(produce) => {
            held.gaps = of_produce(produce, asker);
            (produce.partitions.is_empty(), Outcome::Produce(Vec::new()))
        }
        Request::Fetch(fetch) => {
            let all = &mut fetch.partitions;
            held.gaps = part(all, |one| asker.topic_ref(Read, &one.topic));
            (all.is_empty(), Outcome::Fetch(Vec::new()))
        }
        Request::ListOffsets(list) => {
            let all = &mut list.wanted;
            held.gaps = part(all, |one| asker.topic_ref(Describe, &one.topic));
            (all.is_empty(), Outcome::ListOffsets(Vec::new()))
        }
        Request::EndOfEpoch(all) => {
            held.gaps = part(all, |one| asker.topic_ref(Describe, &one.topic));
            (all.is_empty(), Outcome::EndOfEpoch(Vec::new()))
        }
        Request::DescribeProducers(all) => {
            held.gaps = part(all, |(topic, _)| asker.topic_ref(Read, topic));
            (all.is_empty(), Outcome::DescribeProducers(Vec::new()))
        }
        Request::Metadata(metadata) => {
            let makes = metadata.auto_create;
            match &mut metadata.topics {
                None => held.trims = true,
                Some(all) => {
                    let mut denied = Vec::new();
                    let mut at = 0;
                    all.retain(|topic| {
                        let verdict = asker.look(topic, makes);
                        denied.extend(verdict.err().map(|error| (at, topic.clone(), error)));
                        at += 1;
                        verdict.is_ok()
                    });
                    held.topics = denied;
                }
            }
            // The nodes of the cluster are told in any case.
            return Permit::Asked(held);
        }
        Request::CreateTopics(create) => {
            let all = &mut create.topics;
            held.hidden = places(all, |topic| {
                asker
                    .topic(Operation::DescribeConfigs, &topic.name)
                    .is_err()
            });
            held.gaps = part(all, |topic| asker.create(&topic.name));
            (all.is_empty(), Outcome::CreateTopics(Vec::new()))
        }
        Request::FindCoordinator(all) => {
            let is_transactional = matches!(
                plan,
                Plan::Coordinators {
                    is_transactional: true,
                    ..
                }
            );
            held.gaps = part(all, |name| match is_transactional {
                true => asker.transaction(Describe, name),
                false => asker.group(Describe, name),
            });
            (all.is_empty(), Outcome::Coordinators(Vec::new()))
        }
        Request::DescribeGroups(all) => {
            held.gaps = part(all, |group| asker.group(Describe, group));
            (all.is_empty(), Outcome::DescribeGroups(Vec::new()))
        }
        Request::DescribeConsumerGroups(all) | Request::DescribeShareGroups(all) => {
            held.trims = true;
            held.gaps = part(all, |group| asker.group(Describe, group));
            (all.is_empty(), Outcome::DescribeConsumerGroups(Vec::new()))
        }
        Request::DeleteGroups(all) => {
            held.gaps = part(all, |group| asker.group(Delete, group));
            (all.is_empty(), Outcome::DeleteGroups(Vec::new()))
        }
        Request::DeleteOffsets(delete) => {
            if let Err(error) = asker.group(Delete, &delete.group) {
                return Permit::Refused(Outcome::DeleteOffsets(Err(error)));
            }
            let all = &mut delete.partitions;
            held.gaps = part(all, |(topic, _)| asker.topic_ref(Read, topic));
            (all.is_empty(), Outcome::DeleteOffsets(Ok(Vec::new())))
        }
        Request::OffsetCommit(commit) => {
            let whole = asker.group(Read, &commit.group);
            let all = &mut commit.offsets;
            held.gaps = part(all, |one| {
                whole.and_then(|()| asker.topic_ref(Read, &one.topic))
            });
            (all.is_empty(), Outcome::OffsetCommit(Vec::new()))
        }
        Request::TransactionOffsetCommit(transaction) => {
            let whole = asker
                .transaction(Write, &transaction.transaction)
                .and_then(|()| asker.group(Read, &transaction.commit.group));
            let all = &mut transaction.commit.offsets;
            held.gaps = part(all, |one| {
                whole.and_then(|()| asker.topic_ref(Read, &one.topic))
            });
            (all.is_empty(), Outcome::OffsetCommit(Vec::new()))
        }
        Request::OffsetFetch(all) => {
            let wanted = all.iter().map(|one| one.partitions.is_none());
            let wanted: Vec<bool> = wanted.collect();
            held.gaps = part(all, |one| asker.group(Describe, &one.group));
            held.all_of = all_of(&wanted, &held.gaps);
            held.offsets = parts(all.iter_mut().map(|one| one.partitions.as_mut()), |one| {
                // An unknown id is told of by the node.
                let verdict = asker.topic_ref(Describe, &one.0);
                verdict.or_else(|error| match error {
                    ErrorKind::UnknownTopicId => Ok(()),
                    error => Err(error),
                })
            });
            (all.is_empty(), Outcome::OffsetFetch(Vec::new()))
        }
        Request::AddPartitions(all) => {
            let mut refused = Vec::new();
            let mut at = 0;
            all.retain(|one| {
                let whole = asker.transaction(Write, &one.transaction);
                let answers = of_transaction(whole, &one.partitions, asker);
                let is_allowed = answers.is_none();
                refused.extend(answers.map(|answers| (at, answers)));
                at += 1;
                is_allowed
            });
            held.transactions = refused;
            (all.is_empty(), Outcome::AddPartitions(Vec::new()))
        }
        Request::DescribeTransactions(all) => {
            held.trims = true;
            held.gaps = part(all, |id| asker.transaction(Describe, id));
            (all.is_empty(), Outcome::DescribeTransactions(Vec::new()))
        }
        Request::ListTransactions(_) => {
            held.trims = true;
            return Permit::Asked(held);
        }
        Request::ListGroups(_) => {
            held.trims = asker.cluster(Describe).is_err();
            return Permit::Asked(held);
        }
        Request::Share(share) => return of_share(share, held, asker),
        Request::ShareAdmin(admin) => return of_share_admin(admin, held, asker),
        Request::Manage(manage) => return of_manage(manage, held, asker),
        Request::InitProducerId(_)
        | Request::JoinGroup(_)
        | Request::SyncGroup(_)
        | Request::Heartbeat(_)
        | Request::LeaveGroup(_)
        | Request::ConsumerHeartbeat(_)
        | Request::ShareHeartbeat(_)
        | Request::AddOffsets(_)
        | Request::EndTransaction(_) => return whole(request, asker),
        // Whoever may ask this at all may ask all of it: see `cluster`.
        Request::WriteMarkers(_) | Request::ChangeAccess(_) => return Permit::Asked(held),
        // No request of Kafka's.
        Request::Queue(_) => return Permit::Asked(held),
    };
    settled(empty, held, asker)
}

/// The node is not asked where nothing is left, but for a client that asks for nothing itself.
fn settled((is_empty, mut outcome): (bool, Outcome), held: Held, asker: &mut Asker<'_>) -> Permit {
    let is_refused = !held.gaps.is_empty() || !held.transactions.is_empty();
    match is_empty && is_refused {
        true => {
            held.apply(&mut outcome, asker);
            Permit::Refused(outcome)
        }
        false => Permit::Asked(held),
    }
}

/// Requests that are allowed as a whole, or not.
fn whole(request: &Request, asker: &mut Asker<'_>) -> Permit {
    use Operation::{Describe, Read, Write};
    let subscribed = |topics: &Option<Vec<String>>, asker: &mut Asker<'_>| {
        let mut topics = topics.iter().flatten();
        topics.try_for_each(|topic| asker.topic(Describe, topic))
    };
    let refused = match request {
        Request::InitProducerId(init) => match &init.transactional {
            Some(transactional) => asker.transaction(Write, &transactional.id),
            None => asker.producer_id(),
        }
        .map_err(|error| Outcome::ProducerId(Err(error))),
        Request::JoinGroup(join) => asker.group(Read, &join.group).map_err(|error| {
            let member = join.member.clone();
            Outcome::Join(Err(JoinRefused { error, member }))
        }),
        Request::SyncGroup(sync) => asker
            .group(Read, &sync.group)
            .map_err(|error| Outcome::Sync(Err(error))),
        Request::Heartbeat(beat) => asker
            .group(Read, &beat.group)
            .map_err(|error| Outcome::Heartbeat(Err(error))),
        Request::LeaveGroup(leave) => asker
            .group(Read, &leave.group)
            .map_err(|error| Outcome::Leave(Err(error))),
        Request::ConsumerHeartbeat(beat) => asker
            .group(Read, &beat.group)
            .and_then(|()| subscribed(&beat.topics, asker))
            .map_err(|error| Outcome::ConsumerBeat(Err(error.into()))),
        Request::ShareHeartbeat(beat) => asker
            .group(Read, &beat.group)
            .and_then(|()| subscribed(&beat.topics, asker))
            .map_err(|error| Outcome::ConsumerBeat(Err(error.into()))),
        Request::AddOffsets(add) => asker
            .transaction(Write, &add.transaction)
            .and_then(|()| asker.group(Read, &add.group))
            .map_err(|error| Outcome::AddOffsets(Err(error))),
        Request::EndTransaction(end) => asker
            .transaction(Write, &end.transaction)
            .map_err(|error| Outcome::EndTransaction(Err(error))),
        _ => Ok(()),
    };
    match refused {
        Ok(()) => Permit::Asked(Held::default()),
        Err(outcome) => Permit::Refused(outcome),
    }
}

fn of_produce(produce: &mut Produce, asker: &mut Asker<'_>) -> Gaps {
    let whole = match &produce.transaction {
        Some(transaction) => asker.transaction(Operation::Write, &transaction.id),
        None => Ok(()),
    };
    let mut last: Option<(TopicRef, Verdict)> = None;
    part(&mut produce.partitions, |one| {
        whole?;
        match &last {
            Some((topic, verdict)) if *topic == one.topic => *verdict,
            Some(_) | None => {
                let verdict = asker.topic_ref(Operation::Write, &one.topic);
                last = Some((one.topic.clone(), verdict));
                verdict
            }
        }
    })
}

/// Which of the groups that are left wanted everything.
fn all_of(wanted: &[bool], gaps: &Gaps) -> Vec<usize> {
    let mut gaps = gaps.iter().map(|(at, _)| *at).peekable();
    let left = wanted.iter().enumerate();
    let left = left.filter(|(at, _)| gaps.next_if(|gap| gap == at).is_none());
    let left = left.map(|(_, all)| *all).enumerate();
    left.filter(|(_, all)| *all).map(|(at, _)| at).collect()
}

/// The answers where a transaction gets no partitions: one that it may not have keeps out the others.
fn of_transaction(
    whole: Verdict,
    partitions: &[(TopicRef, i32)],
    asker: &mut Asker<'_>,
) -> Option<Vec<Verdict>> {
    if whole.is_err() {
        return Some(vec![whole; partitions.len()]);
    }
    let verdicts = partitions.iter();
    let verdicts = verdicts.map(|(topic, _)| asker.topic_ref(Operation::Write, topic));
    let verdicts: Vec<Verdict> = verdicts.collect();
    let is_refused = verdicts.iter().any(Result::is_err);
    is_refused.then(|| {
        let told = verdicts.into_iter();
        let told = told.map(|verdict| verdict.and(Err(ErrorKind::OperationNotAttempted)));
        told.collect()
    })
}

fn of_share(share: &mut ShareRequest, mut held: Held, asker: &mut Asker<'_>) -> Permit {
    if asker.group(Operation::Read, &share.group).is_err() {
        return Permit::Refused(Outcome::Share(Err(ShareRefused::Unauthorized)));
    }
    let mut denied = Vec::new();
    share.partitions.retain(|one| {
        let verdict = asker.topic_ref(Operation::Read, &TopicRef::Id(one.topic));
        match verdict {
            // The node says so itself, and gives nothing.
            Ok(()) => true,
            Err(error) => {
                denied.push((one.topic, one.index, error));
                false
            }
        }
    });
    held.shares = denied;
    held.trims = true;
    Permit::Asked(held)
}

fn of_share_admin(admin: &mut ShareAdmin, mut held: Held, asker: &mut Asker<'_>) -> Permit {
    use Operation::{Delete, Describe, Read};
    let (is_empty, answer) = match admin {
        ShareAdmin::Describe(all) => {
            held.trims = true;
            held.gaps = part(all, |one| asker.group(Describe, &one.group));
            held.topics_of = parts(all.iter_mut().map(|one| one.topics.as_mut()), |one| {
                asker.topic(Describe, one.0.as_str())
            });
            (all.is_empty(), ShareAdminAnswer::Described(Vec::new()))
        }
        ShareAdmin::Alter { group, places } => {
            if let Err(error) = asker.group(Read, group) {
                let refused = ShareAdminAnswer::Changed(Err(error.into()));
                return Permit::Refused(Outcome::ShareAdmin(refused));
            }
            held.gaps = part(places, |(topic, ..)| asker.topic(Read, topic.as_str()));
            (places.is_empty(), ShareAdminAnswer::Changed(Ok(Vec::new())))
        }
        ShareAdmin::Delete { group, topics } => {
            if let Err(error) = asker.group(Delete, group) {
                let refused = ShareAdminAnswer::Changed(Err(error.into()));
                return Permit::Refused(Outcome::ShareAdmin(refused));
            }
            held.gaps = part(topics, |topic| asker.topic(Read, topic.as_str()));
            (topics.is_empty(), ShareAdminAnswer::Changed(Ok(Vec::new())))
        }
    };
    settled((is_empty, Outcome::ShareAdmin(answer)), held, asker)
}

fn of_manage(manage: &mut Manage, mut held: Held, asker: &mut Asker<'_>) -> Permit {
    use Operation::{Alter, AlterConfigs, Delete, DescribeConfigs};
    let empty = match manage {
        Manage::DeleteTopics(all) => {
            held.gaps = part(all, |topic| asker.topic_ref(Delete, topic));
            (all.is_empty(), Managed::DeletedTopics(Vec::new()))
        }
        Manage::DeleteRecords(all) => {
            held.gaps = part(all, |one| asker.topic_ref(Delete, &one.topic));
            (all.is_empty(), Managed::DeletedRecords(Vec::new()))
        }
        Manage::CreatePartitions(create) => {
            let all = &mut create.topics;
            held.gaps = part(all, |one| asker.topic(Alter, &one.topic));
            (all.is_empty(), Managed::Checked(Vec::new()))
        }
        Manage::DescribeConfigs(all) => {
            held.gaps = part(all, |one| {
                of_resource(DescribeConfigs, &one.resource, asker)
            });
            (all.is_empty(), Managed::Configs(Vec::new()))
        }
        Manage::AlterConfigs(alter) => {
            let all = &mut alter.resources;
            held.gaps = part(all, |(resource, _)| {
                of_resource(AlterConfigs, resource, asker)
            });
            (all.is_empty(), Managed::Checked(Vec::new()))
        }
        // Whoever may ask this at all may ask all of it: see `cluster`.
        Manage::ListConfigResources
        | Manage::DescribeQuorum
        | Manage::DescribeLogDirs(_)
        | Manage::ElectLeaders(_)
        | Manage::Reassign(_)
        | Manage::ListMoving(_)
        | Manage::RemoveNode(_) => return Permit::Asked(held),
    };
    let (is_empty, managed) = empty;
    settled((is_empty, Outcome::Managed(managed)), held, asker)
}

fn of_resource(operation: Operation, resource: &ConfigResource, asker: &mut Asker<'_>) -> Verdict {
    match resource {
        ConfigResource::Topic(name) => asker.topic(operation, name),
        ConfigResource::Group(name) => asker.group(operation, name),
        ConfigResource::Broker(_)
        | ConfigResource::BrokerLogger(_)
        | ConfigResource::ClientMetrics(_) => asker.cluster(operation),
    }
}

/// Takes out what is not allowed. Moves and allocates nothing where everything is.
fn part<T>(items: &mut Vec<T>, mut verdict: impl FnMut(&T) -> Verdict) -> Gaps {
    let mut gaps = Gaps::new();
    let mut at = 0;
    items.retain(|item| {
        let verdict = verdict(item);
        gaps.extend(verdict.err().map(|error| (at, error)));
        at += 1;
        verdict.is_ok()
    });
    gaps
}

/// What was taken out of lists: by the list's place, and by its own in the list.
fn parts<'a, T: 'a>(
    lists: impl Iterator<Item = Option<&'a mut Vec<T>>>,
    mut verdict: impl FnMut(&T) -> Verdict,
) -> Hidden<T> {
    let mut parts = Vec::new();
    for (place, list) in lists.enumerate() {
        let Some(list) = list else { continue };
        let verdicts: Vec<Verdict> = list.iter().map(&mut verdict).collect();
        if verdicts.iter().all(Result::is_ok) {
            continue;
        }
        let mut taken = Vec::new();
        let mut left = Vec::new();
        let items = std::mem::take(list).into_iter().zip(verdicts).enumerate();
        for (at, (item, verdict)) in items {
            match verdict {
                Ok(()) => left.push(item),
                Err(_) => taken.push((at, item)),
            }
        }
        *list = left;
        parts.push((place, taken));
    }
    parts
}

fn places<T>(items: &[T], mut is_meant: impl FnMut(&T) -> bool) -> Vec<usize> {
    let all = items.iter().enumerate();
    let meant = all.filter(|(_, item)| is_meant(item));
    meant.map(|(at, _)| at).collect()
}
