//! Sockets, connections and what is answered on them.

mod answer;
mod connection;
mod crowd;
mod door;

pub use connection::serve;
pub(crate) use door::Settings;
pub use door::{HttpConfig, HttpDoor, NodeSetting, Page, Pages};
