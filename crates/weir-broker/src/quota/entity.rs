//! Whom a quota binds.

use std::{fmt, sync::Arc};

/// Longest name of an entity, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// One of its kind, or all of which no quota names the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// Each that no other quota names (Kafka's `<default>`).
    Default,
    /// This one.
    Of(Arc<str>),
}

/// The kinds of names that entities have, by Kafka's words and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntityType {
    /// A user.
    User,
    /// What a client calls itself.
    ClientId,
    /// An address.
    Ip,
    /// A virtual host; Kafka has none.
    Vhost,
    /// A topic; Kafka has no quotas of those.
    Topic,
    /// How names of topics begin; Kafka has no quotas of those.
    TopicPrefix,
}

/// Whom a quota binds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaEntity {
    /// A user, whatever its clients call themselves.
    User(Named),
    /// Clients that call themselves so, whoever they are.
    Client(Named),
    /// A user's clients that call themselves so.
    UserClient(Named, Named),
    /// Connections from an address, as it is written.
    Ip(Named),
    /// Connections in a virtual host, whoever they are.
    Vhost(Named),
    /// What all clients together write to a topic and read from it.
    Topic(Named),
    /// All topics together whose names begin so; the default: all that there are.
    TopicPrefix(Named),
}

impl Named {
    /// The name; `None`: the default.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Of(name) => Some(name),
        }
    }

    /// As in [`Self::name`].
    pub fn of(name: Option<&str>) -> Self {
        name.map_or(Self::Default, |name| Self::Of(name.into()))
    }

    fn is_sound(&self) -> bool {
        match self {
            Self::Default => true,
            Self::Of(name) => (1..=MAX_NAME_BYTES).contains(&name.len()),
        }
    }
}

impl EntityType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::User,
        Self::ClientId,
        Self::Ip,
        Self::Vhost,
        Self::Topic,
        Self::TopicPrefix,
    ];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ClientId => "client-id",
            Self::Ip => "ip",
            Self::Vhost => "vhost",
            Self::Topic => "topic",
            Self::TopicPrefix => "topic-prefix",
        }
    }

    /// The one with this word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl QuotaEntity {
    /// Its names, each with its type.
    pub fn parts(&self) -> impl Iterator<Item = (EntityType, &Named)> {
        let (first, second) = match self {
            Self::User(user) => ((EntityType::User, user), None),
            Self::Client(client) => ((EntityType::ClientId, client), None),
            Self::Ip(address) => ((EntityType::Ip, address), None),
            Self::Vhost(vhost) => ((EntityType::Vhost, vhost), None),
            Self::Topic(topic) => ((EntityType::Topic, topic), None),
            Self::TopicPrefix(prefix) => ((EntityType::TopicPrefix, prefix), None),
            Self::UserClient(user, client) => (
                (EntityType::User, user),
                Some((EntityType::ClientId, client)),
            ),
        };
        std::iter::once(first).chain(second)
    }

    /// The name of this type; `None`: it has none.
    pub fn part(&self, kind: EntityType) -> Option<&Named> {
        self.parts()
            .find(|(of, _)| *of == kind)
            .map(|(_, named)| named)
    }

    /// One of its kind that stands for all: those that are too many share a meter under it.
    pub(super) fn any(&self) -> Self {
        match self {
            Self::User(_) => Self::User(Named::Default),
            Self::Client(_) => Self::Client(Named::Default),
            Self::UserClient(..) => Self::UserClient(Named::Default, Named::Default),
            Self::Ip(_) => Self::Ip(Named::Default),
            Self::Vhost(_) => Self::Vhost(Named::Default),
            Self::Topic(_) => Self::Topic(Named::Default),
            Self::TopicPrefix(_) => Self::TopicPrefix(Named::Default),
        }
    }

    /// Whether all its names have a length that names may have.
    pub(super) fn is_sound(&self) -> bool {
        self.parts().all(|(_, named)| named.is_sound())
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, named)) in self.parts().enumerate() {
            let space = if at == 0 { "" } else { " " };
            let name = named.name().unwrap_or("<default>");
            write!(f, "{space}{} {name}", kind.name())?;
        }
        Ok(())
    }
}
