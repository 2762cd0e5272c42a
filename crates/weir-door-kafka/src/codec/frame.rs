//! Frames: `size: i32, size bytes`.

/// Bytes of the size field.
pub const SIZE_BYTES: usize = 4;
/// Largest request without its size field (Kafka's `socket.request.max.bytes`).
pub const MAX_REQUEST_BYTES: usize = 100 << 20;
/// Smallest request: key, version and correlation id.
pub const MIN_REQUEST_BYTES: usize = 8;

/// Largest request that brings no records: a hundred thousand partitions fit, and nobody may make
/// this node hold [`MAX_REQUEST_BYTES`] of names.
pub const MAX_BARE_REQUEST_BYTES: usize = 8 << 20;
/// Bytes of the API key, which follows the size.
const KEY_BYTES: usize = 2;
/// Of Produce, as it is on the wire.
const PRODUCE_KEY: [u8; KEY_BYTES] = [0, 0];

/// A size that no request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "frame of {size} bytes, allowed {MIN_REQUEST_BYTES} to {MAX_REQUEST_BYTES}, without records \
     to {MAX_BARE_REQUEST_BYTES}"
)]
pub struct FrameError {
    /// As on the wire.
    pub size: i32,
}

/// Bytes of the frame at the start of `buffered`, its size field included; `None`: what tells
/// them is not there yet.
pub fn frame_bytes(buffered: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(field) = buffered.first_chunk::<SIZE_BYTES>() else {
        return Ok(None);
    };
    let size = i32::from_be_bytes(*field);
    let refused = FrameError { size };
    let bytes = usize::try_from(size).map_err(|_| refused)?;
    if bytes > MAX_BARE_REQUEST_BYTES {
        match buffered.get(SIZE_BYTES..SIZE_BYTES + KEY_BYTES) {
            Some(key) if key == PRODUCE_KEY => {}
            Some(_) => return Err(refused),
            None if bytes <= MAX_REQUEST_BYTES => return Ok(None),
            None => {}
        }
    }
    if !(MIN_REQUEST_BYTES..=MAX_REQUEST_BYTES).contains(&bytes) {
        return Err(refused);
    }
    Ok(Some(SIZE_BYTES + bytes))
}

/// Bytes that [`frame_bytes`] needs to tell more, of a frame of which it could not.
pub fn telling_bytes(buffered: &[u8]) -> usize {
    if buffered.len() < SIZE_BYTES {
        SIZE_BYTES
    } else {
        SIZE_BYTES + KEY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(size: i32, key: &[u8]) -> Result<Option<usize>, FrameError> {
        frame_bytes(&[&size.to_be_bytes(), key].concat())
    }

    #[test]
    fn the_limits_are_allowed_and_one_past_them_is_not() {
        let max = i32::try_from(MAX_REQUEST_BYTES).unwrap();
        assert_eq!(of(max, &[0, 0]), Ok(Some(MAX_REQUEST_BYTES + 4)));
        assert_eq!(of(max + 1, &[0, 0]), Err(FrameError { size: max + 1 }));
        assert_eq!(of(8, &[]), Ok(Some(12)));
        for size in [7, 0, -1, i32::MIN, i32::MAX] {
            assert_eq!(of(size, &[]), Err(FrameError { size }));
        }
    }

    #[test]
    fn only_a_request_with_records_may_be_large() {
        let max = i32::try_from(MAX_BARE_REQUEST_BYTES).unwrap();
        assert_eq!(of(max, &[0, 1]), Ok(Some(MAX_BARE_REQUEST_BYTES + 4)));
        assert_eq!(of(max + 1, &[0, 1]), Err(FrameError { size: max + 1 }));
        assert_eq!(of(max + 1, &[1, 0]), Err(FrameError { size: max + 1 }));
        assert!(matches!(of(max + 1, &[0, 0]), Ok(Some(_))));
    }

    #[test]
    fn a_large_request_is_not_judged_before_its_key_is_there() {
        let size = i32::try_from(MAX_BARE_REQUEST_BYTES).unwrap() + 1;
        for key in [&[][..], &[0]] {
            assert_eq!(of(size, key), Ok(None));
        }
        assert_eq!(telling_bytes(&size.to_be_bytes()), 6);
    }

    #[test]
    fn a_cut_size_field_is_not_read() {
        assert_eq!(frame_bytes(&[0xff, 0xff, 0xff]), Ok(None));
        assert_eq!(telling_bytes(&[0xff]), 4);
    }
}
