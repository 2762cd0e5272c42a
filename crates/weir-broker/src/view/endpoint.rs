//! Where clients that speak TLS reach each node: told by beacons, since a node that is not heard of
//! serves nobody.

use weir_model::NodeId;

use super::ClusterState;
use crate::{
    Node,
    api::Endpoint,
    encoding::{DecodeError, Reader, Writer},
};

/// Longest host, in bytes.
const MAX_HOST_BYTES: usize = 255;

impl ClusterState {
    pub(super) fn set_endpoint(&mut self, node: NodeId, endpoint: Option<Endpoint>) {
        match endpoint {
            Some(endpoint) => self.endpoints.insert(node, endpoint),
            None => self.endpoints.remove(&node),
        };
    }
}

impl Node {
    /// Where clients that speak TLS reach a node, as far as this one knows.
    pub(crate) fn tls_endpoint(&self, node: NodeId) -> Option<Endpoint> {
        if node == self.id() {
            return self.config.kafka_tls.clone();
        }
        self.views.lock().endpoints.get(&node).cloned()
    }
}

pub(super) fn write(writer: &mut Writer, endpoint: Option<&Endpoint>) {
    writer.text(endpoint.map_or("", |it| &it.host));
    writer.u16(endpoint.map_or(0, |it| it.port));
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Endpoint>, DecodeError> {
    let (host, port) = (reader.text()?.to_owned(), reader.u16()?);
    if host.len() > MAX_HOST_BYTES {
        return Err(reader.invalid("host of a door"));
    }
    Ok((!host.is_empty()).then_some(Endpoint { host, port }))
}
