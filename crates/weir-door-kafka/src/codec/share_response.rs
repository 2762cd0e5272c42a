//! The answers to ShareFetch and ShareAcknowledge, versions 1 and 2, encoded by hand so that records
//! are sent as the chunks they are stored in. After the answer header:
//!
//! ```text
//! throttle i32 | error i16 | message | ShareFetch, or v2+: lock i32 | topics [
//!   id | partitions [
//!     index i32 | error i16 | message | ShareFetch: error i16 of acknowledgements, message
//!     | leader i32, its epoch i32, tags
//!     | ShareFetch: records: length, chunks | acquired [ first i64 | last i64 | count i16 | tags ]
//!     | tags
//!   ] | tags
//! ] | nodes [ id i32 | host | port i32 | rack | tags ] | tags
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;
use weir_broker::api::{Broker, share::AcquiredRange};

use super::{header::Head, response::EncodeError, share::RENEW_FROM, versions::Api};

/// The answer as a whole.
#[derive(Debug, Default)]
pub struct ShareAnswerBody {
    /// Top-level error code.
    pub error_code: i16,
    /// Its words.
    pub message: Option<&'static str>,
    /// How long records are locked, in ms.
    pub lock_ms: i32,
    /// The topics.
    pub topics: Vec<(Uuid, Vec<PartAnswer>)>,
    /// The nodes that [`PartAnswer::leader`] names.
    pub nodes: Vec<Broker>,
}

/// One partition's part.
#[derive(Debug, Default)]
pub struct PartAnswer {
    /// Its index.
    pub index: i32,
    /// Its error code.
    pub error_code: i16,
    /// That of its acknowledgements.
    pub ack_code: i16,
    /// The leader and its epoch.
    pub leader: Option<(i32, i32)>,
    /// The records.
    pub chunks: Vec<Bytes>,
    /// Which of them are the member's.
    pub acquired: Vec<AcquiredRange>,
}

/// The chunks to send, in order. No record byte is copied.
pub fn encode(head: &Head, answer: ShareAnswerBody) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer {
        head: *head,
        fixed: head.begin(room_bytes(&answer)),
        chunks: Vec::new(),
        is_fetch: head.api == Api::ShareFetch,
    };
    writer.answer(answer)?;
    writer.finish()
}

fn room_bytes(answer: &ShareAnswerBody) -> usize {
    let topics = answer.topics.iter();
    let parts = topics.flat_map(|(_, parts)| parts);
    let part_bytes: usize = parts.map(|part| 40 + 20 * part.acquired.len()).sum();
    64 + 20 * answer.topics.len() + part_bytes
}

struct Writer {
    head: Head,
    /// What follows the last chunk.
    fixed: BytesMut,
    chunks: Vec<Bytes>,
    is_fetch: bool,
}

impl Writer {
    fn answer(&mut self, answer: ShareAnswerBody) -> Result<(), EncodeError> {
        self.fixed.put_i32(self.head.throttle_ms);
        self.fixed.put_i16(answer.error_code);
        self.text(answer.message)?;
        if self.is_fetch || self.head.version >= RENEW_FROM {
            self.fixed.put_i32(answer.lock_ms);
        }
        self.length(answer.topics.len())?;
        for (id, parts) in answer.topics {
            self.fixed.put_slice(id.as_bytes());
            self.length(parts.len())?;
            for part in parts {
                self.part(part)?;
            }
            self.fixed.put_u8(0);
        }
        self.length(answer.nodes.len())?;
        for node in &answer.nodes {
            self.fixed.put_i32(node.node);
            self.text(Some(&node.host))?;
            self.fixed.put_i32(i32::from(node.port));
            self.text(node.rack.as_deref())?;
            self.fixed.put_u8(0);
        }
        self.fixed.put_u8(0);
        Ok(())
    }

    fn part(&mut self, part: PartAnswer) -> Result<(), EncodeError> {
        self.fixed.put_i32(part.index);
        let code = match self.is_fetch {
            true => part.error_code,
            false if part.ack_code != 0 => part.ack_code,
            false => part.error_code,
        };
        self.fixed.put_i16(code);
        self.text(None)?;
        if self.is_fetch {
            self.fixed.put_i16(part.ack_code);
            self.text(None)?;
        }
        let (leader, epoch) = part.leader.unwrap_or((-1, -1));
        self.fixed.put_i32(leader);
        self.fixed.put_i32(epoch);
        self.fixed.put_u8(0);
        if self.is_fetch {
            self.length(part.chunks.iter().map(Bytes::len).sum())?;
            if !part.chunks.is_empty() {
                self.chunks.push(self.fixed.split().freeze());
                self.chunks.extend(part.chunks);
            }
            self.length(part.acquired.len())?;
            for range in &part.acquired {
                self.fixed.put_i64(offset(range.first));
                self.fixed.put_i64(offset(range.last));
                self.fixed.put_i16(range.delivery_count);
                self.fixed.put_u8(0);
            }
        }
        self.fixed.put_u8(0);
        Ok(())
    }

    fn text(&mut self, text: Option<&str>) -> Result<(), EncodeError> {
        put_text(&self.head, &mut self.fixed, text)
    }

    fn length(&mut self, length: usize) -> Result<(), EncodeError> {
        put_length(&self.head, &mut self.fixed, length)
    }

    fn finish(self) -> Result<Vec<Bytes>, EncodeError> {
        let Self {
            head,
            fixed,
            mut chunks,
            ..
        } = self;
        if chunks.is_empty() {
            let mut whole = fixed;
            head.close(&mut whole, 0)?;
            return Ok(vec![whole.freeze()]);
        }
        let rest_bytes: usize = chunks[1..].iter().map(Bytes::len).sum();
        let mut first = BytesMut::from(&chunks[0][..]);
        head.close(&mut first, rest_bytes + fixed.len())?;
        chunks[0] = first.freeze();
        chunks.push(fixed.freeze());
        Ok(chunks)
    }
}

/// A compact text, maybe null.
pub(super) fn put_text(
    head: &Head,
    frame: &mut BytesMut,
    text: Option<&str>,
) -> Result<(), EncodeError> {
    let Some(text) = text else {
        frame.put_u8(0);
        return Ok(());
    };
    put_length(head, frame, text.len())?;
    frame.put_slice(text.as_bytes());
    Ok(())
}

/// The compact length of a list, a text or bytes.
pub(super) fn put_length(
    head: &Head,
    frame: &mut BytesMut,
    length: usize,
) -> Result<(), EncodeError> {
    let wire = i32::try_from(length).map_err(|_| head.misfit(format!("{length} long")))?;
    let mut rest = wire.cast_unsigned() + 1;
    while rest >= 0x80 {
        frame.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    frame.put_u8(rest as u8);
    Ok(())
}

fn offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
