//! What quotas may be: Kafka's own checks, in its words (`ClientQuotaControlManager`).

use core::net::IpAddr;

use super::{
    entity::{EntityType, MAX_NAME_BYTES, Named, QuotaEntity},
    key::{QuotaKey, QuotaValue, Range},
};

/// Why something is no quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaFault {
    /// It names nobody.
    #[error("Invalid empty client quota entity")]
    Empty,
    /// It names two of a kind.
    #[error("Invalid client quota entity, multiple entity entries for the same type")]
    Twice,
    /// It is of a kind that there is not.
    #[error("Unhandled client quota entity type: {0}")]
    Type(String),
    /// A name is empty.
    #[error("Empty {0} not supported")]
    Name(&'static str),
    /// A name is too long.
    #[error("A {0} of a quota has at most {MAX_NAME_BYTES} bytes")]
    LongName(&'static str),
    /// Names that do not go together.
    #[error("Invalid quota entity combination: {0}")]
    Together(String),
    /// A text that is no address.
    #[error("{0} is not a valid IP or resolvable host.")]
    Address(String),
    /// There is no such key, or not for such an entity.
    #[error("Invalid configuration key {0}")]
    Key(String),
    /// Not above 0.
    #[error("Quota {0} must be greater than 0")]
    TooLow(&'static str),
    /// Above what it may be.
    #[error("Proposed value for {0} is too large for a {1}.")]
    TooHigh(&'static str, &'static str),
    /// Not whole.
    #[error("{0} cannot be a fractional value.")]
    Fraction(&'static str),
}

/// How far a number may be from a whole one (Kafka's).
const MAX_REMAINDER: f64 = 1e-6;
/// The first number that has more than 63 bits.
const LONG_END: f64 = 9_223_372_036_854_775_808.0;

/// The entity with these types and names; no name: the default.
pub fn checked_entity<'a>(
    parts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<QuotaEntity, QuotaFault> {
    let mut known = Vec::new();
    for (word, name) in parts {
        let kind = EntityType::named(word).ok_or_else(|| QuotaFault::Type(word.to_owned()))?;
        if known.iter().any(|(of, _)| *of == kind) {
            return Err(QuotaFault::Twice);
        }
        match name {
            Some("") => return Err(QuotaFault::Name(kind.name())),
            Some(name) if name.len() > MAX_NAME_BYTES => {
                return Err(QuotaFault::LongName(kind.name()));
            }
            Some(_) | None => known.push((kind, Named::of(name))),
        }
    }
    known.sort_unstable();
    let words = || {
        let words: Vec<_> = known.iter().map(|(kind, _)| kind.name()).collect();
        words.join(", ")
    };
    match &*known {
        [] => Err(QuotaFault::Empty),
        [(EntityType::User, user)] => Ok(QuotaEntity::User(user.clone())),
        [(EntityType::ClientId, client)] => Ok(QuotaEntity::Client(client.clone())),
        [(EntityType::User, user), (EntityType::ClientId, client)] => {
            Ok(QuotaEntity::UserClient(user.clone(), client.clone()))
        }
        [(EntityType::Ip, Named::Default)] => Ok(QuotaEntity::Ip(Named::Default)),
        [(EntityType::Ip, Named::Of(address))] => match address.parse::<IpAddr>() {
            Ok(parsed) => Ok(QuotaEntity::Ip(address_of(parsed))),
            Err(_) => Err(QuotaFault::Address(address.to_string())),
        },
        [(EntityType::Vhost, vhost)] => Ok(QuotaEntity::Vhost(vhost.clone())),
        [(EntityType::Topic, topic)] => Ok(QuotaEntity::Topic(topic.clone())),
        [(EntityType::TopicPrefix, prefix)] => Ok(QuotaEntity::TopicPrefix(prefix.clone())),
        _ => Err(QuotaFault::Together(words())),
    }
}

/// An address's name.
pub(super) fn address_of(address: IpAddr) -> Named {
    Named::of(Some(&address.to_canonical().to_string()))
}

/// The keys that there are for such an entity.
pub(super) fn keys_of(entity: &QuotaEntity) -> &'static [QuotaKey] {
    match entity {
        QuotaEntity::User(_) | QuotaEntity::Client(_) | QuotaEntity::UserClient(..) => &[
            QuotaKey::ProducerByteRate,
            QuotaKey::ConsumerByteRate,
            QuotaKey::RequestPercentage,
            QuotaKey::ControllerMutationRate,
        ],
        QuotaEntity::Ip(_) => &[QuotaKey::ConnectionCreationRate],
        QuotaEntity::TopicPrefix(_) => &[QuotaKey::PartitionCount],
        QuotaEntity::Vhost(_) | QuotaEntity::Topic(_) => {
            &[QuotaKey::ProducerByteRate, QuotaKey::ConsumerByteRate]
        }
    }
}

/// The key with this word, and its value, if an entity may have that. No value: it is taken away.
pub fn checked_value(
    entity: &QuotaEntity,
    word: &str,
    value: Option<f64>,
) -> Result<(QuotaKey, Option<QuotaValue>), QuotaFault> {
    let key = QuotaKey::named(word).filter(|key| keys_of(entity).contains(key));
    let key = key.ok_or_else(|| QuotaFault::Key(word.to_owned()))?;
    let Some(value) = value else {
        return Ok((key, None));
    };
    let sound = QuotaValue::new(value).ok_or_else(|| QuotaFault::TooLow(key.name()))?;
    match key.range() {
        Range::Long if value >= LONG_END => return Err(QuotaFault::TooHigh(key.name(), "LONG")),
        Range::Long if value % 1.0 > MAX_REMAINDER => return Err(QuotaFault::Fraction(key.name())),
        Range::Int if value > f64::from(i32::MAX) => {
            return Err(QuotaFault::TooHigh(key.name(), "INT"));
        }
        Range::Int if value % 1.0 > MAX_REMAINDER => return Err(QuotaFault::Fraction(key.name())),
        Range::Long | Range::Int | Range::Double => {}
    }
    Ok((key, Some(sound)))
}
