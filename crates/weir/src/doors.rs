//! The node's two ports, and what others are told of them.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tracing::warn;
use weir_door::{Listener, ListenerError};
use weir_peer::PeerTls;

use crate::{command::serve::ServeArguments, exit_code::Usage, host_port::HostPort};

/// Both ports, taken and not yet served.
pub(crate) struct Doors {
    pub(crate) kafka: Listener,
    /// Where clients are told to connect.
    pub(crate) kafka_advertised: HostPort,
    pub(crate) cluster: TcpListener,
    /// Where the other nodes are told to connect.
    pub(crate) cluster_advertised: HostPort,
    pub(crate) tls: Option<PeerTls>,
}

impl Doors {
    pub(crate) async fn bind(arguments: &ServeArguments) -> anyhow::Result<Self> {
        let tls = arguments.tls.load()?;
        let kafka = Listener::bind(&arguments.kafka).await?;
        let given = arguments.kafka_advertise.as_ref();
        let kafka_advertised = advertised(given, kafka.local_addr(), "--kafka")?;
        let failed = |source| ListenerError::Bind {
            address: arguments.cluster.clone(),
            source,
        };
        let cluster = TcpListener::bind(&arguments.cluster)
            .await
            .map_err(failed)?;
        let given = arguments.cluster_advertise.as_ref();
        let bound = cluster.local_addr().map_err(failed)?;
        let cluster_advertised = advertised(given, bound, "--cluster")?;
        if tls.is_none() && !bound.ip().is_loopback() {
            warn!(
                "--cluster {bound} without TLS: whoever reaches that port can change the cluster"
            );
        }
        Ok(Self {
            kafka,
            kafka_advertised,
            cluster,
            cluster_advertised,
            tls,
        })
    }
}

/// What is told: as given, or else as bound, if anybody can connect to that.
fn advertised(
    given: Option<&HostPort>,
    bound: SocketAddr,
    option: &str,
) -> Result<HostPort, Usage> {
    match given {
        Some(given) => Ok(given.clone()),
        None if bound.ip().is_unspecified() => Err(Usage(format!(
            "{option} {bound} takes connections to every address of this machine: say which one \
             the others are told, with {option}-advertise HOST:PORT"
        ))),
        None => Ok(bound.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_an_address_that_is_none() {
        let every: SocketAddr = "0.0.0.0:9092".parse().unwrap();
        let one: SocketAddr = "10.0.0.1:9092".parse().unwrap();
        let given: HostPort = "node-1:19092".parse().unwrap();
        let told = |given, bound| advertised(given, bound, "--kafka").map(|told| told.to_string());
        assert_eq!(told(None, one).unwrap(), "10.0.0.1:9092");
        assert_eq!(told(Some(&given), every).unwrap(), "node-1:19092");
        let refused = told(None, every).unwrap_err().to_string();
        assert!(refused.contains("--kafka-advertise"), "{refused}");
    }
}
