//! The write-ahead log's appends once more, each a batch through a group of one voter.

use std::{path::Path, time::Duration};

use anyhow::Result;
use weir_broker::NodeConfig;

use super::log::{LARGE_BYTES, LARGE_RECORD_COUNT, SIZES, WRITER_COUNTS};
use crate::{
    batch::batch,
    drive::{Driven, Limit, drive},
    node::{NodeHost, NodeWriters, TopicRefs},
    options::Pace,
    report::{Hold, Report, Row, mb_per_s, per_s},
    scratch::{Scratch, settle},
};

/// Shards of each of the two nodes whose idle cost is taken: each has a group for metadata too.
const IDLE_SHARD_COUNT: u32 = 150;
/// Groups of both.
const IDLE_GROUP_COUNT: u32 = 2 * (IDLE_SHARD_COUNT + 1);

/// Elections are over and spare files are made after this.
const IDLE_AFTER: Duration = Duration::from_secs(2);

/// What a node reached.
struct Reached {
    driven: Driven,
    frame_count: f64,
    written_bytes: f64,
}

/// One partition of a node, flushed to segments meanwhile. `alone` has the acknowledgements per
/// second of the write-ahead log by itself, where they were taken.
pub(super) fn one_voter(pace: Pace, dir: &Path, alone: &[f64], report: &mut Report) -> Result<()> {
    report.part(
        "node, a group of one voter",
        "write-ahead log below it; ratio to it by itself",
    );
    let scratch = Scratch::new(dir, "group")?;
    let host = NodeHost::open(scratch.path(), NodeConfig::default())?;
    let topic = host.create("bench", 1)?;
    let large = batch(LARGE_BYTES, LARGE_RECORD_COUNT);
    let warm_count = pace.warm_bytes / large.len() as u64;
    drive(
        &mut NodeWriters::new(&host, topic.clone(), large),
        16,
        Limit::Count(warm_count),
    )?;
    let mut alone = alone.iter();
    for (size_bytes, size_name) in SIZES {
        for writer_count in WRITER_COUNTS {
            settle(scratch.path())?;
            let batch = batch(size_bytes, 1);
            let batch_bytes = batch.len() as f64;
            let mut writers = NodeWriters::new(&host, topic.clone(), batch);
            let reached = append(&host, &mut writers, writer_count, pace)?;
            let acks_per_s = reached.driven.acks_per_s();
            let seconds = reached.driven.time.as_secs_f64();
            report.row(Row {
                what: format!("{size_name}, {writer_count} writers"),
                ours: format!(
                    "{}, {}, {:.1}/sync",
                    mb_per_s(acks_per_s * batch_bytes),
                    per_s(acks_per_s, "acks"),
                    reached.driven.ack_count as f64 / reached.frame_count
                ),
                beside: format!(
                    "{}, {}",
                    mb_per_s(reached.written_bytes / seconds),
                    per_s(reached.frame_count / seconds, "syncs")
                ),
                ratio: alone.next().map(|alone| acks_per_s / alone),
                hold: None,
            });
        }
    }
    host.close();
    Ok(())
}

fn append(
    host: &NodeHost,
    writers: &mut NodeWriters<'_>,
    writer_count: usize,
    pace: Pace,
) -> Result<Reached> {
    drive(writers, writer_count, Limit::For(pace.slice / 10))?;
    let before = host.figures();
    let driven = drive(
        writers,
        writer_count,
        Limit::For(pace.slice * pace.round_count),
    )?;
    let after = host.figures();
    Ok(Reached {
        driven,
        frame_count: (after.frame_count - before.frame_count).max(1) as f64,
        written_bytes: (after.written_bytes - before.written_bytes) as f64,
    })
}

/// What groups cost that nobody uses, with all threads of their nodes.
pub(super) fn idle(pace: Pace, dir: &Path, report: &mut Report) -> Result<()> {
    report.part("idle nodes, % of a core", "");
    let scratch = Scratch::new(dir, "idle")?;
    let nodes = ["first", "second"].map(|name| idle_node(&scratch.path().join(name)));
    let nodes = nodes.into_iter().collect::<Result<Vec<NodeHost>>>()?;
    std::thread::sleep(IDLE_AFTER);
    let before = crate::cpu::own_threads()?;
    std::thread::sleep(pace.idle);
    let spent = crate::cpu::own_threads()?.saturating_sub(before);
    let percent = 100.0 * spent.as_secs_f64() / pace.idle.as_secs_f64();
    report.row(Row {
        what: format!("{IDLE_GROUP_COUNT} groups on two nodes"),
        ours: format!("{percent:.3} % over {:.0} s", pace.idle.as_secs_f64()),
        ratio: Some(percent),
        hold: Some(Hold::Below(1.0)),
        ..Row::default()
    });
    nodes.into_iter().for_each(NodeHost::close);
    Ok(())
}

/// With an entry in each of its groups: those that never did anything might be cheaper.
fn idle_node(dir: &Path) -> Result<NodeHost> {
    let config = NodeConfig {
        shard_count: IDLE_SHARD_COUNT,
        ..NodeConfig::default()
    };
    let host = NodeHost::open(dir, config)?;
    let topic: TopicRefs = host.create("bench", IDLE_SHARD_COUNT)?;
    let count = u64::from(IDLE_SHARD_COUNT);
    drive(
        &mut NodeWriters::new(&host, topic, batch(100, 1)),
        16,
        Limit::Count(count),
    )?;
    Ok(host)
}
