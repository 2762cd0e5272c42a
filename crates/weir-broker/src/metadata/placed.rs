//! Where people want groups: `u32` group, then two lists of nodes, each `u32` count and a `u64`
//! for each: those that are wanted, and those that there were before.

use std::{collections::BTreeSet, sync::Arc};

use weir_model::{ErrorKind, GroupId, NodeId};

use super::{
    outcome::MetadataOutcome,
    record::NodeState,
    state::{FOUNDER, MetadataState},
};
use crate::encoding::{DecodeError, Reader, Writer};

/// Most nodes that one group may be wanted on: as many as may vote in it.
const MAX_PLACED_COUNT: usize = 64;

/// Where a group is wanted. The steward moves it there and keeps it there, until one of the nodes
/// is drained or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// On these nodes, the one that is to be told as preferred leader first.
    pub nodes: Vec<NodeId>,
    /// Where it was when that was asked for: where a cancelled move goes back to.
    pub before: Vec<NodeId>,
}

/// A wish for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceGroup {
    /// Which.
    pub group: GroupId,
    /// Where.
    pub placement: Placement,
}

impl MetadataState {
    pub(super) fn place_group(&mut self, place: PlaceGroup) -> Result<MetadataOutcome, ErrorKind> {
        let PlaceGroup { group, placement } = place;
        let nodes = &placement.nodes;
        let is_active = |node: &NodeId| {
            let known = self.topology.nodes.get(node);
            known.is_some_and(|known| known.state == NodeState::Active)
        };
        let are_distinct = nodes.iter().collect::<BTreeSet<_>>().len() == nodes.len();
        // A group that carries nothing has nobody who could have asked for it.
        let is_fit = self.topology.load.contains_key(&group)
            && is_fit(&placement)
            && are_distinct
            && nodes.iter().all(is_active);
        if !is_fit {
            return Err(ErrorKind::InvalidReplicaAssignment);
        }
        Arc::make_mut(&mut self.topology.placements).insert(group, placement);
        Ok(MetadataOutcome::GroupPlaced)
    }

    /// Nobody is wanted on a node that is to carry nothing.
    pub(super) fn forget_placements_on(&mut self, node: NodeId) {
        let placements = &mut self.topology.placements;
        if placements.values().any(|each| each.nodes.contains(&node)) {
            Arc::make_mut(placements).retain(|_, each| !each.nodes.contains(&node));
        }
    }

    pub(super) fn read_placement(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let place = PlaceGroup::read(reader)?;
        let given = FOUNDER.0..self.next_node;
        let is_known = |node: &NodeId| given.contains(&node.0);
        let placements = Arc::make_mut(&mut self.topology.placements);
        let is_fit = is_fit(&place.placement) && place.placement.nodes.iter().all(is_known);
        let is_next = placements.keys().next_back() < Some(&place.group);
        if !is_fit || !is_next {
            return Err(reader.invalid("placement"));
        }
        placements.insert(place.group, place.placement);
        Ok(())
    }
}

fn is_fit(placement: &Placement) -> bool {
    (1..=MAX_PLACED_COUNT).contains(&placement.nodes.len())
        && placement.before.len() <= MAX_PLACED_COUNT
}

impl PlaceGroup {
    pub(super) fn write(&self, writer: &mut Writer) {
        write(writer, self.group, &self.placement);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let group = GroupId(reader.u32()?);
        let nodes = read_nodes(reader)?;
        let before = read_nodes(reader)?;
        let placement = Placement { nodes, before };
        Ok(Self { group, placement })
    }
}

pub(super) fn write(writer: &mut Writer, group: GroupId, placement: &Placement) {
    writer.u32(group.0);
    for nodes in [&placement.nodes, &placement.before] {
        writer.count(nodes.len());
        nodes.iter().for_each(|node| writer.u64(node.0));
    }
}

fn read_nodes(reader: &mut Reader<'_>) -> Result<Vec<NodeId>, DecodeError> {
    let mut nodes = Vec::new();
    for _ in 0..reader.count(8)? {
        nodes.push(NodeId(reader.u64()?));
    }
    Ok(nodes)
}
