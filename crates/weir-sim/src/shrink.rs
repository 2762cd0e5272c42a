//! Makes a failing plan shorter: steps go as long as the same rule fails.

use crate::{Options, Plan, run_plan};

/// The shortest plan found that breaks the same rule as `plan`; `None` where `plan` is clean.
pub fn shrink(plan: &Plan, options: Options) -> Option<Plan> {
    let oracle_of = |plan: &Plan| Some(run_plan(plan, options).verdict.failure?.oracle);
    let oracle = oracle_of(plan)?;
    let mut shortest = plan.clone();
    let mut chunk_len = shortest.step_count().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        while from < shortest.step_count() {
            let cut = shortest.without(from, chunk_len);
            if oracle_of(&cut).as_deref() == Some(oracle.as_str()) {
                shortest = cut;
            } else {
                from += chunk_len;
            }
        }
        let simpler = shortest.simpler().into_iter();
        for variant in simpler {
            if oracle_of(&variant).as_deref() == Some(oracle.as_str()) {
                shortest = variant;
                break;
            }
        }
        if chunk_len == 1 {
            return Some(shortest);
        }
        chunk_len = chunk_len.div_ceil(2);
    }
}
