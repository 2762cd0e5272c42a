//! AlterReplicaLogDirs 1 and 2, UpdateFeatures 0 to 2, UnregisterBroker 0.

use std::collections::BTreeMap;

use kafka_protocol::messages::{
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, UnregisterBrokerRequest,
    UnregisterBrokerResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
    alter_replica_log_dirs_response::{
        AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
    },
    update_features_response::UpdatableFeatureResult,
};
use kafka_protocol::protocol::StrBytes;
use weir_broker::api::{
    Request,
    admin::{LogDir, Manage, Refusal},
};
use weir_model::TopicName;

use super::plan::{Answer, AskedDir, ManagePlan, MapError, Mapped, Plan, Refused};
use crate::{codec::header::Head, wire_code};

/// Last version that answers for each feature.
const FEATURES_TO: i16 = 1;
/// Why no feature can be changed.
const OWN_FEATURES: &str = "Features follow the version of the nodes and are not set by hand.";

/// Maps a request: whether what is asked for is so already, since there is one directory.
pub fn map_alter_log_dirs(request: AlterReplicaLogDirsRequest) -> Result<Mapped, MapError> {
    let mut wanted = BTreeMap::<TopicName, Vec<i32>>::new();
    let mut asked = Vec::new();
    for dir in request.dirs {
        let mut topics = Vec::new();
        for topic in dir.topics {
            if let Ok(name) = TopicName::new(&topic.name) {
                wanted.entry(name).or_default().extend(&topic.partitions);
            }
            topics.push((topic.name.0, topic.partitions));
        }
        asked.push((dir.path, topics));
    }
    let manage = Manage::DescribeLogDirs(Some(wanted.into_iter().collect()));
    let plan = Plan::Manage(ManagePlan::AlterLogDirs(asked));
    Ok(Mapped::Ask(Request::Manage(manage), plan))
}

/// Maps the outcome.
pub fn answer_alter_log_dirs(
    head: &Head,
    asked: Vec<AskedDir>,
    outcome: &LogDir,
) -> Result<Answer, MapError> {
    let is_here = |name: &StrBytes, index: i32| {
        let mut topics = outcome.topics.iter();
        let topic = topics.find(|(known, _)| known.as_str() == name.as_str());
        topic.is_some_and(|(_, partitions)| partitions.iter().any(|each| each.index == index))
    };
    let mut results = Vec::new();
    for (path, topics) in asked {
        for (name, indexes) in topics {
            let partitions = indexes.into_iter().map(|index| {
                let code = if !is_here(&name, index) {
                    wire_code::UNKNOWN_TOPIC_OR_PARTITION
                } else if path.as_str() == outcome.path {
                    wire_code::NONE
                } else {
                    wire_code::LOG_DIR_NOT_FOUND
                };
                AlterReplicaLogDirPartitionResult::default()
                    .with_partition_index(index)
                    .with_error_code(code)
            });
            let partitions = partitions.collect();
            results.push(
                AlterReplicaLogDirTopicResult::default()
                    .with_topic_name(name.into())
                    .with_partitions(partitions),
            );
        }
    }
    let response = AlterReplicaLogDirsResponse::default().with_results(results);
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Answers that no feature can be set.
pub fn map_update_features(
    head: &Head,
    request: &UpdateFeaturesRequest,
) -> Result<Mapped, MapError> {
    let message = Some(StrBytes::from_static_str(OWN_FEATURES));
    let mut response = UpdateFeaturesResponse::default().with_error_message(None);
    if head.version <= FEATURES_TO {
        let results = request.feature_updates.iter().map(|update| {
            UpdatableFeatureResult::default()
                .with_feature(update.feature.clone())
                .with_error_code(wire_code::INVALID_UPDATE_VERSION)
                .with_error_message(message.clone())
        });
        response.results = results.collect();
    } else if !request.feature_updates.is_empty() {
        response.error_code = wire_code::INVALID_UPDATE_VERSION;
        response.error_message = message;
    }
    Ok(Mapped::Answered(Answer::Frame(vec![
        head.frame(&response)?,
    ])))
}

/// Maps a request.
pub fn map_unregister(request: &UnregisterBrokerRequest) -> Result<Mapped, MapError> {
    let manage = Manage::RemoveNode(request.broker_id.0);
    let plan = Plan::Manage(ManagePlan::UnregisterBroker);
    Ok(Mapped::Ask(Request::Manage(manage), plan))
}

/// Maps the outcome.
pub fn answer_unregister(
    head: &Head,
    outcome: Vec<Result<(), Refusal>>,
) -> Result<Answer, MapError> {
    let removed = match outcome.into_iter().next() {
        Some(removed) => removed.map_err(Refused::from),
        None => Err(wire_code::UNKNOWN_SERVER_ERROR.into()),
    };
    let mut response = UnregisterBrokerResponse::default().with_error_message(None);
    if let Err(refused) = removed {
        response.error_code = refused.code;
        response.error_message = refused.message;
    }
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
