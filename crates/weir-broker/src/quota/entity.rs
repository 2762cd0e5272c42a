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
    pub const ALL: [Self; 2] = [Self::User, Self::ClientId];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ClientId => "client-id",
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
