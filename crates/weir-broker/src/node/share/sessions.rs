//! Sessions of members with this node: which partitions a member fetches, and how many requests it
//! has made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use weir_model::TopicId;

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
    /// Those of which it may have records.
    touched: BTreeSet<PartKey>,
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
            (epoch, _) => self.go_on(&key, epoch, request),
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
            touched: BTreeSet::new(),
        };
        session.add(request)?;
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
            let forgotten: BTreeSet<PartKey> = fetch.forgotten.iter().copied().collect();
            if !forgotten.is_empty() {
                session.partitions.retain(|part| !forgotten.contains(part));
            }
            session.add(request)?;
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
    fn add(&mut self, request: &ShareRequest) -> Result<(), ShareRefused> {
        for part in &request.partitions {
            let key = (part.topic, part.index);
            if !self.partitions.contains(&key) {
                self.partitions.push(key);
            }
            self.touched.insert(key);
        }
        if self.touched.len() > MAX_SESSION_PARTITIONS {
            return Err(ShareRefused::Invalid("Too many partitions."));
        }
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
