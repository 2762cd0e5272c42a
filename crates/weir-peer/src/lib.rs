//! Sockets between nodes.
