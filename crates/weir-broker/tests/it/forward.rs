//! Commands of the metadata group from nodes that do not lead it.

use std::sync::{Arc, Mutex, atomic::Ordering};

use weir_access::{Seed, User};
use weir_broker::{
    Identity, Node,
    access::AccessCommand,
    join,
    metadata::{MetadataCommand, MetadataOutcome},
};
use weir_model::{ErrorKind, GroupId, NodeId};

use crate::cluster::Cluster;

/// Longer than a node waits to apply what was decided elsewhere, in ms.
const APPLY_WAIT_MS: u64 = 10_000;
/// Longer than the pause between two tries, in ms.
const RETRY_MS: u64 = 300;

type Heard = Arc<Mutex<Option<Result<MetadataOutcome, ErrorKind>>>>;

fn propose(node: &Arc<Node>, command: MetadataCommand) -> Heard {
    let heard = Heard::default();
    let slot = Arc::clone(&heard);
    node.propose_metadata(command, move |outcome| {
        let before = slot.lock().unwrap().replace(outcome);
        assert!(before.is_none(), "heard twice");
    });
    heard
}

fn allocate() -> MetadataCommand {
    MetadataCommand::AllocateProducerIds {
        node: NodeId(2),
        count: 10,
    }
}

#[test]
fn a_node_is_admitted_once_per_incarnation() {
    let mut cluster = Cluster::founded();
    let first = join::read_answer(cluster.ask_to_join(7)).unwrap();
    let again = join::read_answer(cluster.ask_to_join(7)).unwrap();
    let other = join::read_answer(cluster.ask_to_join(8)).unwrap();
    assert_eq!(
        (first.node, again, other.node),
        (NodeId(2), first.clone(), NodeId(3))
    );
    let founder = Identity::load(&*cluster.members[0].disk).unwrap().unwrap();
    assert_eq!((first.cluster, first.shard_count), (founder.cluster, 2));
    assert_eq!(first.addresses[&NodeId(1)], "127.0.0.1:9001");
    assert_eq!(founder.addresses.len(), 3);
    assert_eq!(
        *cluster.members[0].port.addresses.lock().unwrap(),
        founder.addresses
    );
    let refused = join::read_answer(cluster.ask_to_join(0));
    assert!(matches!(refused, Err(join::JoinRefused::Refused(_))));
}

#[test]
fn a_follower_hears_of_its_command_once_it_has_waited_to_apply_it() {
    let mut cluster = Cluster::founded().with_joined();
    let node = Arc::clone(&cluster.members[1].node);
    assert_eq!(node.leader_of(GroupId::METADATA).unwrap().0, NodeId(1));
    let heard = propose(&node, allocate());
    cluster.settle();
    assert!(heard.lock().unwrap().is_none());
    cluster.pass(APPLY_WAIT_MS);
    let outcome = heard.lock().unwrap().take();
    assert!(matches!(
        outcome,
        Some(Ok(MetadataOutcome::ProducerIds { count: 10, .. }))
    ));
}

#[test]
fn a_follower_is_not_told_of_a_user_that_it_cannot_find_yet() {
    let mut cluster = Cluster::founded().with_joined();
    let command = MetadataCommand::Access(AccessCommand::CreateUser {
        user: User::new("anna"),
        seed: Seed([1; 32]),
    });
    let decided = propose(&cluster.members[0].node, command.clone());
    cluster.settle();
    assert!(matches!(*decided.lock().unwrap(), Some(Ok(_))));
    let heard = propose(&cluster.members[1].node, command);
    cluster.settle();
    assert!(heard.lock().unwrap().is_none());
    cluster.pass(APPLY_WAIT_MS);
    assert_eq!(*heard.lock().unwrap(), Some(Err(ErrorKind::TimedOut)));
}

#[test]
fn a_command_whose_answer_is_lost_is_tried_again() {
    let mut cluster = Cluster::founded().with_joined();
    // The node tells of its start first.
    cluster.pass(RETRY_MS);
    let before_count = cluster.wires.call_count.load(Ordering::Relaxed);
    cluster.wires.lost_count.store(1, Ordering::Relaxed);
    let heard = propose(&cluster.members[1].node, allocate());
    cluster.settle();
    let calls_count = cluster.wires.call_count.load(Ordering::Relaxed) - before_count;
    assert_eq!(calls_count, 1);
    cluster.pass(RETRY_MS);
    let calls_count = cluster.wires.call_count.load(Ordering::Relaxed) - before_count;
    assert_eq!(calls_count, 2);
    cluster.pass(APPLY_WAIT_MS);
    assert!(matches!(*heard.lock().unwrap(), Some(Ok(_))));
}

#[test]
fn without_a_leader_that_answers_a_command_fails_in_the_end() {
    let mut cluster = Cluster::founded().with_joined();
    let node = Arc::clone(&cluster.members[1].node);
    node.peer_changed(NodeId(1), false);
    cluster.wires.lost_count.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(node.leader_of(GroupId::METADATA), None);
    let heard = propose(&node, allocate());
    for _ in 0..100 {
        cluster.pass(RETRY_MS);
    }
    let heard = heard.lock().unwrap().take();
    assert!(
        matches!(heard, Some(Err(error)) if error.retriable()),
        "{heard:?}"
    );
}

#[test]
fn a_removed_node_is_not_registered_again() {
    let mut cluster = Cluster::founded().with_joined();
    let founder = Arc::clone(&cluster.members[0].node);
    let removed = propose(&founder, MetadataCommand::RemoveNode { node: NodeId(2) });
    cluster.settle();
    assert_eq!(
        *removed.lock().unwrap(),
        Some(Ok(MetadataOutcome::NodeRemoved(NodeId(2))))
    );
    let next = join::read_answer(cluster.ask_to_join(7)).unwrap();
    assert_eq!(next.node, NodeId(3));
}

#[test]
fn a_caller_that_is_no_member_changes_nothing() {
    let mut cluster = Cluster::founded();
    let mut request = vec![2];
    request.extend(MetadataCommand::RemoveNode { node: NodeId(1) }.encode());
    let answered = Arc::new(Mutex::new(false));
    let slot = Arc::clone(&answered);
    let answer = Box::new(move |_| *slot.lock().unwrap() = true);
    let founder = Arc::clone(&cluster.members[0].node);
    founder.take_call(NodeId(0), request.into(), answer);
    cluster.settle();
    assert!(!*answered.lock().unwrap());
}
