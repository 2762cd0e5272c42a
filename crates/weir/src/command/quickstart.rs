//! `weir quickstart`: messages in and out where the reader can see them.

mod children;
mod several;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use clap::Args;
use weir_model::batch::Codec;

use super::serve::{self, Ready, ServeArguments, announce_ready};
use crate::{
    client::{
        Client, ClientError,
        records::{self, Outgoing},
    },
    moment,
    settings::ServeConfig,
};

/// How long one thing may be tried: nodes that just started find each other meanwhile.
const RETRY_LIMIT: Duration = Duration::from_secs(60);
/// How long reading waits for what was just written, in ms.
const FETCH_WAIT_MS: i32 = 5_000;

const TOPIC: &str = "quickstart";
const MESSAGES: [&str; 3] = [
    "a weir levels a river",
    "it holds back the flood",
    "and feeds the dry season",
];
/// Numbers of nodes of which one more than half can be counted on.
const NODE_COUNTS: [&str; 3] = ["1", "3", "5"];

/// One node with the options of `weir serve`, or several.
#[derive(Clone, Debug, Args)]
pub(crate) struct QuickstartArguments {
    /// Nodes on this machine, as one cluster. Several have their data in DIR/node-1, DIR/node-2
    /// and so on, and the ports from those of --kafka and --cluster on, or free ones.
    #[arg(long, default_value = "1", value_parser = NODE_COUNTS, value_name = "COUNT")]
    nodes: String,
    #[command(flatten)]
    serve: ServeArguments,
}

/// Runs the nodes until a signal or a failure ends them.
pub(crate) fn run(arguments: &QuickstartArguments) -> anyhow::Result<()> {
    match arguments.nodes.parse() {
        Ok(count) if count > 1 => several::run(&arguments.serve, count),
        Ok(_) | Err(_) => serve::run(&arguments.serve, show),
    }
}

fn show(config: &ServeConfig, ready: &Ready) -> anyhow::Result<()> {
    announce_ready(config, ready)?;
    exchange(&ready.kafka)?;
    println!(
        "Ctrl-C stops the broker; the messages stay in {}.",
        config.data_dir.display()
    );
    Ok(())
}

/// Sends a few messages through the Kafka doors and prints them as they come back.
fn exchange(kafka: &[String]) -> anyhow::Result<()> {
    let mut client = Client::new(kafka.to_vec()).with_limit(RETRY_LIMIT);
    client.topic(TOPIC, true)?;
    println!(
        "\nsending {} messages to topic {TOPIC} over the Kafka port",
        MESSAGES.len()
    );
    let messages = MESSAGES.map(|text| Outgoing {
        key: None,
        value: Some(Bytes::from_static(text.as_bytes())),
        headers: Vec::new(),
        timestamp_ms: moment::now_ms(),
    });
    let batch = records::encode(&messages, Codec::None, client.producer()?)?;
    let first = client.produce((TOPIC, 0), &batch, -1)?;
    let stored = if kafka.len() > 1 {
        "on the disks of a majority"
    } else {
        "on disk"
    };
    println!("acknowledged: {stored} from offset {first} on");
    let place = (TOPIC.to_owned(), 0);
    let fetched = client.retried(|client| {
        let leader = client.leaders(std::slice::from_ref(&place))?;
        let leader = leader.keys().next().copied().unwrap_or(-1);
        let from = BTreeMap::from([(place.clone(), first)]);
        let fetched = client.fetch(leader, &from, FETCH_WAIT_MS)?;
        let batches = fetched.into_iter().map(|fetched| fetched.batches);
        batches.collect::<Result<Vec<Bytes>, ClientError>>()
    })?;
    for incoming in records::decode(&fetched.concat().into(), first)?.messages {
        let value = incoming.message.value.unwrap_or_default();
        let text = String::from_utf8_lossy(&value);
        println!("  offset {}: {text}", incoming.offset);
    }
    let kafka = kafka.join(",");
    println!("\nConnect any Kafka client to {kafka}, for example");
    println!("  kcat -b {kafka} -C -t {TOPIC} -e");
    println!("or, without one,");
    println!("  weir consume {TOPIC} -e --bootstrap {kafka}");
    Ok(())
}
