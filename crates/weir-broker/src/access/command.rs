//! Commands that change users and rules: `u8` tag, then the command's fields in the order of their
//! declaration; users and ACLs as in `record`, quotas as in `quota/record`. A seed stands as bytes.

use std::collections::BTreeSet;

use weir_access::{
    Hash, Seed, User, UserLimits, Verifier,
    acl::{Acl, AclFilter},
};

use super::record::{
    FILTER_MIN_BYTES, read_acls, read_filter, read_hash, read_limits, read_seed, read_tags,
    read_user, read_verifiers, write_acls, write_filter, write_flag, write_hash, write_limits,
    write_seed, write_tags, write_user, write_verifiers,
};
use crate::{
    encoding::{DecodeError, Reader, Writer},
    quota::{
        QuotaChanges, QuotaEntity,
        record::{read_changes, read_entity, write_changes, write_entity},
    },
};

// Tags are never used again for something else.
const CREATE_USER: u8 = 1;
const DELETE_USER: u8 = 2;
const PUT_VERIFIERS: u8 = 3;
const REMOVE_VERIFIER: u8 = 4;
const SET_TAGS: u8 = 5;
const SET_ENABLED: u8 = 6;
const SET_LIMITS: u8 = 7;
const SET_PERMISSIONS: u8 = 8;
const CLEAR_PERMISSIONS: u8 = 9;
const SET_TOPIC_PERMISSIONS: u8 = 10;
const CLEAR_TOPIC_PERMISSIONS: u8 = 11;
const ADD_ACLS: u8 = 12;
const DELETE_ACLS: u8 = 13;
const ALTER_QUOTA: u8 = 14;

/// A change of users, rules or quotas. What is random in it comes from its proposer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessCommand {
    /// Add a user. From the first one on, nobody may do what no rule allows.
    CreateUser {
        /// What it is to be.
        user: User,
        /// Random.
        seed: Seed,
    },
    /// Take a user away, with its permissions in virtual hosts. Its ACLs stay.
    DeleteUser {
        /// Whom.
        user: String,
    },
    /// Set what checks a user's password, by each of these mechanisms.
    PutVerifiers {
        /// Whose.
        user: String,
        /// What checks it.
        verifiers: Vec<Verifier>,
        /// A user that is not there is made.
        makes: bool,
        /// Random.
        seed: Seed,
    },
    /// Let nobody log in as the user by this mechanism.
    RemoveVerifier {
        /// Whose.
        user: String,
        /// The mechanism.
        hash: Hash,
    },
    /// Set a user's tags.
    SetTags {
        /// Whose.
        user: String,
        /// All of them.
        tags: BTreeSet<String>,
    },
    /// Let a user log in and act, or not.
    SetEnabled {
        /// Whom.
        user: String,
        /// Or not.
        is_enabled: bool,
    },
    /// Set a user's limits.
    SetLimits {
        /// Whose.
        user: String,
        /// All of them.
        limits: UserLimits,
    },
    /// Set a user's permissions in a virtual host: regular expressions.
    SetPermissions {
        /// Whose.
        user: String,
        /// Where.
        vhost: String,
        /// What may be made, changed and taken away.
        configure: String,
        /// What may be sent to.
        write: String,
        /// What may be received from.
        read: String,
    },
    /// Take a user's permissions in a virtual host away.
    ClearPermissions {
        /// Whose.
        user: String,
        /// Where.
        vhost: String,
    },
    /// Set a user's permissions for an exchange's routing keys: regular expressions.
    SetTopicPermissions {
        /// Whose.
        user: String,
        /// Where.
        vhost: String,
        /// Of which exchange.
        exchange: String,
        /// Which may be sent.
        write: String,
        /// Which may be bound.
        read: String,
    },
    /// Take a user's permissions for routing keys away.
    ClearTopicPermissions {
        /// Whose.
        user: String,
        /// Where.
        vhost: String,
        /// Of which exchange; `None`: of all.
        exchange: Option<String>,
    },
    /// Add ACLs, all of them or none.
    AddAcls {
        /// Which.
        acls: Vec<Acl>,
    },
    /// Take away the ACLs that any of the filters means, or some of them.
    DeleteAcls {
        /// Which.
        filters: Vec<AclFilter>,
    },
    /// Set some of an entity's quotas, and take some away: all of it or nothing.
    AlterQuota {
        /// Whose.
        entity: QuotaEntity,
        /// What they are to be.
        changes: QuotaChanges,
    },
}

