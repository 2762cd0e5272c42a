//! What people and scripts ask of the node that leads a partition or coordinates a group, at whichever
//! node: it is passed on.

mod serve;
mod words;

pub(crate) use serve::{reread_call, serve};
pub use words::{
    ConfigRow, GroupRow, ListedGroupRow, MAX_TOPIC_ADMIN_REQUEST_BYTES, MemberRow, OffsetAt,
    OffsetRow, PlaceRow, TopicAdminAnswer, TopicAdminRequest,
};
