//! 10,000 connections that are well opened, and then say nothing.

use super::row::Door;
use super::shape::{self, Place, Told};
use super::{amqp, kafka};
use crate::stop;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CROWD_COUNT: usize = 10_000;
const MAX_GROWTH_BYTES: u64 = 64 << 20;
const STAY: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const API_VERSIONS: i16 = 18;

pub(super) fn run(place: &Place<'_>) -> Result<Vec<Told>> {
    let mut stand = place.stand(&[])?;
    let mut lines = Vec::new();
    for (door, greeting) in [
        (Door::Kafka, kafka::request(API_VERSIONS, 0, b"")),
        (Door::Amqp, amqp::login()),
    ] {
        let address = stand.address(door);
        let before_count = shape::handles_count(&stand)?;
        let (open, meanwhile) = stand.watch(|_| {
            let mut open = Vec::with_capacity(CROWD_COUNT);
            for number in 0..CROWD_COUNT {
                stop::check()?;
                let socket = greet(door, address, &greeting);
                open.push(socket.with_context(|| format!("connection {number}"))?);
            }
            stop::sleep(STAY)?;
            Ok(open)
        })?;
        let figures = format!("{} connections", open.len());
        drop(open);
        let mut told = Told::of(
            door.name().to_owned(),
            &figures,
            meanwhile,
            MAX_GROWTH_BYTES,
        );
        told.faults
            .extend(shape::are_handles_back(&stand, before_count)?);
        lines.push(told);
    }
    Ok(lines)
}

/// A connection as a well-behaved client opens it.
pub(super) fn greet(door: Door, address: SocketAddr, greeting: &[u8]) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(ANSWER_LIMIT))?;
    socket.write_all(greeting)?;
    let mut heard = Vec::new();
    let mut piece = [0; 4 << 10];
    loop {
        let count = socket.read(&mut piece)?;
        if count == 0 {
            bail!("closed after {} bytes", heard.len());
        }
        heard.extend_from_slice(&piece[..count]);
        let is_in = match door {
            Door::Amqp => amqp::is_channel_open(&heard),
            Door::Kafka | Door::Http => true,
        };
        if is_in {
            return Ok(socket);
        }
    }
}
