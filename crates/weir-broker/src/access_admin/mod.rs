//! What people and scripts ask of users, permissions and ACLs, at whichever node.

mod list;
mod serve;
mod words;

pub(crate) use serve::{reread_call, serve};
pub use words::{
    AccessAdminAnswer, AccessAdminRequest, AclRow, AclWanted, MAX_ACCESS_ADMIN_REQUEST_BYTES,
    PermissionRow, TopicPermissionRow, UserRow, VerifierRow,
};
