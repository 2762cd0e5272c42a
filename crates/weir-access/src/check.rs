//! The one question: may somebody do that?

use core::{fmt, net::IpAddr};

use crate::{
    acl::{Acl, Effect, Operation, ResourceType},
    permission::Permission,
    principal::{EVERYONE, Principal},
    rules::Rules,
    store::Access,
    token::Grants,
};

/// Who asks, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// From where.
    pub host: IpAddr,
    /// What the token allows by which it came in.
    pub grants: Option<&'a Grants>,
}

/// What somebody wants to do, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need<'a> {
    /// As Kafka's ACLs tell it.
    Acl {
        /// What is done.
        operation: Operation,
        /// What it is done to.
        resource: ResourceType,
        /// Its name.
        name: &'a str,
    },
    /// The operation on any resource of the type, whichever (Kafka's `authorizeByResourceType`).
    AnyOf {
        /// What is done.
        operation: Operation,
        /// What it is done to.
        resource: ResourceType,
    },
    /// Enter a virtual host.
    Vhost {
        /// Its name.
        vhost: &'a str,
    },
    /// Use an exchange or a queue, as RabbitMQ's permissions tell it.
    Named {
        /// How.
        permission: Permission,
        /// Where it is.
        vhost: &'a str,
        /// Its name; empty for the default exchange.
        name: &'a str,
    },
    /// Publish to a topic exchange, or bind to it, with this routing key.
    RoutingKey {
        /// How.
        permission: Permission,
        /// Where the exchange is.
        vhost: &'a str,
        /// Its name.
        exchange: &'a str,
        /// The routing key.
        key: &'a str,
    },
}

/// For people.
impl fmt::Display for Need<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acl {
                operation,
                resource,
                name,
            } => write!(f, "{operation:?} {resource:?} {name}"),
            Self::AnyOf {
                operation,
                resource,
            } => write!(f, "{operation:?} any {resource:?}"),
            Self::Vhost { vhost } => write!(f, "Enter Vhost {vhost}"),
            Self::Named {
                permission, name, ..
            } => write!(f, "{permission:?} {name}"),
            Self::RoutingKey {
                permission, key, ..
            } => write!(f, "{permission:?} key {key}"),
        }
    }
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed,
    /// No.
    Denied,
}

impl Decision {
    /// It is yes.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }

    fn of(is_allowed: bool) -> Self {
        match is_allowed {
            true => Self::Allowed,
            false => Self::Denied,
        }
    }
}

impl Access {
    /// Whether somebody may do that. Everybody may do everything before there has been a user.
    /// Allocates nothing.
    pub fn check(&self, caller: Caller<'_>, need: Need<'_>) -> Decision {
        if self.is_open() {
            return Decision::Allowed;
        }
        let is_administrator = match caller.principal {
            Principal::Anonymous => false,
            Principal::User(name) => match self.user(name).filter(|user| user.is_enabled) {
                Some(user) => user.is_administrator(),
                None => return Decision::Denied,
            },
            Principal::Vouched(name) => match self.user(name) {
                Some(user) if !user.is_enabled => return Decision::Denied,
                Some(user) => user.is_administrator(),
                None => false,
            },
        };
        if caller.grants.is_some_and(|grants| grants.allow(need)) {
            return Decision::Allowed;
        }
        let name = caller.principal.name();
        Decision::of(match need {
            Need::Acl { .. } | Need::AnyOf { .. } if is_administrator => true,
            Need::Acl {
                operation,
                resource,
                name: of,
            } => {
                let about = self.acls_of(name, caller.host, operation);
                let mut about = about.filter(|acl| acl.is_about(resource, of));
                let mut is_allowed = false;
                let is_denied = about.any(|acl| {
                    is_allowed |= acl.effect == Effect::Allow;
                    acl.effect == Effect::Deny
                });
                is_allowed && !is_denied
            }
            Need::AnyOf {
                operation,
                resource,
            } => self.is_any_allowed(name, caller.host, operation, resource),
            Need::Vhost { vhost } => {
                self.rules_of_user(caller, |rules| rules.permissions.contains_key(vhost))
            }
            Need::Named {
                permission,
                vhost,
                name,
            } => self.rules_of_user(caller, |rules| {
                let permissions = rules.permissions.get(vhost);
                permissions.is_some_and(|granted| granted.allow(permission, name))
            }),
            Need::RoutingKey {
                permission,
                vhost,
                exchange,
                key,
            } => self.rules_of_user(caller, |rules| {
                // What its grants let it use does not follow from that.
                if caller.grants.is_some() && !rules.permissions.contains_key(vhost) {
                    return false;
                }
                let granted = rules.topics.get(vhost).and_then(|all| all.get(exchange));
                // Where nothing is said of the exchange, its own permissions are enough.
                granted.is_none_or(|granted| granted.allow(permission, key))
            }),
        })
    }

    /// What RabbitMQ's rules say of a user; of nobody else they say anything.
    fn rules_of_user(&self, caller: Caller<'_>, says: impl Fn(&Rules) -> bool) -> bool {
        match caller.principal {
            Principal::Anonymous => false,
            Principal::User(name) | Principal::Vouched(name) => match self.rules(name) {
                Some(rules) => says(rules),
                None => says(&Rules::NONE),
            },
        }
    }

    fn acls_of<'a>(
        &'a self,
        name: &'a str,
        host: IpAddr,
        operation: Operation,
    ) -> impl Iterator<Item = &'a Acl> + Clone {
        let host = host.to_canonical();
        let names = [name, EVERYONE].into_iter();
        let all = names.filter_map(|name| self.rules(name));
        let all = all.flat_map(|rules| rules.acls.iter().map(|acl| &**acl));
        all.filter(move |acl| acl.is_of(operation) && acl.is_from(host))
    }

    fn is_any_allowed(
        &self,
        name: &str,
        host: IpAddr,
        operation: Operation,
        resource: ResourceType,
    ) -> bool {
        let all = self.acls_of(name, host, operation);
        let all = all.filter(|acl| acl.resource == resource);
        let denials = all.clone().filter(|acl| acl.effect == Effect::Deny);
        let mut allowed = all.filter(|acl| acl.effect == Effect::Allow);
        allowed.any(|acl| !denials.clone().any(|denial| denial.covers(acl)))
    }
}
