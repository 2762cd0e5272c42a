//! What people and scripts ask of users, permissions, ACLs and quotas, at whichever node.

mod list;
mod serve;
mod words;

pub(crate) use serve::{reread_call, serve};
pub use words::{
    AccessAdminAnswer, AccessAdminRequest, AclRow, AclWanted, EntityRow,
    MAX_ACCESS_ADMIN_REQUEST_BYTES, PermissionRow, QuotaRow, TopicPermissionRow, UserRow,
    VerifierRow,
};
