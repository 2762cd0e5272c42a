//! A partition's directory, before something is written to it for the first time.

use std::{collections::BTreeSet, io, sync::Arc};

use super::{FlushError, PartitionLog};
use crate::{
    disk::Disk,
    segment::{SegmentKey, write_error},
};

/// Makes the directory, not durably yet, and removes what an earlier life of the node left in it: files that came
/// back after a power cut, and files that no checkpoint came to name.
pub(crate) fn tidy(disk: &Arc<dyn Disk>, partition: &PartitionLog) -> Result<(), FlushError> {
    // Held until it is done: neither flusher nor compactor may make files while the other tidies.
    let mut tidied = partition.tidied();
    if *tidied {
        return Ok(());
    }
    let id = partition.id();
    let dir = SegmentKey::dir(id);
    let failed = |error: io::Error| write_error(&dir, &error);
    disk.create_dir_unsynced(&dir).map_err(failed)?;
    let named: BTreeSet<String> = partition
        .manifest()
        .segments
        .iter()
        .map(|segment| SegmentKey::new(id, segment))
        .flat_map(|key| [key.segment_name(), key.index_name()])
        .collect();
    for entry in disk.list(&dir).map_err(failed)? {
        if !named.contains(&entry.name) {
            tracing::info!(dir, name = entry.name, "removing a file that nothing names");
            disk.remove(&format!("{dir}/{}", entry.name))
                .map_err(failed)?;
        }
    }
    *tidied = true;
    Ok(())
}
