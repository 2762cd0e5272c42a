//! What a change of users or rules did: `u8` tag, then the fields. A refusal: its `u8` code.

use std::sync::Arc;

use weir_access::{AccessError, acl::Acl};

use super::record::{read_acls, write_acls, write_flag};
use crate::encoding::{DecodeError, Reader, Writer};

// Tags are never used again for something else.
const DONE: u8 = 1;
const ACLS_DELETED: u8 = 2;
const REFUSED: u8 = 3;

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessOutcome {
    /// It is so.
    Done,
    /// These rules are gone.
    AclsDeleted {
        /// Which.
        acls: Vec<Arc<Acl>>,
        /// Not all that were meant: the same command is due again.
        has_more: bool,
    },
    /// Nothing changed.
    Refused(AccessError),
}

impl AccessOutcome {
    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Done => writer.u8(DONE),
            Self::AclsDeleted { acls, has_more } => {
                writer.u8(ACLS_DELETED);
                write_acls(writer, acls.iter().map(|acl| &**acl));
                write_flag(writer, *has_more);
            }
            Self::Refused(error) => {
                writer.u8(REFUSED);
                writer.u8(error.code());
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            DONE => Self::Done,
            ACLS_DELETED => Self::AclsDeleted {
                acls: read_acls(reader)?,
                has_more: reader.flag()?,
            },
            REFUSED => {
                let error = AccessError::from_code(reader.u8()?);
                Self::Refused(error.ok_or_else(|| reader.invalid("access error"))?)
            }
            tag => return Err(reader.unknown_tag("access outcome", tag)),
        })
    }
}
