//! `weir quickstart`: messages in and out where the reader can see them.

use std::net::SocketAddr;

use super::{
    exchange::Exchange,
    serve::{ServeArguments, announce_ready},
};

const TOPIC: &str = "quickstart";
const MESSAGES: [&str; 3] = [
    "a weir levels a river",
    "it holds back the flood",
    "and feeds the dry season",
];

/// Sends a few messages through the Kafka door and prints them as they come back.
pub(crate) fn show(arguments: &ServeArguments, address: SocketAddr) -> anyhow::Result<()> {
    announce_ready(arguments, address)?;
    let mut exchange = Exchange::connect(address)?;
    exchange.create(TOPIC)?;
    println!(
        "\nsending {} messages to topic {TOPIC} over the Kafka port",
        MESSAGES.len()
    );
    let first = exchange.send(TOPIC, &MESSAGES)?;
    println!("acknowledged: on disk from offset {first} on");
    for (offset, text) in exchange.read(TOPIC, first)? {
        println!("  offset {offset}: {text}");
    }
    println!("\nConnect any Kafka client to {address}, for example");
    println!("  kcat -b {address} -C -t {TOPIC} -e");
    println!(
        "Ctrl-C stops the broker; the messages stay in {}.",
        arguments.data_dir.display()
    );
    Ok(())
}
