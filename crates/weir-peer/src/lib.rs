//! Sockets between the nodes of a cluster.
//!
//! Each node dials each other node twice: a *fast* connection for Raft messages and beacons, and
//! a *bulk* one for calls, so that catching up never delays a heartbeat. What arrives goes to a
//! [`PeerHost`]; what leaves comes through [`weir_broker::peer::PeerPort`]. Whoever is no node,
//! such as one that wants to join, makes calls with a [`PeerClient`].

mod accept;
mod calls;
mod client;
mod dial;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod hello;
mod host;
mod incoming;
pub mod limits;
mod link;
mod liveness;
mod outgoing;
mod peer;
mod stream;
mod tls;
mod transport;

pub use client::{ClientError, PeerClient};
pub use frame::FrameError;
pub use hello::Refusal;
pub use host::PeerHost;
pub use tls::{Names, PeerTls};
pub use transport::{PeerConfig, PeerTransport};
pub use weir_tls::TlsError;
