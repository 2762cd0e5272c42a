//! What is answered where nothing was done: RFC 9457's problems, with the error's name and whether the same
//! request may succeed later.

use hyper::{
    StatusCode,
    header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use weir_broker::Refusal;

use crate::wire_code;

/// How problems are sent.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// What a client is to log in with.
const CHALLENGE: &str = "Basic realm=\"weir\", charset=\"UTF-8\"";
/// The same where tokens are taken.
const CHALLENGES: &str = "Basic realm=\"weir\", charset=\"UTF-8\", Bearer realm=\"weir\"";
/// When a client may come back that was told to, in s.
const RETRY_AFTER_S: &str = "1";

/// Why a request was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// For programs.
    pub(crate) error: String,
    /// For people.
    pub(crate) detail: String,
    pub(crate) retriable: bool,
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            error: error.to_owned(),
            detail: detail.into(),
            retriable: false,
            header: None,
        }
    }

    /// The request cannot be meant.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn conflict(error: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, detail)
    }

    pub(crate) fn forbidden(error: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error, detail)
    }

    /// It may succeed later.
    pub(crate) fn unavailable(error: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, detail).later()
    }

    /// Who asks is to log in.
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static(CHALLENGE);
        Self {
            header: Some((WWW_AUTHENTICATE, challenge)),
            ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        }
    }

    /// Tokens are taken as well.
    pub(crate) fn or_by_token(self) -> Self {
        match self.status {
            StatusCode::UNAUTHORIZED => Self {
                header: Some((WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGES))),
                ..self
            },
            _ => self,
        }
    }

    /// Another method is to be used.
    pub(crate) fn method(allowed: &str) -> Self {
        let detail = format!("this may be asked by {allowed}");
        Self {
            // The names of methods are fit for a header.
            header: HeaderValue::from_str(allowed).ok().map(|it| (ALLOW, it)),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        }
    }

    /// Too much is under way.
    pub(crate) fn overloaded() -> Self {
        let detail = "as many requests are under way as may be at a time";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", detail).later()
    }

    fn later(self) -> Self {
        Self {
            retriable: true,
            header: Some((RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S))),
            ..self
        }
    }

    /// As it is sent.
    pub(crate) fn body(&self) -> Value {
        json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Refused"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "error": self.error,
            "retriable": self.retriable,
        })
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(wire_code::of(refusal.kind), &refusal.error, refusal.reason);
        match refusal.retriable {
            true => problem.later(),
            false => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_model::ErrorKind;

    use super::*;

    #[test]
    fn a_refusal_tells_its_status_its_name_and_whether_to_come_back() {
        let problem = Problem::from(Refusal::from(ErrorKind::NotLeader));
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem.body()["error"], "not_leader");
        assert_eq!(problem.body()["retriable"], true);
        let unknown = Problem::from(Refusal::from(ErrorKind::UnknownTopicOrPartition));
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        assert_eq!(unknown.body()["retriable"], false);
        assert_eq!(unknown.header, None);
    }
}
