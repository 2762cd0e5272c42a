//! Sessions of members with this node: which partitions a member fetches, and how many requests it
//! has made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use weir_model::{Term, TopicId};

use super::request::Released;
use crate::{
    Node,
    api::share::{ShareRefused, ShareRequest},
};

/// Most sessions of a node (Kafka's `group.share.max.share.sessions`).
const MAX_SHARE_SESSIONS: usize = 2_000;
/// Most partitions of a session.
const MAX_SESSION_PARTITIONS: usize = 10_000;
/// The epoch of a request that opens a session.
pub(super) const OPENS: i32 = 0;
/// The epoch of a request that ends one.
pub(super) const ENDS: i32 = -1;

/// A group and a member of it.
pub(super) type MemberKey = (String, String);
/// A partition as clients call it.
pub(super) type PartKey = (TopicId, i32);

/// One member's session.
struct ShareSession {
    /// Of the member's next request.
    epoch: i32,
    /// Tells this session from others of the same member.
    serial: u64,
    /// In the order in which they came.
    partitions: Vec<PartKey>,
    /// The same, to be looked up.
    fetched: BTreeSet<PartKey>,
    /// Those of which it may have records, and the term of their group in which it named them the last time:
    /// what the member has from another one came by another node's session.
    touched: BTreeMap<PartKey, Term>,
}

#[derive(Default)]
struct All {
    by_member: BTreeMap<MemberKey, ShareSession>,
    next_serial: u64,
}

/// All sessions with this node.
///
/// A mutex: held for a look-up in a map, once for each request of a member.
#[derive(Default)]
pub(crate) struct ShareSessions(Mutex<All>);

/// Ends its session when it is dropped, unless that has ended before.
pub struct ShareHold {
    node: Weak<Node>,
    member: MemberKey,
    serial: u64,
}

impl ShareHold {
    /// Whether both are of the same member.
    pub fn is_of(&self, other: &Self) -> bool {
        self.member == other.member
    }
}

impl fmt::Debug for ShareHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareHold")
            .field("member", &self.member)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

impl Drop for ShareHold {
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            let ended = node.share_sessions.end(&self.member, Some(self.serial));
            if let Some(released) = ended {
                node.release_share(released);
            }
        }
    }
}

/// A request's place in its session.
#[derive(Debug, Default)]
pub(super) struct Entered {
    /// What is fetched.
    pub(super) partitions: Vec<PartKey>,
    /// Of a session that was opened.
    pub(super) hold: Option<ShareHold>,
    /// What a session that is over had: released once the request is carried out, or before where
    /// it was replaced.
    pub(super) ended: Option<Released>,
}

impl ShareSessions {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request in.
    pub(super) fn enter(
        &self,
        node: &Arc<Node>,
        request: &ShareRequest,
    ) -> Result<Entered, ShareRefused> {
        let key = (request.group.clone(), request.member.clone());
        match (request.epoch, &request.fetch) {
            (OPENS, None) => Err(ShareRefused::Epoch),
            (OPENS, Some(_)) => self.open(node, key, request),
            (ENDS, _) => {
                let ended = self.end(&key, None).ok_or(ShareRefused::NoSession)?;
                Ok(Entered {
                    ended: Some(ended),
                    ..Entered::default()
                })
            }
            (epoch, _) => self.go_on(node, &key, epoch, request),
        }
    }

    fn open(
        &self,
        node: &Arc<Node>,
        key: MemberKey,
        request: &ShareRequest,
    ) -> Result<Entered, ShareRefused> {
        let mut all = self.lock();
        let is_new = !all.by_member.contains_key(&key);
        if is_new && all.by_member.len() >= MAX_SHARE_SESSIONS {
            return Err(ShareRefused::TooManySessions);
        }
        let serial = all.next_serial;
        all.next_serial += 1;
        let mut session = ShareSession {
            epoch: 1,
            serial,
            partitions: Vec::new(),
            fetched: BTreeSet::new(),
            touched: BTreeMap::new(),
        };
        session.add(request, |part| node.term_of_part(part))?;
        let partitions = session.partitions.clone();
        let before = all.by_member.insert(key.clone(), session);
        let ended = before.map(|before| before.released(&key));
        let hold = ShareHold {
            node: Arc::downgrade(node),
            member: key,
            serial,
        };
        Ok(Entered {
            partitions,
            hold: Some(hold),
            ended,
        })
    }

