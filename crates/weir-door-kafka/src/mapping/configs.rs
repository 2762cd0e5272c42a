//! DescribeConfigs 1 to 4, AlterConfigs 0 to 2, IncrementalAlterConfigs 0 and 1,
//! ListConfigResources 0 and 1.

use std::collections::BTreeSet;

use kafka_protocol::{
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        ListConfigResourcesRequest, ListConfigResourcesResponse,
        alter_configs_response::AlterConfigsResourceResponse as AlteredWhole,
        describe_configs_response::{
            DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
        },
        incremental_alter_configs_response::AlterConfigsResourceResponse as Altered,
        list_config_resources_response,
    },
    protocol::StrBytes,
};
use weir_broker::{
    api::{
        Request,
        admin::{
            AlterConfigs, ConfigChange, ConfigEntry, ConfigOp, ConfigResource, ConfigSource,
            DescribeConfigs, Manage, Refusal,
        },
    },
    configs::Kind,
};

use super::plan::{Answer, AskedResource, ManagePlan, MapError, Mapped, Plan, Refused};
use crate::{
    codec::{header::Head, versions::Api},
    wire_code,
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
/// First version that tells types and documentation.
const TYPES_FROM: i16 = 3;

fn resource(kind: i8, name: &str) -> Result<ConfigResource, Refused> {
    let invalid = |message: String| Err(Refused::new(wire_code::INVALID_REQUEST, message));
    match kind {
        TOPIC => Ok(ConfigResource::Topic(name.to_owned())),
        BROKER if name.is_empty() => Ok(ConfigResource::Broker(None)),
        BROKER => match name.parse() {
            Ok(node) => Ok(ConfigResource::Broker(Some(node))),
            Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
        },
        BROKER_LOGGER => Ok(ConfigResource::BrokerLogger(name.to_owned())),
        CLIENT_METRICS => Ok(ConfigResource::ClientMetrics(name.to_owned())),
        GROUP => Ok(ConfigResource::Group(name.to_owned())),
        kind => invalid(format!("Unexpected resource type {kind}")),
    }
}

/// Maps a request.
pub fn map_describe(request: DescribeConfigsRequest) -> Result<Mapped, MapError> {
    let mut asked = Vec::new();
    let mut wanted = Vec::new();
    for each in request.resources {
        let found = resource(each.resource_type, &each.resource_name);
        asked.push(AskedResource {
            kind: each.resource_type,
            name: each.resource_name,
            refused: found.as_ref().err().cloned(),
        });
        // Some clients send an empty list where they mean all.
        let keys = each.configuration_keys.filter(|keys| !keys.is_empty());
        wanted.extend(found.ok().map(|resource| DescribeConfigs {
            resource,
            names: keys.map(|keys| keys.iter().map(ToString::to_string).collect()),
        }));
    }
    let plan = ManagePlan::DescribeConfigs {
        resources: asked,
        with_synonyms: request.include_synonyms,
        with_docs: request.include_documentation,
    };
    let manage = Manage::DescribeConfigs(wanted);
    Ok(Mapped::Ask(Request::Manage(manage), Plan::Manage(plan)))
}

/// Maps the outcome.
pub fn answer_describe(
    head: &Head,
    resources: Vec<AskedResource>,
    with_synonyms: bool,
    with_docs: bool,
    outcome: Vec<Result<Vec<ConfigEntry>, Refusal>>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let results = resources.into_iter().map(|asked| {
        let mut result = DescribeConfigsResult::default()
            .with_resource_type(asked.kind)
            .with_resource_name(asked.name)
            .with_error_message(None);
        match next(asked.refused, &mut outcome) {
            Ok(entries) => {
                let entries = entries.into_iter();
                let told = entries.map(|entry| described(head, entry, with_synonyms, with_docs));
                result.configs = told.collect();
            }
            Err(refused) => {
                result.error_code = refused.code;
                result.error_message = refused.message;
            }
        }
        result
    });
    let response = DescribeConfigsResponse::default().with_results(results.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// The answer for one part of a request: refused here, or the node's.
pub fn next<T>(
    refused: Option<Refused>,
    outcome: &mut impl Iterator<Item = Result<T, Refusal>>,
) -> Result<T, Refused> {
    match refused {
        Some(refused) => Err(refused),
        None => match outcome.next() {
            Some(answer) => answer.map_err(Refused::from),
            None => Err(wire_code::UNKNOWN_SERVER_ERROR.into()),
        },
    }
}

fn described(
    head: &Head,
    entry: ConfigEntry,
    with_synonyms: bool,
    with_docs: bool,
) -> DescribeConfigsResourceResult {
    let mut told = DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_read_only(entry.is_read_only)
        .with_config_source(source(entry.source))
        .with_is_sensitive(entry.is_sensitive)
        .with_documentation(None);
    if with_synonyms {
        let synonyms = entry.synonyms.into_iter().map(|synonym| {
            DescribeConfigsSynonym::default()
                .with_name(StrBytes::from_static_str(synonym.name))
                .with_value(synonym.value.map(StrBytes::from_string))
                .with_source(source(synonym.source))
        });
        told.synonyms = synonyms.collect();
    }
    if head.version >= TYPES_FROM {
        told.config_type = type_of(entry.kind);
        told.documentation = with_docs.then(|| StrBytes::from_static_str(entry.doc));
    }
    told
}

/// Kafka's number for the place of a value.
pub fn source(source: ConfigSource) -> i8 {
    match source {
        ConfigSource::Topic => 1,
        ConfigSource::Broker => 2,
        ConfigSource::AllBrokers => 3,
        ConfigSource::Static => 4,
        ConfigSource::Default => 5,
        ConfigSource::ClientMetrics => 7,
        ConfigSource::Group => 8,
    }
}

fn type_of(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => 1,
        Kind::Text | Kind::OffsetReset | Kind::DeadLetterTopic | Kind::Choice(_) => 2,
        Kind::Int { .. } => 3,
        Kind::Short { .. } => 4,
        Kind::Long { .. } => 5,
        Kind::Double { .. } => 6,
        Kind::List(_) => 7,
        Kind::Class => 8,
        Kind::Password => 9,
    }
}

/// A resource with its changes as they are on the wire: name, operation, value.
type Wire = (i8, StrBytes, Vec<(StrBytes, i8, Option<StrBytes>)>);

/// Maps a request.
pub fn map_alter(request: AlterConfigsRequest) -> Result<Mapped, MapError> {
    const SET: i8 = 0;
    let resources = request.resources.into_iter().map(|each| {
        let configs = each.configs.into_iter();
        let changes = configs.map(|config| (config.name, SET, config.value));
        (each.resource_type, each.resource_name, changes.collect())
    });
    map_changes(resources.collect(), true, request.validate_only)
}

/// Maps a request.
pub fn map_incremental(request: IncrementalAlterConfigsRequest) -> Result<Mapped, MapError> {
    let resources = request.resources.into_iter().map(|each| {
        let configs = each.configs.into_iter();
        let changes = configs.map(|config| (config.name, config.config_operation, config.value));
        (each.resource_type, each.resource_name, changes.collect())
    });
    map_changes(resources.collect(), false, request.validate_only)
}

fn map_changes(wire: Vec<Wire>, is_whole: bool, validate_only: bool) -> Result<Mapped, MapError> {
    let mut times = std::collections::BTreeMap::<(i8, StrBytes), usize>::new();
    for (kind, name, _) in &wire {
        *times.entry((*kind, name.clone())).or_default() += 1;
    }
    let mut asked = Vec::new();
    let mut resources = Vec::new();
    for (kind, name, configs) in wire {
        let is_single = times.get(&(kind, name.clone())) == Some(&1);
        let read = if is_single {
            resource(kind, &name).and_then(|resource| Ok((resource, changes(configs)?)))
        } else {
            Err(Refused::new(
                wire_code::INVALID_REQUEST,
                "Each resource must appear at most once.",
            ))
        };
        asked.push(AskedResource {
            kind,
            name,
            refused: read.as_ref().err().cloned(),
        });
        resources.extend(read.ok());
    }
    let manage = Manage::AlterConfigs(AlterConfigs {
        resources,
        is_whole,
        validate_only,
    });
    let plan = Plan::Manage(ManagePlan::AlterConfigs(asked));
    Ok(Mapped::Ask(Request::Manage(manage), plan))
}

fn changes(wire: Vec<(StrBytes, i8, Option<StrBytes>)>) -> Result<Vec<ConfigChange>, Refused> {
    let mut names = BTreeSet::new();
    let mut changes = Vec::new();
    for (name, op, value) in wire {
        let invalid = |message: String| Refused::new(wire_code::INVALID_REQUEST, message);
        let op = match op {
            0 => ConfigOp::Set,
            1 => ConfigOp::Delete,
            2 => ConfigOp::Append,
            3 => ConfigOp::Subtract,
            op => return Err(invalid(format!("Unknown operation {op} on {name}"))),
        };
        if !names.insert(name.clone()) {
            return Err(invalid(format!(
                "Error due to duplicate config keys: {name}"
            )));
        }
        changes.push(ConfigChange {
            name: name.to_string(),
            op,
            value: value.map(|value| value.to_string()),
        });
    }
    Ok(changes)
}

/// Maps the outcome.
pub fn answer_alter(
    head: &Head,
    resources: Vec<AskedResource>,
    outcome: Vec<Result<(), Refusal>>,
) -> Result<Answer, MapError> {
    let mut outcome = outcome.into_iter();
    let answers = resources.into_iter().map(|asked| {
        let answer = next(asked.refused, &mut outcome);
        let (code, message) = match answer {
            Ok(()) => (wire_code::NONE, None),
            Err(refused) => (refused.code, refused.message),
        };
        (asked.kind, asked.name, code, message)
    });
    let frame = if head.api == Api::AlterConfigs {
        let responses = answers.map(|(kind, name, code, message)| {
            AlteredWhole::default()
                .with_resource_type(kind)
                .with_resource_name(name)
                .with_error_code(code)
                .with_error_message(message)
        });
        head.frame(&AlterConfigsResponse::default().with_responses(responses.collect()))?
    } else {
        let responses = answers.map(|(kind, name, code, message)| {
            Altered::default()
                .with_resource_type(kind)
                .with_resource_name(name)
                .with_error_code(code)
                .with_error_message(message)
        });
        head.frame(&IncrementalAlterConfigsResponse::default().with_responses(responses.collect()))?
    };
    Ok(Answer::Frame(vec![frame]))
}

/// Maps a request. Version 0 asks for subscriptions of client metrics alone.
pub fn map_list(head: &Head, request: ListConfigResourcesRequest) -> Result<Mapped, MapError> {
    let all = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
    let types = match head.version {
        0 => vec![CLIENT_METRICS],
        _ if request.resource_types.is_empty() => all.to_vec(),
        _ => request.resource_types,
    };
    if types.iter().any(|kind| !all.contains(kind)) {
        let response =
            ListConfigResourcesResponse::default().with_error_code(wire_code::UNSUPPORTED_VERSION);
        return Ok(Mapped::Answered(Answer::Frame(vec![
            head.frame(&response)?,
        ])));
    }
    let plan = Plan::Manage(ManagePlan::ListConfigResources(types));
    Ok(Mapped::Ask(
        Request::Manage(Manage::ListConfigResources),
        plan,
    ))
}

/// Maps the outcome.
pub fn answer_list(
    head: &Head,
    types: &[i8],
    outcome: Vec<ConfigResource>,
) -> Result<Answer, MapError> {
    let named = |resource: ConfigResource| match resource {
        ConfigResource::Topic(name) => (TOPIC, name),
        ConfigResource::Broker(node) => (
            BROKER,
            node.map_or_else(String::new, |node| node.to_string()),
        ),
        ConfigResource::BrokerLogger(name) => (BROKER_LOGGER, name),
        ConfigResource::ClientMetrics(name) => (CLIENT_METRICS, name),
        ConfigResource::Group(name) => (GROUP, name),
    };
    let wanted = outcome
        .into_iter()
        .map(named)
        .filter(|(kind, _)| types.contains(kind));
    let told = wanted.map(|(kind, name)| {
        let resource = list_config_resources_response::ConfigResource::default()
            .with_resource_name(StrBytes::from_string(name));
        if head.version == 0 {
            resource
        } else {
            resource.with_resource_type(kind)
        }
    });
    let response = ListConfigResourcesResponse::default().with_config_resources(told.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}
