//! How many connections and channels a node has of those that are limited, as it tells others: `u32` count
//! and for each user text name, `u32` connections, `u32` channels, `u32` count and for each virtual host text
//! name, `u32` connections.

use std::collections::BTreeMap;

use crate::encoding::{DecodeError, Reader, Writer};

/// Most bytes of it, of the 64 KiB that a beacon may have. What has no room is not told: its limits hold for
/// each node by itself then.
const MAX_TALLY_BYTES: usize = 16 << 10;
const USER_MIN_BYTES: usize = 4 + 4 + 4;
const VHOST_MIN_BYTES: usize = 4 + 4;

/// How many of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    users: BTreeMap<Box<str>, OfUser>,
    vhosts: BTreeMap<Box<str>, u32>,
    size_bytes: usize,
}

/// How much one user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OfUser {
    pub(super) connection_count: u32,
    pub(super) channel_count: u32,
}

impl Tally {
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.vhosts.is_empty()
    }

    pub(super) fn of_user(&self, user: &str) -> OfUser {
        self.users.get(user).copied().unwrap_or_default()
    }

    pub(super) fn of_vhost(&self, vhost: &str) -> u32 {
        self.vhosts.get(vhost).copied().unwrap_or(0)
    }

    fn takes(&mut self, bytes: usize) -> bool {
        let is_fit = self.size_bytes + bytes <= MAX_TALLY_BYTES;
        self.size_bytes += if is_fit { bytes } else { 0 };
        is_fit
    }

    pub(super) fn put_user(&mut self, user: &str, connection_count: u32, channel_count: u32) {
        if self.takes(USER_MIN_BYTES + user.len()) {
            let of_user = OfUser {
                connection_count,
                channel_count,
            };
            self.users.insert(user.into(), of_user);
        }
    }

    pub(super) fn put_vhost(&mut self, vhost: &str, connection_count: u32) {
        if self.takes(VHOST_MIN_BYTES + vhost.len()) {
            self.vhosts.insert(vhost.into(), connection_count);
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.count(self.users.len());
        for (name, of_user) in &self.users {
            writer.text(name);
            writer.u32(of_user.connection_count);
            writer.u32(of_user.channel_count);
        }
        writer.count(self.vhosts.len());
        for (name, count) in &self.vhosts {
            writer.text(name);
            writer.u32(*count);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut tally = Self::default();
        for _ in 0..reader.count(USER_MIN_BYTES)? {
            let (name, connections, channels) = (reader.text()?, reader.u32()?, reader.u32()?);
            tally.put_user(name, connections, channels);
        }
        for _ in 0..reader.count(VHOST_MIN_BYTES)? {
            let (name, count) = (reader.text()?, reader.u32()?);
            tally.put_vhost(name, count);
        }
        Ok(tally)
    }
}
