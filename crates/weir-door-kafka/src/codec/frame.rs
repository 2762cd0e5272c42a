//! Frames: `size: i32, size bytes`.

/// Bytes of the size field.
pub const SIZE_BYTES: usize = 4;
/// Largest request without its size field (Kafka's `socket.request.max.bytes`).
pub const MAX_REQUEST_BYTES: usize = 100 << 20;
/// Smallest request: key, version and correlation id.
pub const MIN_REQUEST_BYTES: usize = 8;

/// A size that no request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of {size} bytes, allowed {MIN_REQUEST_BYTES} to {MAX_REQUEST_BYTES}")]
pub struct FrameError {
    /// As on the wire.
    pub size: i32,
}

/// Bytes of the frame at the start of `buffered`, its size field included; `None`: the size
/// field is not there yet.
pub fn frame_bytes(buffered: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(field) = buffered.first_chunk::<SIZE_BYTES>() else {
        return Ok(None);
    };
    let size = i32::from_be_bytes(*field);
    usize::try_from(size)
        .ok()
        .filter(|bytes| (MIN_REQUEST_BYTES..=MAX_REQUEST_BYTES).contains(bytes))
        .map(|bytes| Some(SIZE_BYTES + bytes))
        .ok_or(FrameError { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_allowed_and_one_past_them_is_not() {
        let of = |size: i32| frame_bytes(&size.to_be_bytes());
        let max = i32::try_from(MAX_REQUEST_BYTES).unwrap();
        assert_eq!(of(max), Ok(Some(MAX_REQUEST_BYTES + 4)));
        assert_eq!(of(max + 1), Err(FrameError { size: max + 1 }));
        assert_eq!(of(8), Ok(Some(12)));
        for size in [7, 0, -1, i32::MIN, i32::MAX] {
            assert_eq!(of(size), Err(FrameError { size }));
        }
    }

    #[test]
    fn a_cut_size_field_is_not_read() {
        assert_eq!(frame_bytes(&[0xff, 0xff, 0xff]), Ok(None));
    }
}
