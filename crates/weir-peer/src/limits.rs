//! What bounds connections between nodes.

/// Longest body of a frame between nodes, in bytes.
pub const MAX_FRAME_BYTES: usize = 64 << 20;
/// Longest body of a frame from a client, in bytes: its calls are small, and it is no node.
pub const MAX_CLIENT_FRAME_BYTES: usize = 1 << 20;
/// Longest body of a frame before the greeting is over, in bytes.
pub const MAX_GREETING_FRAME_BYTES: usize = 64 << 10;
/// Bytes that may wait for one peer, for messages and for calls each.
pub const MAX_QUEUED_BYTES: usize = 64 << 20;
/// Messages that may wait for one peer.
pub const MAX_QUEUED_MESSAGES_COUNT: usize = 1 << 16;
/// Bytes that are gathered for one write; one message or call may be larger, and is then alone.
pub const MAX_BATCH_BYTES: usize = 4 << 20;
/// Calls under way on one connection.
pub const MAX_CALLS_COUNT: usize = 64;
/// Connections that have not greeted yet. One more closes the oldest.
pub const MAX_GREETING_COUNT: usize = 64;
/// Connections of clients. One more closes the oldest.
pub const MAX_CLIENTS_COUNT: usize = 64;
/// Nodes that are known. A further one is refused when it connects.
pub const MAX_PEERS_COUNT: usize = 1024;
/// Time between two beacons to a peer.
pub const BEACON_INTERVAL_MS: u64 = 200;
/// A peer of which nothing was heard for this long is lost.
pub const PEER_TIMEOUT_MS: u64 = 1_000;
/// Time for a TCP connection to be there.
pub const CONNECT_TIMEOUT_MS: u64 = 1_000;
/// Time for TLS and greeting on a connection.
pub const GREETING_TIMEOUT_MS: u64 = 5_000;
/// A connection whose other end takes no byte for this long is closed.
pub const WRITE_TIMEOUT_MS: u64 = 10_000;
/// A call has no answer after this long.
pub const CALL_TIMEOUT_MS: u64 = 10_000;
/// First pause between two tries to connect; doubles with each.
pub const MIN_DIAL_PAUSE_MS: u64 = 20;
/// Longest pause between two tries to connect.
pub const MAX_DIAL_PAUSE_MS: u64 = 1_000;
/// Least room for one read, in bytes.
pub const READ_STEP_BYTES: usize = 64 << 10;
/// Most room that is reserved ahead of the bytes of a frame, in bytes: address space only, until
/// they arrive.
pub const MAX_READ_AHEAD_BYTES: usize = 2 << 20;
/// Chunks in one write.
pub const MAX_WRITE_CHUNKS_COUNT: usize = 64;
