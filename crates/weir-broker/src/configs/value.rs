//! Whether a value fits its setting.

use std::collections::BTreeSet;

use weir_model::TopicName;

use super::{
    key::{ConfigKey, DEAD_LETTER_PREFIX, Effect, Kind},
    reset::OffsetReset,
};

/// Longest value of a setting, in bytes.
pub const MAX_CONFIG_VALUE_BYTES: usize = 4096;

impl ConfigKey {
    /// Why `value` cannot be this setting's; `None`: it can.
    pub fn refusal(&self, value: &str) -> Option<String> {
        if value.len() > MAX_CONFIG_VALUE_BYTES {
            return Some(format!("over {MAX_CONFIG_VALUE_BYTES} bytes long"));
        }
        if let Some(reason) = self.kind.refusal(value) {
            return Some(reason);
        }
        match self.effect {
            Effect::Enforced | Effect::Moot(_) => None,
            Effect::Fixed(_) if Some(value.trim()) == self.default => None,
            Effect::Fixed(reason) => Some(reason.to_owned()),
        }
    }
}

impl Kind {
    fn refusal(self, value: &str) -> Option<String> {
        let value = value.trim();
        match self {
            Self::Boolean => {
                let fits = ["true", "false"]
                    .iter()
                    .any(|b| value.eq_ignore_ascii_case(b));
                (!fits).then(|| "expected true or false".to_owned())
            }
            Self::Text | Self::Class | Self::Password => None,
            Self::OffsetReset => OffsetReset::parse(value)
                .is_none()
                .then(|| "must be earliest, latest or by_duration:DURATION".to_owned()),
            Self::DeadLetterTopic => {
                let is_name =
                    value.starts_with(DEAD_LETTER_PREFIX) && TopicName::new(value).is_ok();
                let fits = value.is_empty() || is_name;
                (!fits).then(|| {
                    format!("must be the name of a topic, which begins with {DEAD_LETTER_PREFIX}")
                })
            }
            Self::Choice(allowed) => (!allowed.contains(&value))
                .then(|| format!("must be one of: {}", allowed.join(", "))),
            Self::List(allowed) => list_refusal(value, allowed),
            Self::Int { min, max } => {
                number::<i32>(value, "INT").map_or_else(Some, |number| outside(number, min, max))
            }
            Self::Short { min } => number::<i16>(value, "SHORT")
                .map_or_else(Some, |number| outside(number, min, i16::MAX)),
            Self::Long { min } => number::<i64>(value, "LONG")
                .map_or_else(Some, |number| outside(number, min, i64::MAX)),
            Self::Double { min, max } => {
                number::<f64>(value, "DOUBLE").map_or_else(Some, |number| outside(number, min, max))
            }
        }
    }
}

fn number<T: std::str::FromStr>(value: &str, what: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("not a number of type {what}"))
}

fn outside<T: PartialOrd + Copy + std::fmt::Display>(number: T, min: T, max: T) -> Option<String> {
    if number >= min && number <= max {
        None
    } else if number < min {
        Some(format!("value must be at least {min}"))
    } else {
        Some(format!("value must be no more than {max}"))
    }
}

fn list_refusal(value: &str, allowed: &[&str]) -> Option<String> {
    let mut seen = BTreeSet::new();
    for item in items(value) {
        if item.is_empty() {
            return Some("an item of the list is empty".to_owned());
        }
        if !allowed.is_empty() && !allowed.contains(&item) {
            return Some(format!("{item:?} is none of: {}", allowed.join(", ")));
        }
        if !seen.insert(item) {
            return Some(format!("{item:?} comes twice"));
        }
    }
    None
}

/// The items of a list; none where it is empty.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    let is_empty = value.trim().is_empty();
    value.split(',').map(str::trim).filter(move |_| !is_empty)
}
