//! Runs a plan: once for its verdict, and once more to see that it is the same.

use crate::{
    campaign,
    options::Options,
    panic_catch,
    plan::Plan,
    verdict::{Failure, Outcome, Verdict, oracle_name},
    world::{Counts, Trace},
};

/// Runs `plan` once. A panic of production code is a finding.
pub fn run_plan(plan: &Plan, options: Options) -> Outcome {
    let trace = Trace::new(options.with_trace);
    let bare = options.without_queues.then(|| plan.without_queues());
    let plan = bare.as_ref().unwrap_or(plan);
    let run = || match plan {
        Plan::Wal(plan) => campaign::wal::run(plan, options, &trace),
        Plan::Partition(plan) => campaign::partition::run(plan, options, &trace),
        Plan::Group(plan) => campaign::group::run(plan, options, &trace),
        Plan::Node(plan) => campaign::node::run(plan, options, &trace),
        Plan::Cluster(plan) => campaign::cluster::run(plan, options, &trace),
    };
    panic_catch::catch(run).unwrap_or_else(|detail| {
        trace.note("panic", &detail);
        Outcome {
            verdict: Verdict {
                trace_hash: trace.hash(),
                failure: Some(Failure {
                    oracle: oracle_name::PANIC.to_owned(),
                    first_bad_step: trace.step(),
                    detail,
                }),
            },
            counts: Counts::default(),
            trace: trace.text(),
        }
    })
}

/// Runs `plan` twice; a difference between the runs is a finding.
pub(crate) fn run_plan_twice(plan: &Plan, options: Options) -> Outcome {
    let mut outcome = run_plan(plan, options);
    let again = run_plan(
        plan,
        Options {
            with_trace: false,
            ..options
        },
    );
    let (first, second) = (outcome.verdict.trace_hash, again.verdict.trace_hash);
    if first != second {
        outcome.verdict.failure = Some(Failure {
            oracle: oracle_name::DETERMINISM.to_owned(),
            first_bad_step: 0,
            detail: format!("trace hash {first:016x}, then {second:016x}"),
        });
    }
    outcome
}
