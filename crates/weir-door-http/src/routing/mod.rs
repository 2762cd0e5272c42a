//! From a request's line and body to a route of the table and what it was told.

pub(crate) mod body;
pub(crate) mod cursor;
pub(crate) mod path;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod route;
