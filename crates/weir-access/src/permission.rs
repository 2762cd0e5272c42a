//! RabbitMQ's permissions of a user in a virtual host.

use crate::pattern::{PatternError, Wanted, expanded};

/// What RabbitMQ tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Make, change and take away.
    Configure,
    /// Send to.
    Write,
    /// Receive from.
    Read,
}

impl Permission {
    /// As RabbitMQ calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// Which exchanges and queues a user may do what with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Which may be made, changed and taken away.
    pub configure: Wanted,
    /// Which may be sent to.
    pub write: Wanted,
    /// Which may be received from.
    pub read: Wanted,
}

impl Permissions {
    /// From three regular expressions.
    pub fn new(configure: &str, write: &str, read: &str) -> Self {
        Self {
            configure: Wanted::new(configure),
            write: Wanted::new(write),
            read: Wanted::new(read),
        }
    }

    pub(crate) fn allow(&self, permission: Permission, name: &str) -> bool {
        let wanted = match permission {
            Permission::Configure => &self.configure,
            Permission::Write => &self.write,
            Permission::Read => &self.read,
        };
        // The default exchange has no name, and permissions call it so.
        let name = if name.is_empty() { "amq.default" } else { name };
        wanted.matches(name)
    }
}

/// Which routing keys a user may use with a topic exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissions {
    write: Expanded,
    read: Expanded,
}

/// A pattern and what it is for one user and virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expanded {
    given: Box<str>,
    wanted: Wanted,
}

impl Expanded {
    fn new(given: &str, user: &str, vhost: &str) -> Self {
        Self {
            given: given.into(),
            wanted: Wanted::new(&expanded(given, user, vhost)),
        }
    }
}

impl TopicPermissions {
    /// From two regular expressions, in which `{username}` and `{vhost}` stand for these names.
    pub fn new(user: &str, vhost: &str, write: &str, read: &str) -> Self {
        Self {
            write: Expanded::new(write, user, vhost),
            read: Expanded::new(read, user, vhost),
        }
    }

    /// What may be written to, as it was given.
    pub fn write(&self) -> &str {
        &self.write.given
    }

    /// What may be read from, as it was given.
    pub fn read(&self) -> &str {
        &self.read.given
    }

    pub(crate) fn allow(&self, permission: Permission, key: &str) -> bool {
        match permission {
            Permission::Write => self.write.wanted.matches(key),
            Permission::Read => self.read.wanted.matches(key),
            Permission::Configure => true,
        }
    }

    /// Why patterns cannot be these of a user.
    pub fn fault(user: &str, vhost: &str, patterns: &[&str]) -> Result<(), PatternError> {
        patterns.iter().try_for_each(|pattern| {
            if pattern.contains("{client_id}") {
                return Err(PatternError::ClientChosen);
            }
            Wanted::fault(&expanded(pattern, user, vhost))
        })
    }
}

/// Why patterns cannot be permissions.
pub fn permissions_fault(patterns: &[&str]) -> Result<(), PatternError> {
    patterns
        .iter()
        .try_for_each(|pattern| Wanted::fault(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_exchange_is_called_amq_default() {
        let own = Permissions::new("", "^amq\\.default$", "");
        assert!(own.allow(Permission::Write, ""));
        assert!(!own.allow(Permission::Write, "amq.topic"));
        assert!(!own.allow(Permission::Configure, ""));
    }

    #[test]
    fn keys_may_be_those_of_the_user() {
        let own = TopicPermissions::new("al.ce", "/", "^{username}\\.", "^{vhost}");
        assert!(own.allow(Permission::Write, "al.ce.x"));
        assert!(!own.allow(Permission::Write, "alice.x"));
        assert!(own.allow(Permission::Read, "/a") && !own.allow(Permission::Read, "a"));
        assert_eq!((own.write(), own.read()), ("^{username}\\.", "^{vhost}"));
    }

    #[test]
    fn what_a_client_chose_is_no_part_of_a_pattern() {
        let fault = |pattern| TopicPermissions::fault("u", "/", &[pattern]);
        assert_eq!(fault("^{client_id}"), Err(PatternError::ClientChosen));
        assert_eq!(fault("^{username}.{vhost}$"), Ok(()));
        assert!(fault("^{something}").is_err());
        assert!(permissions_fault(&["a", "("]).is_err());
    }
}
