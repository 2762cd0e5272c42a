//! What all commands that speak to the cluster have in common.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::{client::Client, host_port::HostPort};

/// Where the cluster is.
#[derive(Debug, Args)]
pub(crate) struct ClientArguments {
    /// Kafka door of any node; several, comma-separated, are tried in turn.
    #[arg(
        long,
        global = true,
        env = "WEIR_BOOTSTRAP",
        default_value = "localhost:9092",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    bootstrap: Vec<HostPort>,
    /// How long one thing may be tried, in ms, while nodes are away or leaders change.
    #[arg(
        long,
        global = true,
        default_value_t = 30_000,
        value_parser = clap::value_parser!(u64).range(1..=3_600_000),
        value_name = "MS"
    )]
    timeout_ms: u64,
    /// Answer as JSON on stdout, for scripts.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl ClientArguments {
    /// A client that is not connected yet.
    pub(crate) fn client(&self) -> Client {
        let bootstrap = self.bootstrap.iter().map(HostPort::to_string).collect();
        Client::new(bootstrap).with_limit(Duration::from_millis(self.timeout_ms))
    }

    /// Says what was done: in words, or as JSON.
    pub(crate) fn tell<T: Serialize>(&self, answer: &T, words: &str) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(answer)?);
        } else {
            print!("{words}");
        }
        Ok(())
    }
}

/// `NAME=VALUE`.
pub(crate) fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("`{text}` is not NAME=VALUE")),
    }
}
