//! DescribeAcls, CreateAcls and DeleteAcls 1 to 3 (KIP-140, KIP-290).

use std::sync::Arc;

use kafka_protocol::{
    messages::{
        CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse,
        DescribeAclsRequest, DescribeAclsResponse,
        create_acls_request::AclCreation,
        create_acls_response::AclCreationResult,
        delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl},
        describe_acls_response::{AclDescription, DescribeAclsResource},
    },
    protocol::StrBytes,
};
use weir_access::{
    Access, MAX_ACLS_AT_ONCE,
    acl::{
        Acl, AclFilter, CLUSTER_NAME, Effect, Operation, PatternFilter, PatternType, ResourceType,
    },
};
use weir_broker::{
    access::AccessRefused,
    api::{
        Request,
        access::{AccessChanged, ChangeAccess},
    },
};

use super::plan::{AccessPlan, Answer, Client, MapError, Mapped, Plan, Refused};
use crate::{codec::header::Head, wire_code};

/// Most ACLs in one answer to DescribeAcls: some 10 MiB.
const MAX_DESCRIBED_COUNT: usize = 100_000;
/// Most ACLs that one DeleteAcls takes away (Kafka's `MAX_RECORDS_PER_USER_OP`).
const MAX_DELETED_COUNT: usize = 10_000;
/// The only kind of principal that there is.
const USER: &str = "User:";
/// "Any" on the wire, of everything that a filter has.
const ANY: i8 = 1;
const MATCH: i8 = 2;

fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(wire_code::INVALID_REQUEST, message)
}

fn coded<T>(code: i8, from: impl Fn(u8) -> Option<T>) -> Option<T> {
    u8::try_from(code).ok().and_then(from)
}

/// Globs are no pattern of Kafka's.
fn pattern(code: i8) -> Option<PatternType> {
    coded(code, PatternType::from_code).filter(|pattern| *pattern != PatternType::Glob)
}

fn wire(code: u8) -> i8 {
    i8::try_from(code).unwrap_or(0)
}

fn principal(acl: &Acl) -> StrBytes {
    StrBytes::from_string(format!("{USER}{}", acl.principal))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A filter as it is on the wire.
struct WireFilter<'a> {
    resource: i8,
    pattern: i8,
    name: Option<&'a str>,
    principal: Option<&'a str>,
    host: Option<&'a str>,
    operation: i8,
    effect: i8,
}

impl WireFilter<'_> {
    /// `None`: nothing can match it.
    fn read(&self) -> Result<Option<AclFilter>, Refused> {
        fn any<T>(
            code: i8,
            from: impl Fn(u8) -> Option<T>,
            what: &str,
        ) -> Result<Option<T>, Refused> {
            match code {
                ANY => Ok(None),
                code => match coded(code, from) {
                    Some(value) => Ok(Some(value)),
                    None => Err(invalid(format!("Unknown {what}."))),
                },
            }
        }
        let pattern = match self.pattern {
            ANY => PatternFilter::Any,
            MATCH => PatternFilter::Match,
            // So that one can be taken away which DescribeAcls has told of.
            code => match coded(code, PatternType::from_code) {
                Some(pattern) => PatternFilter::Only(pattern),
                None => return Err(invalid("Unknown patternFilter.")),
            },
        };
        let named = self.principal.map(|principal| principal.strip_prefix(USER));
        let filter = AclFilter {
            resource: any(self.resource, ResourceType::from_code, "patternFilter")?,
            pattern,
            name: self.name.map(Into::into),
            principal: named.flatten().map(Into::into),
            host: self.host.map(Into::into),
            operation: any(self.operation, Operation::from_code, "entryFilter")?,
            effect: any(self.effect, Effect::from_code, "entryFilter")?,
        };
        let is_possible = named != Some(None) && filter.is_sound();
        Ok(is_possible.then_some(filter))
    }
}

/// Answers DescribeAcls.
pub fn describe(
    head: &Head,
    request: &DescribeAclsRequest,
    access: &Access,
) -> Result<Mapped, MapError> {
    let filter = WireFilter {
        resource: request.resource_type_filter,
        pattern: request.pattern_type_filter,
        name: request.resource_name_filter.as_deref(),
        principal: request.principal_filter.as_deref(),
        host: request.host_filter.as_deref(),
        operation: request.operation,
        effect: request.permission_type,
    };
    let found = filter
        .read()
        .and_then(|filter| described(filter.as_ref(), access));
    let response = match found {
        Ok(resources) => DescribeAclsResponse::default()
            .with_error_message(None)
            .with_resources(resources),
        Err(refused) => DescribeAclsResponse::default()
            .with_error_code(refused.code)
            .with_error_message(refused.message),
    };
    let frame = head.frame(&response)?;
    Ok(Mapped::Answered(Answer::Frame(vec![frame])))
}

