//! Changes of users, rules and quotas that clients ask for.

use std::sync::Arc;

use weir_access::{
    Hash, Verifier,
    acl::{Acl, AclFilter},
};

use crate::{
    access::AccessRefused,
    quota::{QuotaChanges, QuotaEntity},
};

/// A change of users, rules or quotas.
#[derive(Clone, Debug)]
pub enum ChangeAccess {
    /// Add ACLs, all of them or none.
    AddAcls(Vec<Acl>),
    /// Take away the ACLs that any of the filters means.
    DeleteAcls(Vec<AclFilter>),
    /// Set what checks a user's password. A user that is not there is made.
    PutVerifier {
        /// Whose.
        user: String,
        /// What checks it.
        verifier: Verifier,
    },
    /// Let nobody log in as the user by this mechanism.
    RemoveVerifier {
        /// Whose.
        user: String,
        /// The mechanism.
        hash: Hash,
    },
    /// Set some of an entity's quotas, and take some away.
    AlterQuota {
        /// Whose.
        entity: QuotaEntity,
        /// What they are to be.
        changes: QuotaChanges,
    },
}

/// What became of a change: the ACLs that are gone, or why nothing changed.
pub type AccessChanged = Result<Vec<Arc<Acl>>, AccessRefused>;
