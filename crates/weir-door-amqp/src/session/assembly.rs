//! Methods with their contents, out of the frames of one channel.

use bytes::{Bytes, BytesMut};
use weir_model::fields::{BasicProperties, DecodeError, Fault};

use super::asks::REQUEST_BYTES;
use crate::{
    codec::{ContentHeader, Frame, FrameKind, Method, MethodId, method::BasicPublish},
    wire_code::{Failure, ReplyCode},
};

/// Longest body, in bytes (RabbitMQ's `max_message_size`).
const MAX_BODY_BYTES: u64 = 16 << 20;
/// Most frames of one body: those of 4096 bytes, and as many that hold little.
const MAX_BODY_FRAMES: usize = 8192;

/// What came on a channel.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A method without content.
    Method(Method),
    /// A message.
    Publish(Box<Incomer>),
}

/// A message as it was published.
#[derive(Debug)]
pub(super) struct Incomer {
    pub(super) publish: BasicPublish,
    pub(super) properties: BasicProperties,
    /// Bytes of the content's header.
    pub(super) header_bytes: usize,
    pub(super) body: Bytes,
}

/// What the next frame has to be.
#[derive(Debug, Default)]
pub(super) enum Assembly {
    #[default]
    Method,
    Header(BasicPublish),
    Body(Box<Incomer>, u64, Vec<Bytes>),
}

impl Assembly {
    /// Takes the next frame of the channel.
    pub(super) fn take(&mut self, frame: &Frame) -> Result<Option<Incoming>, Failure> {
        match (std::mem::take(self), frame.kind) {
            (Self::Method, FrameKind::Method) => {
                let method = Method::decode(frame.payload.clone()).map_err(not_a_method)?;
                if let Method::BasicPublish(publish) = method {
                    *self = Self::Header(publish);
                    return Ok(None);
                }
                if method.has_content() {
                    let text = format!("{} is the server's to send", method.name());
                    return Err(Failure::new(ReplyCode::CommandInvalid, text).of(method.id()));
                }
                Ok(Some(Incoming::Method(method)))
            }
            (Self::Header(publish), FrameKind::Header) => self.header(publish, frame),
            (Self::Body(incomer, left_bytes, parts), FrameKind::Body) => {
                self.body(incomer, left_bytes, parts, frame.payload.clone())
            }
            (Self::Method, _) => Err(unexpected(
                "expected method frame, got non method frame instead",
            )),
            (Self::Header(_), _) => Err(unexpected(
                "expected content header for class 60, got non content header frame instead",
            )
            .of(PUBLISH)),
            (Self::Body(..), _) => Err(unexpected(
                "expected content body, got non content body frame instead",
            )
            .of(PUBLISH)),
        }
    }

    /// Bytes of a body that is not whole yet, and those that it lacks.
    pub(super) fn bytes(&self) -> (usize, usize) {
        match self {
            Self::Method | Self::Header(_) => (0, 0),
            Self::Body(_, left_bytes, parts) => (
                parts.iter().map(Bytes::len).sum(),
                usize::try_from(*left_bytes).expect("bodies are below MAX_BODY_BYTES"),
            ),
        }
    }

    fn header(
        &mut self,
        publish: BasicPublish,
        frame: &Frame,
    ) -> Result<Option<Incoming>, Failure> {
        let header = ContentHeader::decode(frame.payload.clone()).map_err(|error| {
            match error.fault {
                Fault::NoContent(class) => unexpected(format!(
                    "expected content header for class 60, got one for class {class} instead"
                )),
                _ => Failure::new(ReplyCode::SyntaxError, error.to_string()),
            }
            .of(PUBLISH)
        })?;
        if header.body_bytes > MAX_BODY_BYTES {
            let text = format!(
                "message size {} is larger than configured max size {MAX_BODY_BYTES}",
                header.body_bytes
            );
            return Err(Failure::new(ReplyCode::PreconditionFailed, text).of(PUBLISH));
        }
        let incomer = Box::new(Incomer {
            publish,
            properties: header.properties,
            header_bytes: frame.payload.len(),
            body: Bytes::new(),
        });
        if header.body_bytes == 0 {
            return Ok(Some(Incoming::Publish(incomer)));
        }
        *self = Self::Body(incomer, header.body_bytes, Vec::new());
        Ok(None)
    }

    fn body(
        &mut self,
        mut incomer: Box<Incomer>,
        left_bytes: u64,
        mut parts: Vec<Bytes>,
        part: Bytes,
    ) -> Result<Option<Incoming>, Failure> {
        let Some(left_bytes) = left_bytes.checked_sub(part.len() as u64) else {
            return Err(unexpected("content body is longer than its header says").of(PUBLISH));
        };
        if left_bytes > 0 {
            parts.push(part);
            if parts.len() > MAX_BODY_FRAMES {
                return Err(unexpected("content body in too many frames").of(PUBLISH));
            }
            *self = Self::Body(incomer, left_bytes, parts);
            return Ok(None);
        }
        incomer.body = joined(&parts, part);
        Ok(Some(Incoming::Publish(incomer)))
    }
}

const PUBLISH: MethodId = MethodId {
    class: 60,
    method: 40,
};

fn joined(parts: &[Bytes], last: Bytes) -> Bytes {
    if parts.is_empty() {
        return last;
    }
    let whole_bytes = parts.iter().map(Bytes::len).sum::<usize>() + last.len();
    let mut whole = BytesMut::with_capacity(whole_bytes);
    for part in parts.iter().chain([&last]) {
        whole.extend_from_slice(part);
    }
    whole.freeze()
}

fn unexpected(text: impl Into<String>) -> Failure {
    Failure::new(ReplyCode::UnexpectedFrame, text)
}

/// What bytes are that are no method.
pub(super) fn not_a_method(error: DecodeError) -> Failure {
    match error.fault {
        Fault::UnknownMethod { class, method } => {
            let text = format!("class {class} has no method {method}");
            Failure::new(ReplyCode::NotImplemented, text).of(MethodId { class, method })
        }
        _ => Failure::new(ReplyCode::SyntaxError, error.to_string()),
    }
}

impl Incoming {
    /// Memory that it stands for.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Method(_) => REQUEST_BYTES,
            Self::Publish(incomer) => REQUEST_BYTES + incomer.header_bytes + incomer.body.len(),
        }
    }

    /// Whether it is collected with others of its kind.
    pub(super) fn is_flowing(&self) -> bool {
        match self {
            Self::Publish(_) => true,
            Self::Method(method) => is_settling(method),
        }
    }

    /// Whether all that came before must be answered first.
    pub(super) fn needs_idle(&self) -> bool {
        match self {
            Self::Publish(_) => false,
            // Clients ask for the like of `basic.qos` to hear of what they have published.
            Self::Method(method) => !is_settling(method),
        }
    }
}

fn is_settling(method: &Method) -> bool {
    matches!(
        method,
        Method::BasicAck(_) | Method::BasicNack(_) | Method::BasicReject(_)
    )
}
