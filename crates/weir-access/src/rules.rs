//! The rules for one name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    acl::Acl,
    permission::{Permissions, TopicPermissions},
};

/// The rules for one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// By virtual host.
    pub(crate) permissions: BTreeMap<Box<str>, Arc<Permissions>>,
    /// By virtual host and exchange.
    pub(crate) topics: BTreeMap<Box<str>, BTreeMap<Box<str>, Arc<TopicPermissions>>>,
    /// Denials and others, in their order.
    pub(crate) acls: BTreeSet<Arc<Acl>>,
}

impl Rules {
    pub(crate) const NONE: Self = Self {
        permissions: BTreeMap::new(),
        topics: BTreeMap::new(),
        acls: BTreeSet::new(),
    };

    /// Permissions, by virtual host.
    pub fn permissions(&self) -> impl Iterator<Item = (&str, &Permissions)> {
        let all = self.permissions.iter();
        all.map(|(vhost, permissions)| (&**vhost, &**permissions))
    }

    /// Permissions for routing keys, by virtual host and exchange.
    pub fn topic_permissions(&self) -> impl Iterator<Item = (&str, &str, &TopicPermissions)> {
        self.topics.iter().flat_map(|(vhost, exchanges)| {
            let all = exchanges.iter();
            all.map(move |(exchange, permissions)| (&**vhost, &**exchange, &**permissions))
        })
    }

    /// ACLs.
    pub fn acls(&self) -> impl Iterator<Item = &Arc<Acl>> {
        self.acls.iter()
    }

    /// Sets permissions.
    pub fn put_permissions(&mut self, vhost: &str, configure: &str, write: &str, read: &str) {
        let granted = Arc::new(Permissions::new(configure, write, read));
        self.permissions.insert(vhost.into(), granted);
    }

    /// Sets the permissions of `user`, whose rules these are, for routing keys.
    pub fn put_topic_permissions(
        &mut self,
        user: &str,
        vhost: &str,
        exchange: &str,
        (write, read): (&str, &str),
    ) {
        let granted = Arc::new(TopicPermissions::new(user, vhost, write, read));
        let of_vhost = self.topics.entry(vhost.into()).or_default();
        of_vhost.insert(exchange.into(), granted);
    }

    /// Adds an ACL.
    pub fn put_acl(&mut self, acl: Arc<Acl>) {
        self.acls.insert(acl);
    }

    pub(crate) fn topic_count(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.permissions.is_empty() && self.topics.is_empty() && self.acls.is_empty()
    }
}
