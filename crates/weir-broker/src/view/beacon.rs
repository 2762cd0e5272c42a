//! What a node says of itself several times a second.
//!
//! A beacon: `u8` version, `u8` how the sender's disk is (1: slow, 2: full, as a sum), `u64` what it applied of group 0,
//! `u64` what tells this run of it from others, text its address, text
//! and `u16` host and port of its Kafka door with TLS (an empty host: none), `u32` count and for each group that it leads: `u32` group, `u64` term, `u64` index of the last
//! change of members, `u64` last index, the members as four lists (`u32` count, `u64` nodes) and `u8`
//! auto-leave, `u32` count and for each follower `u64` node, `u64` matched, `u8` active, `u8` behind; then how many
//! connections it has, see `access/tally`.

use weir_model::{GroupId, NodeId, Term};
use weir_raft::{FollowerView, GroupView, Members};

use super::endpoint;
use crate::{
    Node,
    access::Tally,
    api::Endpoint,
    encoding::{DecodeError, Reader, Writer},
};

pub(super) const VERSION: u8 = 5;
/// Bits of how a disk is.
pub(super) const SLOW: u8 = 1;
pub(super) const FULL: u8 = 2;
const GROUP_MIN_BYTES: usize = 4 + 8 + 8 + 8 + 4 * 4 + 1 + 4;
const FOLLOWER_BYTES: usize = 8 + 8 + 1 + 1;
/// Longest beacon that is read, in bytes.
pub(super) const MAX_BEACON_BYTES: usize = 64 << 10;

/// A beacon.
pub(super) struct Beacon {
    pub(super) is_slow: bool,
    pub(super) is_full: bool,
    pub(super) metadata_applied: u64,
    pub(super) boot: u64,
    /// Where the sender's peer port is reached.
    pub(super) address: String,
    /// Where clients that speak TLS reach it.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) groups: Vec<(GroupId, GroupView)>,
    pub(super) tally: Tally,
}

impl Node {
    /// How many connections it has of those that are limited.
    pub(super) fn own_tally(&self) -> Tally {
        let topology = self.topology.load();
        let limits = |vhost: &str| topology.routing().vhost(vhost).map(|vhost| vhost.limits);
        let is_limited = |vhost: &str| limits(vhost).is_some_and(|it| it.max_connections.is_some());
        self.access().tally(is_limited)
    }
}

pub(super) fn write_view(writer: &mut Writer, view: &GroupView) {
    writer.u64(view.term.0);
    writer.u64(view.conf_index);
    writer.u64(view.last_index);
    let members = &view.members;
    for list in [
        &members.voters,
        &members.learners,
        &members.voters_outgoing,
        &members.learners_next,
    ] {
        writer.count(list.len());
        list.iter().for_each(|node| writer.u64(node.0));
    }
    writer.u8(u8::from(members.auto_leave));
    writer.count(view.followers.len());
    for follower in &view.followers {
        writer.u64(follower.node.0);
        writer.u64(follower.matched);
        writer.u8(u8::from(follower.is_active));
        writer.u8(u8::from(follower.is_behind));
    }
}

pub(super) fn read_beacon(bytes: &[u8]) -> Result<Beacon, DecodeError> {
    let mut reader = Reader::new(bytes);
    if bytes.len() > MAX_BEACON_BYTES {
        return Err(reader.invalid("length of the beacon"));
    }
    reader.version("beacon version", VERSION)?;
    let disk = reader.u8()?;
    if disk & !(SLOW | FULL) != 0 {
        return Err(reader.invalid("how the disk is"));
    }
    let mut beacon = Beacon {
        is_slow: disk & SLOW != 0,
        is_full: disk & FULL != 0,
        metadata_applied: reader.u64()?,
        boot: reader.u64()?,
        address: reader.text()?.to_owned(),
        endpoint: endpoint::read(&mut reader)?,
        groups: Vec::new(),
        tally: Tally::default(),
    };
    for _ in 0..reader.count(GROUP_MIN_BYTES)? {
        let group = GroupId(reader.u32()?);
        beacon.groups.push((group, read_view(&mut reader)?));
    }
    beacon.tally = Tally::read(&mut reader)?;
    reader.finish()?;
    Ok(beacon)
}

/// Whether the bytes are a beacon.
pub(crate) fn is_beacon(bytes: &[u8]) -> bool {
    read_beacon(bytes).is_ok()
}

pub(super) fn read_view(reader: &mut Reader<'_>) -> Result<GroupView, DecodeError> {
    let mut view = GroupView {
        term: Term(reader.u64()?),
        leader: None,
        conf_index: reader.u64()?,
        last_index: reader.u64()?,
        members: Members {
            voters: read_nodes(reader)?,
            learners: read_nodes(reader)?,
            voters_outgoing: read_nodes(reader)?,
            learners_next: read_nodes(reader)?,
            auto_leave: reader.u8()? != 0,
        },
        followers: Vec::new(),
    };
    for _ in 0..reader.count(FOLLOWER_BYTES)? {
        view.followers.push(FollowerView {
            node: NodeId(reader.u64()?),
            matched: reader.u64()?,
            is_active: reader.u8()? != 0,
            is_behind: reader.u8()? != 0,
        });
    }
    Ok(view)
}

fn read_nodes(reader: &mut Reader<'_>) -> Result<Vec<NodeId>, DecodeError> {
    let count = reader.count(8)?;
    (0..count).map(|_| reader.u64().map(NodeId)).collect()
}
