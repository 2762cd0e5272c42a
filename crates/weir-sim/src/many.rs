//! Many seeds over all cores. Each seed is single-threaded and alone in its world.

use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{Campaign, Failure, Options, Plan, replay::run_plan_twice, world::Counts};

/// What all seeds add up to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Seeds that ran.
    pub seed_count: u64,
    /// Failures by campaign and seed, in the order of the seeds.
    pub failures: Vec<(Campaign, u64, Failure)>,
    /// Faults, operations and restarts, each seed's first run.
    pub counts: Counts,
    /// Trace hashes of all runs, combined without regard to order.
    pub hash: u64,
}

/// Called after each seed with the number done so far.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// Runs the seeds `from..from + count` of all `campaigns`, every one twice.
pub fn run_seeds(
    campaigns: &[Campaign],
    from: u64,
    count: u64,
    options: Options,
    progress: Progress<'_>,
) -> Totals {
    let next = AtomicU64::new(0);
    let totals = Mutex::new(Totals::default());
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                return;
            }
            let seed = from.wrapping_add(place);
            let mut own = Totals {
                seed_count: 1,
                ..Totals::default()
            };
            for campaign in campaigns {
                run_seed(*campaign, seed, options, &mut own);
            }
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.merge(own);
            progress(totals.seed_count);
        }
    };
    let thread_count = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..thread_count {
            scope.spawn(work);
        }
    });
    let mut totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    totals.failures.sort_by_key(|(_, seed, _)| *seed);
    totals
}

fn run_seed(campaign: Campaign, seed: u64, options: Options, totals: &mut Totals) {
    let outcome = run_plan_twice(&Plan::draw(campaign, seed), options);
    totals.counts.merge(&outcome.counts);
    totals.hash = totals.hash.wrapping_add(outcome.verdict.trace_hash);
    if let Some(failure) = outcome.verdict.failure {
        totals.failures.push((campaign, seed, failure));
    }
}

impl Totals {
    fn merge(&mut self, other: Self) {
        self.seed_count += other.seed_count;
        self.failures.extend(other.failures);
        self.counts.merge(&other.counts);
        self.hash = self.hash.wrapping_add(other.hash);
    }
}
