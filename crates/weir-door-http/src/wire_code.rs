//! The one table from refusals to HTTP's status codes.

use hyper::StatusCode;
use weir_broker::RefusalKind;

/// The status of an answer that refuses so.
pub(crate) fn of(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::Invalid => StatusCode::BAD_REQUEST,
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Conflict | RefusalKind::Limit => StatusCode::CONFLICT,
        RefusalKind::Denied => StatusCode::FORBIDDEN,
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}
