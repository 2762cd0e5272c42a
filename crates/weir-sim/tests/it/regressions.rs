//! Plans that once showed a bug. Each stays, and stays clean.

use std::{fs, path::Path};

use weir_sim::{Options, Plan, run_plan};

#[track_caller]
fn replays_clean(name: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let bytes = fs::read(dir.join(name).with_extension("json")).expect("a kept plan is there");
    let plan: Plan = serde_json::from_slice(&bytes).expect("a kept plan is readable");
    let outcome = run_plan(&plan, Options::default());
    assert_eq!(outcome.verdict.failure, None);
}

#[test]
fn a_frame_whose_sync_failed_is_not_trusted_from_the_page_cache() {
    replays_clean("wal-stale-page-after-failed-sync");
}

#[test]
fn a_flipped_bit_in_a_stored_leader_epoch_is_not_served() {
    replays_clean("partition-leader-epoch-bit-flip");
}

#[test]
fn a_log_of_one_oversize_file_takes_new_work() {
    replays_clean("group-oversize-file-refuses-for-ever");
}

#[test]
fn a_node_leads_only_once_it_has_applied_its_log() {
    replays_clean("node-leader-before-it-applied");
}

#[test]
fn a_fetch_that_nothing_watches_is_answered_at_its_deadline() {
    replays_clean("node-fetch-that-nothing-watches");
}

#[test]
fn a_checkpoint_that_fails_leaves_the_files_of_those_stored_before_it() {
    replays_clean("node-failed-checkpoint-behind-a-stored-one");
}

#[test]
fn a_coordinator_with_old_metadata_does_not_say_that_nothing_was_committed() {
    replays_clean("cluster-committed-offset-behind-old-metadata");
}

#[test]
fn a_group_has_a_leader_again_after_disks_were_lost_one_by_one() {
    replays_clean("cluster-group-without-leader-after-lost-disks");
}

#[test]
fn a_learner_of_which_nothing_is_known_is_not_made_a_voter() {
    replays_clean("cluster-voter-that-has-nothing");
}

#[test]
fn a_joiner_answers_a_leader_that_joined_after_it() {
    replays_clean("cluster-leader-whose-address-a-joiner-lacks");
}

#[test]
fn an_address_that_a_beacon_told_outlives_old_metadata() {
    replays_clean("cluster-learned-address-taken-back");
}

#[test]
fn a_group_does_not_wait_until_a_clock_that_was_set_back_is_there_again() {
    replays_clean("cluster-group-waits-out-a-clock-that-was-set-back");
}

#[test]
fn a_replica_that_was_removed_before_a_restart_holds_no_log() {
    replays_clean("cluster-removed-replica-holds-the-log");
}

#[test]
fn a_clock_set_forward_does_not_make_a_new_leader_call_a_gap_the_clients_error() {
    replays_clean("cluster-wall-clock-ends-the-settling");
}

#[test]
fn a_group_whose_leader_says_its_assignment_again_comes_to_have_all_partitions() {
    replays_clean("cluster-assignment-shared-out-twice");
}

#[test]
fn a_settlement_that_came_too_late_is_not_answered_as_done() {
    replays_clean("cluster-settlement-of-a-lost-session");
}

#[test]
fn a_message_waits_as_long_as_it_was_to_where_its_leaders_clock_is_ahead() {
    replays_clean("cluster-delay-by-a-clock-that-was-ahead");
    replays_clean("cluster-expired-before-its-delay");
}

#[test]
fn a_message_whose_batch_met_a_gap_that_was_closed_since_is_queued_once() {
    replays_clean("cluster-message-published-twice-behind-a-gap");
}

#[test]
fn a_message_that_waited_lives_from_when_it_is_ready() {
    replays_clean("cluster-life-over-before-the-wait");
}

#[test]
fn a_session_that_ends_gives_nothing_back_that_came_by_another_nodes() {
    replays_clean("cluster-share-session-of-an-earlier-leadership");
}

#[test]
fn a_letter_is_parked_once_also_where_nobody_has_used_its_queue_yet() {
    replays_clean("cluster-letter-doubled-before-its-queue-was-one");
}

#[test]
fn a_share_group_has_nothing_left_of_what_its_log_no_longer_has() {
    replays_clean("cluster-share-group-behind-the-start-of-its-log");
}

#[test]
fn a_node_that_is_cut_off_does_not_say_that_a_queue_is_not_there() {
    replays_clean("cluster-queue-unknown-to-a-node-cut-off");
}

#[test]
fn a_queue_that_was_declared_is_not_called_absent_where_that_is_not_applied() {
    replays_clean("cluster-queue-declared-but-not-applied-here");
}

#[test]
fn a_consumer_without_acknowledgements_that_is_refused_takes_no_messages_along() {
    replays_clean("cluster-refused-consumer-takes-messages-along");
}

#[test]
fn a_message_that_its_queue_refused_is_not_confirmed_when_its_batch_comes_again_late() {
    replays_clean("cluster-refused-message-is-confirmed");
}

#[test]
fn an_acknowledgement_whose_step_came_to_nothing_is_not_told_as_done() {
    replays_clean("cluster-share-acknowledgement-of-a-lost-step");
}

#[test]
fn a_share_partition_that_did_not_fit_into_an_answer_is_free_for_the_next() {
    replays_clean("cluster-share-partition-behind-a-full-answer");
}

#[test]
fn a_letter_of_an_aborted_record_that_was_delivered_has_its_value() {
    replays_clean("cluster-share-letter-of-an-aborted-record");
}
