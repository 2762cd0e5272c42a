//! People's requests: any node answers; what changes the cluster is decided by the node that
//! leads the metadata group, since it knows best.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{GroupId, NodeId};

use super::{
    admin::{AdminAnswer, AdminRequest},
    cluster,
    plan::{Action, Facts, Obstacle, Standing, Step, check_remove, list},
    status,
    step::{self, Order},
};
use crate::{Node, audit::Requester, peer::CallFailed};

const NOBODY_LEADS: &str = "no node leads the metadata group, or none that can be reached: it needs \
                            a majority of its nodes up";

/// Called once with the answer.
pub type AdminDone = Box<dyn FnOnce(AdminAnswer) + Send>;

/// A change of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Stand(NodeId, Standing),
    Remove(NodeId),
}

/// What to do about a request.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Done(String),
    Refuse(String),
    NotYet(String),
    Change(Change, String),
    Step(Step, String),
    Balance(String),
}

impl Node {
    /// Answers a person's request about the cluster, from this node or through it.
    pub fn admin(self: &Arc<Self>, by: &Requester, request: AdminRequest, done: AdminDone) {
        serve(self, By::Person(by), request, done);
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    Person(&'a Requester),
    /// A node that passes a request on, and has noted it.
    Node,
}

pub(super) fn serve(node: &Arc<Node>, by: By<'_>, request: AdminRequest, done: AdminDone) {
    if request == AdminRequest::Status {
        return done(AdminAnswer::Status(status::of(node)));
    }
    let (done, is_first) = match by {
        By::Node => (done, false),
        By::Person(by) => (node.noted(by, &request, AdminAnswer::refusal, done), true),
    };
    let facts = cluster::facts(node);
    let leader = facts.group(GroupId::METADATA).map(|group| group.leader);
    match leader {
        Some(leader) if leader == node.id() => {
            let decision = decide(&facts, &request);
            carry_out(node, &facts, decision, done);
        }
        Some(leader) if is_first => {
            let heard = move |answer| done(forwarded(leader, answer));
            node.peers.call(leader, request.to_call(), Box::new(heard));
        }
        Some(_) | None => done(not_yet(NOBODY_LEADS.to_owned())),
    }
}

fn forwarded(leader: NodeId, answer: Result<Bytes, CallFailed>) -> AdminAnswer {
    let answer = match answer {
        Ok(answer) => AdminAnswer::decode(&answer).map_err(|error| error.to_string()),
        Err(failed) => Err(failed.to_string()),
    };
    answer.unwrap_or_else(|reason| {
        refused(format!(
            "node {leader}, which decides: {reason}; look at the status before trying again"
        ))
    })
}

fn refused(reason: String) -> AdminAnswer {
    AdminAnswer::Refused { reason }
}

fn not_yet(reason: String) -> AdminAnswer {
    AdminAnswer::NotYet { reason }
}

fn carry_out(node: &Arc<Node>, facts: &Facts, decision: Decision, done: AdminDone) {
    let answer = |message: String| {
        move |result: Result<(), String>| match result {
            Ok(()) => AdminAnswer::Done { message },
            Err(reason) => refused(format!("{reason}; try again")),
        }
    };
    match decision {
        Decision::Done(message) => done(AdminAnswer::Done { message }),
        Decision::Refuse(reason) => done(refused(reason)),
        Decision::NotYet(reason) => done(not_yet(reason)),
        Decision::Balance(message) => {
            node.steward.want_balance();
            done(AdminAnswer::Done { message });
        }
        Decision::Change(change, message) => {
            let answer = answer(message);
            cluster::propose(node, change, Box::new(|result| done(answer(result))));
        }
        Decision::Step(step, message) => {
            let (leader, order) = Order::of(step, facts);
            let answer = answer(message);
            step::send(node, leader, order, Box::new(|result| done(answer(result))));
        }
    }
}

fn decide(facts: &Facts, request: &AdminRequest) -> Decision {
    match *request {
        AdminRequest::Status | AdminRequest::Balance => {
            Decision::Balance("leaders move until they are spread evenly".to_owned())
        }
        AdminRequest::Drain { node } => drain(facts, NodeId(node)),
        AdminRequest::Add { node } => add(facts, NodeId(node)),
        AdminRequest::Remove { node } => match check_remove(facts, NodeId(node)) {
            Ok(()) => Decision::Change(
                Change::Remove(NodeId(node)),
                format!(
                    "node {node} is out of the cluster; its data directory is of no use any more"
                ),
            ),
            Err(Obstacle::Lasting(reason)) => Decision::Refuse(reason),
            Err(Obstacle::Passing(reason)) => Decision::NotYet(reason),
        },
        AdminRequest::Transfer { group, node } => transfer(facts, GroupId(group), NodeId(node)),
    }
}

fn drain(facts: &Facts, node: NodeId) -> Decision {
    match facts.nodes.get(&node).map(|known| known.standing) {
        None => unknown(facts, node),
        Some(Standing::Draining) => Decision::Done(format!("node {node} drains already")),
        Some(Standing::Active) if facts.active_count() == 1 => Decision::Refuse(format!(
            "node {node} is the only active one: add another first"
        )),
        Some(Standing::Active) => Decision::Change(
            Change::Stand(node, Standing::Draining),
            format!("node {node} drains: the status tells when it votes nowhere any more"),
        ),
    }
}

fn add(facts: &Facts, node: NodeId) -> Decision {
    match facts.nodes.get(&node).map(|known| known.standing) {
        None => Decision::Refuse(format!(
            "there is no node {node}: a fresh node adds itself, by `weir serve --join HOST:PORT`"
        )),
        Some(Standing::Active) => Decision::Done(format!("node {node} is active already")),
        Some(Standing::Draining) => Decision::Change(
            Change::Stand(node, Standing::Active),
            format!("node {node} is active: it gets its share bit by bit"),
        ),
    }
}

fn transfer(facts: &Facts, id: GroupId, to: NodeId) -> Decision {
    if !facts.groups.contains_key(&id) {
        return Decision::Refuse(format!("there is no group {id}"));
    }
    if !facts.nodes.contains_key(&to) {
        return unknown(facts, to);
    }
    let Some(group) = facts.group(id) else {
        return Decision::NotYet(format!("group {id} has no leader"));
    };
    if group.leader == to {
        return Decision::Done(format!("node {to} leads group {id} already"));
    }
    if !group.voters().contains(&to) {
        let voters = list(&group.voters().iter().collect::<Vec<_>>());
        return Decision::Refuse(format!(
            "node {to} does not vote in group {id}: choose one of {voters}"
        ));
    }
    if !group.is_sound(facts, to) {
        return Decision::Refuse(format!(
            "node {to} is down or behind in group {id}: try again once it has caught up"
        ));
    }
    let step = Step {
        group: id,
        leader: group.leader,
        action: Action::Transfer(to),
    };
    Decision::Step(
        step,
        format!("group {id} goes from node {} to node {to}", group.leader),
    )
}

fn unknown(facts: &Facts, node: NodeId) -> Decision {
    let known = list(&facts.nodes.keys().collect::<Vec<_>>());
    Decision::Refuse(format!("there is no node {node}: the nodes are {known}"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::plan::trial::{DOWN, DRAINING, UP, facts, group},
        *,
    };

    fn three() -> Facts {
        let shard = group(&[1, 2, 3], &[4], &[2]);
        let metadata = group(&[1, 2, 3], &[4], &[]);
        facts(&[UP, UP, UP, DRAINING], &[(0, metadata), (7, shard)])
    }

    fn refusal(request: &AdminRequest) -> String {
        match decide(&three(), request) {
            Decision::Refuse(reason) => reason,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let transfer = |group, node| AdminRequest::Transfer { group, node };
        for (request, advice) in [
            (AdminRequest::Drain { node: 9 }, "the nodes are 1, 2, 3, 4"),
            (AdminRequest::Add { node: 9 }, "--join"),
            (AdminRequest::Remove { node: 9 }, "there is no node 9"),
            (AdminRequest::Remove { node: 2 }, "drain it first"),
            (transfer(8, 1), "there is no group 8"),
            (transfer(7, 9), "the nodes are"),
            (transfer(7, 4), "choose one of 1, 2, 3"),
            (transfer(7, 2), "once it has caught up"),
        ] {
            assert!(refusal(&request).contains(advice), "{request:?}");
        }
    }

    #[test]
    fn a_node_drains_and_comes_back_and_the_last_one_stays() {
        let stands = |decision| match decision {
            Decision::Change(Change::Stand(node, standing), _) => (node, standing),
            other => panic!("{other:?}"),
        };
        let drains = decide(&three(), &AdminRequest::Drain { node: 2 });
        assert_eq!(stands(drains), (NodeId(2), Standing::Draining));
        let comes_back = decide(&three(), &AdminRequest::Add { node: 4 });
        assert_eq!(stands(comes_back), (NodeId(4), Standing::Active));
        for request in [
            AdminRequest::Drain { node: 4 },
            AdminRequest::Add { node: 1 },
            AdminRequest::Transfer { group: 7, node: 1 },
        ] {
            assert!(matches!(decide(&three(), &request), Decision::Done(_)));
        }
        let last = facts(&[UP, DRAINING], &[(0, group(&[1], &[2], &[]))]);
        let refused = decide(&last, &AdminRequest::Drain { node: 1 });
        assert!(matches!(refused, Decision::Refuse(_)));
    }

    #[test]
    fn a_node_is_removed_when_it_is_empty_or_lost_and_nothing_else_is_lost_with_it() {
        let remove = |facts: &Facts, node| decide(facts, &AdminRequest::Remove { node });
        let empty = remove(&three(), 4);
        assert!(matches!(
            empty,
            Decision::Change(Change::Remove(NodeId(4)), _)
        ));
        let with = |nodes: &[_]| facts(nodes, &[(0, group(&[1, 2, 3], &[], &[]))]);
        let lost = remove(&with(&[UP, UP, DOWN]), 3);
        assert!(matches!(
            lost,
            Decision::Change(Change::Remove(NodeId(3)), _)
        ));
        let two_lost = remove(&with(&[UP, DOWN, DOWN]), 3);
        assert!(matches!(two_lost, Decision::Refuse(reason) if reason.contains("majority")));
        let not_led = remove(&with(&[DOWN, DOWN, UP]), 1);
        assert!(matches!(not_led, Decision::Refuse(reason) if reason.contains("no leader")));
    }

    #[test]
    fn what_passes_by_itself_is_no_refusal_of_a_removal() {
        let remove = |facts: &Facts, node| decide(facts, &AdminRequest::Remove { node });
        let electing = facts(&[DOWN, UP, UP], &[(0, group(&[1, 2, 3], &[], &[]))]);
        assert!(matches!(remove(&electing, 1), Decision::NotYet(_)));
        let behind = facts(&[UP, UP, DOWN], &[(0, group(&[1, 2, 3], &[], &[2]))]);
        assert!(matches!(remove(&behind, 3), Decision::NotYet(_)));
    }

    #[test]
    fn a_transfer_goes_to_the_groups_leader() {
        let decided = decide(&three(), &AdminRequest::Transfer { group: 7, node: 3 });
        let step = Step {
            group: GroupId(7),
            leader: NodeId(1),
            action: Action::Transfer(NodeId(3)),
        };
        assert!(matches!(decided, Decision::Step(found, _) if found == step));
    }
}
