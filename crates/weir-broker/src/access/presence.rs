//! Who is connected to this node, and how many of the same are elsewhere: what limits of users and virtual
//! hosts are held against, and whom it concerns that a user is gone.
//!
//! Nodes tell each other in their beacons. Two that take a connection within one beacon may both take the last
//! one: a limit can be passed by as many as there are other nodes, for as long as these connections last.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use weir_access::{Access, Principal};
use weir_model::NodeId;

use super::tally::Tally;

/// Why a connection or a channel is refused, in RabbitMQ's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnterRefused {
    /// The user has as many connections as it may.
    #[error("connection refused for user '{user}': user connection limit ({limit}) is reached")]
    Connections {
        /// Who.
        user: Arc<str>,
        /// How many it may have.
        limit: u32,
    },
    /// The user has as many channels as it may.
    #[error(
        "number of channels opened for user '{user}' has reached the maximum allowed user limit of ({limit})"
    )]
    Channels {
        /// Who.
        user: Arc<str>,
        /// How many it may have.
        limit: u32,
    },
    /// The virtual host has as many connections as it may.
    #[error(
        "access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached"
    )]
    Vhost {
        /// Which.
        vhost: Box<str>,
        /// Who wants to be in it.
        user: Arc<str>,
        /// How many it may have.
        limit: u32,
    },
    /// There is no such user any more.
    #[error(transparent)]
    Gone(#[from] UserGone),
}

/// Why connections of a user end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserGone {
    /// There is no such user any more.
    #[error("user '{0}' was deleted")]
    Deleted(Arc<str>),
    /// It may not act any more.
    #[error("user '{0}' was disabled")]
    Disabled(Arc<str>),
}

/// Hears that the user is gone. Called on any thread, and must not block.
pub type Ear = Arc<dyn Fn(&UserGone) + Send + Sync>;

/// A virtual host that a connection is in, and how many may be.
#[derive(Clone, Copy, Debug)]
pub struct VhostPlace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Most connections; `None`: no limit.
    pub max_connections: Option<u32>,
}

/// Connections of this node and others.
#[derive(Default)]
pub(super) struct Presence {
    /// A mutex: taken when connections and channels come and go, and by beacons.
    state: Mutex<State>,
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presence")
    }
}

#[derive(Default)]
struct State {
    users: BTreeMap<Arc<str>, OfUser>,
    vhosts: BTreeMap<Box<str>, u32>,
    others: BTreeMap<NodeId, Tally>,
    next_number: u64,
}

#[derive(Default)]
struct OfUser {
    ears: BTreeMap<u64, Listening>,
    channel_count: u32,
}

/// A connection that hears that its user is gone.
struct Listening {
    /// Somebody else vouches for it: there need not be a user.
    is_vouched: bool,
    ear: Ear,
}

/// A connection's place among its user's. `Drop` gives it back.
pub struct Seat {
    presence: Arc<Presence>,
    current: Arc<ArcSwap<Access>>,
    user: Arc<str>,
    number: u64,
    vhost: Option<Box<str>>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({})", self.user)
    }
}

/// A channel's place among its user's. `Drop` gives it back.
pub struct ChannelSeat {
    presence: Arc<Presence>,
    user: Arc<str>,
}

impl fmt::Debug for ChannelSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelSeat({})", self.user)
    }
}

/// Why the user may not be connected.
fn gone(access: &Access, user: &Arc<str>, is_vouched: bool) -> Option<UserGone> {
    if access.is_open() {
        return None;
    }
    match access.user(user) {
        None if is_vouched => None,
        None => Some(UserGone::Deleted(Arc::clone(user))),
        Some(known) if !known.is_enabled => Some(UserGone::Disabled(Arc::clone(user))),
        Some(_) => None,
    }
}

impl State {
    fn connection_count(&self, user: &str) -> u32 {
        let own = self.users.get(user).map_or(0, |of| of.ears.len());
        let others = self
            .others
            .values()
            .map(|tally| tally.of_user(user).connection_count);
        others.fold(u32::try_from(own).unwrap_or(u32::MAX), u32::saturating_add)
    }

    fn channel_count(&self, user: &str) -> u32 {
        let own = self.users.get(user).map_or(0, |of| of.channel_count);
        let others = self
            .others
            .values()
            .map(|tally| tally.of_user(user).channel_count);
        others.fold(own, u32::saturating_add)
    }

    fn vhost_count(&self, vhost: &str) -> u32 {
        let own = self.vhosts.get(vhost).copied().unwrap_or(0);
        let others = self.others.values().map(|tally| tally.of_vhost(vhost));
        others.fold(own, u32::saturating_add)
    }

    fn forget_if_idle(&mut self, user: &Arc<str>) {
        let is_idle = |of: &OfUser| of.ears.is_empty() && of.channel_count == 0;
        if self.users.get(user).is_some_and(is_idle) {
            self.users.remove(user);
        }
    }
}

