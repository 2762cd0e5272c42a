//! What it costs a queue that much waits in it: memory, time to start again, and how fast messages
//! come and go, beside the same when it is empty.

use super::perf_test;
use super::producer::{Producer, Stream};
use super::report::{Hold, Report};
use super::usage;
use crate::node::Node;
use crate::place;
use crate::stop;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Messages that are published and taken each time, at each size.
const PROBE_COUNT: u64 = 200_000;
/// Times, each beside one with the empty queue: single ones differ by a quarter from run to run.
const PROBES: usize = 3;
const PROBE_BYTES: u64 = 100;
/// Those that wait come through the other door: it fills faster.
const FILL: Stream = Stream::new(16, 1);
/// Fills what the node keeps of recent messages, whichever they are, before its memory is looked at.
const RECENT: Stream = Stream::new(1_000, 1);
const RECENT_COUNT: u64 = 400_000;
/// What may be left of a rate.
const RATE_HOLD: Hold = Hold::AtLeast(0.8);
/// How much more memory the node may have than with an empty queue and as many recent messages, in
/// MB, whatever waits in it.
const MEMORY_HOLD: Hold = Hold::AtMost(64.0);
/// How long a start may take, in seconds.
const START_HOLD: Hold = Hold::AtMost(10.0);
/// Memory of what was just written has been given back after this.
const SETTLE: Duration = Duration::from_secs(10);
/// The queue in which nothing waits.
const EMPTY: &str = "empty";
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Measures and prints, one size after the other.
pub(super) fn measure(
    sizes: &[u64],
    weir: &Path,
    directory: &Path,
    producer: &Producer,
    report: &mut Report,
) -> Result<()> {
    let path = directory.join("backlog");
    std::fs::create_dir_all(&path)?;
    let mut node = Node::start(weir, &path.join("data"), &path.join("node.log"))?;
    // What compiles later, and what fills caches, counts for neither side.
    declare(&node, "warm")?;
    probe(&node, "warm")?;
    declare(&node, EMPTY)?;
    producer.send(&node.address(), "recent", RECENT_COUNT, RECENT)?;
    stop::sleep(SETTLE)?;
    let idle_mb = resident_mb(&node)?;
    for size in sizes {
        stop::check()?;
        let queue = format!("holds-{size}");
        declare(&node, &queue)?;
        let filled = producer.send(&node.address(), &queue, *size, FILL)?;
        stop::sleep(SETTLE)?;
        let more_mb = resident_mb(&node)? - idle_mb;
        let words = format!("{more_mb:.0} MB more than {idle_mb:.0}, filled in {filled:.0?}");
        report.judge(
            &format!("{size} wait: memory"),
            &words,
            more_mb,
            MEMORY_HOLD,
        );
        rates(&node, &queue, *size, report)?;
        restart(&mut node, &queue, *size, report)?;
        let more_mb = resident_mb(&node)? - idle_mb;
        let words = format!("{more_mb:.0} MB more than {idle_mb:.0}");
        report.judge(
            &format!("{size} wait: memory, started again"),
            &words,
            more_mb,
            MEMORY_HOLD,
        );
    }
    Ok(())
}

/// Judges how fast messages come and go beside those that wait, and beside none.
fn rates(node: &Node, queue: &str, size: u64, report: &mut Report) -> Result<()> {
    let (mut publish, mut take) = (Vec::new(), Vec::new());
    for _ in 0..PROBES {
        stop::check()?;
        let empty = probe(node, EMPTY)?;
        let full = probe(node, queue)?;
        publish.push((full.0, empty.0));
        take.push((full.1, empty.1));
    }
    for (name, pairs) in [("publish", publish), ("take", take)] {
        let ratio = median(pairs.iter().map(|(full, empty)| full / empty));
        let full = median(pairs.iter().map(|(full, _)| *full));
        let empty = median(pairs.iter().map(|(_, empty)| *empty));
        let words = format!("{full:.0} a second, {empty:.0} of the empty queue, ratio {ratio:.2}");
        report.judge(&format!("{size} wait: {name}"), &words, ratio, RATE_HOLD);
    }
    Ok(())
}

fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = of.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Publishes, and takes as many; messages a second.
fn probe(node: &Node, queue: &str) -> Result<(f64, f64)> {
    let published = perf_test::publish(node.amqp(), queue, PROBE_COUNT, PROBE_BYTES)?;
    let drained = perf_test::drain(node.amqp(), queue, PROBE_COUNT)?;
    Ok((published, drained))
}

/// kill -9, and the time until the queue tells how many messages wait.
fn restart(node: &mut Node, queue: &str, size: u64, report: &mut Report) -> Result<()> {
    node.kill()?;
    let started = Instant::now();
    node.restart()?;
    let waits = stop::wait_for("the queue's figures", ANSWER_LIMIT, || {
        Ok(ask(node, queue, false).ok())
    })?;
    let took = started.elapsed().as_secs_f64();
    let words = format!("{took:.2} s, {waits} wait then");
    report.judge(
        &format!("{size} wait: kill -9 and start"),
        &words,
        took,
        START_HOLD,
    );
    Ok(())
}

fn declare(node: &Node, queue: &str) -> Result<()> {
    ask(node, queue, true).map(drop)
}

/// Declares the queue, or asks for it; gives how many messages wait.
fn ask(node: &Node, queue: &str, declares: bool) -> Result<u64> {
    let program = place::root().join("interop/clients/python/backlog_queue.py");
    let output = Command::new(place::python()?)
        .arg(program)
        .args([node.amqp(), queue])
        .args(declares.then_some("--declare"))
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().context("the client prints a number")
}

fn resident_mb(node: &Node) -> Result<f64> {
    usage::resident_mb(node.pid().context("the node runs")?)
}
