//! The greeting: who is there, and on what terms.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use weir_model::NodeId;

use crate::frame::FrameError;

/// A client: no member of the cluster.
pub(crate) const CLIENT: NodeId = NodeId(0);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Messages and beacons.
    Fast,
    /// Calls.
    Bulk,
}

impl Class {
    fn tag(self) -> u8 {
        match self {
            Self::Fast => 1,
            Self::Bulk => 2,
        }
    }

    fn of(tag: u8) -> Option<Self> {
        [Self::Fast, Self::Bulk]
            .into_iter()
            .find(|class| class.tag() == tag)
    }
}

/// The first frame of whoever dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Who dials; 0 for a client.
    pub(crate) from: NodeId,
    /// Who is meant; 0 for whoever answers.
    pub(crate) to: NodeId,
    /// Of the dialling process: another one after each start.
    pub(crate) incarnation: u64,
    pub(crate) class: Class,
}

impl Hello {
    const BYTES: usize = 8 + 8 + 8 + 1;

    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(Self::BYTES);
        out.put_u64_le(self.from.0);
        out.put_u64_le(self.to.0);
        out.put_u64_le(self.incarnation);
        out.put_u8(self.class.tag());
        out.freeze()
    }

    pub(crate) fn decode(mut body: Bytes) -> Result<Self, FrameError> {
        let malformed = |what: &str| FrameError::Body(format!("a hello's {what}"));
        if body.len() != Self::BYTES {
            return Err(malformed("length"));
        }
        Ok(Self {
            from: NodeId(body.get_u64_le()),
            to: NodeId(body.get_u64_le()),
            incarnation: body.get_u64_le(),
            class: Class::of(body.get_u8()).ok_or_else(|| malformed("class"))?,
        })
    }
}

/// The answer to a hello: who answers. The frame's header says which cluster.
pub(crate) fn encode_ok(node: NodeId) -> Bytes {
    Bytes::copy_from_slice(&node.0.to_le_bytes())
}

pub(crate) fn decode_ok(body: &Bytes) -> Result<NodeId, FrameError> {
    let id: [u8; 8] = (**body)
        .try_into()
        .map_err(|_| FrameError::Body("the answer to a hello".to_owned()))?;
    Ok(NodeId(u64::from_le_bytes(id)))
}

/// Why a node closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It belongs to another cluster.
    OtherCluster,
    /// It is another node than the one that was meant.
    OtherNode,
    /// It cannot read what it was sent.
    Malformed,
    /// Such a frame has no place on this connection.
    Misplaced,
    /// It knows too many nodes.
    Full,
    /// A reason that this build does not know.
    Unknown(u8),
}

impl Refusal {
    pub(crate) fn encode(self) -> Bytes {
        let tag = match self {
            Self::OtherCluster => 1,
            Self::OtherNode => 2,
            Self::Malformed => 3,
            Self::Misplaced => 4,
            Self::Full => 5,
            Self::Unknown(tag) => tag,
        };
        Bytes::copy_from_slice(&[tag])
    }

    /// Bytes behind the tag are for later versions.
    pub(crate) fn decode(body: &Bytes) -> Self {
        match body.first().copied().unwrap_or(0) {
            1 => Self::OtherCluster,
            2 => Self::OtherNode,
            3 => Self::Malformed,
            4 => Self::Misplaced,
            5 => Self::Full,
            tag => Self::Unknown(tag),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCluster => f.write_str("the node belongs to another cluster"),
            Self::OtherNode => f.write_str("another node has this address"),
            Self::Malformed => f.write_str("the node could not read what it was sent"),
            Self::Misplaced => f.write_str("the node does not take this on such a connection"),
            Self::Full => f.write_str("the node knows too many nodes"),
            Self::Unknown(tag) => write!(f, "the node refused for unknown reason {tag}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_reads_back_and_another_length_or_class_is_refused() {
        for class in [Class::Fast, Class::Bulk] {
            let hello = Hello {
                from: NodeId(1),
                to: NodeId(2),
                incarnation: 3,
                class,
            };
            let bytes = hello.encode();
            assert_eq!(Hello::decode(bytes.clone()).unwrap(), hello);
            for cut in 0..bytes.len() {
                assert!(Hello::decode(bytes.slice(..cut)).is_err());
            }
            let mut damaged = bytes.to_vec();
            *damaged.last_mut().unwrap() = 3;
            assert!(Hello::decode(damaged.into()).is_err());
            assert!(Hello::decode([&bytes[..], &[0]].concat().into()).is_err());
        }
        assert_eq!(decode_ok(&encode_ok(NodeId(9))).unwrap(), NodeId(9));
        assert!(decode_ok(&Bytes::from_static(b"short")).is_err());
    }

    #[test]
    fn refusals_read_back() {
        for tag in 0..=u8::MAX {
            let refusal = Refusal::decode(&Bytes::copy_from_slice(&[tag]));
            assert_eq!(Refusal::decode(&refusal.encode()), refusal);
        }
    }
}
