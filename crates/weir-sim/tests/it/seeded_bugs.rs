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
        let options = Options {
            with_trace: false,
            bug: Some(bug),
        };
        let totals = run_seeds(&[Campaign::Wal], 1, 200, options, &|_| {});
        let found: Vec<u64> = totals.failures.iter().map(|(_, seed, _)| *seed).collect();
        println!(
            "{}: found by {} of 200 seeds, first {:?}",
            bug.name(),
            found.len(),
            found.first()
        );
        assert!(!found.is_empty(), "{} was not found", bug.name());
    }
}
