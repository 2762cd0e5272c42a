//! How much there may be in virtual hosts.

use super::fields::{read_flag, write_flag};
use crate::encoding::{DecodeError, Reader, Writer};

/// How much of something there may be in a virtual host. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VhostLimits {
    /// Connections, on all nodes together.
    pub max_connections: Option<u32>,
    /// Queues.
    pub max_queues: Option<u32>,
}

impl VhostLimits {
    pub(super) const MIN_BYTES: usize = 1 + 1;

    /// For each limit a flag, and where it is set `u32`.
    pub(super) fn write(self, writer: &mut Writer) {
        for limit in [self.max_connections, self.max_queues] {
            write_flag(writer, limit.is_some());
            limit.iter().for_each(|limit| writer.u32(*limit));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut limit = || match read_flag(reader)? {
            true => reader.u32().map(Some),
            false => Ok(None),
        };
        Ok(Self {
            max_connections: limit()?,
            max_queues: limit()?,
        })
    }
}
