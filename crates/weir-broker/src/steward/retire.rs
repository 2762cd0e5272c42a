//! Replicas whose groups go on without this node and could not tell it: once removed, a replica
//! is sent nothing any more.

use std::collections::BTreeMap;

use weir_model::{GroupId, NodeId, Term};
use weir_raft::{GroupView, Members};

/// How long a replica must be left out, and must hear nothing, before it lets go of its state,
/// in ms. Far above what a message takes: a replica that is called back in time is spared.
pub(super) const RETIRE_AFTER_MS: u64 = 10_000;

/// What must stay as it is for that long: the leader's configuration, and the replica's own
/// term, last entry and configuration.
type Signs = (u64, Term, u64, u64);

#[derive(Debug)]
struct LeftOut {
    signs: Signs,
    since_ms: u64,
    is_retired: bool,
}

/// This node's replicas that are left out.
#[derive(Debug, Default)]
pub(super) struct Retiring(BTreeMap<GroupId, LeftOut>);

impl Retiring {
    /// Looks at one replica. `true`: it is to be retired now.
    pub(super) fn look(
        &mut self,
        now_ms: u64,
        node: NodeId,
        id: GroupId,
        local: &GroupView,
        leaders: Option<&GroupView>,
    ) -> bool {
        let Some(leaders) = leaders.filter(|leaders| is_left_out(node, local, leaders)) else {
            self.0.remove(&id);
            return false;
        };
        let signs = (
            leaders.conf_index,
            local.term,
            local.last_index,
            local.conf_index,
        );
        let fresh = || LeftOut {
            signs,
            since_ms: now_ms,
            is_retired: false,
        };
        let left_out = self.0.entry(id).or_insert_with(fresh);
        if left_out.signs != signs {
            *left_out = fresh();
        }
        let is_due = now_ms.saturating_sub(left_out.since_ms) >= RETIRE_AFTER_MS;
        is_due && !std::mem::replace(&mut left_out.is_retired, is_due)
    }
}

/// Whether the leader's settled configuration, no older than the replica's own, does without the
/// node, while the replica still has something.
fn is_left_out(node: NodeId, local: &GroupView, leaders: &GroupView) -> bool {
    let is_vacant = local.last_index == 0 && local.members.voters.is_empty();
    // It applied its own removal. Indexes do not tell: after a restart a replica has that of its
    // checkpoint.
    let knows = !names(&local.members, node) && leaders.members == local.members;
    let is_other = leaders.leader.is_some_and(|leader| leader != node);
    !is_vacant
        && is_other
        && leaders.term >= local.term
        && leaders.members.voters_outgoing.is_empty()
        && !names(&leaders.members, node)
        && (leaders.conf_index > local.conf_index || knows)
}

fn names(members: &Members, node: NodeId) -> bool {
    let lists = [
        &members.voters,
        &members.learners,
        &members.voters_outgoing,
        &members.learners_next,
    ];
    lists.iter().any(|list| list.contains(&node))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(3);
    const GROUP: GroupId = GroupId(7);

    fn view(voters: &[u64], conf_index: u64) -> GroupView {
        GroupView {
            term: Term(4),
            leader: Some(NodeId(1)),
            conf_index,
            members: Members {
                voters: voters.iter().copied().map(NodeId).collect(),
                ..Members::default()
            },
            last_index: conf_index,
            followers: Vec::new(),
        }
    }

    /// When the replica is retired, in looks of a second each.
    fn retired_at(local: &GroupView, leaders: &GroupView) -> Vec<u64> {
        let mut retiring = Retiring::default();
        let looks = 0..60;
        looks
            .filter(|look| retiring.look(look * 1_000, ME, GROUP, local, Some(leaders)))
            .collect()
    }

    #[test]
    fn a_replica_that_is_left_out_for_long_is_retired_once() {
        let (local, leaders) = (view(&[1, 2, 3], 5), view(&[1, 2, 4], 9));
        assert_eq!(retired_at(&local, &leaders), [RETIRE_AFTER_MS / 1_000]);
        // It applied its own removal.
        let knows = retired_at(&leaders, &leaders);
        assert_eq!(knows, [RETIRE_AFTER_MS / 1_000]);
    }

    #[test]
    fn a_replica_that_restarts_after_its_removal_is_retired() {
        let leaders = view(&[1, 2, 4], 9);
        let from_checkpoint = view(&[1, 2, 4], 11);
        assert_eq!(
            retired_at(&from_checkpoint, &leaders),
            [RETIRE_AFTER_MS / 1_000]
        );
    }

    #[test]
    fn a_replica_that_takes_part_or_may_do_so_is_left_alone() {
        let gone = view(&[1, 2, 4], 9);
        let mut joint = gone.clone();
        joint.members.voters_outgoing = vec![NodeId(1), ME];
        let mut learns = gone.clone();
        learns.members.learners = vec![ME];
        let mut not_led = gone.clone();
        not_led.leader = None;
        let mut old_term = gone.clone();
        old_term.term = Term(3);
        for leaders in [joint, learns, not_led, old_term, view(&[1, 2, 3], 9)] {
            let retired = retired_at(&view(&[1, 2, 3], 5), &leaders);
            assert!(retired.is_empty(), "{leaders:?}");
        }
        // It knows something newer, or has nothing to forget.
        assert!(retired_at(&view(&[1, 2, 3], 10), &gone).is_empty());
        assert!(retired_at(&GroupView::default(), &gone).is_empty());
    }

    #[test]
    fn whatever_is_heard_begins_the_wait_again() {
        let mut retiring = Retiring::default();
        let (mut local, leaders) = (view(&[1, 2, 3], 5), view(&[1, 2, 4], 9));
        let last = RETIRE_AFTER_MS - 1;
        let look = |retiring: &mut Retiring, at, local: &GroupView, leaders| {
            retiring.look(at, ME, GROUP, local, leaders)
        };
        assert!(!look(&mut retiring, 0, &local, Some(&leaders)));
        local.last_index += 1;
        assert!(!look(&mut retiring, last, &local, Some(&leaders)));
        assert!(!look(&mut retiring, 2 * last, &local, Some(&leaders)));
        assert!(!look(&mut retiring, 2 * last, &local, None));
        assert!(!look(&mut retiring, 3 * last, &local, Some(&leaders)));
        assert!(look(&mut retiring, 4 * last + 1, &local, Some(&leaders)));
    }
}
