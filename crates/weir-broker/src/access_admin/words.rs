//! The words: tag `ACCESS_ADMIN`, then JSON; the answer is JSON alone. Keys are only added, never
//! renamed: scripts read them. No password is among them: whoever asks makes the verifiers.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_access::{
    Hash, Verifier,
    acl::{Acl, AclFilter, Effect, Operation, PatternFilter, PatternType, ResourceType},
};

use crate::{
    call::ACCESS_ADMIN,
    json_call::{self, AdminError},
    refusal::Refusal,
};

/// Longest request that is read, in bytes.
pub const MAX_ACCESS_ADMIN_REQUEST_BYTES: usize = 64 << 10;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the words of the command line")]
pub enum AccessAdminRequest {
    /// Answered by users, or by the one that is named.
    ListUsers {
        after: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
    },
    /// Makes one.
    CreateUser {
        name: String,
        verifiers: Vec<VerifierRow>,
        #[serde(default)]
        tags: Vec<String>,
    },
    /// Sets what checks a password.
    SetPassword {
        name: String,
        verifiers: Vec<VerifierRow>,
    },
    /// Takes one away, with its permissions. Its ACLs stay.
    DeleteUser { name: String },
    /// Sets all tags.
    SetTags { name: String, tags: Vec<String> },
    /// Lets one log in and act, or not.
    SetEnabled { name: String, enabled: bool },
    /// Sets all limits. `null`: none.
    SetLimits {
        name: String,
        max_connections: Option<u32>,
        max_channels: Option<u32>,
    },
    /// Answered by permissions, of all users or of the one that is named. `after`: user and virtual
    /// host.
    ListPermissions {
        after: Option<(String, String)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
    },
    /// Sets permissions.
    Grant {
        user: String,
        vhost: String,
        configure: String,
        write: String,
        read: String,
    },
    /// Takes permissions away.
    Revoke { user: String, vhost: String },
    /// Answered by permissions for routing keys, likewise. `after`: user, virtual host and exchange.
    ListTopicPermissions {
        after: Option<(String, String, String)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
    },
    /// Sets permissions for routing keys.
    GrantTopic {
        user: String,
        vhost: String,
        exchange: String,
        write: String,
        read: String,
    },
    /// Takes permissions for routing keys away; of all exchanges where none is named.
    RevokeTopic {
        user: String,
        vhost: String,
        exchange: Option<String>,
    },
    /// Answered by ACLs. `after`: one of them.
    ListAcls {
        wanted: AclWanted,
        after: Option<AclRow>,
    },
    /// Adds one.
    AddAcl { acl: AclRow },
    /// Takes all away that are wanted.
    DeleteAcls { wanted: AclWanted },
    /// Answered by quotas. `after`: an entity.
    ListQuotas { after: Option<EntityRow> },
    /// Sets an entity's quotas, and takes those away that are `null`.
    AlterQuota {
        entity: EntityRow,
        changes: BTreeMap<String, Option<f64>>,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each has the rows that its name says")]
pub enum AccessAdminAnswer {
    Users {
        rows: Vec<UserRow>,
    },
    Permissions {
        rows: Vec<PermissionRow>,
    },
    TopicPermissions {
        rows: Vec<TopicPermissionRow>,
    },
    Acls {
        rows: Vec<AclRow>,
    },
    Quotas {
        rows: Vec<QuotaRow>,
    },
    /// It is so.
    Done,
    /// It is so, for so many ACLs.
    Counted {
        acls: u64,
    },
    /// It is not so.
    Refused(Refusal),
}

/// What checks a password by one mechanism.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of RFC 5802")]
pub struct VerifierRow {
    pub mechanism: String,
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for VerifierRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifierRow({})", self.mechanism)
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct UserRow {
    pub name: String,
    pub enabled: bool,
    pub tags: Vec<String>,
    /// Mechanisms by which the password is checked.
    pub mechanisms: Vec<String>,
    pub max_connections: Option<u32>,
    pub max_channels: Option<u32>,
}

/// A user's permissions in a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct PermissionRow {
    pub user: String,
    pub vhost: String,
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// A user's permissions for an exchange's routing keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct TopicPermissionRow {
    pub user: String,
    pub vhost: String,
    pub exchange: String,
    pub write: String,
    pub read: String,
}

/// An ACL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct AclRow {
    pub principal: String,
    pub host: String,
    pub effect: String,
    pub operation: String,
    pub resource: String,
    pub pattern: String,
    pub name: String,
}

/// Whom a quota binds: types of names with names, `null` for the default.
pub type EntityRow = BTreeMap<String, Option<String>>;

/// An entity's quotas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct QuotaRow {
    pub entity: EntityRow,
    pub values: BTreeMap<String, f64>,
}

/// Which ACLs are wanted. `null`: any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct AclWanted {
    pub principal: Option<String>,
    pub host: Option<String>,
    pub effect: Option<String>,
    pub operation: Option<String>,
    pub resource: Option<String>,
    /// A type of pattern, or `match`: all that speak of `name`.
    pub pattern: Option<String>,
    pub name: Option<String>,
}

fn named<T>(what: &str, name: &str, of: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    of(name).ok_or_else(|| format!("'{name}' is no {what}"))
}

impl VerifierRow {
    /// The words for it.
    pub fn of(verifier: &Verifier) -> Self {
        Self {
            mechanism: verifier.hash.mechanism().to_owned(),
            salt: verifier.salt.to_vec(),
            iterations: verifier.iterations,
            stored_key: verifier.stored_key.to_vec(),
            server_key: verifier.server_key.to_vec(),
        }
    }

