//! What a run ends with.

use serde::{Deserialize, Serialize};

use crate::world::Counts;

/// A rule that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The rule's name.
    pub oracle: String,
    /// The step of the plan at which it was seen, from 0.
    pub first_bad_step: usize,
    /// What was expected and what was found.
    pub detail: String,
}

/// What the oracles say of one run, as it is kept in `verdict.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Hash of everything that happened.
    pub trace_hash: u64,
    /// The first rule that did not hold; absent: all held.
    pub failure: Option<Failure>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the oracles say.
    pub verdict: Verdict,
    /// Faults, operations and restarts.
    pub counts: Counts,
    /// Lines of the trace, where they were asked for.
    pub trace: String,
}

/// Rules that hold in every campaign, by name.
pub mod oracle_name {
    /// Production code panicked.
    pub const PANIC: &str = "panic";
    /// The same plan gave another trace.
    pub const DETERMINISM: &str = "same_seed_same_trace";
    /// Something acknowledged is gone or changed.
    pub const LOST: &str = "nothing_acknowledged_lost";
    /// Something is there that nobody wrote, or not in that order.
    pub const INVENTED: &str = "nothing_invented";
    /// Term, vote or commit went back.
    pub const HARD_STATE: &str = "hard_state_never_regresses";
    /// Damage was served, cut in silence, or named wrongly.
    pub const CORRUPTION: &str = "corruption_is_named";
    /// An error without a fault.
    pub const NO_FAULT_NO_ERROR: &str = "no_fault_no_error";
    /// The node does not go on although nothing stands in its way any more.
    pub const PROGRESS: &str = "faults_end_progress_resumes";
    /// Two nodes led a group in one term.
    pub const ONE_LEADER: &str = "one_leader_a_term";
    /// A leader applied what most voters do not have.
    pub const QUORUM: &str = "committed_is_on_most_disks";
    /// Two values were seen at one offset of a partition.
    pub const ONE_VALUE: &str = "one_value_an_offset";
    /// An idempotent producer's batch is stored twice, or out of its order.
    pub const ONCE: &str = "idempotent_batches_once_and_in_order";
    /// A read behind a barrier missed what was acknowledged before it.
    pub const STALE: &str = "reads_are_not_stale";
    /// Replicas differ at the same index.
    pub const REPLICAS: &str = "replicas_are_equal";
    /// A transaction counts in some of its partitions only, or as something that it is not.
    pub const ATOMIC: &str = "transactions_are_whole";
    /// Readers of committed records were told of what was not decided or was aborted, or the end
    /// of what is decided was told wrongly.
    pub const DECIDED: &str = "committed_reads_see_what_is_decided";
    /// What was copied within transactions was copied twice, or not at all.
    pub const COPIED_ONCE: &str = "copies_are_made_once";
    /// A producer's epoch went back, or belongs to two.
    pub const EPOCHS: &str = "producer_epochs_never_regress";
    /// Two members own a partition in one generation.
    pub const OWNERS: &str = "one_owner_a_generation";
    /// A group's committed offset went back, or ahead of what its members were given.
    pub const OFFSETS: &str = "committed_offsets_follow_deliveries";
    /// A message is in a queue twice.
    pub const QUEUED_ONCE: &str = "messages_are_queued_once";
    /// A message was given to somebody although another one, who goes on, has it.
    pub const HELD_ONCE: &str = "messages_are_held_once";
    /// A message came after its settlement was answered.
    pub const SETTLED: &str = "settled_messages_stay_settled";
    /// A delivery says wrongly whether, or how often, it was tried before.
    pub const TRIES: &str = "deliveries_tell_their_tries";
    /// What was given back, or published earlier, came later.
    pub const QUEUE_ORDER: &str = "queues_keep_their_order";
    /// Two consumers were served where one alone is to be.
    pub const ONE_CONSUMER: &str = "one_consumer_alone";
    /// A message came, or expired, before its time.
    pub const EARLY: &str = "nothing_before_its_time";
    /// A dead letter came without a reason, for a wrong one, or not at all.
    pub const DEAD_LETTERS: &str = "dead_letters_are_due";
    /// An acknowledgement after a failed sync.
    pub const ACK_AFTER_FAILURE: &str = "no_acknowledgement_after_failure";
}
