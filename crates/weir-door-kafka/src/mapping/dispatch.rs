//! From an API to its mapping and back.

use bytes::Bytes;
use kafka_protocol::protocol::Decodable;
use weir_broker::api::Outcome;

use super::{
    api_versions, consumer_groups, fetch, group_admin, groups, list_offsets, metadata, offsets, offsets_by_id,
    plan::{Answer, Client, MapError, Mapped, Plan},
    produce, producer_id, topics,
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
        Api::OffsetCommit if head.version >= offsets_by_id::FROM => {
            offsets_by_id::map_commit(head, body)
        }
        Api::OffsetFetch if head.version >= offsets_by_id::FROM => {
            offsets_by_id::map_fetch(head, body)
        }
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
        Api::ListGroups => group_admin::map_list(&decode(head, body)?),
        Api::DescribeGroups => group_admin::map_describe(decode(head, body)?),
        Api::DeleteGroups => group_admin::map_delete(decode(head, body)?),
        Api::OffsetDelete => group_admin::map_delete_offsets(head, decode(head, body)?),
        Api::ConsumerGroupHeartbeat => {
            consumer_groups::map_heartbeat(head, decode(head, body)?, client)
        }
        Api::ConsumerGroupDescribe => consumer_groups::map_describe(decode(head, body)?),
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
        Plan::Metadata { refused } => metadata::answer(head, refused, expect!(Metadata)),
        Plan::CreateTopics(names) => topics::answer(head, names, expect!(CreateTopics)),
        Plan::ProducerId => producer_id::answer(head, expect!(ProducerId)),
        Plan::Coordinators(keys) => groups::answer_find(head, keys, expect!(Coordinators)),
        Plan::Join => groups::answer_join(head, expect!(Join)),
        Plan::Sync => groups::answer_sync(head, expect!(Sync)),
        Plan::Heartbeat => groups::answer_heartbeat(head, expect!(Heartbeat)),
        Plan::Leave(members) => groups::answer_leave(head, members, expect!(Leave)),
        Plan::OffsetCommit(grouped) => offsets::answer_commit(head, grouped, expect!(OffsetCommit)),
        Plan::OffsetFetch(asked) => offsets::answer_fetch(head, asked, expect!(OffsetFetch)),
        Plan::ListGroups => group_admin::answer_list(head, expect!(ListGroups)),
        Plan::DescribeGroups(asked) => {
            group_admin::answer_describe(head, asked, expect!(DescribeGroups))
        }
        Plan::DeleteGroups(ids) => group_admin::answer_delete(head, ids, expect!(DeleteGroups)),
        Plan::DeleteOffsets(grouped) => {
            group_admin::answer_delete_offsets(head, grouped, expect!(DeleteOffsets))
        }
        Plan::ConsumerHeartbeat => {
            consumer_groups::answer_heartbeat(head, expect!(ConsumerHeartbeat))
        }
        Plan::DescribeConsumerGroups(asked) => {
            consumer_groups::answer_describe(head, asked, expect!(DescribeConsumerGroups))
        }
    }
}