    pub(super) fn verifier(self) -> Result<Verifier, String> {
        let verifier = Verifier {
            hash: named("mechanism", &self.mechanism, Hash::of_mechanism)?,
            salt: self.salt.into(),
            iterations: self.iterations,
            stored_key: self.stored_key.into(),
            server_key: self.server_key.into(),
        };
        match verifier.is_sound() {
            true => Ok(verifier),
            false => Err("a verifier has not the lengths that it must have".to_owned()),
        }
    }
}

impl AclRow {
    pub(super) fn of(acl: &Acl) -> Self {
        Self {
            principal: acl.principal.to_string(),
            host: acl.host.to_string(),
            effect: acl.effect.name().to_owned(),
            operation: acl.operation.name().to_owned(),
            resource: acl.resource.name().to_owned(),
            pattern: acl.pattern.name().to_owned(),
            name: acl.name.to_string(),
        }
    }

    pub(super) fn acl(self) -> Result<Acl, String> {
        Ok(Acl {
            resource: named("type of resources", &self.resource, ResourceType::named)?,
            pattern: named("type of patterns", &self.pattern, PatternType::named)?,
            name: self.name.into(),
            principal: self.principal.into(),
            host: self.host.into(),
            operation: named("operation", &self.operation, Operation::named)?,
            effect: named("effect", &self.effect, Effect::named)?,
        })
    }
}

impl AclWanted {
    pub(super) fn filter(self) -> Result<AclFilter, String> {
        let resource = self.resource.as_deref();
        let operation = self.operation.as_deref();
        let effect = self.effect.as_deref();
        let of_resource = |name| named("type of resources", name, ResourceType::named);
        Ok(AclFilter {
            resource: resource.map(of_resource).transpose()?,
            pattern: match self.pattern.as_deref() {
                None => PatternFilter::Any,
                Some("match") => PatternFilter::Match,
                Some(name) => {
                    PatternFilter::Only(named("type of patterns", name, PatternType::named)?)
                }
            },
            name: self.name.map(Into::into),
            principal: self.principal.map(Into::into),
            host: self.host.map(Into::into),
            operation: operation
                .map(|name| named("operation", name, Operation::named))
                .transpose()?,
            effect: effect
                .map(|name| named("effect", name, Effect::named))
                .transpose()?,
        })
    }
}

impl AccessAdminRequest {
    /// The call for [`PeerPort::call`](crate::PeerPort::call) or
    /// [`Node::take_call`](crate::Node::take_call).
    pub fn to_call(&self) -> Bytes {
        json_call::to_call(ACCESS_ADMIN, self)
    }

    /// What follows the tag.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, AdminError> {
        json_call::read_request(bytes, MAX_ACCESS_ADMIN_REQUEST_BYTES)
    }
}

impl AccessAdminAnswer {
    /// Why nothing was done.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.reason),
            _ => None,
        }
    }

    /// The answer to a call.
    pub fn decode(bytes: &[u8]) -> Result<Self, AdminError> {
        json_call::read_answer(bytes)
    }

    pub(crate) fn encode(&self) -> Bytes {
        json_call::to_answer(self)
    }

    pub(crate) fn refused(why: impl Into<Refusal>) -> Self {
        Self::Refused(why.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> AclRow {
        let text = str::to_owned;
        AclRow {
            principal: text("alice"),
            host: text("*"),
            effect: text("allow"),
            operation: text("describe-configs"),
            resource: text("transactional-id"),
            pattern: text("prefixed"),
            name: text("t-"),
        }
    }

    #[test]
    fn a_requests_words_stay_and_every_cut_is_refused() {
        let acl = r#"{"principal":"alice","host":"*","effect":"allow","operation":"describe-configs","resource":"transactional-id","pattern":"prefixed","name":"t-"}"#;
        let requests = [
            (
                AccessAdminRequest::AddAcl { acl: row() },
                format!(r#"{{"request":"add_acl","acl":{acl}}}"#),
            ),
            (
                AccessAdminRequest::Revoke {
                    user: "alice".to_owned(),
                    vhost: "/".to_owned(),
                },
                r#"{"request":"revoke","user":"alice","vhost":"/"}"#.to_owned(),
            ),
        ];
        for (request, words) in requests {
            let call = request.to_call();
            assert_eq!((call[0], &call[1..]), (ACCESS_ADMIN, words.as_bytes()));
            assert_eq!(AccessAdminRequest::decode(&call[1..]).unwrap(), request);
            for cut in 1..call.len() {
                assert!(AccessAdminRequest::decode(&call[1..cut]).is_err(), "{cut}");
            }
        }
        let long = vec![b' '; MAX_ACCESS_ADMIN_REQUEST_BYTES + 1];
        let decoded = AccessAdminRequest::decode(&long);
        assert!(matches!(decoded, Err(AdminError::TooLong)));
    }

    #[test]
    fn an_acl_comes_back_from_its_words_and_odd_words_are_told() {
        let acl = row().acl().unwrap();
        assert_eq!(AclRow::of(&acl), row());
        let odd = AclRow {
            operation: "eat".to_owned(),
            ..row()
        };
        assert_eq!(odd.acl(), Err("'eat' is no operation".to_owned()));
        let wanted = AclWanted {
            pattern: Some("match".to_owned()),
            name: Some("t-1".to_owned()),
            ..AclWanted::default()
        };
        assert!(wanted.filter().unwrap().matches(&acl));
    }
}
