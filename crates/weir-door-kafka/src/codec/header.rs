//! Request header: `key: i16, version: i16, correlation: i32, client id: nullable string`, then
//! tags where the version is flexible. Answer header: `correlation: i32`, then tags.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use super::{
    shape::{DecodeError, Walk},
    versions::{self, Api, Served},
};

/// What an answer repeats of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The request.
    pub api: Api,
    /// Its version.
    pub version: i16,
    /// The client's number for it.
    pub correlation: i32,
    /// Whether the version is flexible.
    pub flexible: bool,
    /// For how long the client is held once it is answered, in ms.
    pub throttle_ms: i32,
}

/// A decoded header with the body behind it.
#[derive(Debug)]
pub struct Incoming {
    /// What the answer repeats.
    pub head: Head,
    /// The client's name for itself.
    pub client_id: Option<StrBytes>,
    /// The body.
    pub body: Bytes,
}

/// Why a frame is not a request that is served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No such key.
    #[error("api key {0} is not served")]
    Key(i16),
    /// A key that is served, at another version.
    #[error("version {version} of api key {key} is not served")]
    Version {
        /// The key.
        key: i16,
        /// As asked for.
        version: i16,
    },
    /// ApiVersions at an unknown version: answered at version 0 (KIP-511).
    #[error("ApiVersions version {version} is not served")]
    ApiVersions {
        /// As asked for.
        version: i16,
        /// For the answer.
        correlation: i32,
    },
    /// The header is malformed.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// Decodes the header of `frame`, which is without its size field.
pub fn decode(frame: &Bytes) -> Result<Incoming, HeaderError> {
    let mut walk = Walk::new(frame);
    let key = walk.i16()?;
    let version = walk.i16()?;
    let correlation = walk.i32()?;
    let line: Served = versions::by_key(key).ok_or(HeaderError::Key(key))?;
    if !line.serves(version) {
        return Err(if line.api == Api::ApiVersions {
            HeaderError::ApiVersions {
                version,
                correlation,
            }
        } else {
            HeaderError::Version { key, version }
        });
    }
    let client_id = walk.header_string()?.map(|range| frame.slice(range));
    let client_id = client_id
        .map(StrBytes::from_utf8)
        .transpose()
        .map_err(|_| walk.error("client id is not UTF-8"))?;
    let flexible = line.is_flexible(version);
    if flexible {
        walk.tags(&[], version)?;
    }
    let body = frame.slice(walk.at()..);
    Ok(Incoming {
        head: Head {
            api: line.api,
            version,
            correlation,
            flexible,
            throttle_ms: 0,
        },
        client_id,
        body,
    })
}
