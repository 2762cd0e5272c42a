//! The node's ports, and what others are told of them.

use std::{net::SocketAddr, time::Duration};

use tokio::net::TcpListener;
use tracing::warn;
use weir_door::{Budget, Limits, Listener, ListenerError, Sockets, TlsPort, sockets::LOCALHOST};
use weir_peer::PeerTls;

use crate::{
    certificates::Certificates,
    exit_code::Usage,
    host_port::HostPort,
    settings::{ListenAt, ServeConfig},
    token_keys::TokenKeys,
};

/// As good as for ever.
const MAX_SILENCE: Duration = Duration::from_hours(24 * 365 * 30);

/// All ports, taken and not yet served.
pub(crate) struct Doors {
    pub(crate) kafka: Listener,
    /// Where clients are told to connect.
    pub(crate) kafka_advertised: HostPort,
    /// Where those that speak TLS are.
    pub(crate) kafka_tls_advertised: Option<HostPort>,
    pub(crate) amqp: Option<Listener>,
    pub(crate) cluster: TcpListener,
    /// Where the other nodes are told to connect.
    pub(crate) cluster_advertised: HostPort,
    pub(crate) admin: Option<Sockets>,
    pub(crate) admin_tls: Option<(Sockets, TlsPort)>,
    pub(crate) tls: Option<PeerTls>,
    /// What clients that speak TLS are shown.
    pub(crate) certificates: Option<Certificates>,
    /// Whose tokens are believed.
    pub(crate) tokens: Option<TokenKeys>,
}

impl Doors {
    pub(crate) async fn bind(config: &ServeConfig) -> anyhow::Result<Self> {
        let tls = config.tls.load()?;
        let limits = Limits {
            connections_count: config.max_connections_count,
            idle: Duration::from_millis(config.connection_idle_ms),
            ..Limits::default()
        };
        let budget = Budget::new(config.request_memory_bytes);
        let kafka = Listener::bind(&config.kafka).await?;
        let mut kafka = kafka.with_limits(limits).with_budget(budget.clone());
        let secure = &config.door_tls;
        let certificates = secure.files.clone().map(Certificates::load).transpose()?;
        let port = certificates.as_ref().map(Certificates::port);
        if let Some((sockets, port)) =
            bind_secure(&secure.kafka, "kafka-tls", port.as_ref()).await?
        {
            kafka = kafka.with_tls(sockets, port);
        }
        // Its clients may be silent for as long as they like: heartbeats tell whether they are there.
        let limits = Limits {
            idle: MAX_SILENCE,
            ..limits
        };
        let amqp = bind_or_free(&config.amqp, "amqp").await?;
        let amqps = bind_secure(&secure.amqp, "amqps", port.as_ref()).await?;
        let amqp = match (amqp.map(Listener::on), amqps) {
            (Some(plain), Some((sockets, port))) => Some(plain.with_tls(sockets, port)),
            (None, Some((sockets, port))) => Some(Listener::secure(sockets, port)),
            (plain, None) => plain,
        };
        let amqp = amqp.map(|listener| listener.with_limits(limits).with_budget(budget));
        let given = config.kafka_advertise.as_ref();
        let told = spoken(&config.kafka, &kafka.addresses());
        let kafka_advertised = advertised(given, told, "kafka")?;
        let failed = |source| ListenerError::Bind {
            address: config.cluster.clone(),
            source,
        };
        let cluster = TcpListener::bind(&config.cluster).await.map_err(failed)?;
        let kafka_tls_advertised = match &secure.kafka {
            ListenAt::Default(at) | ListenAt::Set(at) if port.is_some() => {
                let told = spoken(at, &kafka.secure_addresses());
                let given = secure.kafka_advertise.as_ref();
                Some(advertised(given, told, "kafka-tls")?)
            }
            ListenAt::Default(_) | ListenAt::Set(_) | ListenAt::Off => None,
        };
        let given = config.cluster_advertise.as_ref();
        let bound = cluster.local_addr().map_err(failed)?;
        let cluster_advertised = advertised(given, bound.into(), "cluster")?;
        if tls.is_none() && !bound.ip().is_loopback() {
            warn!("cluster {bound} without TLS: whoever reaches that port can change the cluster");
        }
        Ok(Self {
            kafka,
            kafka_advertised,
            kafka_tls_advertised,
            amqp,
            cluster,
            cluster_advertised,
            admin: bind_or_free(&config.admin, "admin").await?,
            admin_tls: bind_secure(&secure.admin, "admin-tls", port.as_ref()).await?,
            tls,
            certificates,
            tokens: match &config.tokens {
                Some(tokens) => Some(TokenKeys::load(tokens).await?),
                None => None,
            },
        })
    }
}

