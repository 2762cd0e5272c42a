//! What applied commands answer.

use weir_model::ErrorKind;

use crate::{api::Produced, metadata::MetadataOutcome};

/// The answer of either state machine.
#[derive(Debug)]
pub(crate) enum AppliedOutcome {
    /// A change of the metadata.
    Metadata(MetadataOutcome),
    /// A batch was stored, or not.
    Appended(Produced),
    /// Offsets were kept, or not: one answer each.
    Offsets(Vec<Result<(), ErrorKind>>),
    /// The change cannot fail.
    Done,
}
