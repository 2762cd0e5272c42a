//! The run: a node of its own for each kind of crowd.

use std::fs;

use anyhow::{Result, ensure};

use super::{
    connections, groups,
    measured::{figure_row, probe},
    topics,
    wire::{TOPIC, Wire},
};
use crate::{
    client::NodeProcess,
    options::{Crowd, CrowdOptions},
    report::Report,
    scratch::Scratch,
};

/// Runs; `true`: nothing fell short.
pub(crate) fn run(options: &CrowdOptions) -> Result<bool> {
    fs::create_dir_all(&options.dir)?;
    ensure!(
        options.weir.exists(),
        "{} is not built",
        options.weir.display()
    );
    let mut report = Report::new();
    for crowd in [
        Crowd::Connections,
        Crowd::Groups,
        Crowd::Members,
        Crowd::Partitions,
        Crowd::Turnover,
    ] {
        if options.only.is_empty() || options.only.contains(&crowd) {
            measure(crowd, options, &mut report)?;
        }
    }
    Ok(report.finish())
}

fn measure(crowd: Crowd, options: &CrowdOptions, report: &mut Report) -> Result<()> {
    let scratch = Scratch::new(&options.dir, "crowd")?;
    let node = NodeProcess::start(&options.weir, scratch.path())?;
    Wire::connect(node.address())?.make_topic(TOPIC, 1)?;
    report.part(crowd.title(), "may be");
    let latency = probe(node.address())?;
    report.row(figure_row("a lone produce before", latency.to_string()));
    match crowd {
        Crowd::Connections => connections::measure(options, &node, report),
        Crowd::Groups => groups::measure_groups(options, &node, report),
        Crowd::Members => groups::measure_members(options, &node, report),
        Crowd::Partitions => topics::measure_partitions(options, &node, report),
        Crowd::Turnover => topics::measure_turnover(options, &node, scratch.path(), report),
    }
}
