//! What applied commands answer.

use weir_model::ErrorKind;

use crate::{
    api::Produced, forward::Decided, queue::QueueApplied, share::ShareApplied,
    transaction::TransactionAnswer,
};

/// The answer of either state machine.
#[derive(Debug)]
pub(crate) enum AppliedOutcome {
    /// A change of the metadata.
    Metadata(Decided),
    /// A consumer group was changed, or not.
    Group(Result<(), ErrorKind>),
    /// A batch was stored, or not.
    Appended(Produced),
    /// Offsets were kept, or not: one answer each.
    Offsets(Vec<Result<(), ErrorKind>>),
    /// What became of a transactional id.
    Transaction(TransactionAnswer),
    /// A transaction was ended in a partition, or not.
    Marked(Result<(), ErrorKind>),
    /// What became of a change of a queue.
    Queue(QueueApplied),
    /// What became of a change of what share groups have.
    Share(ShareApplied),
    /// The change cannot fail.
    Done,
}
