//! What changes of a cluster that clients ask for are called where they are written down, for all doors.

use weir_access::{Principal, acl::Acl};
use weir_model::ErrorKind;

use super::event::AuditEvent;
use crate::{
    api::{
        Outcome, Request, TopicRef,
        access::ChangeAccess,
        admin::{AlterConfigs, ConfigOp, ConfigResource, Manage, Managed, Refusal},
    },
    quota::{QuotaChanges, QuotaEntity},
};

/// Most names of things that one event tells.
const MAX_NAMES_COUNT: usize = 8;

/// A change that a node was asked for.
#[derive(Debug)]
pub struct Change {
    action: &'static str,
    resource: String,
}

impl Change {
    /// What a request changes; `None`: nothing that is noted.
    pub fn of(request: &Request) -> Option<Self> {
        let (action, resource) = match request {
            Request::CreateTopics(create) if !create.validate_only => (
                "create_topics",
                names(
                    "topic",
                    create.topics.iter().map(|topic| topic.name.clone()),
                ),
            ),
            Request::Manage(manage) => of_manage(manage)?,
            Request::ChangeAccess(changes) => of_access(changes)?,
            _ => return None,
        };
        Some(Self { action, resource })
    }

    /// What became of it.
    pub fn event(&self, principal: &Principal, peer: &str, outcome: &Outcome) -> AuditEvent {
        let event = AuditEvent::new(principal, peer, self.action, &self.resource);
        match failure(outcome) {
            Some(why) => event.failed(&why),
            None => event,
        }
    }
}

// Table: one kind of change a row.
fn of_manage(manage: &Manage) -> Option<(&'static str, String)> {
    Some(match manage {
        Manage::DeleteTopics(topics) => {
            let all = topics.iter().map(|topic| match topic {
                TopicRef::Name(name) => name.to_string(),
                TopicRef::Id(id) => id.0.to_string(),
            });
            ("delete_topics", names("topic", all))
        }
        Manage::CreatePartitions(create) if !create.validate_only => {
            let all = create.topics.iter();
            let all = all.map(|more| format!("{} to {}", more.topic, more.count));
            ("create_partitions", names("topic", all))
        }
        Manage::DeleteRecords(all) => {
            let all = all.iter().map(|one| match &one.topic {
                TopicRef::Name(name) => format!("{name}-{} to {}", one.index, one.offset),
                TopicRef::Id(id) => format!("{}-{} to {}", id.0, one.index, one.offset),
            });
            ("delete_records", names("partition", all))
        }
        Manage::AlterConfigs(alter) if !alter.validate_only => ("alter_configs", of_configs(alter)),
        Manage::Reassign(all) => {
            let all = all.iter();
            let all = all.map(|one| format!("{}-{} to {:?}", one.topic, one.index, one.replicas));
            ("reassign", names("partition", all))
        }
        Manage::ElectLeaders(_) => ("elect_leaders", "cluster".to_owned()),
        Manage::RemoveNode(node) => ("remove_node", format!("node {node}")),
        Manage::CreatePartitions(_)
        | Manage::AlterConfigs(_)
        | Manage::DescribeConfigs(_)
        | Manage::ListConfigResources
        | Manage::DescribeQuorum
        | Manage::DescribeLogDirs(_)
        | Manage::ListMoving(_) => return None,
    })
}

/// One request asks for changes of one kind.
fn of_access(changes: &[ChangeAccess]) -> Option<(&'static str, String)> {
    Some(match changes.first()? {
        ChangeAccess::AddAcls(acls) => ("create_acls", names("acl", acls.iter().map(of_acl))),
        ChangeAccess::DeleteAcls(filters) => {
            let all = filters.iter().map(|filter| {
                let (user, name) = (filter.principal.as_deref(), filter.name.as_deref());
                let any = |text: Option<&str>| text.unwrap_or("any").to_owned();
                format!("of {} on {}", any(user), any(name))
            });
            ("delete_acls", names("acls", all))
        }
        ChangeAccess::PutVerifier { .. } | ChangeAccess::RemoveVerifier { .. } => {
            let all = changes.iter().map(|change| match change {
                ChangeAccess::PutVerifier { user, verifier } => {
                    format!("set {} of {user}", verifier.hash.mechanism())
                }
                ChangeAccess::RemoveVerifier { user, hash } => {
                    format!("remove {} of {user}", hash.mechanism())
                }
                ChangeAccess::AddAcls(_)
                | ChangeAccess::DeleteAcls(_)
                | ChangeAccess::AlterQuota { .. } => "other".to_owned(),
            });
            ("alter_passwords", names("password", all))
        }
        ChangeAccess::AlterQuota { .. } => {
            let all = changes.iter().map(|change| match change {
                ChangeAccess::AlterQuota { entity, changes } => of_quota(entity, changes),
                ChangeAccess::AddAcls(_)
                | ChangeAccess::DeleteAcls(_)
                | ChangeAccess::PutVerifier { .. }
                | ChangeAccess::RemoveVerifier { .. } => "other".to_owned(),
            });
            ("alter_quotas", names("quota", all))
        }
    })
}

