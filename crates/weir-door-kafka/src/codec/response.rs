//! Answer frames: `size: i32, correlation: i32`, tags where flexible (never for ApiVersions),
//! body.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::Encodable;

use super::{
    frame::SIZE_BYTES,
    header::Head,
    throttle::{self, FIELD_BYTES},
    versions::Api,
};

/// Room for an answer of usual size, in bytes.
const USUAL_BYTES: usize = 256;

/// An answer that the schema of its version cannot carry: this node's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{api:?} version {version}: {what}")]
pub struct EncodeError {
    /// The request.
    pub api: Api,
    /// Its version.
    pub version: i16,
    /// What does not fit.
    pub what: String,
}

impl Head {
    /// The frame that answers with `body`.
    pub fn frame<M: Encodable>(&self, body: &M) -> Result<Bytes, EncodeError> {
        self.frame_as(body, self.version)
    }

    /// The frame that answers with `body` as it stands in `version`: for versions that differ from
    /// an earlier one by nothing but their number.
    pub fn frame_as<M: Encodable>(&self, body: &M, version: i16) -> Result<Bytes, EncodeError> {
        let mut frame = self.begin(USUAL_BYTES);
        let from = frame.len();
        body.encode(&mut frame, version)
            .map_err(|error| self.misfit(error.to_string()))?;
        self.tell_throttle(&mut frame[from..]);
        self.close(&mut frame, 0)?;
        Ok(frame.freeze())
    }

    fn tell_throttle(&self, body: &mut [u8]) {
        if self.throttle_ms == 0 {
            return;
        }
        let at = throttle::position(self.api, self.version);
        if let Some(field) = at.and_then(|at| body.get_mut(at..at + FIELD_BYTES)) {
            field.copy_from_slice(&self.throttle_ms.to_be_bytes());
        }
    }

    /// A frame's start, with room for `room_bytes` and the size left open.
    pub(super) fn begin(&self, room_bytes: usize) -> BytesMut {
        let mut frame = BytesMut::with_capacity(room_bytes);
        frame.put_i32(0);
        frame.put_i32(self.correlation);
        if self.flexible && self.api != Api::ApiVersions {
            frame.put_u8(0);
        }
        frame
    }

    /// Writes the size of a frame of which `elsewhere_bytes` are not in `frame`.
    pub(super) fn close(
        &self,
        frame: &mut BytesMut,
        elsewhere_bytes: usize,
    ) -> Result<(), EncodeError> {
        let total = frame.len() - SIZE_BYTES + elsewhere_bytes;
        let size = i32::try_from(total).map_err(|_| self.misfit(format!("{total} bytes")))?;
        frame[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
        Ok(())
    }

    /// An answer of this request that cannot be encoded.
    pub fn misfit(&self, what: String) -> EncodeError {
        EncodeError {
            api: self.api,
            version: self.version,
            what,
        }
    }
}
