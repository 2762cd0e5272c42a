//! Clients that ask for more than they take: a byte a second, or nothing at all.

use super::batch::{self, Batch};
use super::idle::greet;
use super::row::Door;
use super::shape::{Place, Told};
use super::wire::Wire;
use super::{amqp, kafka};
use crate::memory_group::{MemoryGroup, SMALL_BYTES};
use crate::stop;
use anyhow::{Context, Result, bail};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Of slow readers, at each door.
const SLOW_COUNT: usize = 200;
const SLOW: Duration = Duration::from_secs(20);
/// Written before they come.
const STORED_BYTES: usize = 64 << 20;
/// However many they are, they read the same.
const MAX_SLOW_GROWTH_BYTES: u64 = STORED_BYTES as u64;
/// Answers that each asks for at once.
const FETCHES_COUNT: usize = 8;
/// Of stalled consumers, at each door.
const STALLED_COUNT: usize = 500;
const QUEUES_COUNT: usize = 50;
const STALLED: Duration = Duration::from_secs(20);
const KAFKA_BYTES_PER_S: usize = 40_000_000;
const AMQP_BYTES_PER_S: usize = 10_000_000;
/// Of both, at least: less would not be what this is about.
const MIN_BYTES_PER_S: u64 = 45_000_000;
const FETCH_BYTES: i32 = 1 << 20;
const RECORD_BYTES: usize = 512 << 10;
const MESSAGE_BYTES: usize = 64 << 10;
/// What such a client takes from its network at a time.
const RECEIVE_BUFFER_BYTES: usize = 4 << 10;
const NO_ACK: u8 = 0b10;

pub(super) fn run_slow(place: &Place<'_>) -> Result<Vec<Told>> {
    let mut stand = place.stand(&[])?;
    let (kafka, amqp) = (stand.address(Door::Kafka), stand.address(Door::Amqp));
    let mut producer = Producer::new(kafka)?;
    let mut publisher = Publisher::new(amqp, 1)?;
    for _ in 0..STORED_BYTES / RECORD_BYTES {
        producer.send()?;
    }
    for _ in 0..STORED_BYTES / MESSAGE_BYTES {
        publisher.send(0)?;
    }
    let mut lines = Vec::new();
    for door in [Door::Kafka, Door::Amqp] {
        let address = stand.address(door);
        let (read_count, meanwhile) = stand.watch(|_| {
            let open: Result<Vec<_>> = (0..SLOW_COUNT).map(|_| asking(door, address, 0)).collect();
            read_slowly(open?)
        })?;
        let figures = format!("{SLOW_COUNT} readers, {read_count} bytes read");
        lines.push(Told::of(
            door.name().to_owned(),
            &figures,
            meanwhile,
            MAX_SLOW_GROWTH_BYTES,
        ));
    }
    Ok(lines)
}

pub(super) fn run_stalled(place: &Place<'_>) -> Result<Vec<Told>> {
    if let Some(obstacle) = MemoryGroup::obstacle() {
        println!("skipped: stalled consumers: {obstacle}");
        return Ok(Vec::new());
    }
    let mut stand = place.confined(&MemoryGroup::small_options(), MemoryGroup::small()?)?;
    let (kafka, amqp) = (stand.address(Door::Kafka), stand.address(Door::Amqp));
    let mut producer = Producer::new(kafka)?;
    let mut publisher = Publisher::new(amqp, QUEUES_COUNT)?;
    let (sent_bytes, meanwhile) = stand.watch(|_| {
        let stalled: Result<Vec<_>> = (0..STALLED_COUNT)
            .flat_map(|number| [(Door::Kafka, kafka, number), (Door::Amqp, amqp, number)])
            .map(|(door, address, number)| asking(door, address, number % QUEUES_COUNT))
            .collect();
        let stalled = stalled?;
        let sent_bytes = std::thread::scope(|scope| -> Result<usize> {
            let by_kafka =
                scope.spawn(|| paced(RECORD_BYTES, KAFKA_BYTES_PER_S, |_| producer.send()));
            let by_amqp = paced(MESSAGE_BYTES, AMQP_BYTES_PER_S, |number| {
                publisher.send(number % QUEUES_COUNT)
            })?;
            Ok(by_amqp + by_kafka.join().expect("a producer does not panic")?)
        })?;
        drop(stalled);
        Ok(sent_bytes as u64)
    })?;
    let killed_count = match stand.node().memory() {
        Some(memory) => memory.killed_count()?,
        None => bail!("the node's memory is counted"),
    };
    let bytes_per_s = sent_bytes / STALLED.as_secs();
    let figures = format!(
        "{} consumers, {} MB/s in for {} s under {} MiB, {killed_count} killed",
        2 * STALLED_COUNT,
        bytes_per_s / 1_000_000,
        STALLED.as_secs(),
        SMALL_BYTES >> 20,
    );
    let mut told = Told::of("both doors".to_owned(), &figures, meanwhile, SMALL_BYTES);
    if killed_count > 0 {
        told.faults.push("killed for its memory".to_owned());
    }
    if bytes_per_s < MIN_BYTES_PER_S {
        told.faults.push("less came in than was to".to_owned());
    }
    Ok(vec![told])
}

