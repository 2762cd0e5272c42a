//! Random clusters: whatever happened, the steps come to an end, in balance, and never take a
//! group's majority away.

use weir_model::{GroupId, NodeId};

use super::{
    super::{Limits, SHARD_REPLICA_COUNT, Standing, check_remove, plan},
    model::{Cluster, Dice},
};

const SEED_COUNT: u64 = 400;
const MAX_NODE_COUNT: u64 = 7;
const MAX_EVENT_COUNT: usize = 12;
/// Rounds within which all must be quiet: some hundred replicas come, a few at a time.
const MAX_ROUND_COUNT: usize = 2_000;
/// Rounds without a step after which nothing more comes.
const QUIET_ROUND_COUNT: usize = 6;
/// Replicas that may come besides: that of group 0, and some that went the long way round.
const SLACK_COUNT: usize = 3;

fn round(cluster: &mut Cluster, dice: &mut Dice) -> usize {
    let steps = plan(&cluster.facts(), Limits::default());
    for step in &steps {
        // Some get lost on their way.
        if !dice.one_in(8) {
            let rests = dice.below(4);
            cluster.apply(step, rests);
        }
    }
    cluster.settle(dice, 3);
    steps.len()
}

fn event(cluster: &mut Cluster, dice: &mut Dice, next_node: &mut u64) {
    let members: Vec<NodeId> = cluster.nodes.keys().copied().collect();
    let node = dice.pick(&members).unwrap();
    match dice.below(6) {
        0 | 1 if *next_node <= MAX_NODE_COUNT => {
            cluster.join(NodeId(*next_node));
            *next_node += 1;
        }
        2 => {
            let others = cluster
                .facts()
                .active()
                .filter(|other| *other != node)
                .count();
            if others > 0 {
                cluster.nodes.get_mut(&node).unwrap().standing = Standing::Draining;
            }
        }
        3 => cluster.nodes.get_mut(&node).unwrap().standing = Standing::Active,
        4 => {
            let is_up = cluster.running.contains(&node);
            cluster.set_running(node, !is_up);
        }
        _ => {
            if check_remove(&cluster.facts(), node).is_ok() {
                cluster.nodes.remove(&node);
            } else {
                let slow = &mut cluster.nodes.get_mut(&node).unwrap().is_slow;
                *slow = !*slow;
            }
        }
    }
}

/// Runs until no step came for a while. Answers rounds.
fn quieten(cluster: &mut Cluster, dice: &mut Dice, seed: u64) -> usize {
    let mut quiet_count = 0;
    for rounds in 0..MAX_ROUND_COUNT {
        let step_count = round(cluster, dice);
        quiet_count = if step_count == 0 && !cluster.is_catching_up() {
            quiet_count + 1
        } else {
            0
        };
        if quiet_count == QUIET_ROUND_COUNT {
            return rounds;
        }
    }
    let steps = plan(&cluster.facts(), Limits::default());
    panic!("seed {seed}: no end: {steps:?} of {cluster:#?}");
}

/// People want a shard on three active nodes, as far as there are three.
fn want(cluster: &mut Cluster, dice: &mut Dice, shard_count: u32) {
    let mut free: Vec<NodeId> = cluster.facts().active().collect();
    if free.len() < SHARD_REPLICA_COUNT {
        return;
    }
    let nodes = (0..SHARD_REPLICA_COUNT).map(|_| free.swap_remove(dice.below(free.len())));
    let nodes = nodes.collect();
    let shard = GroupId(1 + u32::try_from(dice.below(shard_count as usize)).unwrap());
    cluster.placements.insert(shard, nodes);
}

fn spread(counts: impl Iterator<Item = usize>) -> usize {
    let counts: Vec<usize> = counts.collect();
    counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0)
}

/// What holds once every node answers and all is quiet.
fn assert_in_order(cluster: &Cluster, seed: u64) {
    let facts = cluster.facts();
    let active: Vec<NodeId> = facts.active().collect();
    let is_active = |node: &&NodeId| active.contains(node);
    for (id, group) in &cluster.groups {
        let all = || group.voters.iter().chain(&group.learners);
        assert!(group.leader.is_some(), "seed {seed}: {id:?} {group:?}");
        if *id == GroupId::METADATA {
            assert_eq!(all().filter(is_active).count(), active.len(), "seed {seed}");
            assert!(all().all(|node| facts.nodes.contains_key(node)));
        } else {
            let wanted = SHARD_REPLICA_COUNT.min(active.len());
            assert_eq!(all().count(), wanted, "seed {seed}: {id:?} {group:?}");
        }
        assert!(
            group.voters.iter().all(|node| active.contains(node)),
            "seed {seed}: {id:?} {group:?}"
        );
        assert!(
            group.voters.len() % 2 == 1 || group.voters.len() == 2 && active.len() == 2,
            "seed {seed}: {group:?}"
        );
    }
    let shards = || cluster.groups.iter().filter(|(id, _)| id.0 != 0);
    let carried = active.iter().map(|node| {
        let carries =
            shards().filter(|(_, g)| g.voters.contains(node) || g.learners.contains(node));
        carries.count()
    });
    assert!(spread(carried) <= 1, "seed {seed}: {cluster:#?}");
    if active.len() >= 3 {
        let led = active.iter().map(|node| {
            let led = shards().filter(|(_, group)| group.leader == Some(*node));
            led.count()
        });
        // Group 0 counts, but does not move.
        assert!(spread(led) <= 2, "seed {seed}: {cluster:#?}");
    }
}

