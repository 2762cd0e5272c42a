//! Many partitions, and topics that come and go.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use kafka_protocol::messages::{DeleteTopicsRequest, MetadataRequest};

use super::{
    measured::{figure_row, memory_row, probe, settled},
    wire::{Wire, check, topic_name},
};
use crate::{batch::batch, client::NodeProcess, options::CrowdOptions, report::Report};

/// Partitions of one topic.
const PARTITIONS_PER_TOPIC: usize = 1_000;
/// Connections that produce side by side.
const WIRE_COUNT: usize = 50;
/// What a partition in use may cost, in bytes.
const PARTITION_BYTES: u64 = 8 << 10;
/// What may be left of topics that came and went, in bytes each: the allocator's, for the most part.
const GONE_BYTES: u64 = 4 << 10;
/// Bytes of the one batch of each.
const BATCH_BYTES: usize = 100;
const METADATA_VERSION: i16 = 8;
const DELETE_VERSION: i16 = 3;
const DELETE_LIMIT_MS: i32 = 120_000;

pub(crate) fn measure_partitions(
    options: &CrowdOptions,
    node: &NodeProcess,
    report: &mut Report,
) -> Result<()> {
    let before = settled(node.pid())?;
    let all: Result<Vec<Wire>> = (0..WIRE_COUNT)
        .map(|_| Wire::connect(node.address()))
        .collect();
    let mut wires = all?;
    let start = Instant::now();
    let topic_count = options.partition_count.div_ceil(PARTITIONS_PER_TOPIC);
    for topic in 0..topic_count {
        wires[0].make_topic(&format!("wide-{topic}"), PARTITIONS_PER_TOPIC)?;
    }
    let made_ms = start.elapsed().as_millis();
    let batch = batch(BATCH_BYTES, 1);
    for topic in 0..topic_count {
        let name = format!("wide-{topic}");
        for first in (0..PARTITIONS_PER_TOPIC).step_by(WIRE_COUNT) {
            for (wire, index) in wires.iter_mut().zip(first..) {
                wire.send_batch(&name, index, &batch)?;
            }
            wires.iter_mut().try_for_each(Wire::receive_stored)?;
        }
    }
    let count = topic_count * PARTITIONS_PER_TOPIC;
    let grown = settled(node.pid())?.saturating_sub(before);
    let limit = PARTITION_BYTES * count as u64;
    report.row(memory_row("partitions in use", count, grown, limit));
    report.row(figure_row(
        "creation of all of them",
        format!("{made_ms} ms"),
    ));
    let start = Instant::now();
    let request = MetadataRequest::default().with_topics(None);
    let told = wires[0].ask(&request, METADATA_VERSION)?;
    let took_ms = start.elapsed().as_millis();
    ensure!(told.topics.len() >= topic_count, "not all topics are told");
    report.row(figure_row(
        "metadata of all of them",
        format!("{took_ms} ms"),
    ));
    let latency = probe(node.address())?;
    report.row(figure_row(
        "a lone produce beside them",
        latency.to_string(),
    ));
    Ok(())
}

pub(crate) fn measure_turnover(
    options: &CrowdOptions,
    node: &NodeProcess,
    dir: &Path,
    report: &mut Report,
) -> Result<()> {
    let before = settled(node.pid())?;
    let files_before = count_files(&dir.join("data"))?;
    let mut wire = Wire::connect(node.address())?;
    let batch = batch(BATCH_BYTES, 1);
    let start = Instant::now();
    for number in 0..options.turnover_count {
        let name = format!("passing-{number}");
        wire.make_topic(&name, 1)?;
        wire.produce(&name, 0, &batch)?;
        let request = DeleteTopicsRequest::default()
            .with_topic_names(vec![topic_name(&name)])
            .with_timeout_ms(DELETE_LIMIT_MS);
        let gone = wire.ask(&request, DELETE_VERSION)?;
        let gone = gone.responses.first().context("an answer")?;
        check(gone.error_code, "a topic's end")?;
    }
    let rate = options.turnover_count as f64 / start.elapsed().as_secs_f64();
    let grown = settled(node.pid())?.saturating_sub(before);
    let limit = GONE_BYTES * options.turnover_count as u64;
    let what = "topics made, used, deleted";
    report.row(memory_row(what, options.turnover_count, grown, limit));
    let files = count_files(&dir.join("data"))?;
    report.row(figure_row(
        "their rate, and files left",
        format!(
            "{rate:.0}/s, {} files more",
            files.saturating_sub(files_before)
        ),
    ));
    let latency = probe(node.address())?;
    report.row(figure_row("a lone produce after them", latency.to_string()));
    Ok(())
}

fn count_files(dir: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // What is deleted meanwhile does not count.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        count += match kind.is_dir() {
            true => 1 + count_files(&entry.path()).unwrap_or(0),
            false => 1,
        };
    }
    Ok(count)
}
