//! A proxy that notes what clients send, connection by connection.

use crate::node::free_address;
use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Most that is noted of a connection.
const MAX_NOTED_BYTES: usize = 64 << 10;

type Noted = Arc<Mutex<Vec<Vec<u8>>>>;

/// A listener; its threads end with the process.
pub(super) struct Proxy {
    /// Where clients go.
    pub(super) address: String,
    noted: Noted,
}

impl Proxy {
    /// Takes a port. `to` is told later: a node has to know where it is found before it runs.
    pub(super) fn listen() -> Result<(Self, TcpListener)> {
        let address = free_address()?;
        let listener = TcpListener::bind(&address)?;
        let noted = Noted::default();
        Ok((Self { address, noted }, listener))
    }

    /// Hands on what comes in.
    pub(super) fn serve(&self, listener: TcpListener, to: String) {
        let noted = Arc::clone(&self.noted);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(std::io::Result::ok) {
                if let Ok(node) = TcpStream::connect(&to) {
                    // A connection that ends early is noted as far as it went.
                    drop(join(client, node, Arc::clone(&noted)));
                }
            }
        });
    }

    /// What each connection has sent.
    pub(super) fn noted(&self) -> Vec<Vec<u8>> {
        self.noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn join(client: TcpStream, node: TcpStream, noted: Noted) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    node.set_nodelay(true)?;
    let at = {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(Vec::new());
        noted.len() - 1
    };
    let note = move |piece: &[u8]| {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_NOTED_BYTES - noted[at].len();
        noted[at].extend_from_slice(&piece[..piece.len().min(room)]);
    };
    let (from_client, to_node) = (client.try_clone()?, node.try_clone()?);
    std::thread::spawn(move || copy(from_client, to_node, note));
    std::thread::spawn(move || copy(node, client, |_| {}));
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream, note: impl Fn(&[u8])) {
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(count) if count > 0 && to.write_all(&piece[..count]).is_ok() => {
                note(&piece[..count]);
            }
            // The other side hears that it is over.
            Ok(_) | Err(_) => return drop(to.shutdown(Shutdown::Both)),
        }
    }
}
