//! What a session of a user may do, asked before each of its requests is carried out.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use core::net::{IpAddr, Ipv4Addr};
use weir_access::{Caller, DecisionCache, Need, Permission, Principal, token::Grants};

use super::view::AccessView;
use crate::{api::queues::Refused, audit::AuditEvent};

/// RabbitMQ's rules say nothing of hosts.
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// What the default exchange is called.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// What a session may do in its virtual host.
pub(crate) struct Guard {
    view: AccessView,
    /// `None`: the cluster itself, which may do everything.
    user: Option<Principal>,
    /// A mutex: taken by one session's requests alone.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    cache: DecisionCache,
    /// What its token allows.
    grants: Option<Grants>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard({:?})", self.user)
    }
}

/// What a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Exchange,
    Queue,
}

impl Guard {
    /// Of somebody, with what a token allows, or of the cluster itself.
    pub(crate) fn new(view: AccessView, user: Option<Principal>, grants: Option<Grants>) -> Self {
        let cache = DecisionCache::default();
        Self {
            view,
            user,
            held: Mutex::new(Held { cache, grants }),
        }
    }

    /// Another token of the same name allows this from now on.
    pub(crate) fn regrant(&self, grants: Grants) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.cache.clear();
        held.grants = Some(grants);
    }

    /// Everything is allowed, whatever the rules are.
    pub(crate) fn is_free(&self) -> bool {
        self.user.is_none() || self.view.is_open()
    }

    fn is_allowed(&self, need: Need<'_>) -> bool {
        let Some(principal) = &self.user else {
            return true;
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held { cache, grants } = &mut *held;
        let caller = Caller {
            principal,
            host: ANYWHERE,
            grants: grants.as_ref(),
        };
        self.view.check(cache, caller, need).is_allowed()
    }

    /// Has written down that something in a virtual host was refused, to somebody at `peer`.
    pub(crate) fn note_refused(&self, peer: &str, vhost: &str, refused: &Refused) {
        if let Some(principal) = &self.user {
            let event = AuditEvent::new(principal, peer, "access", &format!("vhost {vhost}"));
            self.view.note(event.failed(&refused.to_string()));
        }
    }

    fn user_name(&self) -> &str {
        self.user.as_ref().map_or("", Principal::name)
    }

    /// Whether it may be in the virtual host at all.
    pub(crate) fn enter(&self, vhost: &str) -> Result<(), Refused> {
        match self.is_allowed(Need::Vhost { vhost }) {
            true => Ok(()),
            false => Err(Refused::Vhost {
                vhost: vhost.to_owned(),
                user: self.user_name().to_owned(),
            }),
        }
    }

    /// Whether it may do that with an exchange or a queue.
    pub(crate) fn named(
        &self,
        permission: Permission,
        what: What,
        (vhost, name): (&str, &str),
    ) -> Result<(), Refused> {
        let need = Need::Named {
            permission,
            vhost,
            name,
        };
        if self.is_allowed(need) {
            return Ok(());
        }
        let (what, name) = match what {
            What::Exchange if name.is_empty() => ("exchange", DEFAULT_EXCHANGE),
            What::Exchange => ("exchange", name),
            What::Queue => ("queue", name),
        };
        Err(Refused::Access(format!(
            "{} access to {what} '{name}' in vhost '{vhost}' refused for user '{}'",
            permission.name(),
            self.user_name(),
        )))
    }

    /// Whether it may use a routing key of a topic exchange so.
    pub(crate) fn key(
        &self,
        permission: Permission,
        (vhost, exchange): (&str, &str),
        key: &str,
    ) -> Result<(), Refused> {
        let need = Need::RoutingKey {
            permission,
            vhost,
            exchange,
            key,
        };
        match self.is_allowed(need) {
            true => Ok(()),
            false => Err(Refused::Access(format!(
                "{} access to topic '{key}' in exchange '{exchange}' in vhost '{vhost}' refused for user '{}'",
                permission.name(),
                self.user_name(),
            ))),
        }
    }
}
