//! Answers that a connection remembers until something changes.

use std::hash::{BuildHasher, RandomState};

use crate::{
    acl::{Operation, ResourceType},
    check::{Caller, Decision, Need},
    limit::CACHED_DECISIONS,
    permission::Permission,
    store::Access,
};

/// Answers to one caller's questions. An answer that is remembered costs a hash and a comparison.
#[derive(Debug)]
pub struct DecisionCache {
    generation: u64,
    hasher: RandomState,
    /// Each question has one place.
    answers: Vec<Option<(Question, Decision)>>,
}

#[derive(Debug)]
enum Question {
    Acl(Operation, ResourceType, Box<str>),
    AnyOf(Operation, ResourceType),
    Vhost(Box<str>),
    Named(Permission, Box<str>, Box<str>),
    RoutingKey(Permission, Box<str>, Box<str>, Box<str>),
}

impl Question {
    fn of(need: Need<'_>) -> Self {
        match need {
            Need::Acl {
                operation,
                resource,
                name,
            } => Self::Acl(operation, resource, name.into()),
            Need::AnyOf {
                operation,
                resource,
            } => Self::AnyOf(operation, resource),
            Need::Vhost { vhost } => Self::Vhost(vhost.into()),
            Need::Named {
                permission,
                vhost,
                name,
            } => Self::Named(permission, vhost.into(), name.into()),
            Need::RoutingKey {
                permission,
                vhost,
                exchange,
                key,
            } => Self::RoutingKey(permission, vhost.into(), exchange.into(), key.into()),
        }
    }

    fn need(&self) -> Need<'_> {
        match self {
            Self::Acl(operation, resource, name) => Need::Acl {
                operation: *operation,
                resource: *resource,
                name,
            },
            Self::AnyOf(operation, resource) => Need::AnyOf {
                operation: *operation,
                resource: *resource,
            },
            Self::Vhost(vhost) => Need::Vhost { vhost },
            Self::Named(permission, vhost, name) => Need::Named {
                permission: *permission,
                vhost,
                name,
            },
            Self::RoutingKey(permission, vhost, exchange, key) => Need::RoutingKey {
                permission: *permission,
                vhost,
                exchange,
                key,
            },
        }
    }
}

impl Default for DecisionCache {
    fn default() -> Self {
        Self {
            generation: 0,
            hasher: RandomState::new(),
            answers: Vec::new(),
        }
    }
}

impl DecisionCache {
    /// What [`Access::check`] says. `caller` is the same one each time: another one wants a cache of its own.
    pub fn check(&mut self, access: &Access, caller: Caller<'_>, need: Need<'_>) -> Decision {
        if access.is_open() {
            return Decision::Allowed;
        }
        if self.generation != access.generation() || self.answers.is_empty() {
            self.generation = access.generation();
            self.answers.clear();
            self.answers.resize_with(CACHED_DECISIONS, || None);
        }
        let places = CACHED_DECISIONS as u64;
        let at = usize::try_from(self.hasher.hash_one(need) % places).unwrap_or(0);
        match &self.answers[at] {
            Some((known, decision)) if known.need() == need => *decision,
            Some(_) | None => {
                let decision = access.check(caller, need);
                self.answers[at] = Some((Question::of(need), decision));
                decision
            }
        }
    }

    /// Forgets all answers: somebody else asks from now on.
    pub fn clear(&mut self) {
        self.answers.clear();
    }
}
