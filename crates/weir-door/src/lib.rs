//! What all doors share: the session trait without I/O, the socket driver, listeners, limits.
//!
//! Charter: sockets and tokio live here and nowhere below; no protocol is named here but TLS.

pub mod budget;
pub mod counters;
pub mod driver;
pub(crate) mod event;
pub mod limits;
pub(crate) mod linger;
pub mod listener;
pub mod queue_room;
pub mod session;
pub mod sockets;
pub mod tls;
#[cfg(test)]
mod toy;
pub mod work;

pub use budget::{Budget, Claim};
pub use counters::{ConnectionCounters, DoorCounters, DoorFigures};
pub use limits::Limits;
pub use listener::{Listener, ListenerError, serve};
pub use session::{Bounds, CloseReason, Connection, Door, Entry, Session};
pub use sockets::Sockets;
pub use tls::{HandshakeError, TlsPort, TlsSession};
pub use weir_log::clock::{Clock, Entropy, Millis};
pub use work::{Waker, Work};
