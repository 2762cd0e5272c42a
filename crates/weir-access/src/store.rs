//! All users and rules as one value: copies share what did not change. A change does what it is asked
//! for, or nothing at all, and is a function of the value and the change alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use crate::{
    acl::{Acl, AclFilter},
    limit::{
        MAX_ACLS_AT_ONCE, MAX_PATTERN_BYTES, MAX_PRINCIPALS, MAX_RESOURCE_BYTES,
        MAX_RULES_PER_PRINCIPAL, MAX_USERS, MAX_VHOST_BYTES,
    },
    permission::{Permissions, TopicPermissions},
    rules::Rules,
    user::{User, UserLimits},
    verifier::{Hash, Verifier},
};

/// Why nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No user has the name.
    #[error("no such user")]
    NoUser,
    /// A user has the name.
    #[error("the user exists")]
    UserExists,
    /// The virtual host is not there.
    #[error("no such virtual host")]
    NoVhost,
    /// There are as many users as there may be.
    #[error("there are {MAX_USERS} users, and no more may be")]
    TooManyUsers,
    /// There are rules for as many names as there may be.
    #[error("there are rules for {MAX_PRINCIPALS} names, and for no more may be")]
    TooManyPrincipals,
    /// There are as many rules as there may be of one name.
    #[error("there are {MAX_RULES_PER_PRINCIPAL} rules for one name, and no more may be")]
    TooManyRules,
    /// More than one command may change.
    #[error("more than {MAX_ACLS_AT_ONCE} at once")]
    TooManyAtOnce,
    /// There are quotas for as many as there may be.
    #[error("there are quotas for as many entities as there may be")]
    TooManyQuotas,
    /// What was given is not sound.
    #[error("invalid")]
    Invalid,
}

const ERRORS: [(AccessError, u8); 9] = [
    (AccessError::NoUser, 1),
    (AccessError::UserExists, 2),
    (AccessError::NoVhost, 3),
    (AccessError::TooManyUsers, 4),
    (AccessError::TooManyPrincipals, 5),
    (AccessError::TooManyRules, 6),
    (AccessError::TooManyAtOnce, 7),
    (AccessError::Invalid, 8),
    (AccessError::TooManyQuotas, 9),
];

impl AccessError {
    /// Stands for it where it is stored or sent.
    pub fn code(self) -> u8 {
        let found = ERRORS.iter().find(|(error, _)| *error == self);
        found.expect("all of them stand in the table").1
    }

    /// The one that a code stands for.
    pub fn from_code(code: u8) -> Option<Self> {
        let found = ERRORS.iter().find(|(_, known)| *known == code);
        found.map(|(error, _)| *error)
    }
}

/// A secret of the cluster's. Makes salts for names that nobody has.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// All users and rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    generation: u64,
    /// There has been a user.
    is_closed: bool,
    seed: Seed,
    users: Arc<BTreeMap<Arc<str>, Arc<User>>>,
    rules: Arc<BTreeMap<Arc<str>, Arc<Rules>>>,
}

/// The generation of a node that has heard of nothing.
const UNKNOWN: u64 = u64::MAX;

type Done = Result<(), AccessError>;

impl Access {
    /// Of a node that does not know yet: nobody may do anything.
    pub fn unknown() -> Self {
        Self {
            generation: UNKNOWN,
            is_closed: true,
            ..Self::default()
        }
    }

    /// What was there before, from its parts. `None`: they do not belong together.
    pub fn from_parts(
        generation: u64,
        is_closed: bool,
        seed: Seed,
        users: Vec<User>,
        rules: Vec<(Arc<str>, Rules)>,
    ) -> Option<Self> {
        let (user_count, rule_count) = (users.len(), rules.len());
        let is_sound = users.iter().all(User::is_sound) && (is_closed || users.is_empty());
        let users: BTreeMap<_, _> = users
            .into_iter()
            .map(|user| (Arc::clone(&user.name), Arc::new(user)))
            .collect();
        let rules: BTreeMap<_, _> = rules
            .into_iter()
            .map(|(name, rules)| (name, Arc::new(rules)))
            .collect();
        let is_sound = is_sound && users.len() == user_count && rules.len() == rule_count;
        is_sound.then_some(Self {
            generation,
            is_closed,
            seed,
            users: Arc::new(users),
            rules: Arc::new(rules),
        })
    }

    /// Rises with each change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// There has never been a user: everybody may do everything.
    pub fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Whether the node has heard of what holds, if only that there has never been a user.
    pub fn is_known(&self) -> bool {
        self.generation != UNKNOWN
    }

