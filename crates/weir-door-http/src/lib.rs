//! The HTTP door: pages that an operator's tools ask for, and the admin API below `/api/v1`.
//!
//! Charter: HTTP/1.1, JSON, and how each request maps to what the broker is asked. What a page says is its
//! owner's ([`Pages`]). Every route stands in one table (`api`), from which its document is made; what
//! each wants to be allowed stands there too, and is asked of the same rules as at the other doors.

mod api;
pub mod fuzzing;
mod login;
mod open_api;
mod routing;
mod server;
mod wire_code;

pub use server::{HttpConfig, HttpDoor, NodeSetting, Page, Pages, serve};
