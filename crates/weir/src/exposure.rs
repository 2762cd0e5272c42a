//! Ports that other machines reach: until there is a user they are for this machine alone, or somebody
//! has said that everybody may come in.

use std::net::SocketAddr;

use tracing::warn;
use weir_broker::access::AccessView;
use weir_door::{Listener, Sockets};

use crate::{doors::Doors, settings::ServeConfig};

/// Ports of clients that are open to other machines, as `kafka 0.0.0.0:9092`.
#[derive(Debug, Default)]
pub(crate) struct Exposed(Vec<String>);

impl Exposed {
    /// Of ports that are taken.
    pub(crate) fn of(doors: &Doors) -> Self {
        let of_amqp = |addresses: fn(&Listener) -> Vec<SocketAddr>| {
            doors.amqp.as_ref().map_or_else(Vec::new, addresses)
        };
        let of_admin =
            |sockets: Option<&Sockets>| sockets.map_or_else(Vec::new, Sockets::addresses);
        let mut exposed = Self::default();
        for (name, addresses) in [
            ("kafka", doors.kafka.addresses()),
            ("kafka-tls", doors.kafka.secure_addresses()),
            ("amqp", of_amqp(Listener::addresses)),
            ("amqps", of_amqp(Listener::secure_addresses)),
            ("admin", of_admin(doors.admin.as_ref())),
            (
                "admin-tls",
                of_admin(doors.admin_tls.as_ref().map(|(sockets, _)| sockets)),
            ),
        ] {
            exposed.add(name, &addresses);
        }
        exposed
    }

    fn add(&mut self, name: &str, addresses: &[SocketAddr]) {
        let far = addresses.iter();
        let far = far.filter(|address| !address.ip().to_canonical().is_loopback());
        self.0
            .extend(far.map(|address| format!("{name} {address}")));
    }

    /// What is to be said about them; `None`: nothing.
    fn words(&self, is_open: bool, allows_anonymous: bool, cluster: SocketAddr) -> Option<String> {
        if self.0.is_empty() || !is_open {
            return None;
        }
        let ports = self.0.join(", ");
        Some(match allows_anonymous {
            true => format!(
                "{ports}: whoever reaches that may do everything, until there is a user (allow-anonymous)"
            ),
            false => format!(
                "{ports}: clients of other machines are refused, since there is no user yet. Make the first \
                 one with `weir user add NAME --tag administrator --node {cluster}`, or set allow-anonymous \
                 where everybody who reaches that may do everything"
            ),
        })
    }

    /// Says in the log who is refused, and what to do.
    pub(crate) fn tell(&self, access: &AccessView, config: &ServeConfig, cluster: SocketAddr) {
        if let Some(words) = self.words(access.is_open(), config.allows_anonymous, cluster) {
            warn!("{words}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_for_other_machines_is_named_with_what_to_do_until_there_is_a_user() {
        let cluster: SocketAddr = "127.0.0.1:7400".parse().unwrap();
        let mut exposed = Exposed::default();
        let near = [
            "127.0.0.1:1",
            "[::1]:1",
            "127.8.0.1:1",
            "[::ffff:127.0.0.1]:1",
        ];
        exposed.add("kafka", &near.map(|at| at.parse().unwrap()));
        assert_eq!(exposed.words(true, false, cluster), None);
        exposed.add("amqp", &["0.0.0.0:5672".parse().unwrap()]);
        let words = exposed.words(true, false, cluster).unwrap();
        assert!(words.starts_with("amqp 0.0.0.0:5672: "), "{words}");
        assert!(words.contains("weir user add NAME --tag administrator --node 127.0.0.1:7400"));
        assert!(words.contains("allow-anonymous"));
        assert!(
            exposed
                .words(true, true, cluster)
                .unwrap()
                .contains("everything")
        );
        assert_eq!(exposed.words(false, false, cluster), None);
    }
}
