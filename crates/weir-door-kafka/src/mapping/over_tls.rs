//! What clients that speak TLS are told of nodes: where those speak it too.

use weir_broker::api::{Broker, Endpoint, Leader, Outcome};
use weir_model::ErrorKind;

/// Puts addresses with TLS into the place of plain ones. Nodes that have none are left out, as nodes
/// without a listener of the client's kind are by Kafka.
pub fn readdress(outcome: &mut Outcome) {
    if let Outcome::Metadata(metadata) = outcome {
        metadata.brokers.retain_mut(take_tls);
    } else if let Outcome::Coordinators(coordinators) = outcome {
        for coordinator in coordinators {
            if coordinator.as_mut().is_ok_and(|broker| !take_tls(broker)) {
                *coordinator = Err(ErrorKind::CoordinatorUnreachable);
            }
        }
    } else if let Outcome::Fetch(fetched) = outcome {
        fetched.iter_mut().for_each(|it| keep(&mut it.leader));
    } else if let Outcome::Produce(produced) = outcome {
        produced.iter_mut().for_each(|it| keep(&mut it.leader));
    }
}

fn keep(leader: &mut Option<Box<Leader>>) {
    if leader.as_mut().is_some_and(|it| !take_tls(&mut it.broker)) {
        *leader = None;
    }
}

/// Whether the node has an address with TLS, which is the only one then.
fn take_tls(broker: &mut Broker) -> bool {
    let Some(Endpoint { host, port }) = broker.tls.take() else {
        return false;
    };
    (broker.host, broker.port) = (host, port);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(node: i32, tls: Option<u16>) -> Broker {
        Broker {
            node,
            host: "plain".to_owned(),
            port: 9092,
            tls: tls.map(|port| Endpoint {
                host: "secure".to_owned(),
                port,
            }),
            rack: None,
            is_fenced: false,
        }
    }

    #[test]
    fn coordinators_are_named_where_they_speak_tls() {
        let both = vec![Ok(broker(1, Some(9093))), Ok(broker(2, None))];
        let mut outcome = Outcome::Coordinators(both);
        readdress(&mut outcome);
        let Outcome::Coordinators(told) = outcome else {
            panic!("still coordinators");
        };
        let first = told[0].as_ref().unwrap();
        assert_eq!((first.host.as_str(), first.port), ("secure", 9093));
        assert_eq!(told[1], Err(ErrorKind::CoordinatorUnreachable));
    }

    #[test]
    fn a_leader_without_tls_is_not_named() {
        for (tls, is_named) in [(Some(1), true), (None, false)] {
            let mut leader = Some(Box::new(Leader {
                broker: broker(1, tls),
                epoch: 3,
            }));
            keep(&mut leader);
            assert_eq!(leader.is_some(), is_named);
        }
    }
}
