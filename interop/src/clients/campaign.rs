//! All clients times all codecs, and the figures.

use super::trial::{self, Client, Trial};
use crate::cluster::{Cluster, Ground, Leaderless, ServeOptions};
use crate::corpus::Corpus;
use crate::node::Node;
use crate::place::RunDirectory;
use crate::target::Target;
use anyhow::Result;
use std::path::Path;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const QUICK_BYTES: usize = 2_000_000;
const QUICK_KILLS: u32 = 2;
const FULL_KILLS: u32 = 8;

/// What `cargo xtask clients` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The corpus's first 2 MB and few kills.
    #[arg(long)]
    quick: bool,
    /// Nodes; of several, the one that leads is killed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// One client only.
    #[arg(long, value_enum)]
    only: Option<Client>,
    /// One codec only.
    #[arg(long)]
    codec: Option<String>,
    /// Kills per client and codec.
    #[arg(long)]
    kills: Option<u32>,
}

/// Runs the campaign; false when a trial was not clean. A line of figures per trial.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    let corpus = Corpus::load(if options.quick {
        QUICK_BYTES
    } else {
        usize::MAX
    })?;
    println!(
        "clients: {} lines, {:.1} MB of the kernel's documentation (Debian's linux-doc-6.1)",
        corpus.line_count(),
        megabytes(corpus.bytes().len()),
    );
    let mut directory = RunDirectory::create()?;
    let data = directory.path().join("data");
    let mut node: Box<dyn Target> = match usize::from(options.nodes) {
        1 => Box::new(Node::start(
            weir,
            &data,
            &directory.path().join("node.log"),
        )?),
        count => {
            let ground = Ground::Loopback;
            let cluster = Cluster::start(
                weir,
                directory.path(),
                ground,
                count,
                ServeOptions::default(),
            )?;
            Box::new(Leaderless::new(cluster))
        }
    };
    let kills = options.kills.unwrap_or(if options.quick {
        QUICK_KILLS
    } else {
        FULL_KILLS
    });
    let mut run = 0;
    let mut clean = 0;
    for client in Client::ALL {
        for codec in CODECS {
            let is_client = options.only.is_none_or(|only| only == client);
            if !is_client || options.codec.as_ref().is_some_and(|only| only != codec) {
                continue;
            }
            let thorough = !options.quick;
            let trial = Trial {
                client,
                codec,
                kills,
                thorough,
                corpus: &corpus,
            };
            run += 1;
            clean += u32::from(report(
                &trial,
                trial::run(&trial, node.as_mut(), directory.path()),
            )?);
        }
    }
    let (median, longest) = node.restart_ms();
    if clean == run {
        directory.clean();
    }
    println!(
        "clients: {clean} of {run} clean, {} kills, restart {median} ms median, {longest} ms at most",
        run * (kills + 1),
    );
    Ok(clean == run && run > 0)
}

/// Prints a trial's line; true when it is clean. Only an interruption ends the campaign.
fn report(trial: &Trial<'_>, outcome: Result<trial::Figures>) -> Result<bool> {
    let name = format!("{:<6} {:<6}", trial.client.name(), trial.codec);
    let figures = match outcome {
        Ok(figures) => figures,
        Err(error) => {
            crate::stop::check()?;
            println!("{name}  failed: {error:#}");
            return Ok(false);
        }
    };
    let mut clean = figures.given_up == 0;
    for (reader, verdict) in &figures.verdicts {
        println!(
            "{name}  {} lines  {:.1} MB  {:.1} s  {} + 1 kills  read by {reader}: {} acked  {} seen  \
             {} missing  {} duplicated  {} reordered  {} invented  {} moved  {} given up",
            trial.corpus.line_count(),
            megabytes(trial.corpus.bytes().len()),
            figures.produced_in.as_secs_f64(),
            trial.kills,
            verdict.acked,
            verdict.seen,
            verdict.missing,
            verdict.duplicated,
            verdict.reordered,
            verdict.invented,
            verdict.moved,
            figures.given_up,
        );
        for example in &verdict.examples {
            println!("    {example}");
        }
        clean &= verdict.is_clean();
    }
    Ok(clean)
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
