//! One connection to one node: frames, versions, one request at a time.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader},
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};

use super::ClientError;

/// How long one address may take to answer a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a node may take to answer, besides what the request itself allows it to wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The same where a node answers only once other clients have done something: to JoinGroup.
const JOIN_ANSWER_LIMIT: Duration = Duration::from_mins(6);
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 128 << 20;
/// What is asked first; every node serves it.
const API_VERSIONS_VERSION: i16 = 3;

/// An open connection whose node has said what it serves.
pub(crate) struct Connection {
    address: String,
    stream: TcpStream,
    next_correlation: i32,
    /// Lowest and highest version by API key.
    served: BTreeMap<i16, (i16, i16)>,
}

impl Connection {
    /// Connects to `address` (`host:port`), to each that the host stands for in turn.
    pub(crate) fn open(address: &str) -> Result<Self, ClientError> {
        let stream = connect(address).map_err(|source| ClientError::Unreachable {
            address: address.to_owned(),
            source,
        })?;
        let mut connection = Self {
            address: address.to_owned(),
            stream,
            next_correlation: 0,
            served: BTreeMap::new(),
        };
        connection.learn_versions()?;
        Ok(connection)
    }

    fn learn_versions(&mut self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("weir"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer: ApiVersionsResponse = self.exchange(&request, API_VERSIONS_VERSION)?;
        super::error::check(answer.error_code, "versions", None)?;
        for api in answer.api_keys {
            self.served
                .insert(api.api_key, (api.min_version, api.max_version));
        }
        Ok(())
    }

    /// Asks with the highest version that both sides know, `max_version` at most.
    pub(crate) fn ask<Q: Request>(
        &mut self,
        request: &Q,
        max_version: i16,
    ) -> Result<Q::Response, ClientError> {
        let ours = Q::VERSIONS;
        let (min, max) = self.served.get(&Q::KEY).copied().unwrap_or((0, -1));
        let version = ours.max.min(max).min(max_version);
        if version < ours.min.max(min) {
            return Err(self.unsupported::<Q>());
        }
        self.exchange(request, version)
    }

    /// Sends what nobody answers: a Produce that asks for no acknowledgement.
    pub(crate) fn tell<Q: Request>(
        &mut self,
        request: &Q,
        max_version: i16,
    ) -> Result<(), ClientError> {
        let (_, max) = self.served.get(&Q::KEY).copied().unwrap_or((0, -1));
        let version = Q::VERSIONS.max.min(max).min(max_version);
        if version < Q::VERSIONS.min {
            return Err(self.unsupported::<Q>());
        }
        self.send(request, version)
    }

    fn unsupported<Q: Request>(&self) -> ClientError {
        let name = std::any::type_name::<Q>();
        let name = name.rsplit("::").next().unwrap_or(name);
        ClientError::Unsupported {
            address: self.address.clone(),
            api: name.trim_end_matches("Request"),
        }
    }

    fn exchange<Q: Request>(
        &mut self,
        request: &Q,
        version: i16,
    ) -> Result<Q::Response, ClientError> {
        let limit = match ApiKey::try_from(Q::KEY) {
            Ok(ApiKey::JoinGroup) => JOIN_ANSWER_LIMIT,
            Ok(_) | Err(()) => ANSWER_LIMIT,
        };
        let limited = self.stream.set_read_timeout(Some(limit));
        limited.map_err(|source| self.lost(source))?;
        self.send(request, version)?;
        let mut answer = self.receive().map_err(|source| self.lost(source))?;
        ResponseHeader::decode(&mut answer, Q::Response::header_version(version))
            .and_then(|_| Q::Response::decode(&mut answer, version))
            .map_err(|error| self.malformed(&error))
    }

    fn send<Q: Request>(&mut self, request: &Q, version: i16) -> Result<(), ClientError> {
        self.next_correlation = self.next_correlation.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.next_correlation)
            .with_client_id(Some(StrBytes::from_static_str("weir")));
        let mut frame = BytesMut::from(&[0; 4][..]);
        let header_version = ApiKey::try_from(Q::KEY)
            .map_err(|()| self.unsupported::<Q>())?
            .request_header_version(version);
        header
            .encode(&mut frame, header_version)
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| self.malformed(&error))?;
        let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let written = self.stream.write_all(&frame);
        written.map_err(|source| self.lost(source))
    }

    fn receive(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_ANSWER_BYTES {
            let what = format!("an answer of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut answer = Vec::new();
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        // Grows with what arrives: the length is only the sender's word.
        let count = (&mut self.stream).take(limit).read_to_end(&mut answer)?;
        if count < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer = Bytes::from(answer);
        let correlation = answer.get(..4).and_then(|head| head.try_into().ok());
        if correlation.map(i32::from_be_bytes) != Some(self.next_correlation) {
            let what = "the answer is to another request";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(answer)
    }

    fn lost(&self, source: io::Error) -> ClientError {
        ClientError::Lost {
            address: self.address.clone(),
            source,
        }
    }

    fn malformed(&self, error: &anyhow::Error) -> ClientError {
        ClientError::Malformed {
            address: self.address.clone(),
            what: format!("{error:#}"),
        }
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, CONNECT_LIMIT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(ANSWER_LIMIT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
