//! From an API to its mapping and back.

use bytes::Bytes;
use kafka_protocol::protocol::Decodable;
use weir_broker::api::Outcome;

use super::{
    acls, api_versions, cluster, configs, consumers, elections, fetch, group_admin, groups, kraft,
    leader_epoch, list_offsets, manage, metadata, offsets,
    plan::{AccessPlan, Answer, Client, MapError, Mapped, Plan},
    produce, producer_id, quotas, scram_users, share, share_groups, share_offsets, topic_admin,
    topic_partitions, topics, transaction_admin, transactions,
};
use crate::codec::{
    self,
    header::{Head, Incoming},
    shape::{self, DecodeError},
    shapes, topic_ids,
    versions::Api,
};

/// A mapped request with the count of its elements, which its memory follows.
pub type Counted = (Mapped, usize);

/// Decodes and maps a request.
pub fn map(incoming: Incoming, client: &Client) -> Result<Counted, MapError> {
    let Incoming { head, body, .. } = incoming;
    let (body, elements_count) = checked(&head, body)?;
    Ok((map_checked(&head, body, client)?, elements_count))
}

/// Decodes a request that the session itself answers.
pub fn decode_own<M: Decodable>(head: &Head, body: Bytes) -> Result<M, MapError> {
    let (body, _) = checked(head, body)?;
    decode(head, body)
}

/// The body without what follows it, and how many elements it has.
fn checked(head: &Head, mut body: Bytes) -> Result<(Bytes, usize), MapError> {
    let shape = shapes::of_request(head.api);
    let walked = shape::check(&body, shape, head.version, head.flexible);
    let walked = walked.map_err(|source| malformed(head, source))?;
    body.truncate(walked.length_bytes);
    Ok((body, walked.elements_count))
}

