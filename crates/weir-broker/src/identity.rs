//! Who this node is: written once, when it founds a cluster or has joined one. Without it there
//! is no node to open.
//!
//! File `node/IDENTITY`: magic `WEIRNODE`; `u32` CRC-32C of the rest; `u8` version, 1; `u128` cluster;
//! `u64` node; `u32` shards; `u32` count and for each node `u64` id, text address.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use weir_log::disk::{Disk, FileKind};
use weir_model::NodeId;

use crate::encoding::{DecodeError, Reader, Writer};

const DIR: &str = "node";
const FILE: &str = "node/IDENTITY";
const UNFINISHED: &str = "node/IDENTITY.tmp";
const MAGIC: [u8; 8] = *b"WEIRNODE";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 12;
const ADDRESS_MIN_BYTES: usize = 8 + 4;
/// Longest file that is read, in bytes: 1,024 nodes with the longest names.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Who this node is, and whom it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster: 128 random bits, the same in every frame between its nodes.
    pub cluster: u128,
    /// This node; not 0. Never given to another.
    pub node: NodeId,
    /// Groups that carry partitions and queues; fixed when the cluster was founded.
    pub shard_count: u32,
    /// Peer addresses (`host:port`) as last known, so that a restarted node finds the others
    /// before the log tells it about them.
    pub addresses: BTreeMap<NodeId, String>,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk refused.
    #[error("{FILE} cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The file is damaged.
    #[error("{FILE} is damaged: {0}")]
    Corrupt(String),
}

impl Identity {
    /// What the disk has; `None` where the node belongs to no cluster yet.
    pub fn load(disk: &dyn Disk) -> Result<Option<Self>, IdentityError> {
        let file = match disk.open(FILE, FileKind::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let size_bytes = file.size_bytes()?.min(MAX_FILE_BYTES);
        let mut bytes = vec![0; usize::try_from(size_bytes).expect("a small file's size fits")];
        let read_bytes = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read_bytes);
        Self::decode(&bytes).map(Some)
    }

    /// Replaces what the disk has; durable when it returns.
    pub fn save(&self, disk: &dyn Disk) -> Result<(), IdentityError> {
        disk.create_dir(DIR)?;
        let file = disk.open(UNFINISHED, FileKind::CreateBuffered)?;
        file.set_size(0)?;
        file.write_at(&self.encode(), 0)?;
        file.sync_data()?;
        disk.rename(UNFINISHED, FILE)?;
        Ok(disk.sync_dir(DIR)?)
    }

    /// The cluster's id as Kafka prints one: 22 characters of URL-safe base64.
    pub fn cluster_id(&self) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let sextet = |at: u32| {
            let shifted = if at < 21 {
                self.cluster >> (122 - 6 * at)
            } else {
                self.cluster << 4
            };
            char::from(ALPHABET[usize::try_from(shifted & 63).expect("six bits fit")])
        };
        (0..22).map(sextet).collect()
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.u128(self.cluster);
        writer.u64(self.node.0);
        writer.u32(self.shard_count);
        writer.count(self.addresses.len());
        for (node, address) in &self.addresses {
            writer.u64(node.0);
            writer.text(address);
        }
        let body = writer.finish();
        let crc = crc32c::crc32c(&body).to_le_bytes();
        [&MAGIC[..], &crc, &body].concat().into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, IdentityError> {
        let corrupt = |reason: &str| IdentityError::Corrupt(reason.to_owned());
        let (header, body) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or_else(|| corrupt("it is cut"))?;
        if header[..8] != MAGIC {
            return Err(corrupt("it is another kind of file"));
        }
        if header[8..] != crc32c::crc32c(body).to_le_bytes() {
            return Err(corrupt("its checksum is wrong"));
        }
        let read = || -> Result<Self, DecodeError> {
            let mut reader = Reader::new(body);
            reader.version("identity version", VERSION)?;
            let mut identity = Self {
                cluster: reader.u128()?,
                node: NodeId(reader.u64()?),
                shard_count: reader.u32()?,
                addresses: BTreeMap::new(),
            };
            for _ in 0..reader.count(ADDRESS_MIN_BYTES)? {
                let node = NodeId(reader.u64()?);
                identity.addresses.insert(node, reader.text()?.to_owned());
            }
            reader.finish()?;
            Ok(identity)
        };
        read().map_err(|error| corrupt(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(cluster: u128) -> Identity {
        Identity {
            cluster,
            node: NodeId(3),
            shard_count: 16,
            addresses: BTreeMap::from([(NodeId(1), "127.0.0.1:9192".to_owned())]),
        }
    }

    #[test]
    fn an_identity_reads_back_and_damage_at_any_byte_is_refused() {
        let bytes = identity(7).encode();
        assert_eq!(Identity::decode(&bytes).unwrap(), identity(7));
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert!(Identity::decode(&damaged).is_err(), "byte {at}");
            assert!(Identity::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_cluster_id_is_base64_of_its_bits() {
        assert_eq!(identity(0).cluster_id(), "A".repeat(22));
        assert_eq!(
            identity(u128::MAX).cluster_id(),
            format!("{}w", "_".repeat(21))
        );
    }
}
