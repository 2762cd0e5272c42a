//! What members of protocol type `consumer` say to each other, as far as the broker must know it:
//! the topics that they read.
//!
//! Subscription, version 0 on (`ConsumerProtocolSubscription.json`): `i16` version, `i32` topics,
//! each `i16` length and text; more follows. Big-endian.

use std::collections::BTreeSet;

use bytes::Buf;

/// The protocol type whose metadata are subscriptions.
pub const CONSUMER_TYPE: &str = "consumer";

/// The topics in a member's metadata; `None` where they are something else.
pub fn topics(mut metadata: &[u8]) -> Option<BTreeSet<String>> {
    if metadata.try_get_i16().ok()? < 0 {
        return None;
    }
    let mut topics = BTreeSet::new();
    for _ in 0..metadata.try_get_i32().ok()? {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        let (name, rest) = metadata.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
        metadata = rest;
    }
    Some(topics)
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
}
