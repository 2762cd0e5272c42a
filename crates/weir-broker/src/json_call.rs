//! What people ask of a node, as calls: a tag, then JSON.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// Why bytes are no request or answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It is longer than a request of its kind may be.
    #[error("the request is too long")]
    TooLong,
    /// It says something else.
    #[error("not understood: {0}")]
    Json(#[from] serde_json::Error),
}

/// A request behind its tag. Its types are ours: none has keys that JSON has no word for.
pub(crate) fn to_call(tag: u8, request: &impl Serialize) -> Bytes {
    let mut call = vec![tag];
    call.extend(serde_json::to_vec(request).expect("a request has no odd keys"));
    call.into()
}

/// The request that follows the tag.
pub(crate) fn read_request<T: DeserializeOwned>(
    bytes: &[u8],
    max_bytes: usize,
) -> Result<T, AdminError> {
    if bytes.len() > max_bytes {
        return Err(AdminError::TooLong);
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// An answer. Its types are ours, as those of requests.
pub(crate) fn to_answer(answer: &impl Serialize) -> Bytes {
    let answer = serde_json::to_vec(answer);
    answer.expect("an answer has no odd keys").into()
}

/// The answer to a call.
pub(crate) fn read_answer<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AdminError> {
    Ok(serde_json::from_slice(bytes)?)
}