impl AccessCommand {
    // Table: one command a row.
    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::CreateUser { user, seed } => {
                writer.u8(CREATE_USER);
                write_user(writer, user);
                write_seed(writer, seed);
            }
            Self::DeleteUser { user } => {
                writer.u8(DELETE_USER);
                writer.text(user);
            }
            Self::PutVerifiers {
                user,
                verifiers,
                makes,
                seed,
            } => {
                writer.u8(PUT_VERIFIERS);
                writer.text(user);
                write_verifiers(writer, verifiers);
                write_flag(writer, *makes);
                write_seed(writer, seed);
            }
            Self::RemoveVerifier { user, hash } => {
                writer.u8(REMOVE_VERIFIER);
                writer.text(user);
                write_hash(writer, *hash);
            }
            Self::SetTags { user, tags } => {
                writer.u8(SET_TAGS);
                writer.text(user);
                write_tags(writer, tags);
            }
            Self::SetEnabled { user, is_enabled } => {
                writer.u8(SET_ENABLED);
                writer.text(user);
                write_flag(writer, *is_enabled);
            }
            Self::SetLimits { user, limits } => {
                writer.u8(SET_LIMITS);
                writer.text(user);
                write_limits(writer, *limits);
            }
            Self::SetPermissions {
                user,
                vhost,
                configure,
                write,
                read,
            } => {
                writer.u8(SET_PERMISSIONS);
                let texts = [user, vhost, configure, write, read];
                texts.iter().for_each(|text| writer.text(text));
            }
            Self::ClearPermissions { user, vhost } => {
                writer.u8(CLEAR_PERMISSIONS);
                writer.text(user);
                writer.text(vhost);
            }
            Self::SetTopicPermissions {
                user,
                vhost,
                exchange,
                write,
                read,
            } => {
                writer.u8(SET_TOPIC_PERMISSIONS);
                let texts = [user, vhost, exchange, write, read];
                texts.iter().for_each(|text| writer.text(text));
            }
            Self::ClearTopicPermissions {
                user,
                vhost,
                exchange,
            } => {
                writer.u8(CLEAR_TOPIC_PERMISSIONS);
                writer.text(user);
                writer.text(vhost);
                writer.optional_text(exchange.as_deref());
            }
            Self::AddAcls { acls } => {
                writer.u8(ADD_ACLS);
                write_acls(writer, acls.iter());
            }
            Self::DeleteAcls { filters } => {
                writer.u8(DELETE_ACLS);
                writer.count(filters.len());
                let filters = filters.iter();
                filters.for_each(|filter| write_filter(writer, filter));
            }
            Self::AlterQuota { entity, changes } => {
                writer.u8(ALTER_QUOTA);
                write_entity(writer, entity);
                write_changes(writer, changes);
            }
        }
    }

    // Table: one command a row.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = reader.u8()?;
        let mut text = || reader.text().map(str::to_owned);
        Ok(match tag {
            CREATE_USER => Self::CreateUser {
                user: read_user(reader)?,
                seed: read_seed(reader)?,
            },
            DELETE_USER => Self::DeleteUser { user: text()? },
            PUT_VERIFIERS => Self::PutVerifiers {
                user: text()?,
                verifiers: read_verifiers(reader)?,
                makes: reader.flag()?,
                seed: read_seed(reader)?,
            },
            REMOVE_VERIFIER => Self::RemoveVerifier {
                user: text()?,
                hash: read_hash(reader)?,
            },
            SET_TAGS => Self::SetTags {
                user: text()?,
                tags: read_tags(reader)?,
            },
            SET_ENABLED => Self::SetEnabled {
                user: text()?,
                is_enabled: reader.flag()?,
            },
            SET_LIMITS => Self::SetLimits {
                user: text()?,
                limits: read_limits(reader)?,
            },
            SET_PERMISSIONS => Self::SetPermissions {
                user: text()?,
                vhost: text()?,
                configure: text()?,
                write: text()?,
                read: text()?,
            },
            CLEAR_PERMISSIONS => Self::ClearPermissions {
                user: text()?,
                vhost: text()?,
            },
            SET_TOPIC_PERMISSIONS => Self::SetTopicPermissions {
                user: text()?,
                vhost: text()?,
                exchange: text()?,
                write: text()?,
                read: text()?,
            },
            CLEAR_TOPIC_PERMISSIONS => Self::ClearTopicPermissions {
                user: text()?,
                vhost: text()?,
                exchange: reader.optional_text()?.map(str::to_owned),
            },
            ADD_ACLS => {
                let acls = read_acls(reader)?.into_iter();
                Self::AddAcls {
                    acls: acls.map(std::sync::Arc::unwrap_or_clone).collect(),
                }
            }
            DELETE_ACLS => {
                let mut filters = Vec::new();
                for _ in 0..reader.count(FILTER_MIN_BYTES)? {
                    filters.push(read_filter(reader)?);
                }
                Self::DeleteAcls { filters }
            }
            ALTER_QUOTA => Self::AlterQuota {
                entity: read_entity(reader)?,
                changes: read_changes(reader)?,
            },
            tag => return Err(reader.unknown_tag("access command", tag)),
        })
    }
}
