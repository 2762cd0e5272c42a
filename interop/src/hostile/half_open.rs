//! Handshakes that are begun, each in a way of its own, by a thousand at a time.

use super::row::Door;
use super::shape::{self, Place, Told};
use super::stand::Stand;
use super::wire::Wire;
use super::{amqp, kafka};
use crate::node::free_address;
use crate::place;
use crate::stop;
use anyhow::{Context, Result};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

const CROWD_COUNT: usize = 1_000;
const MAX_GROWTH_BYTES: u64 = 16 << 20;
/// Time of a handshake at each door, and what a busy machine takes on top.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(13);
/// How long those are watched that may stay.
const STAY: Duration = Duration::from_secs(5);
const SASL_HANDSHAKE: i16 = 17;
/// Begin of a TLS record that holds a ClientHello, without most of it.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// What becomes of such a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its node ends it in time.
    Due,
    /// It may stay: whoever comes in there may be silent, until there are users.
    Free,
}

struct Begun {
    name: &'static str,
    address: SocketAddr,
    bytes: Vec<u8>,
    end: End,
}

pub(super) fn run(place: &Place<'_>) -> Result<Vec<Told>> {
    let (kafka_tls, amqps) = (free_address()?, free_address()?);
    let options = tls_options(place, &kafka_tls, &amqps)?;
    let mut stand = place.stand(&options)?;
    let mut lines = Vec::new();
    for begun in all(&stand, kafka_tls.parse()?, amqps.parse()?) {
        let before_count = shape::handles_count(&stand)?;
        let (ended_count, meanwhile) = stand.watch(|_| begin(&begun))?;
        let figures = match begun.end {
            End::Due => format!("{ended_count} of {CROWD_COUNT} ended in time"),
            End::Free => format!("{CROWD_COUNT} connections"),
        };
        let mut told = Told::of(begun.name.to_owned(), &figures, meanwhile, MAX_GROWTH_BYTES);
        if begun.end == End::Due && ended_count < CROWD_COUNT {
            told.faults.push("some were not ended".to_owned());
        }
        told.faults
            .extend(shape::are_handles_back(&stand, before_count)?);
        lines.push(told);
    }
    Ok(lines)
}

fn all(stand: &Stand, kafka_tls: SocketAddr, amqps: SocketAddr) -> Vec<Begun> {
    let [kafka, amqp, http] = shape::DOORS.map(|door: Door| stand.address(door));
    let begun = |name, address, bytes: &[u8], end| Begun {
        name,
        address,
        bytes: bytes.to_vec(),
        end,
    };
    let login = amqp::login();
    let sasl = Wire::new().string("SCRAM-SHA-256").end();
    let sasl = kafka::request(SASL_HANDSHAKE, 1, &sasl);
    vec![
        begun("kafka, nothing said", kafka, b"", End::Free),
        begun("kafka, half a frame", kafka, &sasl[..9], End::Free),
        begun("kafka, SASL begun", kafka, &sasl, End::Free),
        begun("kafka, TLS not begun", kafka_tls, b"", End::Due),
        begun("kafka, half a ClientHello", kafka_tls, HELLO, End::Due),
        begun("amqp, nothing said", amqp, b"", End::Due),
        begun("amqp, its header alone", amqp, &login[..8], End::Due),
        begun("amqp, half a start-ok", amqp, &login[..20], End::Due),
        begun("amqp, TLS not begun", amqps, b"", End::Due),
        begun("amqp, half a ClientHello", amqps, HELLO, End::Due),
        begun("http, nothing said", http, b"", End::Free),
        begun("http, half a head", http, b"GET / HTTP/1.1\r\nA", End::Free),
    ]
}

/// How many of the connections their node ended.
fn begin(begun: &Begun) -> Result<usize> {
    let mut open = Vec::with_capacity(CROWD_COUNT);
    for _ in 0..CROWD_COUNT {
        stop::check()?;
        let mut socket = TcpStream::connect(begun.address)?;
        // Ended at once is ended, too.
        drop(socket.write_all(&begun.bytes));
        socket.set_nonblocking(true)?;
        open.push(socket);
    }
    let limit = match begun.end {
        End::Due => HANDSHAKE_LIMIT,
        End::Free => STAY,
    };
    let end = Instant::now() + limit;
    while !open.is_empty() && Instant::now() < end {
        stop::sleep(Duration::from_millis(50))?;
        open.retain_mut(is_open);
    }
    Ok(CROWD_COUNT - open.len())
}

fn is_open(socket: &mut TcpStream) -> bool {
    let mut piece = [0; 4 << 10];
    match socket.read(&mut piece) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

/// A certificate that nobody else knows.
fn tls_options(place: &Place<'_>, kafka_tls: &str, amqps: &str) -> Result<Vec<String>> {
    let path = |name: &str| place.directory.join(name).display().to_string();
    let (certificate, key) = (path("tls.pem"), path("tls.key"));
    place::run(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext"])
            .args(["subjectAltName=DNS:localhost", "-keyout", &key])
            .args(["-out", &certificate]),
    )
    .context("a certificate (Debian: openssl)")?;
    let options = [
        ("--kafka-tls", kafka_tls.to_owned()),
        ("--amqps", amqps.to_owned()),
        ("--tls-certificate-file", certificate),
        ("--tls-key-file", key),
    ];
    let words = options.into_iter();
    Ok(words
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect())
}