impl Presence {
    pub(super) fn enter(
        self: &Arc<Self>,
        current: &Arc<ArcSwap<Access>>,
        who: &Principal,
        vhost: Option<VhostPlace<'_>>,
        ear: Ear,
    ) -> Result<Seat, EnterRefused> {
        let is_vouched = matches!(who, Principal::Vouched(_));
        let mut state = self.lock();
        // Behind the lock: who is gone from now on finds the ear.
        let access = current.load();
        let user: Arc<str> = match access.user(who.name()) {
            Some(known) => Arc::clone(&known.name),
            None => who.name().into(),
        };
        if let Some(gone) = gone(&access, &user, is_vouched) {
            return Err(gone.into());
        }
        if let Some(place) = vhost
            && let Some(limit) = place.max_connections
            && state.vhost_count(place.name) >= limit
        {
            let vhost = place.name.into();
            return Err(EnterRefused::Vhost { vhost, user, limit });
        }
        let limits = access.user(&user).map(|user| user.limits);
        if let Some(limit) = limits.and_then(|limits| limits.max_connections)
            && state.connection_count(&user) >= limit
        {
            return Err(EnterRefused::Connections { user, limit });
        }
        let number = state.next_number;
        state.next_number += 1;
        let of_user = state.users.entry(Arc::clone(&user)).or_default();
        of_user.ears.insert(number, Listening { is_vouched, ear });
        if let Some(place) = vhost {
            *state.vhosts.entry(place.name.into()).or_default() += 1;
        }
        Ok(Seat {
            presence: Arc::clone(self),
            current: Arc::clone(current),
            user,
            number,
            vhost: vhost.map(|place| place.name.into()),
        })
    }

    /// Tells those whose user is gone.
    pub(super) fn review(&self, access: &Access) {
        if access.is_open() || !access.is_known() {
            return;
        }
        let mut told = Vec::new();
        {
            let state = self.lock();
            for (user, of_user) in &state.users {
                for Listening { is_vouched, ear } in of_user.ears.values() {
                    let gone = gone(access, user, *is_vouched);
                    told.extend(gone.map(|gone| (Arc::clone(ear), gone)));
                }
            }
        }
        told.iter().for_each(|(ear, gone)| ear(gone));
    }

    /// What others have to know: of users and virtual hosts with limits, as much as a beacon has room for.
    pub(super) fn tally(&self, access: &Access, is_limited: impl Fn(&str) -> bool) -> Tally {
        let state = self.lock();
        let mut tally = Tally::default();
        for (name, of) in &state.users {
            let limits = access
                .user(name)
                .map(|user| user.limits)
                .unwrap_or_default();
            if limits.max_connections.is_some() || limits.max_channels.is_some() {
                let connection_count = u32::try_from(of.ears.len()).unwrap_or(u32::MAX);
                tally.put_user(name, connection_count, of.channel_count);
            }
        }
        for (name, count) in &state.vhosts {
            if is_limited(name) {
                tally.put_vhost(name, *count);
            }
        }
        tally
    }

    /// What another node says of its own; `None`: it is gone.
    pub(super) fn heard(&self, from: NodeId, tally: Option<Tally>) {
        let mut state = self.lock();
        match tally.filter(|tally| !tally.is_empty()) {
            Some(tally) => state.others.insert(from, tally),
            None => state.others.remove(&from),
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// A place for one more channel of its user.
    pub fn open_channel(&self) -> Result<ChannelSeat, EnterRefused> {
        let mut state = self.presence.lock();
        let access = self.current.load();
        let limits = access.user(&self.user).map(|user| user.limits);
        if let Some(limit) = limits.and_then(|limits| limits.max_channels)
            && state.channel_count(&self.user) >= limit
        {
            let user = Arc::clone(&self.user);
            return Err(EnterRefused::Channels { user, limit });
        }
        let of_user = state.users.entry(Arc::clone(&self.user)).or_default();
        of_user.channel_count += 1;
        Ok(ChannelSeat {
            presence: Arc::clone(&self.presence),
            user: Arc::clone(&self.user),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.presence.lock();
        if let Some(of_user) = state.users.get_mut(&self.user) {
            of_user.ears.remove(&self.number);
        }
        state.forget_if_idle(&self.user);
        let Some(vhost) = &self.vhost else {
            return;
        };
        if let Some(count) = state.vhosts.get_mut(vhost) {
            *count -= 1;
            if *count == 0 {
                state.vhosts.remove(vhost);
            }
        }
    }
}

impl Drop for ChannelSeat {
    fn drop(&mut self) {
        let mut state = self.presence.lock();
        if let Some(of_user) = state.users.get_mut(&self.user) {
            of_user.channel_count -= 1;
        }
        state.forget_if_idle(&self.user);
    }
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