/// The ACLs of each resource.
fn described(
    filter: Option<&AclFilter>,
    access: &Access,
) -> Result<Vec<DescribeAclsResource>, Refused> {
    let found = filter.into_iter().flat_map(|filter| access.acls(filter));
    let mut found: Vec<&Arc<Acl>> = found.take(MAX_DESCRIBED_COUNT + 1).collect();
    if found.len() > MAX_DESCRIBED_COUNT {
        return Err(invalid(format!(
            "More than {MAX_DESCRIBED_COUNT} acls match the filter."
        )));
    }
    // An ACL's order begins with its resource.
    found.sort_unstable();
    let same = |a: &&Arc<Acl>, b: &&Arc<Acl>| {
        (a.resource, a.pattern, &a.name) == (b.resource, b.pattern, &b.name)
    };
    let resources = found.chunk_by(same).map(|acls| {
        let resource = acls[0];
        let told = acls.iter().map(|acl| {
            AclDescription::default()
                .with_principal(principal(acl))
                .with_host(text(&acl.host))
                .with_operation(wire(acl.operation.code()))
                .with_permission_type(wire(acl.effect.code()))
        });
        DescribeAclsResource::default()
            .with_resource_type(wire(resource.resource.code()))
            .with_resource_name(text(&resource.name))
            .with_pattern_type(wire(resource.pattern.code()))
            .with_acls(told.collect())
    });
    Ok(resources.collect())
}

/// Maps CreateAcls.
pub fn map_create(head: &Head, request: CreateAclsRequest) -> Result<Mapped, MapError> {
    let mut refused = Vec::with_capacity(request.creations.len());
    let mut acls = Vec::new();
    for creation in request.creations {
        let read = read_acl(&creation);
        refused.push(read.as_ref().err().cloned());
        acls.extend(read);
    }
    if acls.len() > MAX_ACLS_AT_ONCE {
        let words = format!("Cannot create more than {MAX_ACLS_AT_ONCE} acls in a single request.");
        let too_many = refused.into_iter();
        let too_many = too_many.map(|known| Some(known.unwrap_or_else(|| invalid(&*words))));
        refused = too_many.collect();
        acls.clear();
    }
    if acls.is_empty() {
        return Ok(Mapped::Answered(answer_create(head, refused, &[])?));
    }
    let asked = Request::ChangeAccess(vec![ChangeAccess::AddAcls(acls)]);
    let plan = Plan::Access(AccessPlan::CreateAcls(refused));
    Ok(Mapped::Ask(asked, plan))
}

/// Kafka's checks, in its words.
fn read_acl(creation: &AclCreation) -> Result<Acl, Refused> {
    let name = &*creation.resource_name;
    let resource = coded(creation.resource_type, ResourceType::from_code);
    if resource == Some(ResourceType::Cluster) && name != CLUSTER_NAME {
        return Err(invalid(format!(
            "The only valid name for the CLUSTER resource is {CLUSTER_NAME}"
        )));
    }
    if name.is_empty() {
        return Err(invalid("Invalid empty resource name"));
    }
    let code = |what: &str, code: i8| {
        let name = match code {
            ANY => "ANY",
            MATCH if what == "patternType" => "MATCH",
            _ => "UNKNOWN",
        };
        invalid(format!("Invalid {what} {name}"))
    };
    let resource = resource.ok_or_else(|| code("resourceType", creation.resource_type))?;
    let pattern = pattern(creation.resource_pattern_type)
        .ok_or_else(|| code("patternType", creation.resource_pattern_type))?;
    let operation = coded(creation.operation, Operation::from_code)
        .ok_or_else(|| code("operation", creation.operation))?;
    let effect = coded(creation.permission_type, Effect::from_code)
        .ok_or_else(|| code("permissionType", creation.permission_type))?;
    let whom = &*creation.principal;
    let Some((kind, user)) = whom.split_once(':') else {
        return Err(invalid(format!(
            "Could not parse principal from `{whom}` (no colon is present separating the principal \
             type from the principal name)"
        )));
    };
    if !USER.starts_with(kind) || kind.len() + 1 != USER.len() {
        return Err(invalid(format!(
            "Invalid principal type `{kind}`: principals are users, as in User:alice."
        )));
    }
    let acl = Acl {
        resource,
        pattern,
        name: name.into(),
        principal: user.into(),
        host: (&*creation.host).into(),
        operation,
        effect,
    };
    match acl.is_sound() {
        true => Ok(acl),
        false => Err(invalid(
            "Names of resources, principals and hosts have 1 to 255 bytes.",
        )),
    }
}

