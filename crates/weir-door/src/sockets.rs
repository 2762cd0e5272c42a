//! Listening on all addresses of one listener at once.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};

use tokio::net::{TcpListener, TcpStream, lookup_host};

use crate::ListenerError;

/// The host that means this machine's loopback addresses, both of them.
pub const LOCALHOST: &str = "localhost";
/// Ports tried where one number must be free at several addresses.
const MAX_PORT_TRIES: usize = 16;

/// Open ports that are listened on as one.
#[derive(Debug)]
pub struct Sockets {
    sockets: Vec<(TcpListener, SocketAddr)>,
    /// Whose turn it is to be asked first, so that none starves.
    next: AtomicUsize,
}

/// One address of a listener, and whether it may be absent on this machine.
#[derive(Clone, Copy)]
struct Wanted {
    address: SocketAddr,
    is_optional: bool,
}

impl Sockets {
    /// Listens on each of `addresses` (`host:port`), on every address that a host stands for.
    /// `localhost` stands for 127.0.0.1 and, where the machine has IPv6, ::1. Port 0 picks a free
    /// port, the same one for all that a host stands for.
    pub async fn bind(addresses: &[String]) -> Result<Self, ListenerError> {
        let mut sockets = Vec::new();
        for address in addresses {
            let failed = |source| ListenerError::Bind {
                address: address.clone(),
                source,
            };
            let wanted = resolve(address).await.map_err(failed)?;
            sockets.extend(bind_together(&wanted).await.map_err(failed)?);
        }
        let next = AtomicUsize::new(0);
        Ok(Self { sockets, next })
    }

    /// The addresses listened on, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(_, address)| *address).collect()
    }

    /// The next connection: the address it came to, and the peer's. Cancel-safe.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.sockets.len();
        poll_fn(|context| {
            for step in 0..count {
                let (socket, local) = &self.sockets[(first.wrapping_add(step)) % count];
                if let Poll::Ready(accepted) = socket.poll_accept(context) {
                    return Poll::Ready(accepted.map(|(stream, peer)| (stream, *local, peer)));
                }
            }
            Poll::Pending
        })
        .await
    }
}

async fn resolve(address: &str) -> io::Result<Vec<Wanted>> {
    let of_loopback = address
        .strip_prefix(LOCALHOST)
        .and_then(|rest| rest.strip_prefix(':'))
        .and_then(|port| port.parse::<u16>().ok());
    if let Some(port) = of_loopback {
        // Not asked of the resolver: what it says of localhost differs between machines, and a
        // client may try either address first.
        let wanted = |ip: IpAddr, is_optional| Wanted {
            address: SocketAddr::new(ip, port),
            is_optional,
        };
        return Ok(vec![
            wanted(Ipv4Addr::LOCALHOST.into(), false),
            wanted(Ipv6Addr::LOCALHOST.into(), true),
        ]);
    }
    let mut all = Vec::new();
    for address in lookup_host(address).await? {
        if !all.iter().any(|known: &Wanted| known.address == address) {
            all.push(Wanted {
                address,
                is_optional: false,
            });
        }
    }
    if all.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the host has no address",
        ));
    }
    Ok(all)
}

/// Binds all, on one port number where any will do.
async fn bind_together(wanted: &[Wanted]) -> io::Result<Vec<(TcpListener, SocketAddr)>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match bind_once(wanted).await {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && tries < MAX_PORT_TRIES
                    && wanted.iter().any(|wanted| wanted.address.port() == 0) => {}
            bound => return bound,
        }
    }
}

async fn bind_once(wanted: &[Wanted]) -> io::Result<Vec<(TcpListener, SocketAddr)>> {
    let mut bound: Vec<(TcpListener, SocketAddr)> = Vec::new();
    for Wanted {
        mut address,
        is_optional,
    } in wanted.iter().copied()
    {
        if address.port() == 0
            && let Some((_, first)) = bound.first()
        {
            address.set_port(first.port());
        }
        match TcpListener::bind(address).await {
            Ok(socket) => {
                let local = socket.local_addr()?;
                bound.push((socket, local));
            }
            Err(error) if is_optional && is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bound)
}

/// Whether this machine has no such address; one that somebody else listens on is not absent.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    ) || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Linux's number of "address family not supported", which has no kind of its own.
const EAFNOSUPPORT: i32 = 97;

#[cfg(test)]
mod tests {
    use super::*;

    async fn bind(address: &str) -> Result<Sockets, ListenerError> {
        Sockets::bind(&[address.to_owned()]).await
    }

    #[tokio::test]
    async fn localhost_is_reached_at_both_loopback_addresses() {
        let sockets = bind("localhost:0").await.unwrap();
        let addresses = sockets.addresses();
        let has_six = TcpListener::bind("[::1]:0").await.is_ok();
        assert_eq!(addresses.len(), 1 + usize::from(has_six));
        for address in addresses {
            assert_eq!(address.port(), sockets.addresses()[0].port());
            let client = TcpStream::connect(address).await.unwrap();
            let (_, local, peer) = sockets.accept().await.unwrap();
            assert_eq!((local, peer), (address, client.local_addr().unwrap()));
        }
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_refused_though_another_is_free() {
        let Ok(taken) = TcpListener::bind("[::1]:0").await else {
            return;
        };
        let port = taken.local_addr().unwrap().port();
        let error = bind(&format!("localhost:{port}")).await.unwrap_err();
        let ListenerError::Bind { source, .. } = error;
        assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn several_listeners_take_connections_of_each() {
        let both = ["127.0.0.1:0".to_owned(), "127.0.0.2:0".to_owned()];
        let sockets = Sockets::bind(&both).await.unwrap();
        let addresses = sockets.addresses();
        let mut clients = Vec::new();
        for address in addresses.iter().chain(&addresses) {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut taken = Vec::new();
        for _ in &clients {
            taken.push(sockets.accept().await.unwrap().1);
        }
        for address in &addresses {
            assert_eq!(taken.iter().filter(|local| *local == address).count(), 2);
        }
    }
}
