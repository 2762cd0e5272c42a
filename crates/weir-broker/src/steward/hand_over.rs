//! A node that is about to stop, or whose disk is slow, hands over what it leads.

use weir_model::{GroupId, NodeId};
use weir_raft::Input;

use super::{
    cluster,
    plan::{Facts, Group},
};
use crate::Node;

impl Node {
    /// Asks for another leader of every group that this node leads and another node can lead.
    /// Answers how many those are: to be repeated until none is left, for a while. Until the
    /// next start nobody hands a group to this node unless nobody else is left.
    pub fn hand_over(&self) -> usize {
        self.set_slow(true);
        let facts = cluster::facts(self);
        let led = facts.groups.keys().filter_map(|id| facts.group(*id));
        let led = led.filter(|group| group.leader == self.id() && self.leads(group.id));
        let moves = led.filter_map(|group| Some((group.id, successor(&facts, &group)?)));
        let moves: Vec<(GroupId, NodeId)> = moves.collect();
        for (group, to) in &moves {
            let (group, to) = (*group, *to);
            let handle = self.handle_of(group);
            handle.send(Input::TransferLeadership { group, to });
        }
        moves.len()
    }

    /// Whether this node leads any group.
    pub fn is_leading_anything(&self) -> bool {
        let mut statuses = self.statuses.iter();
        statuses.any(|status| status.leader() == Some(self.id()))
    }
}

/// The same for as long as nothing changes, since a second choice would stop the first; different
/// from group to group, so that no node gets all.
fn successor(facts: &Facts, group: &Group<'_>) -> Option<NodeId> {
    let others = group.voters().iter().copied();
    let sound: Vec<NodeId> = others
        .filter(|node| *node != group.leader && group.is_sound(facts, *node))
        .collect();
    let fit = |node: &NodeId| facts.is_active(*node) && !facts.is_slow(*node);
    let fit: Vec<NodeId> = sound.into_iter().filter(fit).collect();
    let at = usize::try_from(group.id.0).ok()?.checked_rem(fit.len())?;
    fit.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::{
        super::plan::trial::{DOWN, DRAINING, SLOW, UP, facts, group},
        *,
    };

    #[test]
    fn groups_go_to_sound_voters_by_turns_and_to_nobody_else() {
        let nodes = [UP, UP, DOWN, SLOW, DRAINING, UP];
        let groups: Vec<_> = (1..=4)
            .map(|id| (id, group(&[1, 2, 3, 4, 5, 6], &[], &[])))
            .chain([
                (5, group(&[1], &[2], &[])),
                (6, group(&[1, 2, 6], &[], &[2])),
            ])
            .collect();
        let facts = facts(&nodes, &groups);
        let heirs = (1..=6).map(|id| successor(&facts, &facts.group(GroupId(id)).unwrap()));
        let heirs: Vec<_> = heirs.map(|heir| heir.map(|node| node.0)).collect();
        assert_eq!(heirs, [Some(6), Some(2), Some(6), Some(2), None, Some(6)]);
    }
}
