//! Who is in the cluster: nodes come, change and go; an id is given once.

use std::sync::Arc;

use weir_model::{ErrorKind, NodeId};

use super::{
    outcome::MetadataOutcome,
    record::{NodeRecord, NodeState},
    state::{FOUNDER, MAX_HOST_BYTES, MAX_NODES, MetadataState},
};

/// Longest peer address, in bytes: the longest host, a colon and a port.
pub(super) const MAX_ADDRESS_BYTES: usize = MAX_HOST_BYTES + 6;

/// Longest rack, in bytes.
const MAX_RACK_BYTES: usize = 255;

type Outcome = Result<MetadataOutcome, ErrorKind>;

impl MetadataState {
    /// The state of a cluster that several nodes found together: ids from the founder's on, with
    /// their peer addresses.
    pub(crate) fn founded_by<'a>(
        addresses: impl Iterator<Item = &'a String>,
        kafka_host: &str,
        kafka_port: u16,
    ) -> Self {
        let mut state = Self::new();
        let nodes = Arc::make_mut(&mut state.topology.nodes);
        for peer_address in addresses {
            let id = NodeId(state.next_node);
            state.next_node += 1;
            let record = NodeRecord {
                id,
                incarnation: 0,
                peer_address: peer_address.clone(),
                kafka_host: kafka_host.to_owned(),
                kafka_port,
                rack: None,
                state: NodeState::Active,
            };
            nodes.insert(id, record);
        }
        state
    }

    pub(super) fn register(&mut self, node: NodeRecord) -> Outcome {
        check_addresses(&node.peer_address, &node.kafka_host)?;
        let fits = |rack: &String| (1..=MAX_RACK_BYTES).contains(&rack.len());
        if !node.rack.as_ref().is_none_or(fits) {
            return Err(ErrorKind::InvalidRequest);
        }
        let id = node.id;
        let is_founding = id == FOUNDER && self.next_node == FOUNDER.0;
        let nodes = Arc::make_mut(&mut self.topology.nodes);
        match nodes.get_mut(&id) {
            Some(known) => {
                known.peer_address = node.peer_address;
                known.kafka_host = node.kafka_host;
                known.kafka_port = node.kafka_port;
                known.rack = node.rack;
            }
            None if is_founding => {
                self.next_node = FOUNDER.0 + 1;
                nodes.insert(id, node);
            }
            // Removed, or never admitted.
            None => return Err(ErrorKind::InvalidRequest),
        }
        Ok(MetadataOutcome::NodeRegistered(id))
    }

    pub(super) fn admit(
        &mut self,
        incarnation: u128,
        peer_address: String,
        kafka_host: String,
        kafka_port: u16,
    ) -> Outcome {
        check_addresses(&peer_address, &kafka_host)?;
        if incarnation == 0 || peer_address.is_empty() {
            return Err(ErrorKind::InvalidRequest);
        }
        if self.next_node == FOUNDER.0 {
            // The first id is the founder's, which is not registered yet.
            return Err(ErrorKind::NotLeader);
        }
        let nodes = &self.topology.nodes;
        let known = nodes.values().find(|node| node.incarnation == incarnation);
        let (id, state, rack) = match known {
            Some(known) => (known.id, known.state, known.rack.clone()),
            None if nodes.len() >= MAX_NODES => return Err(ErrorKind::Overloaded),
            None => {
                let id = NodeId(self.next_node);
                self.next_node = id.0.checked_add(1).ok_or(ErrorKind::Overloaded)?;
                // It tells its rack when it announces itself.
                (id, NodeState::Active, None)
            }
        };
        let record = NodeRecord {
            id,
            incarnation,
            peer_address,
            kafka_host,
            kafka_port,
            rack,
            state,
        };
        Arc::make_mut(&mut self.topology.nodes).insert(id, record);
        Ok(MetadataOutcome::NodeAdmitted(id))
    }

    pub(super) fn set_node_state(&mut self, node: NodeId, state: NodeState) -> Outcome {
        let known = Arc::make_mut(&mut self.topology.nodes).get_mut(&node);
        known.ok_or(ErrorKind::InvalidRequest)?.state = state;
        if state == NodeState::Draining {
            self.forget_placements_on(node);
        }
        Ok(MetadataOutcome::NodeStateSet(node))
    }

    pub(super) fn remove_node(&mut self, node: NodeId) -> Outcome {
        let is_known = self.topology.nodes.contains_key(&node);
        if is_known && self.topology.nodes.len() == 1 {
            // Nobody would be left to take it back.
            return Err(ErrorKind::InvalidRequest);
        }
        if !(FOUNDER.0..self.next_node).contains(&node.0) {
            return Err(ErrorKind::InvalidRequest);
        }
        if is_known {
            Arc::make_mut(&mut self.topology.nodes).remove(&node);
            self.forget_placements_on(node);
            self.routing_mut().node_removed(node);
        }
        Ok(MetadataOutcome::NodeRemoved(node))
    }
}

fn check_addresses(peer_address: &str, kafka_host: &str) -> Result<(), ErrorKind> {
    let is_fit =
        (1..=MAX_HOST_BYTES).contains(&kafka_host.len()) && peer_address.len() <= MAX_ADDRESS_BYTES;
    is_fit.then_some(()).ok_or(ErrorKind::InvalidRequest)
}
