//! How a node becomes a member: it asks any node of the cluster, before it has an identity.
//!
//! The request: tag `JOIN`, `u8` version, `u128` incarnation, text peer address, text Kafka host, `u16`
//! Kafka port. The answer: `u8` 0, `u128` cluster, `u64` node, `u32` shards, `u32` count and for each
//! node `u64` id, text address; or `u8` 1 and a text.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Buf, Bytes};
use weir_model::NodeId;

use crate::audit::AuditEvent;
use crate::{
    Identity, Node,
    call::JOIN,
    encoding::{DecodeError, Reader, Writer},
    metadata::{MetadataCommand, MetadataOutcome},
    peer::Answer,
};

const VERSION: u8 = 1;
const ADMITTED: u8 = 0;
const REFUSED: u8 = 1;
const ADDRESS_MIN_BYTES: usize = 8 + 4;

/// Why a node is no member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefused {
    /// The cluster said no, or not yet.
    #[error("{0}")]
    Refused(String),
    /// The answer makes no sense.
    #[error("the answer is damaged: {0}")]
    Damaged(#[from] DecodeError),
}

/// Asks to be admitted. `incarnation`: 128 random bits, not 0; the same when asking again gives the
/// same node id again.
pub fn request(incarnation: u128, peer_address: &str, kafka_host: &str, kafka_port: u16) -> Bytes {
    let mut writer = Writer::new();
    writer.u8(JOIN);
    writer.u8(VERSION);
    writer.u128(incarnation);
    writer.text(peer_address);
    writer.text(kafka_host);
    writer.u16(kafka_port);
    writer.finish()
}

/// Who the node is, as the cluster says.
#[allow(clippy::needless_pass_by_value, reason = "an answer is read once")]
pub fn read_answer(answer: Bytes) -> Result<Identity, JoinRefused> {
    let mut reader = Reader::new(&answer);
    match reader.u8()? {
        ADMITTED => Ok(read_identity(reader)?),
        REFUSED => {
            let reason = reader.text()?.to_owned();
            reader.finish()?;
            Err(JoinRefused::Refused(reason))
        }
        tag => Err(reader.unknown_tag("answer", tag).into()),
    }
}

fn read_identity(mut reader: Reader<'_>) -> Result<Identity, DecodeError> {
    let mut identity = Identity {
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
}

fn read_request(request: &[u8]) -> Result<MetadataCommand, DecodeError> {
    let mut reader = Reader::new(request);
    reader.version("join version", VERSION)?;
    let command = MetadataCommand::AdmitNode {
        incarnation: reader.u128()?,
        peer_address: reader.text()?.to_owned(),
        kafka_host: reader.text()?.to_owned(),
        kafka_port: reader.u16()?,
    };
    reader.finish()?;
    Ok(command)
}

/// A call's body as it is understood, written again.
pub(crate) fn reread_call(body: &[u8]) -> Option<Bytes> {
    let MetadataCommand::AdmitNode {
        incarnation,
        peer_address,
        kafka_host,
        kafka_port,
    } = read_request(body).ok()?
    else {
        return None;
    };
    Some(request(incarnation, &peer_address, &kafka_host, kafka_port))
}

pub(crate) fn serve(node: &Arc<Node>, request: &Bytes, answer: Answer) {
    let command = match read_request(request.chunk()) {
        Ok(command) => command,
        Err(error) => return answer(refusal(&format!("the request is damaged: {error}"))),
    };
    let MetadataCommand::AdmitNode { peer_address, .. } = &command else {
        return;
    };
    let (member, peer_address) = (Arc::clone(node), peer_address.clone());
    node.propose_metadata(command, move |outcome| {
        answer(match outcome {
            Ok(MetadataOutcome::NodeAdmitted(id)) => {
                member.access().note(AuditEvent::joined(id, &peer_address));
                member.admission(id, peer_address)
            }
            Ok(MetadataOutcome::Refused(error)) | Err(error) => {
                refusal(&format!("the node is not admitted: {error:?}"))
            }
            Ok(
                MetadataOutcome::ClusterNamed(_)
                | MetadataOutcome::NodeRegistered(_)
                | MetadataOutcome::NodeStateSet(_)
                | MetadataOutcome::NodeRemoved(_)
                | MetadataOutcome::TopicCreated(_)
                | MetadataOutcome::TopicDeleted(_)
                | MetadataOutcome::ConfigsAltered
                | MetadataOutcome::PartitionsCreated
                | MetadataOutcome::GroupPlaced
                | MetadataOutcome::Routing(_)
                | MetadataOutcome::Access(_)
                | MetadataOutcome::ProducerIds { .. },
            ) => refusal("the node is not admitted: the answer is another command's"),
        });
    });
}

fn refusal(reason: &str) -> Bytes {
    let mut writer = Writer::new();
    writer.u8(REFUSED);
    writer.text(reason);
    writer.finish()
}

impl Node {
    fn admission(&self, id: NodeId, peer_address: String) -> Bytes {
        let topology = self.topology.load();
        let nodes = topology.nodes().values();
        let mut addresses = self.identity.addresses.clone();
        addresses.extend(nodes.map(|node| (node.id, node.peer_address.clone())));
        addresses.insert(id, peer_address);
        let mut writer = Writer::new();
        writer.u8(ADMITTED);
        writer.u128(self.identity.cluster);
        writer.u64(id.0);
        writer.u32(self.identity.shard_count);
        writer.count(addresses.len());
        for (node, address) in &addresses {
            writer.u64(node.0);
            writer.text(address);
        }
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::trial;

    #[test]
    fn a_request_comes_back_and_damage_is_an_error() {
        let bytes = request(5, "127.0.0.1:9192", "localhost", 9092);
        assert_eq!(bytes[0], JOIN);
        let expected = MetadataCommand::AdmitNode {
            incarnation: 5,
            peer_address: "127.0.0.1:9192".to_owned(),
            kafka_host: "localhost".to_owned(),
            kafka_port: 9092,
        };
        assert_eq!(read_request(&bytes[1..]), Ok(expected));
        trial::damage(&bytes[1..], read_request);
    }

    #[test]
    fn a_refusal_is_told_and_damage_is_an_error() {
        let bytes = refusal("no");
        let refused = read_answer(bytes.clone());
        assert_eq!(refused, Err(JoinRefused::Refused("no".to_owned())));
        for cut in 0..bytes.len() {
            let cut = read_answer(bytes.slice(..cut));
            assert!(matches!(cut, Err(JoinRefused::Damaged(_))));
        }
    }
}
