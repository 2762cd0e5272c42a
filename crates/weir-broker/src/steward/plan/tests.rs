//! Single rules here; whole histories in [`histories`].

mod histories;
mod model;

use weir_raft::MemberChange::{AddLearner, AddVoter, Remove};

use super::{
    trial::{DOWN, DRAINING, SLOW, UP, facts, group, ids},
    *,
};

/// The actions for a single group.
fn next(nodes: &[NodeFacts], id: u32, group: GroupFacts) -> Vec<Action> {
    let steps = plan(&facts(nodes, &[(id, group)]), Limits::default());
    steps.into_iter().map(|step| step.action).collect()
}

fn change(changes: &[MemberChange]) -> Vec<Action> {
    vec![Action::ChangeMembers(changes.to_vec())]
}

#[test]
fn a_lone_voter_waits_for_two_learners_and_promotes_both_at_once() {
    let (two, three) = (NodeId(2), NodeId(3));
    let learners = change(&[AddLearner(two), AddLearner(three)]);
    assert_eq!(next(&[UP; 3], 1, group(&[1], &[], &[])), learners);
    assert_eq!(next(&[UP; 3], 1, group(&[1], &[2, 3], &[3])), []);
    let both = change(&[AddVoter(two), AddVoter(three)]);
    assert_eq!(next(&[UP; 3], 1, group(&[1], &[2, 3], &[])), both);
}

#[test]
fn with_two_active_nodes_one_votes_and_one_learns() {
    assert_eq!(
        next(&[UP; 2], 1, group(&[1], &[], &[])),
        change(&[AddLearner(NodeId(2))])
    );
    assert_eq!(next(&[UP; 2], 1, group(&[1], &[2], &[])), []);
}

#[test]
fn two_voters_remain_when_the_third_node_leaves() {
    let nodes = [UP, UP, DRAINING];
    let gone = change(&[Remove(NodeId(3))]);
    assert_eq!(next(&nodes, 1, group(&[1, 2, 3], &[], &[])), gone);
    assert_eq!(next(&nodes, 1, group(&[1, 2], &[], &[])), []);
    // Node 2 lags: without node 3 the log would be on one node alone.
    assert_eq!(next(&nodes, 1, group(&[1, 2, 3], &[], &[2])), []);
}

#[test]
fn a_replacement_comes_and_goes_in_one_change() {
    let nodes = [UP, UP, DRAINING, UP];
    let come = change(&[AddLearner(NodeId(4))]);
    assert_eq!(next(&nodes, 1, group(&[1, 2, 3], &[], &[])), come);
    assert_eq!(next(&nodes, 1, group(&[1, 2, 3], &[4], &[4])), []);
    let replace = change(&[AddVoter(NodeId(4)), Remove(NodeId(3))]);
    assert_eq!(next(&nodes, 1, group(&[1, 2, 3], &[4], &[])), replace);
}

#[test]
fn a_leader_that_leaves_or_is_slow_hands_over_first() {
    for first in [DRAINING, SLOW] {
        let nodes = [first, DOWN, UP, UP];
        let hand_over = vec![Action::Transfer(NodeId(3))];
        assert_eq!(next(&nodes, 1, group(&[1, 2, 3], &[4], &[])), hand_over);
    }
    let nodes = [SLOW, SLOW, SLOW];
    assert_eq!(next(&nodes, 1, group(&[1, 2, 3], &[], &[])), []);
}

#[test]
fn a_lone_leader_that_leaves_votes_until_it_has_handed_over() {
    let nodes = [DRAINING, UP];
    let join = change(&[AddVoter(NodeId(2))]);
    assert_eq!(next(&nodes, 1, group(&[1], &[2], &[])), join);
    let hand_over = vec![Action::Transfer(NodeId(2))];
    assert_eq!(next(&nodes, 1, group(&[1, 2], &[], &[])), hand_over);
    let gone = change(&[Remove(NodeId(1))]);
    assert_eq!(next(&nodes, 1, group(&[2, 1], &[], &[])), gone);
}

#[test]
fn the_metadata_group_has_five_voters_and_the_rest_learns() {
    let grow = next(&[UP; 6], 0, group(&[1, 2, 3], &[4, 5, 6], &[]));
    assert_eq!(grow, change(&[AddVoter(NodeId(4)), AddVoter(NodeId(5))]));
    let full = group(&[1, 2, 3, 4, 5], &[6], &[]);
    assert_eq!(next(&[UP; 6], 0, full), []);
    // Four would stand no more losses than three.
    assert_eq!(next(&[UP; 4], 0, group(&[1, 2, 3], &[4], &[])), []);
    let one_leaves = [UP, UP, UP, UP, DRAINING];
    let shrink = change(&[AddLearner(NodeId(5)), AddLearner(NodeId(4))]);
    let five = group(&[1, 2, 3, 4, 5], &[], &[]);
    assert_eq!(next(&one_leaves, 0, five), shrink);
}

