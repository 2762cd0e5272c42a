//! Users.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    limit::{MAX_TAG_BYTES, MAX_TAGS},
    prepare::is_valid_name,
    verifier::{Hash, Verifier},
};

/// The tag of those whom ACLs do not bind, and who may manage everything.
pub const ADMINISTRATOR: &str = "administrator";

/// How much of something a user may have at once. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Connections, on all nodes together.
    pub max_connections: Option<u32>,
    /// AMQP channels, on all nodes together.
    pub max_channels: Option<u32>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, which is prepared.
    pub name: Arc<str>,
    /// What checks the password; at most one of each hash, in their order. None: no password logs in.
    pub verifiers: Vec<Verifier>,
    /// What RabbitMQ calls tags: roles in managing the broker.
    pub tags: BTreeSet<String>,
    /// May log in and do what is allowed.
    pub is_enabled: bool,
    /// How much of something it may have.
    pub limits: UserLimits,
}

impl User {
    /// Enabled, without a password and without limits.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            verifiers: Vec::new(),
            tags: BTreeSet::new(),
            is_enabled: true,
            limits: UserLimits::default(),
        }
    }

    /// What checks the password by this hash.
    pub fn verifier(&self, hash: Hash) -> Option<&Verifier> {
        self.verifiers.iter().find(|known| known.hash == hash)
    }

    /// Has the tag `administrator`.
    pub fn is_administrator(&self) -> bool {
        self.tags.contains(ADMINISTRATOR)
    }

    /// Keeps all limits.
    pub fn is_sound(&self) -> bool {
        is_valid_name(&self.name).is_ok() && self.has_sound_tags() && self.has_sound_verifiers()
    }

    pub(crate) fn has_sound_verifiers(&self) -> bool {
        let is_ordered = self.verifiers.is_sorted_by(|a, b| a.hash < b.hash);
        is_ordered && self.verifiers.iter().all(Verifier::is_sound)
    }

    pub(crate) fn has_sound_tags(&self) -> bool {
        let is_fit = |tag: &String| (1..=MAX_TAG_BYTES).contains(&tag.len());
        self.tags.len() <= MAX_TAGS && self.tags.iter().all(is_fit)
    }

    /// Sets what checks the password by this one's hash.
    pub fn put_verifier(&mut self, verifier: Verifier) {
        self.verifiers.retain(|known| known.hash != verifier.hash);
        self.verifiers.push(verifier);
        self.verifiers.sort_unstable_by_key(|known| known.hash);
    }
}
