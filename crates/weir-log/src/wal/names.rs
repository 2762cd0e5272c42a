//! Names of the files in the write-ahead log's directory.

use std::{collections::BTreeMap, io};

use crate::disk::Disk;

/// The directory, below the data directory.
pub(super) const DIR: &str = "wal";

/// Path of the file with number `seq`.
pub(super) fn wal_path(seq: u64) -> String {
    format!("{DIR}/{seq:020}.wal")
}

/// Path of a file that is written and waits for use.
pub(super) fn spare_path(id: u64) -> String {
    format!("{DIR}/{id}.spare")
}

/// Path of a file that is being made. A leftover is worth nothing.
pub(super) fn unfinished_path(id: u64) -> String {
    format!("{DIR}/{id}.new")
}

/// What the directory holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    /// Sizes in bytes of the files in use, by number.
    pub(super) wal_files: BTreeMap<u64, u64>,
    /// Sizes in bytes of the spares, by id.
    pub(super) spares: BTreeMap<u64, u64>,
    /// Paths of files that were never finished.
    pub(super) unfinished: Vec<String>,
}

/// Lists the directory. Files with other names are not ours and stay.
pub(super) fn list_files(disk: &dyn Disk) -> io::Result<Inventory> {
    let mut inventory = Inventory::default();
    for entry in disk.list(DIR)? {
        let Some((stem, extension)) = entry.name.split_once('.') else {
            continue;
        };
        let Ok(number) = stem.parse::<u64>() else {
            continue;
        };
        let path = format!("{DIR}/{}", entry.name);
        match extension {
            "wal" if path == wal_path(number) => {
                inventory.wal_files.insert(number, entry.size_bytes);
            }
            "spare" if path == spare_path(number) => {
                inventory.spares.insert(number, entry.size_bytes);
            }
            "new" => inventory.unfinished.push(path),
            _ => {}
        }
    }
    Ok(inventory)
}
