//! Asks one node of a cluster.

use anyhow::{Context as _, anyhow};
use weir_broker::steward::{AdminAnswer, AdminRequest, ClusterStatus};
use weir_peer::{ClientError, PeerClient, PeerTls};

use crate::{cluster_tls::ClusterTls, host_port::HostPort};

/// The way to one node.
pub(crate) struct AdminClient {
    address: String,
    tls: Option<PeerTls>,
}

impl AdminClient {
    pub(crate) fn new(address: &HostPort, tls: &ClusterTls) -> anyhow::Result<Self> {
        Ok(Self {
            address: address.to_string(),
            tls: tls.load()?,
        })
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &AdminRequest) -> anyhow::Result<AdminAnswer> {
        let exchange = async {
            let mut client = PeerClient::connect(&self.address, self.tls.as_ref(), None).await?;
            client.call(request.to_call()).await
        };
        // The error names its source itself.
        let answer = exchange.await.map_err(|error: ClientError| {
            anyhow!("asking the node at {}: {error}", self.address)
        })?;
        AdminAnswer::decode(&answer)
            .with_context(|| format!("the answer of the node at {}", self.address))
    }

    /// The cluster as that node knows it.
    pub(crate) async fn status(&self) -> anyhow::Result<ClusterStatus> {
        match self.ask(&AdminRequest::Status).await? {
            AdminAnswer::Status(status) => Ok(status),
            AdminAnswer::Done { message: other } | AdminAnswer::Refused { reason: other } => {
                anyhow::bail!("the node at {} tells no status: {other}", self.address)
            }
        }
    }
}