async fn bind_secure(
    at: &ListenAt,
    setting: &str,
    port: Option<&TlsPort>,
) -> anyhow::Result<Option<(Sockets, TlsPort)>> {
    let Some(port) = port else {
        return Ok(None);
    };
    let sockets = bind_or_free(at, setting).await?;
    Ok(sockets.map(|sockets| (sockets, port.clone())))
}

async fn bind_or_free(at: &ListenAt, setting: &str) -> anyhow::Result<Option<Sockets>> {
    let addresses = match at {
        ListenAt::Off => return Ok(None),
        ListenAt::Set(addresses) => return Ok(Some(Sockets::bind(addresses).await?)),
        ListenAt::Default(addresses) => addresses,
    };
    match Sockets::bind(addresses).await {
        Ok(sockets) => Ok(Some(sockets)),
        // Another node on this machine, most likely: no reason to refuse a second one.
        Err(error) => {
            let error = anyhow::Error::from(error);
            warn!("{error:#}; the {setting} port is a free one, since none was set");
            let free = [format!("{LOCALHOST}:0")];
            Ok(Some(Sockets::bind(&free).await?))
        }
    }
}

/// The first address of a listener as somebody would write it: the host as it was given, the port
/// as it was taken. `0.0.0.0` and `::` stay what they are.
pub(crate) fn spoken(given: &[String], bound: &[SocketAddr]) -> HostPort {
    let first = bound.first().copied().map(HostPort::from);
    let first = first.expect("a listener has at least one address");
    let host = given.first().and_then(|given| given.rsplit_once(':'));
    match host {
        Some((host, _)) => HostPort {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: first.port,
        },
        None => first,
    }
}

/// What is told: as given, or else as listened on, if anybody can connect to that.
fn advertised(
    given: Option<&HostPort>,
    listening: HostPort,
    setting: &str,
) -> Result<HostPort, Usage> {
    let ip = listening.host.parse::<std::net::IpAddr>();
    match given {
        Some(given) => Ok(given.clone()),
        None if ip.is_ok_and(|ip| ip.is_unspecified()) => Err(Usage(format!(
            "{setting} {listening} takes connections to every address of this machine: say which one \
             the others are told, with --{setting}-advertise HOST:PORT"
        ))),
        None => Ok(listening),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_an_address_that_is_none() {
        let given: HostPort = "node-1:19092".parse().unwrap();
        let told = |given, listening: &str| {
            let told = advertised(given, listening.parse().unwrap(), "kafka");
            told.map(|told| told.to_string())
        };
        assert_eq!(told(None, "10.0.0.1:9092").unwrap(), "10.0.0.1:9092");
        assert_eq!(told(None, "node-1:9092").unwrap(), "node-1:9092");
        assert_eq!(told(Some(&given), "0.0.0.0:9092").unwrap(), "node-1:19092");
        for every in ["0.0.0.0:9092", "[::]:9092"] {
            let refused = told(None, every).unwrap_err().to_string();
            assert!(refused.contains("--kafka-advertise"), "{refused}");
        }
    }

    #[test]
    fn a_listener_is_told_by_the_name_it_was_given_and_the_port_it_took() {
        let bound = ["[::1]:4711".parse().unwrap()];
        for (given, told) in [
            ("localhost:0", "localhost:4711"),
            ("[::1]:0", "[::1]:4711"),
            ("[::]:4711", "[::]:4711"),
        ] {
            assert_eq!(spoken(&[given.to_owned()], &bound).to_string(), told);
        }
    }
}
