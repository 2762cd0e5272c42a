//! Which node is asked at its peer port, and how it is answered.

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use weir_peer::{ClientError, PeerClient};

use crate::{cluster_tls::ClusterTls, host_port::HostPort};

/// The node that is asked.
#[derive(Debug, Args)]
pub(crate) struct NodeArguments {
    /// Peer port of any node of the cluster.
    #[arg(
        long,
        global = true,
        env = "WEIR_CLUSTER",
        default_value = "127.0.0.1:9192",
        value_name = "HOST:PORT"
    )]
    node: HostPort,
    /// Answer as JSON on stdout, for scripts.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    tls: ClusterTls,
}

/// The node said no.
#[derive(Debug, thiserror::Error)]
#[error("refused: {0}")]
pub(crate) struct Refused(pub(crate) String);

impl NodeArguments {
    /// The answer to a call, which `decode` understands.
    pub(crate) fn call<A, E>(
        &self,
        call: Bytes,
        decode: impl FnOnce(&[u8]) -> Result<A, E>,
    ) -> anyhow::Result<A>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no runtime")?;
        let address = self.node.to_string();
        let tls = self.tls.load()?;
        let exchange = async {
            let mut client = PeerClient::connect(&address, tls.as_ref(), None).await?;
            client.call(call).await
        };
        let answer = runtime
            .block_on(exchange)
            .map_err(|error: ClientError| anyhow!("asking the node at {address}: {error}"))?;
        decode(&answer).with_context(|| format!("the answer of the node at {address}"))
    }

    /// Says what there is or was done: in words, or as JSON.
    pub(crate) fn tell<T: Serialize>(&self, answer: &T, words: &str) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(answer)?);
        } else {
            print!("{words}");
        }
        Ok(())
    }
}

/// All rows, page after page. `rows`: those of a page; `last`: what stands for its last one.
pub(crate) fn pages<A, R, L>(
    ask: impl Fn(Option<L>) -> anyhow::Result<A>,
    rows: impl Fn(A) -> Option<Vec<R>>,
    last: impl Fn(&R) -> L,
) -> anyhow::Result<Vec<R>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = rows(ask(after)?).context("the node answers something else")?;
        let Some(row) = page.last() else {
            return Ok(all);
        };
        after = Some(last(row));
        all.extend(page);
    }
}
