//! Asks one node of a cluster.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use weir_broker::steward::{AdminAnswer, AdminRequest, ClusterStatus};
use weir_peer::{ClientError, PeerClient, PeerTls};

use crate::{cluster_tls::ClusterTls, host_port::HostPort};

/// How long what passes by itself is waited for: some elections, or a replica that catches up.
const PASSING_LIMIT: Duration = Duration::from_secs(30);
/// Time between two questions.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

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

    /// Asks again while something is in the way that passes by itself, for [`PASSING_LIMIT`].
    pub(crate) async fn ask_until_settled(
        &self,
        request: &AdminRequest,
    ) -> anyhow::Result<AdminAnswer> {
        let asked_at = Instant::now();
        let mut told = String::new();
        loop {
            let answer = self.ask(request).await?;
            let AdminAnswer::NotYet { reason } = &answer else {
                return Ok(answer);
            };
            if asked_at.elapsed() >= PASSING_LIMIT {
                return Ok(answer);
            }
            if *reason != told {
                eprintln!("waiting: {reason}");
                told.clone_from(reason);
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }

    /// The cluster as that node knows it.
    pub(crate) async fn status(&self) -> anyhow::Result<ClusterStatus> {
        match self.ask(&AdminRequest::Status).await? {
            AdminAnswer::Status(status) => Ok(status),
            AdminAnswer::Done { message: other }
            | AdminAnswer::Refused { reason: other }
            | AdminAnswer::NotYet { reason: other } => {
                anyhow::bail!("the node at {} tells no status: {other}", self.address)
            }
        }
    }
}
