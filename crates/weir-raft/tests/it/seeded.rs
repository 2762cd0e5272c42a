//! What each seeded bug breaks: without the bug, the opposite holds.

use std::sync::mpsc::channel;

use weir_model::NodeId;
use weir_raft::{Input, MemberChange, RaftBug};

use crate::{cluster::Cluster, harness::GROUP};

fn three(bug: Option<RaftBug>) -> Cluster {
    let mut cluster = Cluster::new(&[1, 2, 3], 3);
    if let Some(bug) = bug {
        let nodes = cluster.nodes.iter_mut();
        nodes.for_each(|node| node.worker.seed_bug(bug));
    }
    cluster.run(5_000);
    cluster
}

fn isolated_leader_answers(bug: Option<RaftBug>) -> bool {
    let mut cluster = three(bug);
    let leader = cluster.leader();
    cluster.cut_off.insert(leader);
    let told = cluster.nodes[leader].add(1);
    cluster.run(500);
    told.try_recv().is_ok()
}

#[test]
fn ack_before_quorum_answers_what_one_node_has() {
    assert!(isolated_leader_answers(Some(RaftBug::AckBeforeQuorum)));
    assert!(!isolated_leader_answers(None));
}

#[test]
fn forget_vote_leaves_no_vote_on_disk() {
    for (bug, forgets) in [(None, false), (Some(RaftBug::ForgetVote), true)] {
        let cluster = three(bug);
        let vote = cluster.nodes[0].wal.recovered(GROUP).hard_state.vote;
        assert_eq!(vote == 0, forgets);
    }
}

#[test]
fn apply_before_commit_shows_what_may_be_taken_back() {
    for (bug, shows) in [(None, false), (Some(RaftBug::ApplyBeforeCommit), true)] {
        let mut cluster = three(bug);
        let leader = cluster.leader();
        let follower = (leader + 1) % 3;
        cluster.nodes[leader].add(7);
        let messages = cluster.nodes[leader].settle();
        messages
            .into_iter()
            .for_each(|message| cluster.hand_over(message));
        cluster.nodes[follower].settle();
        assert_eq!(cluster.sums()[follower] == 7, shows);
    }
}

#[test]
fn learner_counts_as_voter_commits_without_a_quorum() {
    for (bug, commits) in [(None, false), (Some(RaftBug::LearnerCountsAsVoter), true)] {
        let mut cluster = three(bug);
        let leader = cluster.leader();
        let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
        let learner = MemberChange::AddLearner(NodeId(others[0] as u64 + 1));
        cluster.change(vec![learner]).unwrap();
        assert_eq!(cluster.leader(), leader);
        cluster.cut_off.insert(others[1]);
        let told = cluster.nodes[leader].add(1);
        cluster.run(500);
        assert_eq!(told.try_recv().is_ok(), commits);
    }
}

#[test]
fn stale_leader_reads_lets_a_cut_off_leader_answer() {
    for (bug, answers) in [(None, false), (Some(RaftBug::StaleLeaderReads), true)] {
        let mut cluster = three(bug);
        let leader = cluster.leader();
        cluster.cut_off.insert(leader);
        let (tell, told) = channel();
        let done = Box::new(move |outcome| tell.send(outcome).unwrap());
        let input = Input::ReadBarrier { group: GROUP, done };
        cluster.nodes[leader].handle.send(input);
        cluster.run(500);
        assert_eq!(told.try_recv().is_ok(), answers);
    }
}
