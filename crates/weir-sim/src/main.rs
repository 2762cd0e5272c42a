//! `weir-sim`: runs seeds, replays plans, prints what was injected and what was found.

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Mutex, time::Instant};

use clap::{Args, Parser, Subcommand};
use weir_sim::{
    Bug, Campaign, Options, Outcome, Plan, Totals, run_plan, run_seeds, shrink, write_artefacts,
};

/// Seeded simulator of WeirMQ nodes.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds, each twice, over all cores.
    Run(RunArgs),
    /// Runs a kept plan.
    Replay(ReplayArgs),
    /// Drops steps of a failing plan while the same rule fails, and prints what is left.
    Shrink(ReplayArgs),
}

#[derive(Args)]
struct RunArgs {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only this campaign; may be repeated. Otherwise all of them.
    #[arg(long)]
    campaign: Vec<Campaign>,
    /// Prints what happens, in order. Meant for a single seed.
    #[arg(long)]
    trace: bool,
    /// Runs with a bug put in on purpose (feature `seeded-bugs`).
    #[arg(long)]
    bug: Option<Bug>,
    /// Runs the same plans without their queues, to see what queues cost.
    #[arg(long)]
    no_queues: bool,
    /// Where failing seeds leave plan, trace and verdict.
    #[arg(long, default_value = "target/sim")]
    out: PathBuf,
}

#[derive(Args)]
struct ReplayArgs {
    /// The plan, as a failing seed leaves it.
    plan: PathBuf,
    /// Runs with a bug put in on purpose (feature `seeded-bugs`).
    #[arg(long)]
    bug: Option<Bug>,
}

/// Failing seeds that are run again for their artefacts.
const MAX_REPORTED_COUNT: usize = 20;

