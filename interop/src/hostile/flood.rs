//! Connections that are opened and closed as fast as it goes, with and without a few bytes.

use super::shape::{self, DOORS, Place, Told};
use crate::stop;
use anyhow::Result;
use rustix::net::sockopt::set_socket_linger;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const FLOOD: Duration = Duration::from_secs(10);
const FLOODERS_COUNT: usize = 4;
const MAX_GROWTH_BYTES: u64 = 16 << 20;
/// Every so many connections say something.
const TALKATIVE: u64 = 4;

pub(super) fn run(place: &Place<'_>) -> Result<Vec<Told>> {
    let mut stand = place.stand(&[])?;
    let mut lines = Vec::new();
    for door in DOORS {
        let address = stand.address(door);
        let before_count = shape::handles_count(&stand)?;
        let (counts, meanwhile) = stand.watch(|_| {
            std::thread::scope(|scope| {
                let flooders: Vec<_> = (0..FLOODERS_COUNT)
                    .map(|_| scope.spawn(|| flood(address)))
                    .collect();
                let joined = flooders.into_iter().map(|it| it.join());
                joined
                    .map(|ended| ended.expect("a flooder does not panic"))
                    .collect::<Result<Vec<_>>>()
            })
        })?;
        let fault = shape::are_handles_back(&stand, before_count)?;
        let rate = counts.iter().sum::<u64>() / FLOOD.as_secs();
        let figures = format!("{rate} connections a second for {} s", FLOOD.as_secs());
        let mut told = Told::of(
            door.name().to_owned(),
            &figures,
            meanwhile,
            MAX_GROWTH_BYTES,
        );
        told.faults.extend(fault);
        lines.push(told);
    }
    Ok(lines)
}

fn flood(address: SocketAddr) -> Result<u64> {
    let (end, mut count) = (Instant::now() + FLOOD, 0);
    while Instant::now() < end {
        stop::check()?;
        let Ok(mut socket) = TcpStream::connect(address) else {
            continue; // Its queue is full for a moment: that is what a flood is for.
        };
        count += 1;
        if count % TALKATIVE == 0 {
            // Refused or not: nobody stays to hear.
            drop(socket.write_all(b"\x16\x03\x01\x02"));
        }
        // Reset: else this machine's ports would all wait for their time to run out.
        set_socket_linger(&socket, Some(Duration::ZERO))?;
    }
    Ok(count)
}