#[test]
fn a_removed_node_leaves_the_metadata_group_and_a_draining_one_learns_on() {
    let nodes = [UP, UP, UP, DRAINING];
    assert_eq!(next(&nodes, 0, group(&[1, 2, 3], &[4], &[])), []);
    let gone = change(&[Remove(NodeId(4))]);
    assert_eq!(next(&nodes[..3], 0, group(&[1, 2, 3], &[4], &[])), gone);
}

#[test]
fn nothing_happens_to_a_group_that_rests_changes_or_is_not_led() {
    let nodes = [UP; 3];
    let alone = || group(&[1], &[], &[]);
    assert_eq!(next(&nodes, 1, alone()).len(), 1);
    let mut resting = alone();
    resting.is_resting = true;
    assert_eq!(next(&nodes, 1, resting), []);
    let with = |edit: &dyn Fn(&mut GroupView)| {
        let mut group = alone();
        edit(Arc::make_mut(&mut group.view));
        group
    };
    let changing = with(&|view| view.members.voters_outgoing = ids(&[1, 2]));
    assert_eq!(next(&nodes, 1, changing), []);
    assert_eq!(next(&nodes, 1, with(&|view| view.leader = None)), []);
    assert_eq!(next(&[DOWN, UP, UP], 1, alone()), []);
}

#[test]
fn learners_come_a_few_at_a_time() {
    let groups: Vec<_> = (1..=9).map(|id| (id, group(&[1], &[], &[]))).collect();
    let steps = plan(&facts(&[UP; 3], &groups), Limits::default());
    let added = |step: &Step| match &step.action {
        Action::ChangeMembers(changes) => changes.len(),
        Action::Transfer(_) => 0,
    };
    assert_eq!(
        steps.iter().map(added).sum::<usize>(),
        MAX_LEARNERS_AT_ONCE_COUNT
    );
    let busy: Vec<_> = (1..=2)
        .map(|id| (id, group(&[1], &[2, 3], &[2, 3])))
        .chain((3..=9).map(|id| (id, group(&[1], &[], &[]))))
        .collect();
    assert_eq!(plan(&facts(&[UP; 3], &busy), Limits::default()), []);
    // Lost nodes hold nothing up.
    assert_ne!(
        plan(&facts(&[UP, UP, DOWN, UP], &busy), Limits::default()),
        []
    );
}

#[test]
fn leaders_spread_two_at_a_time_and_not_past_balance() {
    let groups: Vec<_> = (1..=6)
        .map(|id| (id, group(&[1, 2, 3], &[], &[])))
        .collect();
    let steps = plan(&facts(&[UP; 3], &groups), Limits::default());
    let transfers: Vec<_> = steps.into_iter().map(|step| step.action).collect();
    let to = |node| Action::Transfer(NodeId(node));
    assert_eq!(transfers, [to(2), to(3)]);
    let all = Limits {
        transfers_at_once: 100,
        ..Limits::default()
    };
    assert_eq!(plan(&facts(&[UP; 3], &groups), all).len(), 4);
    assert_eq!(plan(&facts(&[UP, SLOW, DOWN], &groups), all), []);
}

#[test]
fn a_shard_goes_where_people_want_it_one_replica_at_a_time_and_stays_there() {
    let steps = |nodes: &[NodeFacts], wanted: &[u64], group: GroupFacts| {
        let mut facts = facts(nodes, &[(1, group)]);
        let wanted = ids(wanted).into_iter().collect();
        facts.placements.insert(GroupId(1), wanted);
        let steps = plan(&facts, Limits::default());
        steps
            .into_iter()
            .map(|step| step.action)
            .collect::<Vec<_>>()
    };
    let wanted = [4, 5, 1];
    let come = change(&[AddLearner(NodeId(4))]);
    assert_eq!(steps(&[UP; 5], &wanted, group(&[1, 2, 3], &[], &[])), come);
    assert_eq!(steps(&[UP; 5], &wanted, group(&[1, 2, 3], &[4], &[4])), []);
    let replace = change(&[AddVoter(NodeId(4)), Remove(NodeId(3))]);
    let first = group(&[1, 2, 3], &[4], &[]);
    assert_eq!(steps(&[UP; 5], &wanted, first), replace);
    // A leader that goes hands over first.
    let led = group(&[2, 1, 4], &[5], &[]);
    assert_eq!(steps(&[UP; 5], &wanted, led), [Action::Transfer(NodeId(1))]);
    let there = || group(&[1, 4, 5], &[], &[]);
    assert_eq!(steps(&[UP; 9], &wanted, there()), []);
    // Nodes that are down are waited for; what is wanted on one that drains is wanted no more.
    let down = [UP, UP, UP, DOWN, DOWN];
    assert_eq!(steps(&down, &wanted, group(&[1, 2, 3], &[], &[])), []);
    let draining = [UP, UP, UP, UP, DRAINING];
    assert_eq!(steps(&draining, &wanted, group(&[1, 2, 3], &[], &[])), []);
}
