//! What the process ends with.

use std::process::ExitCode;

use weir_broker::{IdentityError, NodeFailed, OpenError};

use crate::{client::ClientError, data_dir::DataDirError};

/// The request was refused, such as a data directory in use.
const REFUSED: u8 = 1;
/// Usage or configuration, as clap ends with.
const USAGE: u8 = 2;
/// The storage failed or is damaged.
const STORAGE: u8 = 3;
/// Nobody answered, or nobody leads, until the time was over.
const NO_ANSWER: u8 = 4;
/// An orderly end took too long.
pub(crate) const OVERDUE: u8 = 5;
/// A broken invariant.
const BUG: u8 = 70;

/// What was asked for cannot be meant: ends as clap does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The code of an error.
pub(crate) fn of(error: &anyhow::Error) -> ExitCode {
    if let Some(failed) = error.downcast_ref::<NodeFailed>() {
        return match failed {
            NodeFailed::Worker(_)
            | NodeFailed::Checkpoint(_)
            | NodeFailed::CatchUp(_)
            | NodeFailed::Spares(_) => STORAGE.into(),
            NodeFailed::Panicked { .. } => BUG.into(),
        };
    }
    if let Some(error) = error.downcast_ref::<OpenError>() {
        return match error {
            OpenError::Config { .. } | OpenError::SurplusGroup { .. } => USAGE.into(),
            OpenError::NoCluster | OpenError::HasCluster { .. } => REFUSED.into(),
            OpenError::Wal(_)
            | OpenError::Checkpoint(_)
            | OpenError::WalGone
            | OpenError::Identity(_)
            | OpenError::State { .. }
            | OpenError::Group(_)
            | OpenError::Leftover(_) => STORAGE.into(),
        };
    }
    if error.is::<IdentityError>() {
        return STORAGE.into();
    }
    if let Some(DataDirError::Io { .. } | DataDirError::Damaged { .. }) =
        error.downcast_ref::<DataDirError>()
    {
        return STORAGE.into();
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return match error {
            ClientError::Unreachable { .. }
            | ClientError::Lost { .. }
            | ClientError::NoLeader { .. } => NO_ANSWER.into(),
            ClientError::Refused { .. }
            | ClientError::Unsupported { .. }
            | ClientError::Malformed { .. } => REFUSED.into(),
        };
    }
    if error.is::<Usage>() {
        return USAGE.into();
    }
    REFUSED.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_identity_is_damage_to_the_storage() {
        let error = anyhow::Error::from(IdentityError::Corrupt("its checksum is wrong".to_owned()));
        let (code, storage) = (of(&error), ExitCode::from(STORAGE));
        assert_eq!(format!("{code:?}"), format!("{storage:?}"));
    }
}
