//! Which node this is: the one that the data directory belongs to, or else the founder of a
//! cluster, or else a node that a cluster has admitted.

use std::time::Duration;

use tracing::{info, warn};
use weir_broker::{Engine, Identity, join};
use weir_log::Entropy as _;
use weir_peer::PeerClient;

use crate::{data_dir, doors::Doors, host_port::HostPort, settings::ServeConfig, wiring::Machine};

/// Time between two rounds of asking.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// The node's identity, durable.
pub(crate) async fn settle(
    config: &ServeConfig,
    machine: &Machine,
    doors: &Doors,
) -> anyhow::Result<Identity> {
    let dir = &config.data_dir;
    if let Some(identity) = Identity::load(&*machine.disk)? {
        say_ignored(config, &identity);
        data_dir::drop_incarnation(dir)?;
        return moved(identity, machine, &doors.cluster_advertised);
    }
    let (disk, entropy, wal) = (&machine.disk, &*machine.entropy, &machine.config.wal);
    if config.join.is_empty() {
        anyhow::ensure!(
            data_dir::incarnation(dir)?.is_none(),
            "{} was made to join a cluster and has not joined yet: start with --join, or empty it",
            dir.display()
        );
        let address = doors.cluster_advertised.to_string();
        return Ok(Engine::found(disk, entropy, wal, config.shards, address)?);
    }
    let identity = admitted(config, machine, doors).await?;
    Engine::join(disk, entropy, wal, &identity)?;
    // With it, a directory that lost its log would get the same id again, and vote twice.
    data_dir::drop_incarnation(dir)?;
    Ok(identity)
}

/// The node may have another address than before; the others hear of it from this one.
fn moved(
    mut identity: Identity,
    machine: &Machine,
    address: &HostPort,
) -> anyhow::Result<Identity> {
    let address = address.to_string();
    if identity.addresses.get(&identity.node) != Some(&address) {
        identity.addresses.insert(identity.node, address);
        identity.save(&*machine.disk)?;
    }
    Ok(identity)
}

/// The directory has the last word, so that options can stay in a unit file.
fn say_ignored(config: &ServeConfig, identity: &Identity) {
    let option = match (config.init, config.join.is_empty()) {
        (true, _) => "--init",
        (false, false) => "--join",
        (false, true) => return,
    };
    let (node, cluster) = (identity.node, identity.cluster_id());
    info!(%node, cluster, option, "ignored: the data directory is a node's already");
}

/// Asks one node after the other until one admits this one, however long that takes.
async fn admitted(
    config: &ServeConfig,
    machine: &Machine,
    doors: &Doors,
) -> anyhow::Result<Identity> {
    let incarnation = match data_dir::incarnation(&config.data_dir)? {
        Some(kept) => kept,
        None => {
            let (high, low) = (machine.entropy.next_u64(), machine.entropy.next_u64());
            // 0 stands for none.
            let random = (u128::from(high) << 64 | u128::from(low)).max(1);
            data_dir::keep_incarnation(&config.data_dir, random)?;
            random
        }
    };
    loop {
        for address in &config.join {
            match ask(address, incarnation, doors).await {
                Ok(identity) => {
                    let (node, cluster) = (identity.node, identity.cluster_id());
                    info!(%node, cluster, by = %address, "admitted");
                    return Ok(identity);
                }
                Err(error) => warn!("not admitted by {address}, and asks on: {error}"),
            }
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

async fn ask(address: &HostPort, incarnation: u128, doors: &Doors) -> anyhow::Result<Identity> {
    let (peer, kafka) = (&doors.cluster_advertised, &doors.kafka_advertised);
    let request = join::request(incarnation, &peer.to_string(), &kafka.host, kafka.port);
    let mut client = PeerClient::connect(&address.to_string(), doors.tls.as_ref(), None).await?;
    Ok(join::read_answer(client.call(request).await?)?)
}
