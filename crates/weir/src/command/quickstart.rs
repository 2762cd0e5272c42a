//! `weir quickstart`: messages in and out where the reader can see them.

mod children;
mod several;

use clap::Args;

use super::{
    exchange::Exchange,
    serve::{self, Ready, ServeArguments, announce_ready},
};
use crate::settings::ServeConfig;

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
    let mut exchange = Exchange::new(kafka.to_vec());
    exchange.create(TOPIC)?;
    println!(
        "\nsending {} messages to topic {TOPIC} over the Kafka port",
        MESSAGES.len()
    );
    let first = exchange.send(TOPIC, &MESSAGES)?;
    let stored = if kafka.len() > 1 {
        "on the disks of a majority"
    } else {
        "on disk"
    };
    println!("acknowledged: {stored} from offset {first} on");
    for (offset, text) in exchange.read(TOPIC, first)? {
        println!("  offset {offset}: {text}");
    }
    let kafka = kafka.join(",");
    println!("\nConnect any Kafka client to {kafka}, for example");
    println!("  kcat -b {kafka} -C -t {TOPIC} -e");
    Ok(())
}
