//! All rows in all ways, one after the other, and the table of what came of them.

use super::row::{Door, Row, Way};
use super::shape::{self, Shape};
use super::stand::{Line, Stand};
use super::witness::Times;
use super::{amqp, http, kafka, sasl, usual};
use crate::place::RunDirectory;
use crate::stop;
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How long well-behaved clients are watched before the first row.
const BASELINE: Duration = Duration::from_secs(5);
/// How long a node gives memory back after the last row, before that is looked at.
const SETTLED: Duration = Duration::from_secs(3);
/// What those wait beside hostile peers, to what they wait without them, that is meant to be reached: told, and
/// nothing that a run falls short of, since it depends on what else the machine does.
const MAX_MOVED: f64 = 1.2;

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
    /// These shapes of abuse instead of rows of bad input
    #[arg(long = "shape", value_delimiter = ',', num_args = 1.., conflicts_with_all = ["only", "row"])]
    shapes: Vec<Shape>,
}

/// Runs all rows; false when one fell short.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    if !options.shapes.is_empty() {
        return shape::run_all(&options.shapes, weir);
    }
    let mut directory = RunDirectory::create()?;
    let mut sums = Sums::default();
    let (with_users, without): (Vec<_>, Vec<_>) = rows(options)?
        .into_iter()
        .partition(|row| row.stage.has_users());
    for (name, rows) in [("open", without), ("users", with_users)] {
        if rows.is_empty() {
            continue;
        }
        let directory = directory.path().join(name);
        std::fs::create_dir_all(&directory)?;
        let stand = match rows[0].stage.has_users() {
            true => Stand::with_a_user(weir, &directory)?,
            false => Stand::new(weir, &directory)?,
        };
        sums.try_all(stand, &rows, options)?;
    }
    sums.tell();
    if sums.short.is_empty() {
        directory.clean();
    }
    Ok(sums.short.is_empty())
}

/// What all rows came to.
struct Sums {
    tried_count: u32,
    connection_count: usize,
    short: Vec<String>,
    before: Times,
    doors: BTreeMap<Door, Waits>,
}

/// How long well-behaved clients waited beside peers at one door.
struct Waits {
    one: Times,
    crowd: Times,
    /// Beside as many that do nothing wrong.
    usual: Times,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            one: Times::none(),
            crowd: Times::none(),
            usual: Times::none(),
        }
    }
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            tried_count: 0,
            connection_count: 0,
            short: Vec::new(),
            before: Times::none(),
            doors: BTreeMap::new(),
        }
    }
}

impl Sums {
    fn try_all(&mut self, mut stand: Stand, rows: &[Row], options: &Options) -> Result<()> {
        stand.warm_up()?;
        stop::sleep(BASELINE)?;
        self.before.add(&stand.times()?);
        let begun_bytes = stand.resident_bytes()?;
        for row in rows {
            for way in ways(row, options) {
                self.try_one(&mut stand, row, way)?;
            }
        }
        stop::sleep(SETTLED)?;
        println!(
            "resident memory before the first row {:.1} MiB, after the last {:.1} MiB",
            mib(begun_bytes),
            mib(stand.resident_bytes()?),
        );
        Ok(())
    }

    fn try_one(&mut self, stand: &mut Stand, row: &Row, way: Way) -> Result<()> {
        let waits = self.doors.entry(row.door).or_default();
        let times = match way {
            Way::Crowd(_) => &mut waits.crowd,
            Way::Whole | Way::Split => &mut waits.one,
        };
        let mut tried = vec![(row, stand.try_row(row, way, times)?)];
        let usual = usual::in_place_of(row);
        if let Way::Crowd(_) = way {
            tried.push((&usual, stand.try_row(&usual, way, &mut waits.usual)?));
        }
        for (row, line) in tried {
            self.tried_count += 1;
            self.connection_count += way.count();
            let told = told(row, way, &line);
            println!("{told}");
            if !line.faults.is_empty() {
                self.short.push(told);
            }
        }
        Ok(())
    }

    fn tell(&self) {
        println!("well-behaved clients, p50 and p99 of a message with its disk write:");
        tell("before", &self.before, None);
        for (door, waits) in &self.doors {
            let name = door.name();
            let tell_of = |what, times, than| tell(&format!("{name}, {what}"), times, than);
            tell_of("beside one peer", &waits.one, Some(&self.before));
            tell_of("beside usual crowds", &waits.usual, Some(&self.before));
            tell_of("beside crowds", &waits.crowd, Some(&waits.usual));
        }
        for line in &self.short {
            println!("short: {line}");
        }
        println!(
            "hostile: {} attempts, {} connections, {} fell short",
            self.tried_count,
            self.connection_count,
            self.short.len()
        );
    }
}

/// A line of what they waited, and how that is to what they waited otherwise.
fn tell(name: &str, times: &Times, than: Option<&Times>) {
    let (p50, p99) = (times.percentile(50), times.percentile(99));
    let than = than.map(|than| than.percentile(99));
    let moved = match than.filter(|than| !than.is_zero() && !p99.is_zero()) {
        Some(than) => {
            let moved = p99.as_secs_f64() / than.as_secs_f64();
            let verdict = if moved <= MAX_MOVED { "" } else { ", past" };
            format!(" {moved:>6.2} times{verdict}")
        }
        None => String::new(),
    };
    println!(
        "    {name:<28} {:>8.2} ms {:>8.2} ms{moved}",
        p50.as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3,
    );
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = kafka::rows()?;
    rows.extend(amqp::rows());
    rows.extend(http::rows());
    rows.extend(sasl::rows());
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
        "{:<5} {:<12} {:<40} {:<7} {:<40} {:>7.0} ms {:>6.1} MiB {:>7.1} ms  {faults}",
        row.door.name(),
        row.stage.name(),
        row.name,
        way.name(),
        line.got,
        line.slowest.as_secs_f64() * 1e3,
        mib(line.growth_bytes),
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
            shapes: Vec::new(),
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
