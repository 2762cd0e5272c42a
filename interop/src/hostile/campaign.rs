//! All rows in all ways, one after the other, and the table of what came of them.

use super::row::{Door, Row, Way};
use super::stand::{Line, Stand};
use super::witness::Times;
use super::{amqp, http, kafka};
use crate::place::RunDirectory;
use crate::stop;
use anyhow::Result;
use std::path::Path;
use std::time::Duration;

/// How long well-behaved clients are watched before the first row.
const BASELINE: Duration = Duration::from_secs(5);

/// What to try.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rows of these doors only
    #[arg(long)]
    only: Vec<Door>,
    /// Only rows whose name has this in it
    #[arg(long)]
    row: Option<String>,
    /// No crowds, which take most of the time
    #[arg(long)]
    quick: bool,
}

/// Runs all rows; false when one fell short.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    let mut directory = RunDirectory::create()?;
    let mut stand = Stand::new(weir, directory.path())?;
    stand.warm_up()?;
    stop::sleep(BASELINE)?;
    let baseline = stand.times()?;
    let (mut crowds, mut others) = (Times::none(), Times::none());
    let (mut tried_count, mut connection_count, mut short) = (0_u32, 0, Vec::new());
    for row in rows(options)? {
        for way in ways(&row, options) {
            let line = stand.try_row(
                &row,
                way,
                match way {
                    Way::Crowd(_) => &mut crowds,
                    Way::Whole | Way::Split => &mut others,
                },
            )?;
            tried_count += 1;
            connection_count += match way {
                Way::Whole | Way::Split => 1,
                Way::Crowd(count) => count,
            };
            let told = told(&row, way, &line);
            println!("{told}");
            if !line.faults.is_empty() {
                short.push(told);
            }
        }
    }
    println!("well-behaved clients, p50 and p99 of a message with its disk write:");
    for (name, times) in [
        ("before", &baseline),
        ("beside one peer", &others),
        ("beside a crowd", &crowds),
    ] {
        println!(
            "    {name:<16} {:>8.2} ms {:>8.2} ms",
            times.percentile(50).as_secs_f64() * 1e3,
            times.percentile(99).as_secs_f64() * 1e3,
        );
    }
    for line in &short {
        println!("short: {line}");
    }
    println!(
        "hostile: {tried_count} attempts, {connection_count} connections, {} fell short",
        short.len()
    );
    if short.is_empty() {
        directory.clean();
    }
    Ok(short.is_empty())
}

fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = kafka::rows()?;
    rows.extend(amqp::rows());
    rows.extend(http::rows());
    rows.retain(|row| {
        let is_door = options.only.is_empty() || options.only.contains(&row.door);
        let named = options.row.as_ref();
        is_door && named.is_none_or(|part| row.name.contains(part.as_str()))
    });
    Ok(rows)
}

fn ways(row: &Row, options: &Options) -> Vec<Way> {
    let crowd = (!options.quick).then_some(Way::Crowd(row.crowd_count));
    [Way::Whole, Way::Split].into_iter().chain(crowd).collect()
}

fn told(row: &Row, way: Way, line: &Line) -> String {
    let faults = match line.faults.is_empty() {
        true => "ok".to_owned(),
        false => line.faults.join("; "),
    };
    format!(
        "{:<5} {:<12} {:<32} {:<7} {:<40} {:>7.0} ms {:>6.1} MiB {:>7.1} ms  {faults}",
        row.door.name(),
        row.stage.name(),
        row.name,
        way.name(),
        line.got,
        line.slowest.as_secs_f64() * 1e3,
        line.growth_bytes as f64 / f64::from(1 << 20),
        line.p99.as_secs_f64() * 1e3,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rows_are_unique_at_their_stage() {
        let options = Options {
            only: Vec::new(),
            row: None,
            quick: true,
        };
        let mut names = std::collections::BTreeSet::new();
        for row in rows(&options).unwrap() {
            assert!(
                names.insert((row.door, row.stage.name(), row.name)),
                "{}",
                row.name
            );
        }
    }
}
