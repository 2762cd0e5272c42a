//! From an API to its mapping and back.

use bytes::Bytes;
use kafka_protocol::protocol::Decodable;
use weir_broker::api::Outcome;

use super::{
    api_versions, cluster, configs, elections, fetch, groups, kraft, list_offsets, manage,
    metadata, offsets,
    plan::{Answer, Client, MapError, Mapped, Plan},
    produce, producer_id, topic_admin, topic_partitions, topics,
};
use crate::codec::{
    header::{Head, Incoming},
    shape::{self, DecodeError},
    shapes,
    versions::Api,
};

/// A mapped request with the count of its elements, which its memory follows.
pub type Counted = (Mapped, usize);

/// Decodes and maps a request.
pub fn map(incoming: Incoming, client: &Client) -> Result<Counted, MapError> {
    let Incoming { head, body, .. } = incoming;
    let shape = shapes::of_request(head.api);
    let malformed = |source| MapError::Malformed {
        api: head.api,
        version: head.version,
        source,
    };
    let elements_count =
        shape::check(&body, shape, head.version, head.flexible).map_err(malformed)?;
    Ok((map_checked(&head, body, client)?, elements_count))
}

fn map_checked(head: &Head, body: Bytes, client: &Client) -> Result<Mapped, MapError> {
    match head.api {
        Api::Produce => produce::map(head, decode(head, body)?),
        Api::Fetch => fetch::map(head, decode(head, body)?, client),
        Api::ListOffsets => list_offsets::map(head, decode(head, body)?),
        Api::Metadata => metadata::map(head, decode(head, body)?),
        Api::OffsetCommit => offsets::map_commit(head, decode(head, body)?),
        Api::OffsetFetch => offsets::map_fetch(head, decode(head, body)?),
        Api::FindCoordinator => groups::map_find(head, decode(head, body)?),
        Api::JoinGroup => groups::map_join(head, decode(head, body)?, client),
        Api::Heartbeat => groups::map_heartbeat(&decode(head, body)?),
        Api::LeaveGroup => groups::map_leave(head, decode(head, body)?),
        Api::SyncGroup => groups::map_sync(decode(head, body)?),
        Api::ApiVersions => api_versions::map(head, &decode(head, body)?),
        Api::CreateTopics => topics::map(head, &decode(head, body)?),
        Api::InitProducerId => producer_id::map(head, &decode(head, body)?),
        Api::DeleteTopics => topic_admin::map_delete(head, decode(head, body)?),
        Api::DeleteRecords => topic_admin::map_delete_records(decode(head, body)?),
        Api::CreatePartitions => topic_admin::map_create_partitions(decode(head, body)?),
        Api::DescribeConfigs => configs::map_describe(decode(head, body)?),
        Api::AlterConfigs => configs::map_alter(decode(head, body)?),
        Api::IncrementalAlterConfigs => configs::map_incremental(decode(head, body)?),
        Api::ListConfigResources => configs::map_list(head, decode(head, body)?),
        Api::DescribeCluster => cluster::map_describe(head, &decode(head, body)?),
        Api::DescribeQuorum => cluster::map_quorum(head, &decode(head, body)?),
        Api::AlterReplicaLogDirs => kraft::map_alter_log_dirs(decode(head, body)?),
        Api::UpdateFeatures => kraft::map_update_features(head, &decode(head, body)?),
        Api::UnregisterBroker => kraft::map_unregister(&decode(head, body)?),
        Api::DescribeLogDirs => cluster::map_log_dirs(decode(head, body)?),
        Api::ElectLeaders => elections::map_elect(head, decode(head, body)?),
        Api::AlterPartitionReassignments => elections::map_reassign(decode(head, body)?),
        Api::ListPartitionReassignments => elections::map_list(head),
        Api::DescribeTopicPartitions => topic_partitions::map(decode(head, body)?),
    }
}

fn decode<M: Decodable>(head: &Head, mut body: Bytes) -> Result<M, MapError> {
    let length = body.len();
    M::decode(&mut body, head.version).map_err(|error| MapError::Malformed {
        api: head.api,
        version: head.version,
        source: DecodeError {
            at: length - body.len(),
            what: error.to_string(),
        },
    })
}

/// Turns the node's outcome into the answer.
pub fn answer(head: &Head, plan: Plan, outcome: Outcome) -> Result<Answer, MapError> {
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
        Plan::Fetch {
            grouped,
            lists_aborted,
        } => fetch::answer(head, grouped, lists_aborted, expect!(Fetch)),
        Plan::ListOffsets(grouped) => list_offsets::answer(head, grouped, expect!(ListOffsets)),
        Plan::Manage(plan) => manage::answer(head, plan, outcome),
        Plan::Metadata {
            with_operations,
            with_cluster_operations,
            refused,
        } => {
            let outcome = expect!(Metadata);
            metadata::answer(
                head,
                with_operations,
                with_cluster_operations,
                refused,
                outcome,
            )
        }
        Plan::CreateTopics(names) => topics::answer(head, names, expect!(CreateTopics)),
        Plan::ProducerId => producer_id::answer(head, expect!(ProducerId)),
        Plan::Coordinators(keys) => groups::answer_find(head, keys, expect!(Coordinators)),
        Plan::Join => groups::answer_join(head, expect!(Join)),
        Plan::Sync => groups::answer_sync(head, expect!(Sync)),
        Plan::Heartbeat => groups::answer_heartbeat(head, expect!(Heartbeat)),
        Plan::Leave(members) => groups::answer_leave(head, members, expect!(Leave)),
        Plan::OffsetCommit(grouped) => offsets::answer_commit(head, grouped, expect!(OffsetCommit)),
        Plan::OffsetFetch(asked) => offsets::answer_fetch(head, asked, expect!(OffsetFetch)),
    }
}