#[test]
fn any_history_ends_quiet_and_in_balance_and_no_step_takes_a_majority_away() {
    for seed in 0..SEED_COUNT {
        let mut dice = Dice(seed);
        let shard_count = 1 + u32::try_from(dice.below(24)).unwrap();
        let mut cluster = Cluster::founded(shard_count);
        let mut next_node = 2;
        for _ in 0..dice.below(MAX_EVENT_COUNT) {
            event(&mut cluster, &mut dice, &mut next_node);
            for _ in 0..dice.below(30) {
                round(&mut cluster, &mut dice);
            }
        }
        // Quiet comes with nodes down as well; order needs all.
        quieten(&mut cluster, &mut dice, seed);
        let members: Vec<NodeId> = cluster.nodes.keys().copied().collect();
        for node in members {
            cluster.set_running(node, true);
            cluster.nodes.get_mut(&node).unwrap().is_slow = false;
        }
        quieten(&mut cluster, &mut dice, seed);
        assert_in_order(&cluster, seed);
    }
}

#[test]
fn no_more_replicas_move_than_must() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let shard_count = 1 + u32::try_from(dice.below(32)).unwrap();
        let mut cluster = Cluster::founded(shard_count);
        let node_count = 3 + dice.below(4) as u64;
        (2..=node_count).for_each(|node| cluster.join(NodeId(node)));
        quieten(&mut cluster, &mut dice, seed);
        // What an even spread gives one more node.
        cluster.added_count = 0;
        cluster.join(NodeId(node_count + 1));
        quieten(&mut cluster, &mut dice, seed);
        let replica_count = SHARD_REPLICA_COUNT * shard_count as usize;
        let share = replica_count.div_ceil(node_count as usize + 1);
        assert!(
            cluster.added_count <= share + SLACK_COUNT,
            "seed {seed}: {} replicas came, the share is {share}",
            cluster.added_count
        );
        // One node leaves: its replicas move, and no others.
        let before = cluster.clone();
        let leaving = NodeId(1);
        let carried = before.groups.iter().filter(|(id, group)| {
            id.0 != 0 && (group.voters.contains(&leaving) || group.learners.contains(&leaving))
        });
        let carried_count = carried.count();
        cluster.added_count = 0;
        cluster.nodes.get_mut(&leaving).unwrap().standing = Standing::Draining;
        quieten(&mut cluster, &mut dice, seed);
        assert!(
            cluster.added_count <= carried_count + SLACK_COUNT,
            "seed {seed}: {} replicas came for {carried_count}",
            cluster.added_count
        );
    }
}

#[test]
fn shards_end_where_people_want_them_whatever_happened() {
    let mut wanted_count = 0;
    for seed in 0..SEED_COUNT / 4 {
        let mut dice = Dice(seed);
        let shard_count = 1 + u32::try_from(dice.below(12)).unwrap();
        let mut cluster = Cluster::founded(shard_count);
        let mut next_node = 2;
        for _ in 0..2 * MAX_EVENT_COUNT {
            if dice.one_in(2) {
                want(&mut cluster, &mut dice, shard_count);
            } else {
                event(&mut cluster, &mut dice, &mut next_node);
            }
            for _ in 0..dice.below(30) {
                round(&mut cluster, &mut dice);
            }
        }
        quieten(&mut cluster, &mut dice, seed);
        let members: Vec<NodeId> = cluster.nodes.keys().copied().collect();
        for node in members {
            cluster.set_running(node, true);
            cluster.nodes.get_mut(&node).unwrap().is_slow = false;
        }
        quieten(&mut cluster, &mut dice, seed);
        let facts = cluster.facts();
        for (id, group) in cluster.groups.iter().filter(|(id, _)| id.0 != 0) {
            if let Some(wanted) = facts.wanted(*id) {
                wanted_count += 1;
                assert_eq!(&group.voters, wanted, "seed {seed}: {id:?} {group:?}");
            }
            assert!(group.leader.is_some(), "seed {seed}: {id:?} {group:?}");
        }
    }
    assert!(wanted_count > 50, "{wanted_count}");
}
