//! Chosen suites, each against nodes of its own, and the table of what came of them.

use super::allow::{AllowList, Judgement};
use super::case::{Case, Ending, Outcome};
use super::list::{Door, SUITES, Suite};
use crate::cluster::{Cluster, Ground as Loopback, Leaderless, ServeOptions};
use crate::node::Node;
use crate::place::{self, RunDirectory};
use crate::stop;
use crate::target::Target;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What `cargo xtask clients` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only suites that are quick to install and to run.
    #[arg(long)]
    quick: bool,
    /// Nodes that each suite gets.
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
    /// The same, for suites of AMQP.
    #[arg(long)]
    amqp: Option<String>,
    /// A directory of working trees that a person has checked out, for suites that no package carries.
    #[arg(long)]
    checkouts: Option<PathBuf>,
    /// What that broker is: upstream suites ask for it.
    #[arg(long)]
    broker_version: Option<String>,
    /// Tells every case as it ends.
    #[arg(long)]
    verbose: bool,
    /// Takes the lines out of allow-lists whose cases pass now.
    #[arg(long, conflicts_with_all = ["bootstrap", "amqp", "case"])]
    shrink: bool,
    /// Prints the suites and ends.
    #[arg(long)]
    list: bool,
}

impl Options {
    /// Of suites against a broker that runs already, at these addresses.
    pub(crate) fn outside(suites: &[String], bootstrap: &str, amqp: &str) -> Self {
        Self {
            quick: false,
            nodes: 1,
            suite: suites.to_vec(),
            case: None,
            bootstrap: Some(bootstrap.to_owned()),
            amqp: Some(amqp.to_owned()),
            checkouts: None,
            broker_version: None,
            verbose: false,
            shrink: false,
            list: false,
        }
    }

    /// Whether the broker under test is none of ours.
    fn is_outside(&self) -> bool {
        self.bootstrap.is_some() || self.amqp.is_some()
    }
}

/// What a suite runs against, and with.
pub(super) struct Ground<'a> {
    /// Where clients of the suite's protocol begin, with commas between nodes.
    pub bootstrap: String,
    /// Where clients of AMQP begin, for suites of several protocols.
    pub amqp: String,
    /// Directory for files of this suite.
    pub directory: PathBuf,
    /// Where clients may talk.
    pub log: PathBuf,
    options: &'a Options,
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

    /// The first node's host and port.
    pub(super) fn first(&self) -> (&str, &str) {
        let first = self.bootstrap.split(',').next().unwrap_or_default();
        first.rsplit_once(':').unwrap_or((first, ""))
    }

    /// A person's working tree of a repository.
    pub(super) fn checkout(&self, name: &str) -> Result<PathBuf> {
        let checkouts = self.options.checkouts.as_ref();
        Ok(checkouts.context("`--checkouts`")?.join(name))
    }

    /// Whether a case is asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        name.contains(self.part())
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
        if let Some(lack) = lack(suite, options) {
            println!("skipped: suite {}: {lack}", suite.name);
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

/// Why a suite cannot run here.
fn lack(suite: &Suite, options: &Options) -> Option<String> {
    if let Some(program) = suite.needs.iter().find(|program| !is_installed(program)) {
        return Some(format!("no {program} here"));
    }
    if let Some(name) = suite.checkout {
        let trees = options.checkouts.as_ref();
        if !trees.is_some_and(|trees| trees.join(name).is_dir()) {
            return Some(format!("no working tree of {name} below --checkouts"));
        }
    }
    let is_told = match suite.door {
        Door::Kafka => options.bootstrap.is_some(),
        Door::Amqp => options.amqp.is_some(),
        Door::Both => options.bootstrap.is_some() && options.amqp.is_some(),
    };
    let is_lacking = options.is_outside() && !is_told;
    is_lacking.then(|| "the broker's address for its protocol is not told".to_owned())
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
    // They end with the suite.
    let nodes = start(suite, options, weir, &directory)?;
    let kafka = match &nodes {
        Some(nodes) => nodes.address(),
        None => options.bootstrap.clone().unwrap_or_default(),
    };
    let amqp = match &nodes {
        Some(nodes) => nodes.amqp().join(","),
        None => options.amqp.clone().unwrap_or_default(),
    };
    let ground = Ground {
        bootstrap: match suite.door {
            Door::Kafka | Door::Both => kafka,
            Door::Amqp => amqp.clone(),
        },
        amqp,
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
    if options.is_outside() {
        list.keep_what_fails_anywhere();
    } else if options.nodes == 1 {
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

fn start(
    suite: &Suite,
    options: &Options,
    weir: &Path,
    directory: &Path,
) -> Result<Option<Box<dyn Target>>> {
    if options.is_outside() {
        return Ok(None);
    }
    let count = usize::from(options.nodes);
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