// Table: one arm per API.
fn map_checked(head: &Head, body: Bytes, client: &Client) -> Result<Mapped, MapError> {
    match head.api {
        Api::Produce => produce::map(head, decode(head, body)?),
        Api::Fetch => fetch::map(head, decode(head, body)?, client),
        Api::ListOffsets => {
            let version = head.version.min(list_offsets::LAST_SHAPE);
            list_offsets::map(head, decode_as(head, version, body)?)
        }
        Api::OffsetForLeaderEpoch => leader_epoch::map(head, decode(head, body)?),
        Api::Metadata => metadata::map(head, decode(head, body)?),
        Api::OffsetCommit if head.version >= offsets::TOPIC_ID_FROM => {
            let request = topic_ids::offset_commit(body);
            offsets::map_commit(head, request.map_err(|source| malformed(head, source))?)
        }
        Api::OffsetCommit => offsets::map_commit(head, decode(head, body)?),
        Api::OffsetFetch if head.version >= offsets::TOPIC_ID_FROM => {
            let request = topic_ids::offset_fetch(body);
            offsets::map_fetch(head, request.map_err(|source| malformed(head, source))?)
        }
        Api::OffsetFetch => offsets::map_fetch(head, decode(head, body)?),
        Api::FindCoordinator => groups::map_find(head, decode(head, body)?),
        Api::JoinGroup => groups::map_join(head, decode(head, body)?, client),
        Api::Heartbeat => groups::map_heartbeat(&decode(head, body)?),
        Api::LeaveGroup => groups::map_leave(head, decode(head, body)?),
        Api::SyncGroup => groups::map_sync(decode(head, body)?),
        Api::ApiVersions => api_versions::map(head, &decode(head, body)?),
        // The session's own: they change what it is.
        Api::SaslHandshake | Api::SaslAuthenticate => Err(MapError::Mismatch(head.api)),
        Api::CreateTopics => topics::map(head, &decode(head, body)?),
        Api::InitProducerId => producer_id::map(head, &decode(head, body)?),
        Api::ConsumerGroupHeartbeat => consumers::map_heartbeat(head, decode(head, body)?, client),
        Api::ConsumerGroupDescribe => consumers::map_describe(decode(head, body)?),
        Api::ShareGroupHeartbeat => share_groups::map_heartbeat(decode(head, body)?, client),
        Api::ShareGroupDescribe => share_groups::map_describe(decode(head, body)?),
        Api::ShareFetch => {
            let request = codec::share::fetch(head, body);
            share::map(
                head,
                request.map_err(|source| malformed(head, source))?,
                client,
            )
        }
        Api::ShareAcknowledge => {
            let request = codec::share::acknowledge(head, body);
            share::map(
                head,
                request.map_err(|source| malformed(head, source))?,
                client,
            )
        }
        Api::DescribeShareGroupOffsets => {
            // 1 looks like 0.
            share_offsets::map_describe(decode_as(head, 0, body)?)
        }
        Api::AlterShareGroupOffsets => share_offsets::map_alter(decode(head, body)?),
        Api::DeleteShareGroupOffsets => share_offsets::map_delete(decode(head, body)?),
        Api::ListGroups => group_admin::map_list(&decode(head, body)?),
        Api::DescribeGroups => group_admin::map_describe(decode(head, body)?),
        Api::DeleteGroups => group_admin::map_delete(decode(head, body)?),
        Api::OffsetDelete => group_admin::map_delete_offsets(head, decode(head, body)?),
        Api::DeleteTopics => topic_admin::map_delete(head, decode(head, body)?),
        Api::DeleteRecords => topic_admin::map_delete_records(decode(head, body)?),
        Api::CreatePartitions => topic_admin::map_create_partitions(decode(head, body)?),
        Api::DescribeConfigs => configs::map_describe(decode(head, body)?),
        Api::AlterConfigs => configs::map_alter(decode(head, body)?),
        Api::IncrementalAlterConfigs => configs::map_incremental(decode(head, body)?),
        Api::ListConfigResources => configs::map_list(head, decode(head, body)?),
        Api::DescribeAcls => acls::describe(head, &decode(head, body)?, &client.access.load()),
        Api::CreateAcls => acls::map_create(head, decode(head, body)?),
        Api::DeleteAcls => acls::map_delete(head, &decode(head, body)?, client),
        Api::DescribeUserScramCredentials => {
            scram_users::describe(head, decode(head, body)?, &client.access.load())
        }
        Api::DescribeClientQuotas => {
            let quotas = client.access.quotas().load();
            quotas::describe(head, &decode(head, body)?, &quotas)
        }
        Api::AlterClientQuotas => quotas::map_alter(head, &decode(head, body)?),
        Api::AlterUserScramCredentials => scram_users::map_alter(head, decode(head, body)?, client),
        Api::DescribeCluster => cluster::map_describe(head, &decode(head, body)?),
        Api::DescribeQuorum => cluster::map_quorum(head, &decode(head, body)?),
        Api::AlterReplicaLogDirs => kraft::map_alter_log_dirs(decode(head, body)?),
        Api::UpdateFeatures => kraft::map_update_features(head, &decode(head, body)?),
        Api::UnregisterBroker => kraft::map_unregister(&decode(head, body)?),
        Api::DescribeLogDirs => cluster::map_log_dirs(decode(head, body)?),
        Api::ElectLeaders => elections::map_elect(head, decode(head, body)?),
        Api::AlterPartitionReassignments => elections::map_reassign(decode(head, body)?),
        Api::ListPartitionReassignments => elections::map_list(decode(head, body)?),
        Api::DescribeTopicPartitions => topic_partitions::map(decode(head, body)?),
        Api::AddPartitionsToTxn => transactions::map_add_partitions(head, decode(head, body)?),
        Api::AddOffsetsToTxn => transactions::map_add_offsets(&decode(head, body)?),
        Api::EndTxn => transactions::map_end(head, &decode(head, body)?, client),
        Api::TxnOffsetCommit => transactions::map_offset_commit(head, decode(head, body)?, client),
        Api::WriteTxnMarkers => transaction_admin::map_markers(decode(head, body)?),
        Api::DescribeProducers => transaction_admin::map_producers(decode(head, body)?),
        Api::DescribeTransactions => transaction_admin::map_describe(decode(head, body)?),
        Api::ListTransactions => transaction_admin::map_list(head, decode(head, body)?),
    }
}

fn malformed(head: &Head, source: DecodeError) -> MapError {
    MapError::Malformed {
        api: head.api,
        version: head.version,
        source,
    }
}

fn decode<M: Decodable>(head: &Head, body: Bytes) -> Result<M, MapError> {
    decode_as(head, head.version, body)
}

fn decode_as<M: Decodable>(head: &Head, version: i16, mut body: Bytes) -> Result<M, MapError> {
    let length = body.len();
    M::decode(&mut body, version).map_err(|error| {
        let source = DecodeError {
            at: length - body.len(),
            what: error.to_string(),
        };
        malformed(head, source)
    })
}

