//! Chosen suites, each against nodes of its own, and the table of what came of them.

use super::allow::{AllowList, Judgement};
use super::case::{Case, Ending, Outcome};
use super::list::{SUITES, Suite};
use crate::cluster::{Cluster, Ground as Loopback, Leaderless, ServeOptions};
use crate::node::Node;
use crate::place::{self, RunDirectory};
use crate::stop;
use crate::target::Target;
use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What `cargo xtask clients` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only suites that are quick to install and to run.
    #[arg(long)]
    quick: bool,
    /// Nodes that each suite gets; some ask for more than one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// These suites only.
    #[arg(long, value_delimiter = ',')]
    suite: Vec<String>,
    /// Only cases whose name has this in it; lines of allow-lists without a case are let be then.
    #[arg(long)]
    case: Option<String>,
    /// A broker that already runs, such as the original: allowed to it is only what fails anywhere.
    #[arg(long)]
    bootstrap: Option<String>,
    /// What that broker is: upstream suites ask for it.
    #[arg(long, requires = "bootstrap")]
    broker_version: Option<String>,
    /// Tells every case as it ends.
    #[arg(long)]
    verbose: bool,
    /// Takes the lines out of allow-lists whose cases pass now.
    #[arg(long, conflicts_with_all = ["bootstrap", "case"])]
    shrink: bool,
    /// Prints the suites and ends.
    #[arg(long)]
    list: bool,
}

/// What a suite runs against, and with.
pub(super) struct Ground<'a> {
    /// Where clients begin.
    pub bootstrap: String,
    /// Directory for files of this suite.
    pub directory: PathBuf,
    /// Where clients may talk.
    pub log: PathBuf,
    options: &'a Options,
    nodes: RefCell<Option<Box<dyn Target>>>,
}

impl Ground<'_> {
    /// What the names of wanted cases have in them.
    pub(super) fn part(&self) -> &str {
        self.options.case.as_deref().unwrap_or_default()
    }

    /// The release that an outside broker is said to be.
    pub(super) fn persona(&self) -> Option<&str> {
        self.options.broker_version.as_deref()
    }

    /// Whether a case is asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        name.contains(self.part())
    }

    /// A topic of one partition, made by being asked for.
    pub(super) fn create_topic(&self, name: &str) -> Result<()> {
        let ask = || {
            let mut command = Command::new("kcat");
            command.args(["-L", "-m", "5", "-b", &self.bootstrap, "-t", name]);
            let output = command.output().context("kcat")?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok(text.contains("partition 0, leader").then_some(()))
        };
        stop::wait_for("a topic", Duration::from_secs(30), ask)
    }

    /// kill -9 of the node that leads a topic's first partition, and its return.
    pub(super) fn kill_and_restart(&self, topic: &str) -> Result<()> {
        let mut nodes = self.nodes.borrow_mut();
        let nodes = nodes.as_mut().context("a broker outside is not killed")?;
        nodes.kill(topic)?;
        nodes.restart()
    }

    /// Whether each case is told as it ends.
    pub(super) fn is_told(&self) -> bool {
        self.options.verbose
    }

    /// Says how a case ended, where that is asked for.
    pub(super) fn tell(&self, case: &Case) {
        if self.is_told() {
            println!("{case}");
        }
    }
}