/// A connection that has asked for much, and has read nothing of it.
fn asking(door: Door, address: SocketAddr, queue: usize) -> Result<TcpStream> {
    let mut socket = match door {
        Door::Amqp => greet(door, address, &amqp::login())?,
        Door::Kafka | Door::Http => TcpStream::connect(address)?,
    };
    set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES)?;
    let asked = match door {
        Door::Amqp => {
            let consume = Wire::new().u16(0).short(&queue_name(queue)).short("");
            amqp::method(1, 60, 20, &consume.u8(NO_ACK).long(b"").end())
        }
        Door::Kafka | Door::Http => kafka::fetch(FETCH_BYTES, 1).repeat(FETCHES_COUNT),
    };
    socket.write_all(&asked)?;
    Ok(socket)
}

/// A byte from each of them, each second; gives how many came.
fn read_slowly(mut open: Vec<TcpStream>) -> Result<usize> {
    let mut count = 0;
    for socket in &open {
        socket.set_nonblocking(true)?;
    }
    let end = Instant::now() + SLOW;
    while Instant::now() < end {
        for socket in &mut open {
            // Whoever is sent away gets no more.
            count += socket.read(&mut [0]).unwrap_or(0);
        }
        stop::sleep(Duration::from_secs(1))?;
    }
    Ok(count)
}

/// Sends pieces at a rate for as long as consumers stall; gives the bytes sent.
fn paced(
    piece_bytes: usize,
    bytes_per_s: usize,
    mut send: impl FnMut(usize) -> Result<()>,
) -> Result<usize> {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < STALLED {
        stop::check()?;
        let due = Duration::from_secs_f64((count * piece_bytes) as f64 / bytes_per_s as f64);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        send(count)?;
        count += 1;
    }
    Ok(count * piece_bytes)
}

/// A client of Kafka's protocol that sends large records one by one.
struct Producer {
    socket: TcpStream,
    request: Vec<u8>,
}

impl Producer {
    fn new(address: SocketAddr) -> Result<Self> {
        let value = vec![b'x'; RECORD_BYTES];
        let large = Batch {
            records: batch::record(0, &value),
            ..Batch::default()
        };
        Ok(Self {
            socket: TcpStream::connect(address)?,
            request: kafka::produce(&large.bytes()),
        })
    }

    fn send(&mut self) -> Result<()> {
        self.socket.write_all(&self.request)?;
        let mut answer = vec![0; 4];
        self.socket.read_exact(&mut answer)?;
        let size = u32::from_be_bytes(answer[..4].try_into().expect("four bytes"));
        answer.resize(4 + size as usize, 0);
        self.socket.read_exact(&mut answer[4..])?;
        match kafka::produce_error(&answer) {
            Some(0) => Ok(()),
            error => bail!("Produce answered {error:?}"),
        }
    }
}

/// A client of AMQP that publishes to queues, each message confirmed before the next.
struct Publisher {
    socket: TcpStream,
}

impl Publisher {
    fn new(address: SocketAddr, queues_count: usize) -> Result<Self> {
        let mut socket = greet(Door::Amqp, address, &amqp::login())?;
        for queue in 0..queues_count {
            let queue = Wire::new().u16(0).short(&queue_name(queue)).u8(0b10);
            socket.write_all(&amqp::method(1, 50, 10, &queue.long(b"").end()))?;
            amqp::wait_for_method(&mut socket, (50, 11))?;
        }
        socket.write_all(&amqp::method(1, 85, 10, b"\0"))?;
        amqp::wait_for_method(&mut socket, (85, 11))?;
        Ok(Self { socket })
    }

    fn send(&mut self, queue: usize) -> Result<()> {
        let body = [b'x'; MESSAGE_BYTES];
        let publish = Wire::new().u16(0).short("").short(&queue_name(queue));
        let header = Wire::new().u16(60).u16(0).u64(MESSAGE_BYTES as u64);
        let header = header.u16(0x1000).u8(2);
        let frames = [
            amqp::method(1, 60, 40, &publish.u8(0).end()),
            amqp::frame(2, 1, &header.end()),
            amqp::frame(3, 1, &body),
        ];
        self.socket.write_all(&frames.concat())?;
        amqp::wait_for_method(&mut self.socket, (60, 80)).context("a confirm")
    }
}

fn queue_name(number: usize) -> String {
    format!("much-{number}")
}
