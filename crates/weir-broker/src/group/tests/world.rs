//! A coordinator with a clock in the hand and answers by token.

use std::collections::BTreeMap;

pub(super) use bytes::Bytes;
pub(super) use weir_log::Millis;
pub(super) use weir_model::ErrorKind;

use crate::api::{Heartbeat, JoinRefused, Joined, Leave, Synced};
pub(super) use crate::api::{Join, Sync};
use crate::group::{Action, Coordinator, PersistId};
pub(super) use crate::group::{GroupConfig, GroupRecord, GroupState};

pub(super) const GROUP: &str = "g";
pub(super) const SESSION_MS: u64 = 10_000;
pub(super) const REBALANCE_MS: u64 = 60_000;

pub(super) struct World {
    pub(super) coordinator: Coordinator<u64>,
    pub(super) now: Millis,
    pub(super) joins: BTreeMap<u64, Result<Joined, JoinRefused>>,
    pub(super) syncs: BTreeMap<u64, Result<Synced, ErrorKind>>,
    pub(super) persists: Vec<(PersistId, GroupRecord)>,
    next_token: u64,
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn join(member: &str, instance: Option<&str>) -> Join {
    Join {
        group: GROUP.to_owned(),
        member: member.to_owned(),
        instance: instance.map(str::to_owned),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), bytes("topics"))],
        require_known_member: false,
        can_skip_assignment: false,
    }
}

impl World {
    /// Without an initial delay.
    pub(super) fn new() -> Self {
        Self::with(GroupConfig {
            initial_rebalance_delay_ms: 0,
            ..GroupConfig::default()
        })
    }

    pub(super) fn with(config: GroupConfig) -> Self {
        Self {
            coordinator: Coordinator::new(config),
            now: Millis(1_000_000),
            joins: BTreeMap::new(),
            syncs: BTreeMap::new(),
            persists: Vec::new(),
            next_token: 0,
        }
    }

    pub(super) fn take(&mut self, out: Vec<Action<u64>>) {
        for action in out {
            match action {
                Action::AnswerJoin(token, answer) => {
                    assert!(self.joins.insert(token, answer).is_none(), "answered twice");
                }
                Action::AnswerSync(token, answer) => {
                    assert!(self.syncs.insert(token, answer).is_none(), "answered twice");
                }
                Action::Persist { persist, record } => self.persists.push((persist, record)),
            }
        }
    }

    pub(super) fn join(&mut self, join: Join) -> u64 {
        self.next_token += 1;
        let (token, mut out) = (self.next_token, Vec::new());
        let suffix = u128::from(token) << 64 | 0xabcd;
        self.coordinator
            .join(self.now, join, token, suffix, &mut out);
        self.take(out);
        token
    }

    pub(super) fn sync(&mut self, member: &str, generation: i32, given: &[(&str, &str)]) -> u64 {
        let given = given
            .iter()
            .map(|(id, text)| ((*id).to_owned(), bytes(text)))
            .collect();
        self.sync_with(Sync {
            group: GROUP.to_owned(),
            generation,
            member: member.to_owned(),
            instance: None,
            protocol_type: None,
            protocol: None,
            assignments: given,
        })
    }

    pub(super) fn sync_with(&mut self, sync: Sync) -> u64 {
        self.next_token += 1;
        let (token, mut out) = (self.next_token, Vec::new());
        self.coordinator.sync(self.now, sync, token, &mut out);
        self.take(out);
        token
    }

    pub(super) fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), ErrorKind> {
        let heartbeat = Heartbeat {
            group: GROUP.to_owned(),
            generation,
            member: member.to_owned(),
            instance: None,
        };
        self.coordinator.heartbeat(self.now, &heartbeat)
    }

    pub(super) fn leave(&mut self, member: &str, instance: Option<&str>) -> Result<(), ErrorKind> {
        let leave = Leave {
            group: GROUP.to_owned(),
            members: vec![(member.to_owned(), instance.map(str::to_owned))],
        };
        let mut out = Vec::new();
        let answers = self.coordinator.leave(self.now, &leave, &mut out);
        self.take(out);
        answers.unwrap()[0]
    }

    /// Tells the outcome of the oldest record that was not told yet.
    pub(super) fn persisted(&mut self, result: Result<(), ErrorKind>) -> GroupRecord {
        let (persist, record) = self.persists.remove(0);
        let mut out = Vec::new();
        self.coordinator
            .persisted(self.now, &record.group, persist, result, &mut out);
        self.take(out);
        record
    }

    /// Lets time pass; the timer fires whenever it is due.
    pub(super) fn pass(&mut self, count_ms: u64) {
        let end = self.now.plus(count_ms);
        while let Some(at) = self.coordinator.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.fire();
        }
        self.now = end;
    }

    pub(super) fn fire(&mut self) {
        let mut out = Vec::new();
        self.coordinator.handle_timeout(self.now, &mut out);
        self.take(out);
    }

    pub(super) fn joined(&self, token: u64) -> &Joined {
        self.joins[&token].as_ref().unwrap()
    }

    pub(super) fn refused(&self, token: u64) -> ErrorKind {
        self.joins[&token].as_ref().unwrap_err().error
    }

    pub(super) fn state(&self) -> GroupState {
        self.coordinator.state(GROUP)
    }

    /// Two members in a stable generation, the leader first. The generation is 2.
    pub(super) fn pair(&mut self) -> (String, String) {
        let first = self.join(join("", None));
        let leader = self.joined(first).member.clone();
        let second = self.join(join("", None));
        let first = self.join(join(&leader, None));
        let follower = self.joined(second).member.clone();
        assert_eq!(self.joined(first).leader, leader);
        self.sync(&follower, 2, &[]);
        self.sync(&leader, 2, &[(&leader, "one"), (&follower, "two")]);
        self.persisted(Ok(()));
        assert_eq!(self.state(), GroupState::Stable);
        (leader, follower)
    }
}
