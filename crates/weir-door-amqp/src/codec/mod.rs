//! Bytes to frames, methods, content headers and tables, and back. No I/O.

mod error;
mod frame;
pub mod fuzzing;
mod methods;
mod properties;
mod reader;
mod table;
mod writer;

pub use error::{DecodeError, Fault};
pub use frame::{
    FRAME_END, FRAME_OVERHEAD_BYTES, Frame, FrameError, FrameKind, MIN_FRAME_MAX_BYTES,
    PROTOCOL_HEADER, PROTOCOL_HEADER_BYTES, frame_bytes,
};
pub use methods::{Method, MethodId, method};
pub use properties::{BasicProperties, ContentHeader};
pub use table::{Decimal, FieldTable, FieldValue, MAX_TABLE_DEPTH, ShortString};