fn of_quota(entity: &QuotaEntity, changes: &QuotaChanges) -> String {
    let changes = changes.iter().map(|(key, value)| match value {
        Some(value) => format!("{} {}", key.name(), value.get()),
        None => format!("no {}", key.name()),
    });
    let changes: Vec<_> = changes.collect();
    format!("of {entity}: {}", changes.join(", "))
}

fn of_acl(acl: &Acl) -> String {
    let Acl {
        resource,
        pattern,
        name,
        principal,
        host,
        operation,
        effect,
    } = acl;
    let (effect, operation) = (effect.name(), operation.name());
    let (resource, pattern) = (resource.name(), pattern.name());
    format!("{effect} {principal} {operation} {resource} {name} ({pattern}) from {host}")
}

/// The settings' names: what they are set to may be nobody's business.
fn of_configs(alter: &AlterConfigs) -> String {
    let all = alter.resources.iter().map(|(resource, changes)| {
        let whose = match resource {
            ConfigResource::Topic(name) => format!("topic {name}"),
            ConfigResource::Broker(None) => "all nodes".to_owned(),
            ConfigResource::Broker(Some(node)) => format!("node {node}"),
            ConfigResource::BrokerLogger(node) => format!("loggers of node {node}"),
            ConfigResource::Group(name) => format!("group {name}"),
            ConfigResource::ClientMetrics(name) => format!("client metrics {name}"),
        };
        let changes = changes.iter().map(|change| match change.op {
            ConfigOp::Set => format!("set {}", change.name),
            ConfigOp::Delete => format!("delete {}", change.name),
            ConfigOp::Append => format!("append to {}", change.name),
            ConfigOp::Subtract => format!("subtract from {}", change.name),
        });
        let changes: Vec<_> = changes.take(MAX_NAMES_COUNT).collect();
        format!("{whose}: {}", changes.join(", "))
    });
    names("settings", all)
}

fn names(what: &str, all: impl ExactSizeIterator<Item = String>) -> String {
    let left_count = all.len().saturating_sub(MAX_NAMES_COUNT);
    let mut text = what.to_owned();
    for (at, name) in all.take(MAX_NAMES_COUNT).enumerate() {
        text.push_str(if at == 0 { " " } else { ", " });
        text.push_str(&name);
    }
    if left_count > 0 {
        text.push_str(&format!(" and {left_count} more"));
    }
    text
}

/// Why not all of it was done: the first reason.
fn failure(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::CreateTopics(all) => all.iter().find_map(refusal_of),
        Outcome::Managed(Managed::DeletedTopics(all)) => all.iter().find_map(refusal_of),
        Outcome::Managed(Managed::Checked(all)) => all.iter().find_map(refusal_of),
        Outcome::Managed(Managed::DeletedRecords(all)) => {
            let failed = all.iter().find_map(|one| one.as_ref().err());
            failed.map(kind_of)
        }
        Outcome::Managed(Managed::Elected(all)) => {
            let mut each = all.iter().map(|(_, _, result)| result);
            each.find_map(refusal_of)
        }
        Outcome::AccessChanged(all) => {
            let failed = all.iter().find_map(|one| one.as_ref().err());
            failed.map(ToString::to_string)
        }
        _ => None,
    }
}

fn refusal_of<T>(result: &Result<T, Refusal>) -> Option<String> {
    let refusal = result.as_ref().err()?;
    Some(match refusal.message.is_empty() {
        true => kind_of(&refusal.kind),
        false => refusal.message.clone(),
    })
}

fn kind_of(kind: &ErrorKind) -> String {
    format!("{kind:?}")
}
