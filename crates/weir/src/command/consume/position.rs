//! Where reading begins.

use std::{collections::BTreeMap, str::FromStr};

use crate::{
    client::{
        Client, ClientError,
        offsets::{At, Place},
    },
    moment,
};

/// A place in a partition, as a person says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Beginning,
    End,
    Offset(i64),
    /// So many messages before the end.
    Last(i64),
    /// Ms since 1970.
    Time(i64),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<i64>()) {
            ("beginning", _) => Ok(Self::Beginning),
            ("end", _) => Ok(Self::End),
            (_, Ok(offset)) if offset >= 0 && !text.starts_with('-') => Ok(Self::Offset(offset)),
            (_, Ok(offset)) => Ok(Self::Last(offset.saturating_neg())),
            (_, Err(_)) => Err("write beginning, end, an offset, or -COUNT".to_owned()),
        }
    }
}

impl From {
    /// A time, or so long ago.
    pub(super) fn since(text: &str) -> Result<Self, String> {
        moment::parse(text, moment::now_ms()).map(Self::Time)
    }

    /// The first offset to read of each partition.
    pub(super) fn offsets(
        self,
        client: &mut Client,
        places: &[Place],
    ) -> Result<BTreeMap<Place, i64>, ClientError> {
        match self {
            Self::Beginning => client.offsets(places, At::Earliest),
            Self::End => client.offsets(places, At::Latest),
            Self::Time(ms) => client.offsets(places, At::Time(ms)),
            Self::Offset(offset) => {
                Ok(places.iter().map(|place| (place.clone(), offset)).collect())
            }
            Self::Last(count) => {
                let starts = client.offsets(places, At::Earliest)?;
                let mut offsets = client.offsets(places, At::Latest)?;
                for (place, offset) in &mut offsets {
                    let start = starts.get(place).copied().unwrap_or(0);
                    *offset = offset.saturating_sub(count).max(start);
                }
                Ok(offsets)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        for (text, from) in [
            ("beginning", From::Beginning),
            ("end", From::End),
            ("0", From::Offset(0)),
            ("17", From::Offset(17)),
            ("-3", From::Last(3)),
            ("-0", From::Last(0)),
        ] {
            assert_eq!(text.parse(), Ok(from), "{text}");
        }
        assert!("earliest".parse::<From>().is_err());
        assert_eq!(From::since("1970-01-01T00:00:01Z"), Ok(From::Time(1_000)));
    }
}
