//! Sockets, connections and what is answered on them.

mod answer;
mod connection;
mod crowd;
mod door;

pub use connection::serve;
pub use door::{HttpConfig, HttpDoor, Page, Pages};
pub(crate) use door::{SettingRow, Settings};
