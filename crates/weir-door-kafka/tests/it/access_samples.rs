//! What administrators ask about users and rules, and made-up outcomes for it.

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        AlterClientQuotasRequest, AlterUserScramCredentialsRequest, CreateAclsRequest,
        DeleteAclsRequest, DescribeAclsRequest, DescribeClientQuotasRequest,
        DescribeUserScramCredentialsRequest,
        alter_client_quotas_request::{EntityData, EntryData, OpData},
        alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion},
        create_acls_request::AclCreation,
        delete_acls_request::DeleteAclsFilter,
        describe_client_quotas_request::ComponentData,
        describe_user_scram_credentials_request::UserName,
    },
    protocol::Encodable,
};
use weir_broker::{
    access::AccessRefused,
    api::{
        Outcome,
        access::{AccessChanged, ChangeAccess},
    },
};
use weir_door_kafka::codec::versions::Api;
use weir_model::ErrorKind;

use crate::samples::text;

const ANY: i8 = 1;
const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const READ: i8 = 3;
const ALLOW: i8 = 3;

pub(crate) fn creation() -> AclCreation {
    AclCreation::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text("topic"))
        .with_resource_pattern_type(LITERAL)
        .with_principal(text("User:alice"))
        .with_host(text("*"))
        .with_operation(READ)
        .with_permission_type(ALLOW)
}

pub(crate) fn filter() -> DeleteAclsFilter {
    DeleteAclsFilter::default()
        .with_resource_type_filter(ANY)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY)
}

pub(crate) fn upsertion() -> ScramCredentialUpsertion {
    ScramCredentialUpsertion::default()
        .with_name(text("alice"))
        .with_mechanism(1)
        .with_iterations(4_096)
        .with_salt(Bytes::from_static(&[1; 16]))
        .with_salted_password(Bytes::from_static(&[2; 32]))
}

pub(crate) fn deletion() -> ScramCredentialDeletion {
    ScramCredentialDeletion::default()
        .with_name(text("bob"))
        .with_mechanism(2)
}

/// Sets a user's quota, or takes it away.
pub(crate) fn quota(
    user: Option<&'static str>,
    key: &'static str,
    value: Option<f64>,
) -> EntryData {
    let part = EntityData::default()
        .with_entity_type(text("user"))
        .with_entity_name(user.map(text));
    let op = OpData::default()
        .with_key(text(key))
        .with_value(value.unwrap_or(0.0))
        .with_remove(value.is_none());
    EntryData::default()
        .with_entity(vec![part])
        .with_ops(vec![op])
}

pub(crate) fn component(
    kind: &'static str,
    match_type: i8,
    name: Option<&'static str>,
) -> ComponentData {
    ComponentData::default()
        .with_entity_type(text(kind))
        .with_match_type(match_type)
        .with_match(name.map(text))
}

pub(crate) fn encode_body(api: Api, version: i16, into: &mut BytesMut) {
    let encoded = match api {
        Api::DescribeAcls => DescribeAclsRequest::default()
            .with_resource_type_filter(TOPIC)
            .with_resource_name_filter(Some(text("topic")))
            .with_pattern_type_filter(LITERAL)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(ANY)
            .with_permission_type(ANY)
            .encode(into, version),
        Api::CreateAcls => CreateAclsRequest::default()
            .with_creations(vec![creation(), creation().with_operation(0)])
            .encode(into, version),
        Api::DeleteAcls => DeleteAclsRequest::default()
            .with_filters(vec![filter(), filter().with_operation(0)])
            .encode(into, version),
        Api::DescribeUserScramCredentials => {
            let user = UserName::default().with_name(text("tim"));
            DescribeUserScramCredentialsRequest::default()
                .with_users(Some(vec![user]))
                .encode(into, version)
        }
        Api::AlterUserScramCredentials => AlterUserScramCredentialsRequest::default()
            .with_deletions(vec![deletion()])
            .with_upsertions(vec![upsertion()])
            .encode(into, version),
        Api::DescribeClientQuotas => DescribeClientQuotasRequest::default()
            .with_components(vec![component("user", 0, Some("tim"))])
            .with_strict(true)
            .encode(into, version),
        Api::AlterClientQuotas => AlterClientQuotasRequest::default()
            .with_entries(vec![
                quota(Some("tim"), "producer_byte_rate", Some(1024.0)),
                quota(None, "cats", None),
            ])
            .encode(into, version),
        _ => panic!("{api:?} asks nothing about users and rules"),
    };
    encoded.unwrap();
}

/// `kind` says no.
pub(crate) fn outcome(changes: &[ChangeAccess], kind: Option<ErrorKind>) -> Outcome {
    let changed: AccessChanged =
        kind.map_or(Ok(Vec::new()), |kind| Err(AccessRefused::Failed(kind)));
    Outcome::AccessChanged(vec![changed; changes.len()])
}