fn main() -> anyhow::Result<ExitCode> {
    let all_held = match Cli::parse().command {
        Command::Run(args) => run(&args)?,
        Command::Replay(args) => replay(&args)?,
        Command::Shrink(args) => shrink_plan(&args)?,
    };
    Ok(if all_held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run(args: &RunArgs) -> anyhow::Result<bool> {
    anyhow::ensure!(
        args.bug.is_none() || cfg!(feature = "seeded-bugs"),
        "--bug needs a build with --features seeded-bugs"
    );
    let campaigns = if args.campaign.is_empty() {
        Campaign::all()
    } else {
        args.campaign.clone()
    };
    let options = Options {
        with_trace: false,
        bug: args.bug,
        without_queues: args.no_queues,
    };
    if args.trace {
        for campaign in &campaigns {
            for place in 0..args.seeds {
                let plan = Plan::draw(*campaign, args.from.wrapping_add(place));
                let with_trace = true;
                print_trace(&run_plan(
                    &plan,
                    Options {
                        with_trace,
                        ..options
                    },
                ))?;
            }
        }
    }
    let start = Instant::now();
    let last_shown = Mutex::new(start);
    let progress = |done: u64| {
        let mut last = last_shown
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed().as_secs() >= 2 {
            *last = Instant::now();
            eprintln!(
                "{done} of {} seeds, {} s",
                args.seeds,
                start.elapsed().as_secs()
            );
        }
    };
    let totals = run_seeds(&campaigns, args.from, args.seeds, options, &progress);
    report(args, &totals)?;
    let elapsed_ms = start.elapsed().as_millis();
    println!("{}", last_line(&totals, elapsed_ms));
    Ok(totals.failures.is_empty())
}

fn report(args: &RunArgs, totals: &Totals) -> anyhow::Result<()> {
    println!("counted: {}", totals.counts);
    println!("{}", workload_line(totals));
    for (campaign, seed, failure) in totals.failures.iter().take(MAX_REPORTED_COUNT) {
        let options = Options {
            with_trace: true,
            bug: args.bug,
            without_queues: args.no_queues,
        };
        let drawn = Plan::draw(*campaign, *seed);
        let plan = match args.no_queues {
            true => drawn.without_queues(),
            false => drawn,
        };
        let outcome = run_plan(&plan, options);
        let root = args.out.join(campaign.name());
        let dir = write_artefacts(&root, *seed, &plan, &outcome)?;
        println!(
            "seed {seed} {}: {} at step {}: {}",
            campaign.name(),
            failure.oracle,
            failure.first_bad_step,
            failure.detail
        );
        println!("  kept in {}", dir.display());
        println!("  {}", replay_command(*campaign, *seed, args));
    }
    Ok(())
}

fn replay_command(campaign: Campaign, seed: u64, args: &RunArgs) -> String {
    let features = if args.bug.is_some() {
        " --features seeded-bugs"
    } else {
        ""
    };
    let bug = args.bug.map(|bug| format!(" --bug {}", bug.name()));
    let bug = bug.unwrap_or_default();
    let queues = if args.no_queues { " --no-queues" } else { "" };
    format!(
        "cargo run --release -p weir-sim{features} -- run --seeds 1 --from {seed} --campaign {}{bug}{queues} --trace",
        campaign.name()
    )
}

/// What transactions, groups, queues and share groups came to.
fn workload_line(totals: &Totals) -> String {
    let names = [
        "transactions_begun",
        "transactions_committed",
        "transactions_aborted",
        "transactors_died",
        "transactors_fenced",
        "ends_unanswered",
        "committed_reads",
        "copies_committed",
        "rebalances",
        "members_gone",
        "member_commits",
        "member_offsets_fetched",
        "queue_published",
        "queue_confirmed",
        "queue_delivered",
        "queue_redelivered",
        "queue_settled",
        "queue_dead_lettered",
        "queue_sessions_gone",
        "queue_sessions_lost",
        "queues_drained",
        "share_members_joined",
        "share_members_gone",
        "share_members_lost",
        "share_delivered",
        "share_redelivered",
        "share_accepted",
        "share_released",
        "share_rejected",
        "share_renewed",
        "share_acks_refused",
        "share_acks_unsure",
        "share_sessions_lost",
        "share_sessions_refused",
        "share_letters",
        "shares_drained",
    ];
    let counts = names.map(|name| format!("{name} {}", totals.counts.get(name)));
    counts.join(" ")
}

fn last_line(totals: &Totals, elapsed_ms: u128) -> String {
    let failed_seeds: std::collections::BTreeSet<u64> =
        totals.failures.iter().map(|(_, seed, _)| *seed).collect();
    let failed = failed_seeds.len() as u64;
    /// Milliseconds of an hour.
    const HOUR_MS: u64 = 60 * 60 * 1_000;
    let cluster_hours = totals.counts.get("cluster_ms") / HOUR_MS;
    format!(
        "seeds {} clean {} failed {failed} cluster_hours {cluster_hours} restarts {} disk_ops {} hash {:016x} ms {elapsed_ms}",
        totals.seed_count,
        totals.seed_count - failed,
        totals.counts.get("restarts"),
        totals.counts.get("disk_ops"),
        totals.hash,
    )
}

fn shrink_plan(args: &ReplayArgs) -> anyhow::Result<bool> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(&args.plan)?)?;
    let options = Options {
        with_trace: false,
        bug: args.bug,
        ..Options::default()
    };
    let Some(shortest) = shrink(&plan, options) else {
        eprintln!("the plan is clean");
        return Ok(true);
    };
    eprintln!(
        "{} steps, {} are left",
        plan.step_count(),
        shortest.step_count()
    );
    println!("{}", serde_json::to_string_pretty(&shortest)?);
    Ok(false)
}

fn replay(args: &ReplayArgs) -> anyhow::Result<bool> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(&args.plan)?)?;
    let options = Options {
        with_trace: true,
        bug: args.bug,
        ..Options::default()
    };
    let outcome = run_plan(&plan, options);
    print_trace(&outcome)?;
    println!("counted: {}", outcome.counts);
    Ok(outcome.verdict.failure.is_none())
}

fn print_trace(outcome: &Outcome) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(outcome.trace.as_bytes())?;
    writeln!(out, "trace hash {:016x}", outcome.verdict.trace_hash)?;
    if let Some(failure) = &outcome.verdict.failure {
        writeln!(
            out,
            "{} at step {}: {}",
            failure.oracle, failure.first_bad_step, failure.detail
        )?;
    }
    Ok(())
}