    fn go_on(
        &self,
        node: &Node,
        key: &MemberKey,
        epoch: i32,
        request: &ShareRequest,
    ) -> Result<Entered, ShareRefused> {
        let mut all = self.lock();
        let session = all.by_member.get_mut(key);
        let session = session.ok_or(ShareRefused::NoSession)?;
        if session.epoch != epoch {
            return Err(ShareRefused::Epoch);
        }
        if let Some(fetch) = &request.fetch {
            session.forget(&fetch.forgotten);
            session.add(request, |part| node.term_of_part(part))?;
        }
        session.epoch = epoch.checked_add(1).unwrap_or(1);
        Ok(Entered {
            partitions: session.partitions.clone(),
            ..Entered::default()
        })
    }

    /// Ends a member's session; with `serial` only that one.
    fn end(&self, key: &MemberKey, serial: Option<u64>) -> Option<Released> {
        let mut all = self.lock();
        let session = all.by_member.get(key)?;
        if serial.is_some_and(|serial| serial != session.serial) {
            return None;
        }
        let session = all.by_member.remove(key)?;
        Some(session.released(key))
    }
}

impl ShareSession {
    fn forget(&mut self, forgotten: &[PartKey]) {
        let before = self.fetched.len();
        for key in forgotten {
            self.fetched.remove(key);
        }
        if self.fetched.len() < before {
            self.partitions.retain(|part| self.fetched.contains(part));
        }
    }

    /// All of the request's partitions, or none.
    fn add(
        &mut self,
        request: &ShareRequest,
        term: impl Fn(PartKey) -> Term,
    ) -> Result<(), ShareRefused> {
        let keys = || {
            request
                .partitions
                .iter()
                .map(|part| (part.topic, part.index))
        };
        let is_new = |key: &PartKey| !self.touched.contains_key(key);
        let new: BTreeSet<PartKey> = keys().filter(is_new).collect();
        if self.touched.len() + new.len() > MAX_SESSION_PARTITIONS {
            return Err(ShareRefused::Invalid("Too many partitions."));
        }
        self.touched.extend(keys().map(|key| (key, term(key))));
        self.partitions
            .extend(keys().filter(|key| self.fetched.insert(*key)));
        Ok(())
    }

    fn released(self, (group, member): &MemberKey) -> Released {
        Released {
            group: group.clone(),
            member: member.clone(),
            partitions: self.touched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::share::SharePart;

    const TOPIC: TopicId = TopicId(uuid::Uuid::from_u128(7));

    fn term(_: PartKey) -> Term {
        Term(1)
    }

    fn names(indexes: std::ops::Range<i32>) -> ShareRequest {
        let part = |index| SharePart {
            topic: TOPIC,
            index,
            acks: Vec::new(),
        };
        ShareRequest {
            group: "g".to_owned(),
            member: "m".to_owned(),
            epoch: 1,
            renews: false,
            partitions: indexes.map(part).collect(),
            fetch: None,
        }
    }

    fn session() -> ShareSession {
        ShareSession {
            epoch: 1,
            serial: 0,
            partitions: Vec::new(),
            fetched: BTreeSet::new(),
            touched: BTreeMap::new(),
        }
    }

    #[test]
    fn a_request_that_names_too_many_partitions_leaves_the_session_as_it_was() {
        let most = i32::try_from(MAX_SESSION_PARTITIONS).unwrap();
        let mut session = session();
        for _ in 0..3 {
            assert!(session.add(&names(0..most + 1), term).is_err());
            assert!(session.partitions.is_empty() && session.touched.is_empty());
        }
        assert!(session.add(&names(0..most), term).is_ok());
        assert!(session.add(&names(most..most + 1), term).is_err());
        let again = session.add(&names(0..most), term);
        assert!(again.is_ok(), "it has them already");
        assert_eq!(session.partitions.len(), MAX_SESSION_PARTITIONS);
    }

    #[test]
    fn what_is_forgotten_may_come_again_and_comes_last() {
        let mut session = session();
        session.add(&names(0..3), term).unwrap();
        session.forget(&[(TOPIC, 1), (TOPIC, 9)]);
        session.add(&names(1..3), term).unwrap();
        let indexes: Vec<i32> = session.partitions.iter().map(|(_, index)| *index).collect();
        assert_eq!(indexes, [0, 2, 1]);
    }
}
