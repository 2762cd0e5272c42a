//! What a message costs the broker that a topic exchange with many bindings routes, beside the same
//! with one binding.

use super::report::{Hold, Report};
use super::usage::{cpu_s, resident_mb};
use crate::node::Node;
use crate::place;
use crate::stop;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const BINDING_COUNT: u64 = 100_000;
const MESSAGE_COUNT: u64 = 50_000;
/// Turns of each side, after one that does not count.
const ROUND_COUNT: u32 = 3;
/// How much more CPU time a message may cost with all bindings.
const CPU_HOLD: Hold = Hold::AtMost(1.5);
const MEMORY_HOLD: Hold = Hold::AtMost(128.0);

/// Measures and prints.
pub(super) fn measure(weir: &Path, directory: &Path, report: &mut Report) -> Result<()> {
    let path = directory.join("bindings");
    std::fs::create_dir_all(&path)?;
    let node = Node::start(weir, &path.join("data"), &path.join("node.log"))?;
    bind(&node, 0, 1)?;
    let one = cost_us(&node, 1)?;
    let idle_mb = resident_mb(pid(&node)?)?;
    let began = Instant::now();
    bind(&node, 1, BINDING_COUNT)?;
    let took = began.elapsed();
    let more_mb = resident_mb(pid(&node)?)? - idle_mb;
    let words = format!("{more_mb:.0} MB more than {idle_mb:.0}, bound in {took:.0?}");
    report.judge("100,000 bindings: memory", &words, more_mb, MEMORY_HOLD);
    let all = cost_us(&node, BINDING_COUNT)?;
    let words = format!("{all:.1} us of CPU a message, {one:.1} with one binding");
    report.judge("100,000 bindings: a message", &words, all / one, CPU_HOLD);
    Ok(())
}

/// CPU time of the node for a message, in us.
fn cost_us(node: &Node, binding_count: u64) -> Result<f64> {
    publish(node, binding_count)?;
    let before = cpu_s(pid(node)?)?;
    for _ in 0..ROUND_COUNT {
        stop::check()?;
        publish(node, binding_count)?;
    }
    let count = MESSAGE_COUNT as f64 * f64::from(ROUND_COUNT);
    Ok((cpu_s(pid(node)?)? - before) * 1e6 / count)
}

fn bind(node: &Node, first: u64, end: u64) -> Result<()> {
    client(node, &["--bind", &first.to_string(), &end.to_string()]).map(drop)
}

fn publish(node: &Node, binding_count: u64) -> Result<()> {
    let (count, bindings) = (MESSAGE_COUNT.to_string(), binding_count.to_string());
    let said = client(node, &["--publish", &count, &bindings])?;
    ensure!(said.trim() == count, "{said} of {count} messages came");
    Ok(())
}

fn client(node: &Node, words: &[&str]) -> Result<String> {
    let program = place::root().join("interop/clients/python/topic_bindings.py");
    let output = Command::new(place::python()?)
        .arg(program)
        .arg(node.amqp())
        .args(words)
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn pid(node: &Node) -> Result<u32> {
    node.pid().context("the node runs")
}
