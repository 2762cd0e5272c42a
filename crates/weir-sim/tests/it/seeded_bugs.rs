//! `cargo test -p weir-sim --features seeded-bugs each_seeded_bug`

#[cfg(feature = "seeded-bugs")]
#[test]
fn each_seeded_bug_is_found_within_200_seeds() {
    use weir_sim::{Bug, Campaign, Options, run_seeds};

    for bug in [
        Bug::AckBeforeSync,
        Bug::SkipTornTailCheck,
        Bug::AcceptRecycled,
    ] {
        let run = |bug| {
            run_seeds(
                &[Campaign::Wal],
                1,
                200,
                Options {
                    bug,
                    ..Options::default()
                },
                &|_| {},
            )
        };
        let dirty = run(None).failures;
        let mut found = run(Some(bug)).failures;
        found.retain(|(_, seed, _)| dirty.iter().all(|(_, other, _)| other != seed));
        let first = found
            .first()
            .map(|(_, seed, failure)| (seed, &failure.oracle));
        println!(
            "{}: found by {} of 200 seeds, first {first:?}",
            bug.name(),
            found.len()
        );
        assert!(!found.is_empty(), "{} was not found", bug.name());
    }
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn each_seeded_bug_of_a_cluster_is_found_within_300_seeds() {
    use weir_sim::{Bug, Campaign, Options, Plan, run_plan};

    /// Seeds of each search.
    const MAX_SEED_COUNT: u64 = 300;
    for bug in [
        Bug::AckBeforeQuorum,
        Bug::ForgetVote,
        Bug::ApplyBeforeCommit,
        Bug::LearnerCountsAsVoter,
        Bug::StaleLeaderReads,
        Bug::SnapshotMissesLastSegment,
        Bug::SkipProducerDedup,
        Bug::EndIgnoresEpoch,
        Bug::OffsetAckBeforeDecided,
        Bug::StableAheadOfOpen,
    ] {
        let failure_of = |seed: &u64, bug| {
            let plan = Plan::draw(Campaign::Cluster, *seed);
            let options = Options {
                bug,
                ..Options::default()
            };
            run_plan(&plan, options).verdict.failure
        };
        let found = (1..=MAX_SEED_COUNT).find_map(|seed| {
            let failure = failure_of(&seed, Some(bug))?;
            failure_of(&seed, None).is_none().then_some((seed, failure))
        });
        println!("{}: found by {found:?}", bug.name());
        assert!(found.is_some(), "{} was not found", bug.name());
    }
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn each_seeded_bug_of_queues_is_found_within_100_seeds_with_queues() {
    use weir_sim::{Bug, Plan, oracle_name};

    let bugs = [
        (Bug::SettleAckBeforeStored, oracle_name::SETTLED),
        (Bug::LockOutlivesSession, oracle_name::LOST),
        (Bug::TimersLostWithLeader, oracle_name::LOST),
        (Bug::LetterSettledBeforeStored, oracle_name::LOST),
    ];
    find_all(&bugs, Plan::has_queues);
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn each_seeded_bug_of_share_groups_is_found_within_100_seeds_with_share_groups() {
    use weir_sim::{Bug, Plan, oracle_name};

    let bugs = [
        (Bug::ShareAckBeforeStored, oracle_name::SETTLED),
        (Bug::ShareLockOutlivesMember, oracle_name::PROGRESS),
        (Bug::ShareSeesAborted, oracle_name::DECIDED),
    ];
    find_all(&bugs, Plan::has_shares);
}

/// Looks for each bug, by the rule that it breaks, among 100 seeds whose plans are fit for it.
#[cfg(feature = "seeded-bugs")]
fn find_all(bugs: &[(weir_sim::Bug, &str)], is_fit: fn(&weir_sim::Plan) -> bool) {
    use weir_sim::{Campaign, Options, Plan, run_plan};

    /// Seeds of each search.
    const MAX_SEED_COUNT: usize = 100;
    for (bug, oracle) in bugs.iter().copied() {
        let failure_of = |plan: &Plan, bug| {
            let options = Options {
                bug,
                ..Options::default()
            };
            run_plan(plan, options).verdict.failure
        };
        let plans = (1..).map(|seed| (seed, Plan::draw(Campaign::Cluster, seed)));
        let fit = plans.filter(|(_, plan)| is_fit(plan));
        let mut tried = (1..).zip(fit.take(MAX_SEED_COUNT));
        let found = tried.find_map(|(count, (seed, plan))| {
            let failure = failure_of(&plan, Some(bug))?;
            let is_meant = failure.oracle == oracle && failure_of(&plan, None).is_none();
            is_meant.then_some((count, seed, failure))
        });
        println!("{}: found by (seeds, seed, failure) {found:?}", bug.name());
        assert!(found.is_some(), "{} was not found", bug.name());
    }
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn an_early_acknowledgement_is_missed_by_producers_too() {
    use weir_sim::{Bug, Campaign, Options, run_seeds};

    let options = Options {
        bug: Some(Bug::AckBeforeSync),
        ..Options::default()
    };
    for campaign in [Campaign::Group, Campaign::Node] {
        let failures = run_seeds(&[campaign], 1, 50, options, &|_| {}).failures;
        let lost = weir_sim::oracle_name::LOST;
        assert!(
            failures.iter().any(|(_, _, f)| f.oracle == lost),
            "{campaign:?}: {failures:?}"
        );
    }
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn a_shrunk_plan_breaks_the_same_rule_in_fewer_steps() {
    use weir_sim::{Bug, Campaign, Options, Plan, run_plan, shrink};

    let options = Options {
        bug: Some(Bug::AckBeforeSync),
        ..Options::default()
    };
    let plan = Plan::draw(Campaign::Wal, 1);
    let shortest = shrink(&plan, options).expect("seed 1 finds this bug");
    let oracle = |plan| run_plan(plan, options).verdict.failure.map(|f| f.oracle);
    assert_eq!(oracle(&shortest), oracle(&plan));
    assert!(shortest.step_count() < plan.step_count());
}
