//! ApiVersions 0 to 4, and the answer to versions above (KIP-511).

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, ApiVersionsResponse,
        api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey},
    },
    protocol::StrBytes,
};

use super::plan::{Answer, MapError, Mapped};
use crate::{
    codec::{
        header::Head,
        response::EncodeError,
        versions::{Api, SERVED, Served},
    },
    wire_code,
};

/// What the whole cluster has, and at which level.
const FEATURES: [(&str, i16); 3] = [
    ("group.version", 1),
    ("share.version", 1),
    ("transaction.version", 2),
];
/// The features never change: their first epoch.
const FEATURES_EPOCH: i64 = 1;
/// First version whose clients bear features that begin at level 0.
const FROM_ZERO_FROM: i16 = 4;
/// First version in which the client names its software.
const SOFTWARE_FROM: i16 = 3;

/// Answers with the table of versions.
pub fn map(head: &Head, request: &ApiVersionsRequest) -> Result<Mapped, MapError> {
    let named = is_software_name(&request.client_software_name)
        && is_software_name(&request.client_software_version);
    let mut response = ApiVersionsResponse::default();
    if head.version >= SOFTWARE_FROM && !named {
        response.error_code = wire_code::INVALID_REQUEST;
    } else {
        response.api_keys = SERVED.iter().map(told).collect();
        if head.version >= SOFTWARE_FROM {
            tell_features(head, &mut response);
        }
    }
    Ok(Mapped::Answered(Answer::Frame(vec![
        head.frame(&response)?,
    ])))
}

/// Clients end transactions in the newer way only where the level is told (KIP-890), and let the
/// broker assign partitions likewise (KIP-848).
fn tell_features(head: &Head, response: &mut ApiVersionsResponse) {
    for (name, level) in FEATURES {
        let name = StrBytes::from_static_str(name);
        if head.version >= FROM_ZERO_FROM {
            let supported = SupportedFeatureKey::default()
                .with_name(name.clone())
                .with_min_version(0)
                .with_max_version(level);
            response.supported_features.push(supported);
        }
        let finalized = FinalizedFeatureKey::default()
            .with_name(name)
            .with_min_version_level(level)
            .with_max_version_level(level);
        response.finalized_features.push(finalized);
    }
    response.finalized_features_epoch = FEATURES_EPOCH;
}

/// The answer to a version that is not served: version 0, with the range of ApiVersions alone.
pub fn unknown_version(correlation: i32) -> Result<Bytes, EncodeError> {
    let head = Head {
        api: Api::ApiVersions,
        version: 0,
        correlation,
        flexible: false,
        throttle_ms: 0,
    };
    let own = SERVED.iter().filter(|line| line.api == Api::ApiVersions);
    let response = ApiVersionsResponse::default()
        .with_error_code(wire_code::UNSUPPORTED_VERSION)
        .with_api_keys(own.map(told).collect());
    head.frame(&response)
}

fn told(line: &Served) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(line.key)
        .with_min_version(line.told_min)
        .with_max_version(line.max)
}

/// Kafka's pattern `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    bytes.iter().all(inner)
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}