/// Turns the node's outcome into the answer.
// Table: one arm per kind.
pub fn answer(
    head: &Head,
    plan: Plan,
    outcome: Outcome,
    client: &Client,
) -> Result<Answer, MapError> {
    let mismatch = MapError::Mismatch(head.api);
    macro_rules! expect {
        ($kind:ident) => {{
            let Outcome::$kind(outcome) = outcome else {
                return Err(mismatch);
            };
            outcome
        }};
    }
    match plan {
        Plan::Produce { grouped, silent } => {
            produce::answer(head, grouped, silent, expect!(Produce))
        }
        Plan::Fetch(fetching) => fetch::answer(head, fetching, expect!(Fetch), client),
        Plan::EndOfEpoch(grouped) => leader_epoch::answer(head, grouped, expect!(EndOfEpoch)),
        Plan::ListOffsets(grouped) => list_offsets::answer(head, grouped, expect!(ListOffsets)),
        Plan::Manage(plan) => manage::answer(head, plan, outcome, client),
        Plan::Access(AccessPlan::CreateAcls(refused)) => {
            acls::answer_create(head, refused, &expect!(AccessChanged))
        }
        Plan::Access(AccessPlan::DeleteAcls(asked)) => {
            acls::answer_delete(head, asked, &expect!(AccessChanged))
        }
        Plan::Access(AccessPlan::AlterUsers(asked)) => {
            scram_users::answer_alter(head, asked, expect!(AccessChanged))
        }
        Plan::Access(AccessPlan::AlterQuotas(asked)) => {
            quotas::answer_alter(head, asked, expect!(AccessChanged))
        }
        Plan::Metadata {
            with_operations,
            with_cluster_operations,
            refused,
        } => {
            let outcome = expect!(Metadata);
            let asked = metadata::AskedOperations {
                of_topics: with_operations,
                of_cluster: with_cluster_operations,
            };
            metadata::answer(head, asked, refused, outcome, client)
        }
        Plan::CreateTopics(names) => topics::answer(head, names, expect!(CreateTopics)),
        Plan::ProducerId { transactional } => {
            producer_id::answer(head, transactional, expect!(ProducerId))
        }
        Plan::Coordinators { keys, .. } => groups::answer_find(head, keys, expect!(Coordinators)),
        Plan::Join => groups::answer_join(head, expect!(Join)),
        Plan::Sync => groups::answer_sync(head, expect!(Sync)),
        Plan::Heartbeat => groups::answer_heartbeat(head, expect!(Heartbeat)),
        Plan::Leave(members) => groups::answer_leave(head, members, expect!(Leave)),
        Plan::AddPartitions(asked) => {
            transactions::answer_add_partitions(head, asked, expect!(AddPartitions))
        }
        Plan::AddOffsets => transactions::answer_add_offsets(head, expect!(AddOffsets)),
        Plan::EndTransaction => transactions::answer_end(head, expect!(EndTransaction)),
        Plan::TransactionOffsetCommit(grouped) => {
            transactions::answer_offset_commit(head, grouped, expect!(OffsetCommit))
        }
        Plan::WriteMarkers(asked) => {
            transaction_admin::answer_markers(head, asked, expect!(WriteMarkers))
        }
        Plan::DescribeProducers(grouped) => {
            transaction_admin::answer_producers(head, grouped, expect!(DescribeProducers))
        }
        Plan::DescribeTransactions(ids) => {
            transaction_admin::answer_describe(head, ids, expect!(DescribeTransactions))
        }
        Plan::ListTransactions(unknown) => {
            transaction_admin::answer_list(head, unknown, expect!(ListTransactions))
        }
        Plan::OffsetCommit(grouped) => offsets::answer_commit(head, grouped, expect!(OffsetCommit)),
        Plan::OffsetFetch(asked) => offsets::answer_fetch(head, asked, expect!(OffsetFetch)),
        Plan::ConsumerHeartbeat => consumers::answer_heartbeat(head, expect!(ConsumerBeat)),
        Plan::ShareHeartbeat => share_groups::answer_heartbeat(head, expect!(ConsumerBeat)),
        Plan::DescribeShareGroups(asked) => {
            let described = expect!(DescribeConsumerGroups);
            share_groups::answer_describe(head, asked, described, client)
        }
        Plan::ShareAdmin(asked) => share_offsets::answer(head, asked, expect!(ShareAdmin)),
        Plan::Share => share::answer(head, expect!(Share), client),
        Plan::DescribeConsumerGroups(asked) => {
            let described = expect!(DescribeConsumerGroups);
            consumers::answer_describe(head, asked, described, client)
        }
        Plan::ListGroups => group_admin::answer_list(head, expect!(ListGroups)),
        Plan::DescribeGroups(asked) => {
            group_admin::answer_describe(head, asked, expect!(DescribeGroups), client)
        }
        Plan::DeleteGroups(ids) => group_admin::answer_delete(head, ids, expect!(DeleteGroups)),
        Plan::DeleteOffsets(grouped) => {
            group_admin::answer_delete_offsets(head, grouped, expect!(DeleteOffsets))
        }
    }
}
