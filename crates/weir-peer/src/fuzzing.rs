//! What fuzz targets need of this crate: the decoders of all frames.

use bytes::{Bytes, BytesMut};
use weir_model::NodeId;

use crate::{
    calls::Calls,
    frame::{Frame, Kind, seal, take},
    hello::{Hello, Refusal, decode_ok, encode_ok},
    limits::MAX_FRAME_BYTES,
};

/// Takes frames off `bytes` as a connection does, up to the first that is not whole or not one,
/// and reads their bodies. Gives the frames sealed again: they are taken as the same ones.
pub fn frames(bytes: &[u8], max_bytes: usize) -> Bytes {
    let mut buffer = BytesMut::from(bytes);
    let mut chunks = Vec::new();
    while let Ok(Some(frame)) = take(&mut buffer, max_bytes.min(MAX_FRAME_BYTES)) {
        let body = reread(&frame).unwrap_or_else(|| frame.body.clone());
        seal(frame.kind, frame.cluster, vec![body], &mut chunks);
    }
    chunks.concat().into()
}

/// A body as it is understood, written again; `None` where it is not, or is the host's to read.
fn reread(frame: &Frame) -> Option<Bytes> {
    let body = frame.body.clone();
    match frame.kind {
        Kind::Hello => Hello::decode(body).ok().map(Hello::encode),
        Kind::HelloOk => decode_ok(&body).ok().map(|node: NodeId| encode_ok(node)),
        Kind::Refuse => Some(Refusal::decode(&body).encode()),
        Kind::Answer => {
            // Which call it is for and what came of it are all that is read.
            drop(Calls::read_answer(body));
            None
        }
        Kind::Messages | Kind::Call | Kind::Beacon => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::HEADER_BYTES;

    const MUTATIONS_COUNT: usize = 20_000;
    const MAX_BYTES: usize = 1 << 10;

    fn sealed(kind: Kind, body: Bytes) -> Vec<u8> {
        let mut chunks = Vec::new();
        seal(kind, 5 << 100, vec![body], &mut chunks);
        chunks.concat()
    }

    fn seeds() -> Vec<Vec<u8>> {
        let hello = Hello {
            from: NodeId(1),
            to: NodeId(2),
            incarnation: 3,
            class: crate::hello::Class::Bulk,
        };
        let body = |kind| match kind {
            Kind::Hello => hello.encode(),
            Kind::HelloOk => encode_ok(NodeId(7)),
            Kind::Refuse => Refusal::OtherNode.encode(),
            Kind::Answer => Bytes::from_static(b"12345678\0answer"),
            Kind::Messages | Kind::Call | Kind::Beacon => Bytes::from_static(b"body"),
        };
        let each = Kind::ALL.map(|kind| sealed(kind, body(kind)));
        let all = each.concat();
        each.into_iter().chain([all]).collect()
    }

    /// Puts the first frame's checksum right, where its length allows.
    fn mend(bytes: &mut [u8]) {
        let length = bytes.get(12..16).map(|field| {
            let field = <[u8; 4]>::try_from(field).unwrap();
            usize::try_from(u32::from_le_bytes(field)).unwrap()
        });
        let whole = length.and_then(|length| bytes.get_mut(..HEADER_BYTES.checked_add(length)?));
        if let Some(whole) = whole {
            let checksum = crc32c::crc32c(&whole[8..]);
            whole[4..8].copy_from_slice(&checksum.to_le_bytes());
        }
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
            mend(&mut bytes);
            let again = frames(&bytes, MAX_BYTES);
            taken_count += usize::from(!again.is_empty());
            assert_eq!(frames(&again, MAX_BYTES), again, "{bytes:?}");
        }
        assert!((1..MUTATIONS_COUNT).contains(&taken_count));
    }
}
