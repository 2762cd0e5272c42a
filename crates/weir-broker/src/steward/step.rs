//! A step on its way to the group's leader, as bytes: `u32` group, `u64` term, `u64` index of the
//! configuration it was planned for, `u8` kind; a transfer: `u64` node; a change: `u8` count, and
//! for each part `u8` kind, `u64` node. The answer: `u8` 1 for done, 0 for not, text.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{GroupId, NodeId, Term};
use weir_raft::{Input, MAX_MEMBERS_COUNT, MemberChange};

use super::plan::{Action, Facts, Step};
use crate::{
    Node, call,
    encoding::{DecodeError, Reader, Writer},
    peer::CallFailed,
};

// Kinds are never used again for something else.
const TRANSFER: u8 = 1;
const CHANGE: u8 = 2;
const ADD_VOTER: u8 = 1;
const ADD_LEARNER: u8 = 2;
const REMOVE: u8 = 3;

/// Called once with what came of a step: nothing, or why it was not taken.
pub(super) type StepDone = Box<dyn FnOnce(Result<(), String>) + Send>;

/// A step and what it was planned for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    group: GroupId,
    term: Term,
    conf_index: u64,
    action: Action,
}

impl Order {
    pub(super) fn of(step: Step, facts: &Facts) -> (NodeId, Self) {
        let view = &facts.groups[&step.group].view;
        let order = Self {
            group: step.group,
            term: view.term,
            conf_index: view.conf_index,
            action: step.action,
        };
        (step.leader, order)
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(call::STEP);
        writer.u32(self.group.0);
        writer.u64(self.term.0);
        writer.u64(self.conf_index);
        match &self.action {
            Action::Transfer(to) => {
                writer.u8(TRANSFER);
                writer.u64(to.0);
            }
            Action::ChangeMembers(changes) => {
                writer.u8(CHANGE);
                writer.u8(u8::try_from(changes.len()).expect("a group has few members"));
                for change in changes {
                    let (kind, node) = match change {
                        MemberChange::AddVoter(node) => (ADD_VOTER, node),
                        MemberChange::AddLearner(node) => (ADD_LEARNER, node),
                        MemberChange::Remove(node) => (REMOVE, node),
                    };
                    writer.u8(kind);
                    writer.u64(node.0);
                }
            }
        }
        writer.finish()
    }

    /// What follows the tag.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (group, term, conf_index) = (reader.u32()?, reader.u64()?, reader.u64()?);
        let action = match reader.u8()? {
            TRANSFER => Action::Transfer(NodeId(reader.u64()?)),
            CHANGE => Action::ChangeMembers(read_changes(&mut reader)?),
            kind => return Err(reader.unknown_tag("step", kind)),
        };
        reader.finish()?;
        Ok(Self {
            group: GroupId(group),
            term: Term(term),
            conf_index,
            action,
        })
    }
}

fn read_changes(reader: &mut Reader<'_>) -> Result<Vec<MemberChange>, DecodeError> {
    let count = usize::from(reader.u8()?);
    if !(1..=MAX_MEMBERS_COUNT).contains(&count) {
        return Err(reader.invalid("count of changes"));
    }
    let mut changes = Vec::new();
    for _ in 0..count {
        let kind = reader.u8()?;
        let change = match kind {
            ADD_VOTER => MemberChange::AddVoter,
            ADD_LEARNER => MemberChange::AddLearner,
            REMOVE => MemberChange::Remove,
            kind => return Err(reader.unknown_tag("change of a member", kind)),
        };
        let node = reader.u64()?;
        if node == 0 {
            return Err(reader.invalid("node"));
        }
        changes.push(change(NodeId(node)));
    }
    Ok(changes)
}

/// Hands an order to the group's leader, wherever that is.
pub(super) fn send(node: &Arc<Node>, leader: NodeId, order: Order, done: StepDone) {
    if leader == node.id() {
        return take(node, order, done);
    }
    let heard = move |answer: Result<Bytes, CallFailed>| {
        done(match answer {
            Ok(answer) => decode_answer(&answer),
            Err(failed) => Err(format!("node {leader}: {failed}")),
        });
    };
    node.peers.call(leader, order.encode(), Box::new(heard));
}

/// Does what an order says, where this node leads the group and nothing has changed since.
pub(super) fn take(node: &Node, order: Order, done: StepDone) {
    let Order {
        group,
        term,
        conf_index,
        action,
    } = order;
    if group.0 > node.config.shard_count {
        return done(Err(format!("there is no group {group}")));
    }
    let view = node.status(group).view();
    if !node.leads(group) || (view.term, view.conf_index) != (term, conf_index) {
        return done(Err(format!("group {group} has changed since")));
    }
    match action {
        Action::Transfer(to) => {
            let handle = node.handle_of(group);
            handle.send(Input::TransferLeadership { group, to });
            done(Ok(()));
        }
        Action::ChangeMembers(changes) => {
            let done = Box::new(|changed: Result<(), weir_raft::NotCommitted>| {
                done(changed.map_err(|error| error.to_string()));
            });
            node.handle_of(group).send(Input::ChangeMembers {
                group,
                changes,
                done,
            });
        }
    }
}

pub(super) fn encode_answer(result: &Result<(), String>) -> Bytes {
    let mut writer = Writer::new();
    writer.u8(u8::from(result.is_ok()));
    writer.text(result.as_ref().err().map_or("", |reason| reason));
    writer.finish()
}

fn decode_answer(bytes: &[u8]) -> Result<(), String> {
    let read = || -> Result<(u8, String), DecodeError> {
        let mut reader = Reader::new(bytes);
        let answer = (reader.u8()?, reader.text()?.to_owned());
        reader.finish()?;
        Ok(answer)
    };
    match read() {
        Ok((1, _)) => Ok(()),
        Ok((_, reason)) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::trial;

    fn order(action: Action) -> Order {
        Order {
            group: GroupId(7),
            term: Term(3),
            conf_index: 99,
            action,
        }
    }

    #[test]
    fn orders_read_back_and_damage_is_refused() {
        let changes = vec![
            MemberChange::AddVoter(NodeId(4)),
            MemberChange::AddLearner(NodeId(5)),
            MemberChange::Remove(NodeId(6)),
        ];
        for action in [Action::Transfer(NodeId(2)), Action::ChangeMembers(changes)] {
            let order = order(action);
            let bytes = order.encode();
            assert_eq!(bytes[0], call::STEP);
            assert_eq!(Order::decode(&bytes[1..]).unwrap(), order);
            trial::damage(&bytes[1..], Order::decode);
        }
    }

    #[test]
    fn a_change_of_nobody_of_too_many_or_of_no_node_is_refused() {
        let changes = |nodes: Vec<u64>| {
            let changes = nodes
                .into_iter()
                .map(|node| MemberChange::Remove(NodeId(node)));
            let bytes = order(Action::ChangeMembers(changes.collect())).encode();
            Order::decode(&bytes[1..]).is_ok()
        };
        assert!(changes((1..=64).collect()));
        assert!(!changes((1..=65).collect()));
        assert!(!changes(Vec::new()));
        assert!(!changes(vec![0]));
    }

    #[test]
    fn answers_read_back_and_what_is_cut_is_no_success() {
        for result in [Ok(()), Err("no".to_owned())] {
            let bytes = encode_answer(&result);
            assert_eq!(decode_answer(&bytes), result);
            for cut in 0..bytes.len() {
                assert!(decode_answer(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
}
