//! Bytes to frames, methods, content headers and tables, and back. No I/O.

mod content;
mod frame;
pub mod fuzzing;
mod methods;

pub use content::ContentHeader;
pub use frame::{
    FRAME_END, FRAME_OVERHEAD_BYTES, Frame, FrameError, FrameKind, MIN_FRAME_MAX_BYTES,
    PROTOCOL_HEADER, PROTOCOL_HEADER_BYTES, frame_bytes, whole_frames,
};
pub use methods::{Method, MethodId, method};
