//! Which threads go first where processors are short.

/// How much lower, in steps of `nice`: such a thread gets a third of what another one gets that
/// wants the same processor.
const LOWER_BY: i32 = 5;

/// Makes the calling thread go behind the others: for work that nobody waits for in the next
/// milliseconds, such as reading old data. Where the system does not allow it everything goes on as
/// it was.
pub fn lower() {
    if let Err(error) = rustix::process::nice(LOWER_BY) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}
