//! What a client hears of its login.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{messages::SaslAuthenticateResponse, protocol::StrBytes};

use super::login_error::LoginError;
use crate::{codec::header::Head, mapping::plan::MapError, wire_code};

/// What goes back, and why the connection ends after that.
#[derive(Debug)]
pub struct Reply {
    /// The answer; `None`: there is none.
    pub frame: Option<Bytes>,
    /// Why nothing follows.
    pub end: Option<LoginError>,
}

impl Reply {
    pub(super) const NOTHING: Self = Self {
        frame: None,
        end: None,
    };
}

/// How a token came, and is answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Request(Head),
    /// Without a header.
    Token,
}

impl Form {
    /// What the server says, or why the login failed; the latter has no place where there is no header.
    /// `session_ms`: how long the login holds, once it is one.
    pub(super) fn frame(
        self,
        answer: Result<Bytes, String>,
        session_ms: Option<u64>,
    ) -> Result<Option<Bytes>, MapError> {
        let head = match (self, &answer) {
            (Self::Request(head), _) => head,
            (Self::Token, Ok(answer)) => {
                let mut frame = BytesMut::with_capacity(4 + answer.len());
                frame.put_u32(u32::try_from(answer.len()).unwrap_or(0));
                frame.put_slice(answer);
                return Ok(Some(frame.freeze()));
            }
            (Self::Token, Err(_)) => return Ok(None),
        };
        let mut response = SaslAuthenticateResponse::default();
        match answer {
            Ok(answer) => {
                response.auth_bytes = answer;
                let session_ms = i64::try_from(session_ms.unwrap_or(0));
                response.session_lifetime_ms = session_ms.unwrap_or(i64::MAX);
            }
            Err(words) => {
                response.error_code = wire_code::SASL_AUTHENTICATION_FAILED;
                response.error_message = Some(StrBytes::from_string(words));
            }
        }
        Ok(Some(head.frame(&response)?))
    }
}

pub(super) fn reply(frame: Bytes, end: Option<LoginError>) -> Result<Reply, MapError> {
    Ok(Reply {
        frame: Some(frame),
        end,
    })
}
