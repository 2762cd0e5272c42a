//! Who takes part in a group, in words that do not name raft-rs.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};
use weir_model::NodeId;

/// Most nodes of any role in one group.
pub const MAX_MEMBERS_COUNT: usize = 64;

/// A group's configuration, joint ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Nodes that vote.
    pub voters: Vec<NodeId>,
    /// Nodes that receive the log and do not vote.
    pub learners: Vec<NodeId>,
    /// Voters of the configuration being left, while a change is under way.
    pub voters_outgoing: Vec<NodeId>,
    /// Voters that become learners once the change is through.
    pub learners_next: Vec<NodeId>,
    /// Whether the group leaves the joint configuration by itself.
    pub auto_leave: bool,
}

impl Members {
    /// A group with one voter.
    pub fn alone(node: NodeId) -> Self {
        Self {
            voters: vec![node],
            ..Self::default()
        }
    }

    /// Whether `node` takes part, in whatever role.
    pub fn names(&self, node: NodeId) -> bool {
        self.all().any(|member| member == node)
    }

    /// Whether a change is half way through.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// Everyone, some twice.
    pub(crate) fn all(&self) -> impl Iterator<Item = NodeId> + '_ {
        let voters = self.voters.iter().chain(&self.voters_outgoing);
        voters
            .chain(&self.learners)
            .chain(&self.learners_next)
            .copied()
    }

    /// Whether a group can have these members: raft-rs takes no others.
    pub(crate) fn is_sound(&self) -> bool {
        let lists = [
            &self.voters,
            &self.learners,
            &self.voters_outgoing,
            &self.learners_next,
        ];
        let is_set = |list: &&Vec<NodeId>| {
            let mut sorted = (*list).clone();
            sorted.sort_unstable();
            sorted.dedup();
            sorted.len() == list.len() && list.len() <= MAX_MEMBERS_COUNT
        };
        let votes =
            |node: &NodeId| self.voters.contains(node) || self.voters_outgoing.contains(node);
        let next = &self.learners_next;
        lists.iter().all(is_set)
            && !self.voters.is_empty()
            && !self.names(NodeId(raft::INVALID_ID))
            && !self.learners.iter().any(votes)
            && next.iter().all(|node| self.voters_outgoing.contains(node))
            && !next.iter().any(|node| self.voters.contains(node))
            && (self.is_joint() || !self.auto_leave)
    }

    /// Appends the encoding: four lists (count u8, ids u64), auto-leave u8.
    pub fn encode(&self, out: &mut BytesMut) {
        for list in [
            &self.voters,
            &self.learners,
            &self.voters_outgoing,
            &self.learners_next,
        ] {
            assert!(
                list.len() <= MAX_MEMBERS_COUNT,
                "a group's size is checked when it changes"
            );
            out.put_u8(u8::try_from(list.len()).expect("64 fits in a byte"));
            list.iter().for_each(|node| out.put_u64_le(node.0));
        }
        out.put_u8(u8::from(self.auto_leave));
    }

    /// Takes the encoding off the front of `bytes`; `None` where it is damaged.
    pub fn decode(bytes: &mut Bytes) -> Option<Self> {
        let mut list = || -> Option<Vec<NodeId>> {
            let count = usize::from(bytes.try_get_u8().ok()?);
            if count > MAX_MEMBERS_COUNT || bytes.len() < count * 8 {
                return None;
            }
            Some((0..count).map(|_| NodeId(bytes.get_u64_le())).collect())
        };
        Some(Self {
            voters: list()?,
            learners: list()?,
            voters_outgoing: list()?,
            learners_next: list()?,
            auto_leave: bytes.try_get_u8().ok()? != 0,
        })
    }

    pub(crate) fn to_conf_state(&self) -> ConfState {
        let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
        ConfState {
            voters: ids(&self.voters),
            learners: ids(&self.learners),
            voters_outgoing: ids(&self.voters_outgoing),
            learners_next: ids(&self.learners_next),
            auto_leave: self.auto_leave,
            ..ConfState::default()
        }
    }

    /// In ascending order: raft-rs's own depends on how the configuration came about.
    pub(crate) fn from_conf_state(state: &ConfState) -> Self {
        let nodes = |ids: &[u64]| {
            let mut nodes: Vec<NodeId> = ids.iter().copied().map(NodeId).collect();
            nodes.sort_unstable();
            nodes
        };
        Self {
            voters: nodes(&state.voters),
            learners: nodes(&state.learners),
            voters_outgoing: nodes(&state.voters_outgoing),
            learners_next: nodes(&state.learners_next),
            auto_leave: state.auto_leave,
        }
    }
}

/// One step of a change of a group's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// The node votes from now on.
    AddVoter(NodeId),
    /// The node receives the log and does not vote.
    AddLearner(NodeId),
    /// The node takes no part any more.
    Remove(NodeId),
}

pub(crate) fn to_conf_change(changes: &[MemberChange]) -> ConfChangeV2 {
    let single = |change: &MemberChange| {
        let (change_type, node) = match change {
            MemberChange::AddVoter(node) => (ConfChangeType::AddNode, node),
            MemberChange::AddLearner(node) => (ConfChangeType::AddLearnerNode, node),
            MemberChange::Remove(node) => (ConfChangeType::RemoveNode, node),
        };
        ConfChangeSingle {
            change_type,
            node_id: node.0,
            ..ConfChangeSingle::default()
        }
    };
    // Who is removed may forget the log once the group is out of the joint configuration: only
    // that says that the others have everything without it.
    let removes = |change: &MemberChange| matches!(change, MemberChange::Remove(_));
    let transition = if changes.iter().any(removes) {
        ConfChangeTransition::Implicit
    } else {
        ConfChangeTransition::Auto
    };
    let changes: Vec<ConfChangeSingle> = changes.iter().map(single).collect();
    ConfChangeV2 {
        transition,
        changes: changes.into(),
        ..ConfChangeV2::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_no_group_can_have_are_told_from_sound_ones() {
        let alone = Members::alone(NodeId(1));
        assert!(alone.is_sound());
        let broken: [fn(&mut Members); 6] = [
            |members| members.voters.clear(),
            |members| members.voters.push(NodeId(1)),
            |members| members.learners.push(NodeId(1)),
            |members| members.learners.push(NodeId(0)),
            |members| members.learners_next.push(NodeId(2)),
            |members| members.auto_leave = true,
        ];
        for (at, damage) in broken.iter().enumerate() {
            let mut members = alone.clone();
            damage(&mut members);
            assert!(!members.is_sound(), "damage {at}");
        }
    }

    #[test]
    fn members_read_back_and_every_cut_is_refused() {
        let members = Members {
            voters: vec![NodeId(1), NodeId(2)],
            learners: vec![NodeId(9)],
            auto_leave: true,
            ..Members::default()
        };
        let mut out = BytesMut::new();
        members.encode(&mut out);
        let bytes = out.freeze();
        assert_eq!(Members::decode(&mut bytes.clone()), Some(members));
        for cut in 0..bytes.len() {
            assert_eq!(
                Members::decode(&mut bytes.slice(..cut)),
                None,
                "cut at {cut}"
            );
        }
    }
}
