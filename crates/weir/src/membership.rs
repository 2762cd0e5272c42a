//! Which node this is: the one that the data directory belongs to, or else the founder of a
//! cluster, or else a node that a cluster has admitted.

use std::time::Duration;

use tracing::{info, warn};
use weir_broker::{Engine, Identity};
use weir_log::disk::Entropy as _;

use crate::{
    command::serve::ServeArguments, data_dir, exit_code::Usage, host_port::HostPort,
    wiring::Machine,
};

/// Time between two rounds of asking.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// The node's identity, durable. `address` is where other nodes reach this one.
pub(crate) async fn settle(
    arguments: &ServeArguments,
    machine: &Machine,
    address: &HostPort,
) -> anyhow::Result<Identity> {
    if let Some(identity) = Identity::load(&*machine.disk)? {
        ignore(arguments, &identity);
        return Ok(identity);
    }
    if arguments.join.is_empty() {
        anyhow::ensure!(
            data_dir::incarnation(&arguments.data_dir)?.is_none(),
            "{} was made to join a cluster and has not yet: start with --join, or empty it",
            arguments.data_dir.display()
        );
        let (disk, entropy) = (&machine.disk, &*machine.entropy);
        let (wal, shards) = (&machine.config.wal, machine.config.shard_count);
        return Ok(Engine::found(
            disk,
            entropy,
            wal,
            shards,
            address.to_string(),
        )?);
    }
    join(arguments, machine, address).await
}

/// The directory has the last word, so that options can stay in a unit file.
fn ignore(arguments: &ServeArguments, identity: &Identity) {
    let cluster = identity.cluster_id();
    let node = identity.node;
    if arguments.init {
        info!(%node, cluster, "goes on as this node: the directory is its own, and --init nothing to do");
    }
    if !arguments.join.is_empty() {
        info!(%node, cluster, "goes on as this node: the directory is its own, and --join nothing to do");
    }
}