/// Runs the suites; false when one fell short of its allow-list.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    for name in &options.suite {
        let known = SUITES.iter().any(|suite| suite.name == name);
        ensure!(known, "{name} is no suite; `--list` tells them");
    }
    let mut directory = RunDirectory::create()?;
    let mut table = Vec::new();
    let mut is_clean = true;
    for suite in SUITES.iter().filter(|suite| is_asked_for(suite, options)) {
        if options.list {
            println!("{:<22} {}", suite.name, suite.about);
            continue;
        }
        if let Some(program) = suite.needs.iter().find(|program| !is_installed(program)) {
            println!("skipped: suite {}: no {program} here", suite.name);
            continue;
        }
        println!("suite {}: {}", suite.name, suite.about);
        let started = Instant::now();
        let (version, judgement) = run_suite(suite, options, weir, directory.path())?;
        for failure in &judgement.failures {
            println!("  FAILED {failure}");
        }
        is_clean &= judgement.failures.is_empty();
        table.push(row(
            suite,
            &version,
            &judgement,
            started.elapsed().as_secs(),
        ));
    }
    if options.list {
        directory.clean();
        return Ok(true);
    }
    println!(
        "{:<22} {:<10} passed allowed skipped failed seconds",
        "suite", "version"
    );
    for row in &table {
        println!("{row}");
    }
    if is_clean {
        directory.clean();
    }
    Ok(is_clean && !table.is_empty())
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn is_asked_for(suite: &Suite, options: &Options) -> bool {
    if options.suite.is_empty() {
        return suite.is_quick || !options.quick;
    }
    options.suite.iter().any(|name| name == suite.name)
}

fn row(suite: &Suite, version: &str, judgement: &Judgement, seconds: u64) -> String {
    format!(
        "{:<22} {:<10} {:>6} {:>7} {:>7} {:>6} {:>7}",
        suite.name,
        version,
        judgement.passed,
        judgement.allowed,
        judgement.skipped,
        judgement.failures.len(),
        seconds
    )
}

fn run_suite(
    suite: &Suite,
    options: &Options,
    weir: &Path,
    run: &Path,
) -> Result<(String, Judgement)> {
    let directory = run.join(suite.name);
    std::fs::create_dir_all(&directory)?;
    let nodes = start(suite, options, weir, &directory)?;
    let outside = options.bootstrap.clone().unwrap_or_default();
    let ground = Ground {
        bootstrap: nodes.as_ref().map_or(outside, |nodes| nodes.address()),
        nodes: RefCell::new(nodes),
        log: directory.join("client.log"),
        directory,
        options,
    };
    let outcome = match (suite.run)(&ground) {
        Ok(outcome) => outcome,
        Err(error) => {
            stop::check()?;
            Outcome {
                broken: Some(format!("{error:#}")),
                ..Outcome::default()
            }
        }
    };
    let path = place::root().join(format!("interop/allow/{}.txt", suite.name));
    let mut list = AllowList::load(&path)?;
    if options.bootstrap.is_some() {
        list.keep_what_fails_anywhere();
    } else if count_of_nodes(suite, options) == 1 {
        list.keep_what_fails_on_one_node();
    }
    let ran = outcome
        .cases
        .iter()
        .any(|case| case.ending != Ending::Skipped);
    let mut judgement = list.judge(&outcome, options.case.is_none());
    if options.shrink {
        AllowList::shrink(&path, &judgement.stale)?;
    }
    if !ran && judgement.failures.is_empty() {
        judgement.failures.push("no case has run".to_owned());
    }
    Ok((outcome.version, judgement))
}

fn count_of_nodes(suite: &Suite, options: &Options) -> u8 {
    options.nodes.max(suite.min_nodes)
}

fn start(
    suite: &Suite,
    options: &Options,
    weir: &Path,
    directory: &Path,
) -> Result<Option<Box<dyn Target>>> {
    if options.bootstrap.is_some() {
        return Ok(None);
    }
    let count = usize::from(count_of_nodes(suite, options));
    let every: Vec<String> = suite.serve.iter().map(ToString::to_string).collect();
    if count == 1 {
        let data = directory.join(place::DATA);
        let node = Node::start_with(weir, &data, &directory.join("node.log"), &every);
        return Ok(Some(Box::new(node.context("a node")?)));
    }
    let serve = ServeOptions {
        every,
        ..ServeOptions::default()
    };
    let cluster = Cluster::start(weir, directory, Loopback::Loopback, count, serve);
    Ok(Some(Box::new(Leaderless::new(
        cluster.context("a cluster")?,
    ))))
}
