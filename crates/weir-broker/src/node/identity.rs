//! Who this node says it is, and whom it knows.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use weir_model::NodeId;

use super::Node;
use crate::{
    identity::Identity,
    metadata::{
        MetadataCommand, MetadataOutcome, NodeRecord, NodeState, Topology, state::MAX_NODES,
    },
};

/// Commands of one announcement.
const COMMAND_COUNT: u32 = 2;

/// What was last told to the transport and to the disk.
pub(crate) struct Known {
    told: BTreeMap<NodeId, String>,
    saved: BTreeMap<NodeId, String>,
    seen: Arc<Topology>,
}

impl Known {
    pub(crate) fn new(identity: &Identity) -> Self {
        Self {
            told: identity.addresses.clone(),
            saved: identity.addresses.clone(),
            seen: Arc::default(),
        }
    }
}

impl Node {
    /// Tells the transport and the disk of the nodes' addresses where they changed. Writes and
    /// syncs a small file: not for a worker's thread.
    pub fn sync_identity(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let topology = self.topology.load();
        if Arc::ptr_eq(&known.seen, &topology) && known.saved == known.told {
            return;
        }
        let is_news = !Arc::ptr_eq(&known.seen, &topology);
        known.seen = Arc::clone(&topology);
        if is_news && topology.nodes().contains_key(&self.config.node) {
            let nodes = topology.nodes().values();
            let addresses = nodes.map(|node| (node.id, node.peer_address.clone()));
            let mut addresses: BTreeMap<NodeId, String> = addresses.collect();
            // What beacons told of those that joined after this state of the metadata.
            let newest = addresses.last_key_value().map(|(newest, _)| *newest);
            let later = known.told.iter().filter(|(id, _)| Some(**id) > newest);
            let later: Vec<_> = later.map(|(id, at)| (*id, at.clone())).collect();
            addresses.extend(later);
            if addresses != known.told {
                self.peers.set_addresses(&addresses);
                known.told = addresses;
            }
        }
        if known.saved == known.told {
            return;
        }
        let identity = Identity {
            addresses: known.told.clone(),
            ..self.identity.clone()
        };
        match identity.save(&*self.disk) {
            Ok(()) => known.saved = identity.addresses,
            // The file as it was still serves; the next look tries again.
            Err(error) => tracing::warn!(%error, "the nodes' addresses are not saved"),
        }
    }

    /// A node that joined after this one was last told of the cluster may be the one that is to
    /// tell it more: it must be answered, and so be known, before the metadata has arrived. Ids
    /// rise, so that a node that was removed is not taken for it.
    pub(crate) fn learn_address(&self, node: NodeId, address: &str) {
        let topology = self.topology.load();
        let newest = topology.nodes().last_key_value();
        if address.is_empty() || newest.is_some_and(|(newest, _)| node <= *newest) {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = known.told.len() >= MAX_NODES;
        if !is_full && known.told.get(&node).is_none_or(|told| told != address) {
            known.told.insert(node, address.to_owned());
            self.peers.set_addresses(&known.told);
        }
    }

    /// The other nodes that this one can call: as last saved, told by the metadata, or by beacons
    /// since.
    pub(crate) fn known_others(&self) -> Vec<NodeId> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let told = known.told.keys().copied();
        told.filter(|id| *id != self.id()).collect()
    }

    /// Where this node's peer port is reached.
    pub(crate) fn own_address(&self) -> &str {
        let address = self.identity.addresses.get(&self.config.node);
        address.map_or("", String::as_str)
    }

    /// Says who this node is, where the cluster does not know it as it is.
    pub(crate) fn announce(self: &Arc<Self>) {
        let count = &self.announcing_count;
        let begun = count.compare_exchange(0, COMMAND_COUNT, Ordering::AcqRel, Ordering::Acquire);
        if begun.is_err() {
            return;
        }
        let name = MetadataCommand::NameCluster {
            cluster_id: self.identity.cluster_id(),
        };
        for command in [name, MetadataCommand::RegisterNode(self.record())] {
            let node = Arc::clone(self);
            self.propose_metadata(command, move |outcome| {
                node.announcing_count.fetch_sub(1, Ordering::AcqRel);
                if let Ok(MetadataOutcome::Refused(error)) = outcome {
                    tracing::error!(?error, "the cluster does not take this node");
                }
            });
        }
    }

    /// Whether the cluster has a name and knows this node's addresses.
    pub(crate) fn is_announced(&self) -> bool {
        let topology = self.topology.load();
        let record = self.record();
        let is_known = topology.nodes().get(&record.id).is_some_and(|known| {
            known.peer_address == record.peer_address
                && known.kafka_host == record.kafka_host
                && known.kafka_port == record.kafka_port
                && known.rack == record.rack
        });
        is_known && !topology.cluster_id().is_empty()
    }

    fn record(&self) -> NodeRecord {
        NodeRecord {
            id: self.config.node,
            incarnation: 0,
            peer_address: self.own_address().to_owned(),
            kafka_host: self.config.kafka_host.clone(),
            kafka_port: self.config.kafka_port,
            rack: self.config.rack.clone(),
            state: NodeState::Active,
        }
    }
}
