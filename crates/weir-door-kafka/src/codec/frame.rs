//! Frames: `size: i32, size bytes`.

/// Bytes of the size field.
pub const SIZE_BYTES: usize = 4;
/// Largest request without its size field (Kafka's `socket.request.max.bytes`).
pub const MAX_REQUEST_BYTES: usize = 100 << 20;
/// Smallest request: key, version and correlation id.
pub const MIN_REQUEST_BYTES: usize = 8;

/// Largest request that brings no records: as many elements fit as a request may have, with names of
/// the longest, and nobody may make this node hold [`MAX_REQUEST_BYTES`] of them.
pub const MAX_BARE_REQUEST_BYTES: usize = 8 << 20;
/// Bytes of the API key, which follows the size.
const KEY_BYTES: usize = 2;
/// Of Produce, as it is on the wire.
const PRODUCE_KEY: [u8; KEY_BYTES] = [0, 0];

/// Largest request or token of a client that has to log in first: one with a login's longest
/// message, and room for its header.
pub const MAX_LOGIN_FRAME_BYTES: usize = 16 << 10;

/// How large a frame may be, without its size field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    min_bytes: usize,
    max_bytes: usize,
    /// Of a request that brings no records.
    max_bare_bytes: usize,
}

impl FrameLimits {
    /// Of requests.
    pub const REQUEST: Self = Self {
        min_bytes: MIN_REQUEST_BYTES,
        max_bytes: MAX_REQUEST_BYTES,
        max_bare_bytes: MAX_BARE_REQUEST_BYTES,
    };
    /// Of requests before a login.
    pub const STRANGER: Self = Self {
        min_bytes: MIN_REQUEST_BYTES,
        max_bytes: MAX_LOGIN_FRAME_BYTES,
        max_bare_bytes: MAX_LOGIN_FRAME_BYTES,
    };
    /// Of a login's tokens that come without a header.
    pub const TOKEN: Self = Self {
        min_bytes: 0,
        max_bytes: MAX_LOGIN_FRAME_BYTES,
        max_bare_bytes: MAX_LOGIN_FRAME_BYTES,
    };
}

/// A size that no request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "frame of {size} bytes, allowed {} to {}, without records to {}",
    limits.min_bytes, limits.max_bytes, limits.max_bare_bytes
)]
pub struct FrameError {
    /// As on the wire.
    pub size: i32,
    /// What would be allowed.
    pub limits: FrameLimits,
}

/// Bytes of the frame at the start of `buffered`, its size field included; `None`: what tells
/// them is not there yet.
pub fn frame_bytes(buffered: &[u8], limits: FrameLimits) -> Result<Option<usize>, FrameError> {
    let Some(field) = buffered.first_chunk::<SIZE_BYTES>() else {
        return Ok(None);
    };
    let size = i32::from_be_bytes(*field);
    let refused = FrameError { size, limits };
    let bytes = usize::try_from(size).map_err(|_| refused)?;
    if bytes > limits.max_bare_bytes {
        match buffered.get(SIZE_BYTES..SIZE_BYTES + KEY_BYTES) {
            Some(key) if key == PRODUCE_KEY => {}
            Some(_) => return Err(refused),
            None if bytes <= limits.max_bytes => return Ok(None),
            None => {}
        }
    }
    if !(limits.min_bytes..=limits.max_bytes).contains(&bytes) {
        return Err(refused);
    }
    Ok(Some(SIZE_BYTES + bytes))
}

/// Bytes of the whole frames at the start of `buffered`, and of the one after them those that it lacks.
pub fn whole_frames(buffered: &[u8], limits: FrameLimits) -> (usize, usize) {
    let mut whole_bytes = 0;
    loop {
        let rest = &buffered[whole_bytes..];
        match frame_bytes(rest, limits) {
            Ok(Some(total)) if total <= rest.len() => whole_bytes += total,
            Ok(Some(total)) => return (whole_bytes, total - rest.len()),
            Ok(None) => return (whole_bytes, 0),
            // To be seen and refused.
            Err(_) => return (buffered.len(), 0),
        }
    }
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

    const LIMITS: FrameLimits = FrameLimits::REQUEST;

    fn of(size: i32, key: &[u8]) -> Result<Option<usize>, FrameError> {
        frame_bytes(&[&size.to_be_bytes(), key].concat(), LIMITS)
    }

    #[test]
    fn the_limits_are_allowed_and_one_past_them_is_not() {
        for limits in [
            FrameLimits::REQUEST,
            FrameLimits::STRANGER,
            FrameLimits::TOKEN,
        ] {
            let of = |size: i32| frame_bytes(&[&size.to_be_bytes()[..], &[0, 0]].concat(), limits);
            let max = i32::try_from(limits.max_bytes).unwrap();
            let min = i32::try_from(limits.min_bytes).unwrap();
            assert_eq!(of(max), Ok(Some(limits.max_bytes + 4)));
            assert_eq!(of(min), Ok(Some(limits.min_bytes + 4)));
            for size in [max + 1, min - 1, -1, i32::MIN, i32::MAX] {
                assert_eq!(of(size), Err(FrameError { size, limits }));
            }
        }
    }

    #[test]
    fn only_a_request_with_records_may_be_large() {
        let max = i32::try_from(MAX_BARE_REQUEST_BYTES).unwrap();
        assert_eq!(of(max, &[0, 1]), Ok(Some(MAX_BARE_REQUEST_BYTES + 4)));
        for key in [[0, 1], [1, 0]] {
            let refused = FrameError {
                size: max + 1,
                limits: LIMITS,
            };
            assert_eq!(of(max + 1, &key), Err(refused));
        }
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
        assert_eq!(
            frame_bytes(&[0xff, 0xff, 0xff], FrameLimits::REQUEST),
            Ok(None)
        );
        assert_eq!(telling_bytes(&[0xff]), 4);
    }
}
