//! Finds frames in bytes that arrive cut anywhere.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::frame::{FrameError, FrameLimits, SIZE_BYTES, frame_bytes, telling_bytes};

/// Received and not yet decoded bytes. A frame that lies in one chunk is a slice of it; one that
/// spans chunks is put together.
#[derive(Debug, Default)]
pub struct Inbox {
    chunks: VecDeque<Bytes>,
    partial: BytesMut,
    bytes: usize,
}

impl Inbox {
    /// Takes the next chunk.
    pub fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next whole frame without its size field; `None`: more bytes are needed.
    pub fn next_frame(&mut self, limits: FrameLimits) -> Result<Option<Bytes>, FrameError> {
        if self.partial.is_empty() {
            let Some(front) = self.chunks.front_mut() else {
                return Ok(None);
            };
            match frame_bytes(front, limits)? {
                Some(total) if total <= front.len() => {
                    let frame = front.split_to(total);
                    if front.is_empty() {
                        self.chunks.pop_front();
                    }
                    return Ok(Some(self.taken(&frame)));
                }
                Some(_) | None => {}
            }
        }
        self.next_joined(limits)
    }

    fn next_joined(&mut self, limits: FrameLimits) -> Result<Option<Bytes>, FrameError> {
        loop {
            let total = frame_bytes(&self.partial, limits)?;
            let target = total.unwrap_or_else(|| telling_bytes(&self.partial));
            let lacking = target.saturating_sub(self.partial.len());
            if lacking == 0 {
                assert!(total.is_some(), "what tells the size is there");
                let frame = self.partial.split_to(target).freeze();
                return Ok(Some(self.taken(&frame)));
            }
            let Some(front) = self.chunks.front_mut() else {
                return Ok(None);
            };
            let step = front.split_to(lacking.min(front.len()));
            self.partial.extend_from_slice(&step);
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
    }

    fn taken(&mut self, frame: &Bytes) -> Bytes {
        assert!(frame.len() <= self.bytes, "a frame comes from held bytes");
        self.bytes -= frame.len();
        frame.slice(SIZE_BYTES..)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::frame::MAX_BARE_REQUEST_BYTES, *};

    fn frames_of(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut inbox = Inbox::default();
        let mut frames = Vec::new();
        for chunk in chunks {
            inbox.push(Bytes::copy_from_slice(chunk));
            while let Some(frame) = inbox.next_frame(FrameLimits::REQUEST).unwrap() {
                frames.push(frame.to_vec());
            }
        }
        assert_eq!(inbox.bytes(), 0);
        frames
    }

    #[test]
    fn any_two_cuts_give_the_same_frames() {
        let mut wire = Vec::new();
        for size in [8_u8, 9, 20] {
            wire.extend_from_slice(&[0, 0, 0, size]);
            wire.extend((0..size).map(|i| i ^ size));
        }
        let whole = frames_of(&[&wire]);
        assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), [8, 9, 20]);
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let cut = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(frames_of(&cut), whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_large_request_is_found_wherever_it_is_cut_and_refused_without_records() {
        let size = MAX_BARE_REQUEST_BYTES + 1;
        let mut wire = u32::try_from(size).unwrap().to_be_bytes().to_vec();
        wire.resize(SIZE_BYTES + size, 0);
        for cut in 0..12 {
            let frames = frames_of(&[&wire[..cut], &wire[cut..]]);
            assert_eq!(frames.len(), 1, "cut at {cut}");
            assert_eq!(frames[0].len(), size);
        }
        wire[5] = 3;
        for cut in 0..12 {
            let mut inbox = Inbox::default();
            inbox.push(Bytes::copy_from_slice(&wire[..cut]));
            let early = inbox.next_frame(FrameLimits::REQUEST);
            inbox.push(Bytes::copy_from_slice(&wire[cut..20]));
            assert!(
                early.is_err() || inbox.next_frame(FrameLimits::REQUEST).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_frame_in_one_chunk_is_not_copied() {
        let wire = Bytes::from_static(&[0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0]);
        let mut inbox = Inbox::default();
        inbox.push(wire.clone());
        let frame = inbox.next_frame(FrameLimits::REQUEST).unwrap().unwrap();
        assert_eq!(frame.as_ptr(), wire[4..].as_ptr());
    }
}
