//! Names and directories: what stands now, what is on disk, and what is still on its way.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Rng;

pub(super) type InodeId = u64;

#[derive(Clone, Debug)]
enum NameOp {
    Create { path: String, inode: InodeId },
    Remove { path: String },
    Rename { from: String, to: String },
}

impl NameOp {
    fn paths(&self) -> [&str; 2] {
        match self {
            Self::Create { path, .. } | Self::Remove { path } => [path, path],
            Self::Rename { from, to } => [from, to],
        }
    }

    fn touches_dir(&self, dir: &str) -> bool {
        self.paths().iter().any(|path| dir_of(path) == dir)
    }

    fn apply(self, names: &mut BTreeMap<String, InodeId>) {
        match self {
            Self::Create { path, inode } => {
                names.insert(path, inode);
            }
            Self::Remove { path } => {
                names.remove(&path);
            }
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Names {
    live: BTreeMap<String, InodeId>,
    durable: BTreeMap<String, InodeId>,
    pending: Vec<NameOp>,
    dirs: BTreeSet<String>,
}

impl Names {
    pub(super) fn get(&self, path: &str) -> Option<InodeId> {
        self.live.get(path).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, InodeId)> {
        self.live
            .iter()
            .map(|(path, inode)| (path.as_str(), *inode))
    }

    /// Whether a name stands for the file, now or after a power cut.
    pub(super) fn holds(&self, inode: InodeId) -> bool {
        let mut held = self.live.values().chain(self.durable.values());
        let is_created = |op: &NameOp| match op {
            NameOp::Create { inode: id, .. } => *id == inode,
            NameOp::Remove { .. } | NameOp::Rename { .. } => false,
        };
        held.any(|id| *id == inode) || self.pending.iter().any(is_created)
    }

    pub(super) fn has_dir(&self, dir: &str) -> bool {
        dir.is_empty() || self.dirs.contains(dir)
    }

    pub(super) fn has_parent(&self, path: &str) -> bool {
        self.has_dir(dir_of(path))
    }

    /// Names directly in `dir`, with their files.
    pub(super) fn list<'a>(
        &'a self,
        dir: &'a str,
    ) -> impl Iterator<Item = (&'a str, InodeId)> + 'a {
        let prefix = prefix_of(dir);
        self.live
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .filter(move |(path, _)| dir_of(path) == dir)
            .map(move |(path, inode)| (name_of(path), *inode))
    }

    /// Directories directly in `dir`.
    pub(super) fn list_dirs(&self, dir: &str) -> Vec<String> {
        let inside = self.dirs.iter().filter(|path| dir_of(path) == dir);
        inside.map(|path| name_of(path).to_owned()).collect()
    }

    pub(super) fn create(&mut self, path: &str, inode: InodeId) {
        self.record(NameOp::Create {
            path: path.to_owned(),
            inode,
        });
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.record(NameOp::Remove {
            path: path.to_owned(),
        });
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.record(NameOp::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        });
    }

    fn record(&mut self, op: NameOp) {
        op.clone().apply(&mut self.live);
        self.pending.push(op);
    }

    pub(super) fn create_dir(&mut self, dir: &str) {
        for (end, _) in dir.match_indices('/') {
            self.dirs.insert(dir[..end].to_owned());
        }
        self.dirs.insert(dir.to_owned());
    }

    /// Removes an empty directory; false where it is not empty.
    pub(super) fn remove_dir(&mut self, dir: &str) -> bool {
        let empty = self.list(dir).next().is_none() && self.list_dirs(dir).is_empty();
        if empty {
            self.dirs.remove(dir);
        }
        empty
    }

    pub(super) fn sync_dir(&mut self, dir: &str) {
        let (synced, rest) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|op| op.touches_dir(dir));
        self.pending = rest;
        let synced: Vec<NameOp> = synced;
        for op in synced {
            op.apply(&mut self.durable);
        }
    }

    pub(super) fn sync_all(&mut self) {
        self.pending.clear();
        self.durable.clone_from(&self.live);
    }

    /// The power goes. Every directory keeps a beginning of what was done in it, or any mix in
    /// which no name is changed out of turn. Gives the number of operations that were undone.
    pub(super) fn crash(&mut self, rng: &mut Rng) -> u64 {
        let in_order = rng.chance(600);
        let keep_per_mille = rng.pick(&[0, 300, 700, 1_000]);
        let mut undone_count = 0;
        let mut stopped: BTreeSet<String> = BTreeSet::new();
        for op in std::mem::take(&mut self.pending) {
            let keys = op.paths().map(|path| {
                if in_order {
                    dir_of(path).to_owned()
                } else {
                    path.to_owned()
                }
            });
            if keys.iter().any(|key| stopped.contains(key)) || !rng.chance(keep_per_mille) {
                stopped.extend(keys);
                undone_count += 1;
            } else {
                op.apply(&mut self.durable);
            }
        }
        self.live.clone_from(&self.durable);
        let paths: Vec<String> = self.live.keys().cloned().collect();
        for path in paths {
            let dir = dir_of(&path).to_owned();
            if !dir.is_empty() {
                self.create_dir(&dir);
            }
        }
        undone_count
    }
}

fn prefix_of(dir: &str) -> String {
    if dir.is_empty() {
        String::new()
    } else {
        format!("{dir}/")
    }
}

pub(super) fn dir_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crashed(seed: u64, work: impl Fn(&mut Names)) -> Vec<(String, InodeId)> {
        let mut names = Names::default();
        names.create_dir("d");
        work(&mut names);
        names.crash(&mut Rng::new(seed));
        names
            .list("d")
            .map(|(name, inode)| (name.to_owned(), inode))
            .collect()
    }

    #[test]
    fn a_removed_file_may_come_back_until_its_directory_is_synced() {
        let removed = |sync: bool| {
            (0..100)
                .filter(|seed| {
                    !crashed(*seed, |names| {
                        names.create("d/a", 1);
                        names.sync_dir("d");
                        names.remove("d/a");
                        if sync {
                            names.sync_dir("d");
                        }
                    })
                    .is_empty()
                })
                .count()
        };
        assert!((1..100).contains(&removed(false)));
        assert_eq!(removed(true), 0);
    }

    #[test]
    fn a_durable_file_is_never_lost_by_a_rename_and_a_new_file_of_its_old_name() {
        for seed in 0..200 {
            let there = crashed(seed, |names| {
                names.create("d/a", 1);
                names.sync_dir("d");
                names.rename("d/a", "d/b");
                names.create("d/a", 2);
            });
            assert!(there.iter().any(|(_, inode)| *inode == 1), "{there:?}");
        }
    }
}
