//! What members of protocol type `consumer` and the broker say to each other inside of the classic
//! protocol.
//!
//! Subscription (`ConsumerProtocolSubscription.json`): `i16` version; topics, `i32` count, each a
//! text; user data; from version 1 on owned partitions; from 2 on `i32` generation; from 3 on
//! optional text rack. Assignment (`ConsumerProtocolAssignment.json`): `i16` version, partitions,
//! user data. Partitions: `i32` count, each text topic and `i32` count of `i32` indexes. Text:
//! `i16` length (-1: none) and bytes. User data: `i32` length (-1: none) and bytes. Big-endian. A
//! later version has more behind.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The protocol type whose metadata are subscriptions.
pub const CONSUMER_TYPE: &str = "consumer";
/// Last version that is known.
const LAST_VERSION: i16 = 3;
const OWNED_FROM: i16 = 1;
const GENERATION_FROM: i16 = 2;
const RACK_FROM: i16 = 3;

/// Partitions by topic.
pub type Named = Vec<(String, Vec<i32>)>;

/// What a member wants and has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics that it reads.
    pub topics: Vec<String>,
    /// The partitions that it did not let go of.
    pub owned: Named,
    /// Where it stands.
    pub rack: Option<String>,
}

/// What a member was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The partitions.
    pub partitions: Named,
    /// Its assignor gave it something that only that assignor knows.
    pub has_user_data: bool,
}

/// The topics in a member's metadata; `None` where they are something else.
pub fn topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
    let mut input = Input(metadata);
    input.version()?;
    Some(input.texts()?.into_iter().collect())
}

/// A member's metadata; `None` where they are something else.
pub fn read(metadata: &[u8]) -> Option<Subscription> {
    let mut input = Input(metadata);
    let version = input.version()?;
    let topics = input.texts()?;
    input.user_data()?;
    let owned = match version >= OWNED_FROM {
        true => input.named()?,
        false => Named::new(),
    };
    if version >= GENERATION_FROM {
        input.0.try_get_i32().ok()?;
    }
    let rack = match version >= RACK_FROM {
        true => input.optional_text()?,
        false => None,
    };
    Some(Subscription {
        topics,
        owned,
        rack,
    })
}

/// A member's assignment; `None` where it is something else. No bytes: nothing was assigned yet.
pub fn read_assignment(assignment: &[u8]) -> Option<Assignment> {
    if assignment.is_empty() {
        return Some(Assignment::default());
    }
    let mut input = Input(assignment);
    input.version()?;
    Some(Assignment {
        partitions: input.named()?,
        has_user_data: input.user_data()? > 0,
    })
}

/// An assignment for a member with these metadata.
pub fn write_assignment(metadata: &[u8], partitions: &Named) -> Bytes {
    let version = Input(metadata).version().unwrap_or(0).min(LAST_VERSION);
    let mut out = BytesMut::new();
    out.put_i16(version);
    out.put_i32(length(partitions.len()));
    for (topic, indexes) in partitions {
        out.put_i16(i16::try_from(topic.len()).expect("a topic's name is short"));
        out.put_slice(topic.as_bytes());
        out.put_i32(length(indexes.len()));
        indexes.iter().for_each(|index| out.put_i32(*index));
    }
    out.put_i32(-1);
    out.freeze()
}

fn length(count: usize) -> i32 {
    i32::try_from(count).expect("a group assigns at most a million partitions")
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn version(&mut self) -> Option<i16> {
        self.0.try_get_i16().ok().filter(|version| *version >= 0)
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for _ in 0..self.0.try_get_i32().ok()? {
            texts.push(self.text()?);
        }
        Some(texts)
    }

    fn text(&mut self) -> Option<String> {
        self.optional_text()?
    }

    /// Outer `None`: it is something else.
    #[expect(clippy::option_option, reason = "no text is not the same as no data")]
    fn optional_text(&mut self) -> Option<Option<String>> {
        let length = self.0.try_get_i16().ok()?;
        if length == -1 {
            return Some(None);
        }
        let (text, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(std::str::from_utf8(text).ok()?.to_owned()))
    }

    /// Its length in bytes.
    fn user_data(&mut self) -> Option<usize> {
        let length = match self.0.try_get_i32().ok()? {
            -1 => 0,
            length => usize::try_from(length).ok()?,
        };
        (_, self.0) = self.0.split_at_checked(length)?;
        Some(length)
    }

    fn named(&mut self) -> Option<Named> {
        let mut named = Named::new();
        for _ in 0..self.0.try_get_i32().ok()? {
            let topic = self.text()?;
            let mut indexes = Vec::new();
            for _ in 0..self.0.try_get_i32().ok()? {
                indexes.push(self.0.try_get_i32().ok()?);
            }
            named.push((topic, indexes));
        }
        Some(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_anything_else_is_not_a_subscription() {
        let metadata = b"\0\x01\0\0\0\x02\0\x01a\0\x02bcrest";
        let expected = BTreeSet::from(["a".to_owned(), "bc".to_owned()]);
        assert_eq!(topics(metadata), Some(expected));
        for cut in 0..metadata.len() - 4 {
            assert_eq!(topics(&metadata[..cut]), None, "cut at {cut}");
        }
        assert_eq!(topics(b"\xff\xff\0\0\0\0"), None);
        assert_eq!(topics(b"\0\0\xff\xff\xff\xff"), Some(BTreeSet::new()));
    }

    fn subscription() -> Vec<u8> {
        let mut bytes = b"\0\x03\0\0\0\x01\0\x01a\0\0\0\x02uu".to_vec();
        bytes.extend(b"\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\x05\0\0\0\x07");
        bytes.extend(b"\0\0\0\x09\0\x01r");
        bytes
    }

    #[test]
    fn a_subscription_tells_what_is_owned_and_is_cut_nowhere() {
        let bytes = subscription();
        let expected = Subscription {
            topics: vec!["a".to_owned()],
            owned: vec![("a".to_owned(), vec![5, 7])],
            rack: Some("r".to_owned()),
        };
        assert_eq!(read(&bytes), Some(expected));
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(
            read(b"\0\0\0\0\0\0\xff\xff\xff\xff"),
            Some(Subscription::default())
        );
    }

    #[test]
    fn an_assignment_comes_back_in_the_members_version() {
        let partitions = vec![("t".to_owned(), vec![0, 2])];
        let bytes = write_assignment(&subscription(), &partitions);
        assert_eq!(bytes[..2], [0, 3]);
        let read = read_assignment(&bytes).unwrap();
        assert_eq!((read.partitions, read.has_user_data), (partitions, false));
        for cut in 1..bytes.len() {
            assert_eq!(read_assignment(&bytes[..cut]), None, "cut at {cut}");
        }
        let with_data = b"\0\0\0\0\0\0\0\0\0\x01x";
        assert!(read_assignment(with_data).unwrap().has_user_data);
        assert_eq!(read_assignment(b""), Some(Assignment::default()));
        assert_eq!(write_assignment(b"\0\x09", &Vec::new())[..2], [0, 3]);
    }
}
