//! What fuzz targets need of this crate: the decoders of all that a client sends.

use bytes::{Bytes, BytesMut};

use super::{ContentHeader, Frame, FrameKind, Method};

/// Takes frames off `bytes` up to the first that is not whole or not one, and reads what they
/// hold. Gives them as they were understood, written again.
pub fn frames(bytes: &[u8], max_bytes: usize) -> Bytes {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut out = BytesMut::new();
    while let Ok(Some(frame)) = Frame::take(&mut rest, max_bytes) {
        let payload = reread(&frame).unwrap_or_else(|| frame.payload.clone());
        Frame { payload, ..frame }.write(&mut out);
    }
    out.freeze()
}

/// `None` where it is not understood, or is the application's.
fn reread(frame: &Frame) -> Option<Bytes> {
    let mut out = BytesMut::new();
    let payload = frame.payload.clone();
    match frame.kind {
        FrameKind::Method => Method::decode(payload).ok()?.encode(&mut out),
        FrameKind::Header => ContentHeader::decode(payload).ok()?.encode(&mut out),
        FrameKind::Body | FrameKind::Heartbeat => return None,
    }
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{content::tests::full, methods::tests::examples};

    const MUTATIONS_COUNT: usize = 40_000;
    const MAX_BYTES: usize = 4 << 10;

    fn framed(kind: FrameKind, payload: Bytes) -> Vec<u8> {
        let mut out = BytesMut::new();
        let frame = Frame {
            kind,
            channel: 1,
            payload,
        };
        frame.write(&mut out);
        out.to_vec()
    }

    fn seeds() -> Vec<Vec<u8>> {
        let method = |method: Method| {
            let mut out = BytesMut::new();
            method.encode(&mut out);
            framed(FrameKind::Method, out.freeze())
        };
        let mut header = BytesMut::new();
        full().encode(&mut header);
        let mut seeds: Vec<_> = examples().into_iter().map(method).collect();
        seeds.push(framed(FrameKind::Header, header.freeze()));
        seeds.push(framed(FrameKind::Body, Bytes::from_static(b"body")));
        seeds.push(framed(FrameKind::Heartbeat, Bytes::new()));
        seeds.push(seeds.concat());
        seeds
    }

    #[test]
    fn mutated_frames_are_refused_or_taken_as_what_they_say() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(limit).unwrap()).unwrap()
        };
        let seeds = seeds();
        for seed in &seeds {
            assert_eq!(frames(seed, MAX_BYTES), seed[..]);
        }
        let mut taken_count = 0;
        for _ in 0..MUTATIONS_COUNT {
            let mut bytes = seeds[below(seeds.len())].clone();
            for _ in 0..=below(3) {
                let at = below(bytes.len());
                match below(5) {
                    0 => bytes[at] = 0xff,
                    1 => bytes[at] ^= 1 << below(8),
                    2 => bytes[at] = u8::try_from(below(256)).unwrap(),
                    3 => bytes.insert(at, 0),
                    _ => bytes.truncate(at + 1),
                }
            }
            let again = frames(&bytes, MAX_BYTES);
            taken_count += usize::from(!again.is_empty());
            assert_eq!(frames(&again, MAX_BYTES), again, "{bytes:?}");
        }
        assert!((1..MUTATIONS_COUNT).contains(&taken_count));
    }
}