    /// Makes salts for names that nobody has.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// Users after a name, by name.
    pub fn users_after(&self, after: Option<&str>) -> impl Iterator<Item = &Arc<User>> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = (from, std::ops::Bound::Unbounded);
        self.users.range::<str, _>(range).map(|(_, user)| user)
    }

    /// How many users there are.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// The rules for a name.
    pub fn rules(&self, name: &str) -> Option<&Rules> {
        self.rules.get(name).map(|rules| &**rules)
    }

    /// All rules, by name.
    pub fn all_rules(&self) -> impl Iterator<Item = (&Arc<str>, &Rules)> {
        self.rules.iter().map(|(name, rules)| (name, &**rules))
    }

    /// ACLs that a filter means.
    pub fn acls<'a>(&'a self, filter: &'a AclFilter) -> impl Iterator<Item = &'a Arc<Acl>> {
        let rules = self.rules.iter().filter(|(name, _)| filter.is_for(name));
        let acls = rules.flat_map(|(_, rules)| rules.acls.iter());
        acls.filter(|acl| filter.matches(acl))
    }

    /// Adds a user. `seed` becomes the one of this value with its first user.
    pub fn create_user(&mut self, user: User, seed: Seed) -> Done {
        if !user.is_sound() {
            return Err(AccessError::Invalid);
        }
        match self.users.get(&user.name) {
            // The same proposal, once more.
            Some(known) if **known == user => return Ok(()),
            Some(_) => return Err(AccessError::UserExists),
            None => {}
        }
        if self.users.len() >= MAX_USERS {
            return Err(AccessError::TooManyUsers);
        }
        if !self.is_closed {
            self.seed = seed;
            self.is_closed = true;
        }
        self.put(user);
        Ok(())
    }

    /// Takes a user away, with RabbitMQ's permissions; ACLs that name it stay, as in Kafka. One who is
    /// not there is away.
    pub fn delete_user(&mut self, name: &str) -> Done {
        if !self.users.contains_key(name) {
            return Ok(());
        }
        Arc::make_mut(&mut self.users).remove(name);
        self.change_rules(name, |rules| {
            rules.permissions.clear();
            rules.topics.clear();
            Ok(())
        })
    }

    /// Sets what checks a user's password. `makes`: a user that is not there is made, as by Kafka's
    /// tools.
    pub fn put_verifiers(
        &mut self,
        name: &str,
        verifiers: Vec<Verifier>,
        makes: bool,
        seed: Seed,
    ) -> Done {
        if !verifiers.iter().all(Verifier::is_sound) {
            return Err(AccessError::Invalid);
        }
        let add = |user: &mut User| {
            let verifiers = verifiers.into_iter();
            verifiers.for_each(|verifier| user.put_verifier(verifier));
            Ok(())
        };
        match self.user(name) {
            Some(_) => self.change_user(name, add),
            None if makes => {
                let mut user = User::new(name);
                add(&mut user)?;
                self.create_user(user, seed)
            }
            None => Err(AccessError::NoUser),
        }
    }

    /// Takes what checks a user's password by one mechanism away.
    pub fn remove_verifier(&mut self, name: &str, hash: Hash) -> Done {
        self.change_user(name, |user| {
            user.verifiers.retain(|known| known.hash != hash);
            Ok(())
        })
    }

    /// Sets a user's tags.
    pub fn set_tags(&mut self, name: &str, tags: BTreeSet<String>) -> Done {
        self.change_user(name, |user| {
            user.tags = tags;
            match user.has_sound_tags() {
                true => Ok(()),
                false => Err(AccessError::Invalid),
            }
        })
    }

    /// Lets a user log in and act, or not.
    pub fn set_enabled(&mut self, name: &str, is_enabled: bool) -> Done {
        self.change_user(name, |user| {
            user.is_enabled = is_enabled;
            Ok(())
        })
    }

    /// Sets a user's limits.
    pub fn set_limits(&mut self, name: &str, limits: UserLimits) -> Done {
        self.change_user(name, |user| {
            user.limits = limits;
            Ok(())
        })
    }

    /// Sets a user's permissions in a virtual host, or takes them away.
    pub fn set_permissions(&mut self, name: &str, vhost: &str, to: Option<Permissions>) -> Done {
        self.check_user(name)?;
        let is_fit = to.as_ref().is_none_or(|to| {
            let all = [&to.configure, &to.write, &to.read];
            all.iter().all(|one| one.text().len() <= MAX_PATTERN_BYTES)
        });
        if !is_fit || !(1..=MAX_VHOST_BYTES).contains(&vhost.len()) {
            return Err(AccessError::Invalid);
        }
        self.change_rules(name, |rules| {
            match to {
                Some(to) => drop(rules.permissions.insert(vhost.into(), Arc::new(to))),
                None => drop(rules.permissions.remove(vhost)),
            }
            match rules.permissions.len() > MAX_RULES_PER_PRINCIPAL {
                true => Err(AccessError::TooManyRules),
                false => Ok(()),
            }
        })
    }

    /// Sets a user's permissions for the routing keys of an exchange.
    pub fn set_topic_permissions(
        &mut self,
        name: &str,
        (vhost, exchange): (&str, &str),
        write: &str,
        read: &str,
    ) -> Done {
        self.check_user(name)?;
        let is_fit = (1..=MAX_VHOST_BYTES).contains(&vhost.len())
            && exchange.len() <= MAX_RESOURCE_BYTES
            && write.len().max(read.len()) <= MAX_PATTERN_BYTES;
        if !is_fit {
            return Err(AccessError::Invalid);
        }
        let to = Arc::new(TopicPermissions::new(name, vhost, write, read));
        self.change_rules(name, |rules| {
            let of_vhost = rules.topics.entry(vhost.into()).or_default();
            of_vhost.insert(exchange.into(), to);
            match rules.topic_count() > MAX_RULES_PER_PRINCIPAL {
                true => Err(AccessError::TooManyRules),
                false => Ok(()),
            }
        })
    }

    /// Takes a user's permissions for routing keys away; of all exchanges where none is named.
    pub fn clear_topic_permissions(
        &mut self,
        name: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Done {
        self.check_user(name)?;
        self.change_rules(name, |rules| {
            if let (Some(exchange), Some(all)) = (exchange, rules.topics.get_mut(vhost)) {
                all.remove(exchange);
            }
            if exchange.is_none() || rules.topics.get(vhost).is_some_and(BTreeMap::is_empty) {
                rules.topics.remove(vhost);
            }
            Ok(())
        })
    }

    /// Takes everybody's permissions in a virtual host away, since it is gone.
    pub fn forget_vhost(&mut self, vhost: &str) {
        let concerned = self.rules.iter().filter(|(_, rules)| {
            rules.permissions.contains_key(vhost) || rules.topics.contains_key(vhost)
        });
        let concerned: Vec<Arc<str>> = concerned.map(|(name, _)| Arc::clone(name)).collect();
        for name in concerned {
            let forgotten = self.change_rules(&name, |rules| {
                rules.permissions.remove(vhost);
                rules.topics.remove(vhost);
                Ok(())
            });
            forgotten.expect("taking rules away breaks no limit");
        }
    }

    /// Adds ACLs: all of them or none.
    pub fn add_acls(&mut self, acls: Vec<Acl>) -> Done {
        if acls.len() > MAX_ACLS_AT_ONCE {
            return Err(AccessError::TooManyAtOnce);
        }
        if !acls.iter().all(Acl::is_sound) {
            return Err(AccessError::Invalid);
        }
        let mut changed = self.clone();
        for acl in acls {
            let name = acl.principal.clone();
            changed.change_rules(&name, |rules| {
                rules.acls.insert(Arc::new(acl));
                match rules.acls.len() > MAX_RULES_PER_PRINCIPAL {
                    true => Err(AccessError::TooManyRules),
                    false => Ok(()),
                }
            })?;
        }
        *self = changed;
        Ok(())
    }

    /// Takes the ACLs away that any of the filters means, or some of them: then there are more.
    pub fn delete_acls(&mut self, filters: &[AclFilter]) -> (Vec<Arc<Acl>>, bool) {
        let meant = self.rules.values().flat_map(|rules| rules.acls.iter());
        let meant = meant.filter(|acl| filters.iter().any(|filter| filter.matches(acl)));
        let mut meant: Vec<Arc<Acl>> = meant.take(MAX_ACLS_AT_ONCE + 1).cloned().collect();
        let has_more = meant.len() > MAX_ACLS_AT_ONCE;
        meant.truncate(MAX_ACLS_AT_ONCE);
        for acl in &meant {
            let removed = self.change_rules(&acl.principal, |rules| {
                rules.acls.remove(acl);
                Ok(())
            });
            removed.expect("taking rules away breaks no limit");
        }
        (meant, has_more)
    }

    fn put(&mut self, user: User) {
        Arc::make_mut(&mut self.users).insert(Arc::clone(&user.name), Arc::new(user));
        self.generation += 1;
    }

    fn check_user(&self, name: &str) -> Done {
        match self.users.contains_key(name) {
            true => Ok(()),
            false => Err(AccessError::NoUser),
        }
    }

    fn change_user(&mut self, name: &str, change: impl FnOnce(&mut User) -> Done) -> Done {
        let user = self.user(name).ok_or(AccessError::NoUser)?;
        let mut user = User::clone(user);
        change(&mut user)?;
        self.put(user);
        Ok(())
    }

    fn change_rules(&mut self, name: &str, change: impl FnOnce(&mut Rules) -> Done) -> Done {
        let known = self.rules.get_key_value(name);
        let is_new = known.is_none();
        let (name, mut rules) = match known {
            Some((name, rules)) => (Arc::clone(name), Rules::clone(rules)),
            None => (name.into(), Rules::default()),
        };
        change(&mut rules)?;
        if is_new && !rules.is_empty() && self.rules.len() >= MAX_PRINCIPALS {
            return Err(AccessError::TooManyPrincipals);
        }
        let all = Arc::make_mut(&mut self.rules);
        match rules.is_empty() {
            true => drop(all.remove(&name)),
            false => drop(all.insert(name, Arc::new(rules))),
        }
        self.generation += 1;
        Ok(())
    }
}
