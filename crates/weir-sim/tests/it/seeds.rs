use weir_sim::{Campaign, Options, Plan, run_plan, run_seeds};

/// Seeds that every test run goes through; the campaign proper has thousands.
const SEED_COUNT: u64 = 100;
/// As many of whole clusters, each of which takes a hundred times as long.
const CLUSTER_SEED_COUNT: u64 = 60;

#[test]
fn the_first_seeds_are_clean_and_the_same_twice() {
    let mut campaigns = Campaign::all();
    campaigns.retain(|campaign| *campaign != Campaign::Cluster);
    let totals = run_seeds(&campaigns, 1, SEED_COUNT, Options::default(), &|_| {});
    assert_eq!(totals.seed_count, SEED_COUNT);
    assert_eq!(totals.failures, []);
    for fault in ["crash_at_op", "power_cuts", "sectors_lost", "sync_error"] {
        assert!(totals.counts.get(fault) > 0, "{fault} never happened");
    }
}

#[test]
fn the_first_clusters_are_clean_and_the_same_twice() {
    let campaigns = [Campaign::Cluster];
    let options = Options::default();
    let totals = run_seeds(&campaigns, 1, CLUSTER_SEED_COUNT, options, &|_| {});
    assert_eq!(totals.failures, []);
    for happening in [
        "bridges",
        "copies_committed",
        "clock_jumps",
        "disks_lost",
        "drains",
        "joins",
        "kills",
        "leaders_cut_off",
        "member_commits",
        "members_gone",
        "one_way_cuts",
        "pauses",
        "power_cuts",
        "rebalances",
        "share_accepted",
        "share_acks_refused",
        "share_letters",
        "share_members_gone",
        "share_redelivered",
        "share_renewed",
        "share_sessions_lost",
        "shares_drained",
        "splits",
        "transactions_aborted",
        "transactions_committed",
        "transactors_died",
        "transactors_fenced",
    ] {
        let count = totals.counts.get(happening);
        assert!(count > 0, "{happening} never happened");
    }
}

#[test]
fn one_seed_gives_one_trace_and_another_seed_another() {
    for campaign in Campaign::all() {
        let trace = |seed| {
            let options = Options {
                with_trace: true,
                ..Options::default()
            };
            let outcome = run_plan(&Plan::draw(campaign, seed), options);
            (outcome.verdict.trace_hash, outcome.trace)
        };
        assert_eq!(trace(7), trace(7));
        assert_ne!(trace(7), trace(8));
    }
}