/// The ACLs of a request, or why there are none: one answer for all that were asked for.
pub fn answer_create(
    head: &Head,
    refused: Vec<Option<Refused>>,
    outcome: &[AccessChanged],
) -> Result<Answer, MapError> {
    let all = outcome.first().and_then(|outcome| outcome.as_ref().err());
    let results = refused.into_iter().map(|refused| {
        let refused = refused.or_else(|| all.map(Refused::from));
        let (code, message) = refused.map_or((wire_code::NONE, None), |refused| {
            (refused.code, refused.message)
        });
        AclCreationResult::default()
            .with_error_code(code)
            .with_error_message(message)
    });
    let response = CreateAclsResponse::default().with_results(results.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

/// Filters of DeleteAcls as they were asked for. `None`: nothing can match it.
pub type AskedFilters = Vec<Result<Option<AclFilter>, Refused>>;

/// Maps DeleteAcls.
pub fn map_delete(
    head: &Head,
    request: &DeleteAclsRequest,
    client: &Client,
) -> Result<Mapped, MapError> {
    let asked = request.filters.iter().map(|filter| {
        let filter = WireFilter {
            resource: filter.resource_type_filter,
            pattern: filter.pattern_type_filter,
            name: filter.resource_name_filter.as_deref(),
            principal: filter.principal_filter.as_deref(),
            host: filter.host_filter.as_deref(),
            operation: filter.operation,
            effect: filter.permission_type,
        };
        filter.read()
    });
    let mut asked: AskedFilters = asked.collect();
    let filters: Vec<AclFilter> = asked.iter().flatten().flatten().cloned().collect();
    if let Some(words) = excess(&filters, &client.access.load()) {
        asked = asked
            .into_iter()
            .map(|filter| filter.and_then(|_| Err(invalid(&*words))))
            .collect();
    } else if !filters.is_empty() {
        let asked_for = Request::ChangeAccess(vec![ChangeAccess::DeleteAcls(filters)]);
        let plan = Plan::Access(AccessPlan::DeleteAcls(asked));
        return Ok(Mapped::Ask(asked_for, plan));
    }
    Ok(Mapped::Answered(answer_delete(head, asked, &[])?))
}

/// Why it is too much at once.
fn excess(filters: &[AclFilter], access: &Access) -> Option<String> {
    if filters.len() > MAX_ACLS_AT_ONCE {
        return Some(format!(
            "Cannot delete by more than {MAX_ACLS_AT_ONCE} filters in a single request."
        ));
    }
    let meant = filters.iter().flat_map(|filter| access.acls(filter));
    let is_too_much = meant.take(MAX_DELETED_COUNT + 1).count() > MAX_DELETED_COUNT;
    is_too_much.then(|| {
        format!("Cannot remove more than {MAX_DELETED_COUNT} acls in a single delete operation.")
    })
}

/// Each filter's ACLs.
pub fn answer_delete(
    head: &Head,
    asked: AskedFilters,
    outcome: &[AccessChanged],
) -> Result<Answer, MapError> {
    let gone: Result<&[Arc<Acl>], &AccessRefused> = match outcome.first() {
        Some(Ok(acls)) => Ok(acls),
        Some(Err(refused)) => Err(refused),
        None => Ok(&[]),
    };
    let results = asked.into_iter().map(|filter| {
        let matching = filter.and_then(|filter| match (filter, gone) {
            (None, _) => Ok(Vec::new()),
            (Some(_), Err(refused)) => Err(Refused::from(refused)),
            (Some(filter), Ok(gone)) => {
                let gone = gone.iter().filter(|acl| filter.matches(acl));
                Ok(gone.map(|acl| matching(acl)).collect())
            }
        });
        match matching {
            Ok(matching) => DeleteAclsFilterResult::default()
                .with_error_message(None)
                .with_matching_acls(matching),
            Err(refused) => DeleteAclsFilterResult::default()
                .with_error_code(refused.code)
                .with_error_message(refused.message),
        }
    });
    let response = DeleteAclsResponse::default().with_filter_results(results.collect());
    Ok(Answer::Frame(vec![head.frame(&response)?]))
}

fn matching(acl: &Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl::default()
        .with_error_message(None)
        .with_resource_type(wire(acl.resource.code()))
        .with_resource_name(text(&acl.name))
        .with_pattern_type(wire(acl.pattern.code()))
        .with_principal(principal(acl))
        .with_host(text(&acl.host))
        .with_operation(wire(acl.operation.code()))
        .with_permission_type(wire(acl.effect.code()))
}
