//! The same log on the machine's own disk, with and without direct I/O.

use std::path::PathBuf;

use super::*;
use crate::disk::{RealDisk, SystemEntropy};

struct TempDir(PathBuf);

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn temp_dir(name: &str) -> TempDir {
    let path = std::env::temp_dir().join(format!("weir-wal-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    TempDir(path)
}

fn open_real(dir: &TempDir) -> (Wal, BTreeMap<GroupId, RecoveredGroup>) {
    let disk = Arc::new(RealDisk::open(&dir.0).unwrap());
    let (wal, groups, _) = Wal::open(disk, &SystemEntropy, small()).unwrap();
    (wal, groups)
}

#[test]
fn what_is_committed_comes_back_from_the_real_disk() {
    let dir = temp_dir("comes-back");
    let mut last = 0;
    for _ in 0..4 {
        let (mut wal, groups) = open_real(&dir);
        assert_eq!(indexes(&groups, GROUP).last().copied().unwrap_or(0), last);
        let maker = wal.spare_maker();
        for _ in 0..25 {
            last += 1;
            wal.commit(&[filling(GROUP, last, 1 + usize::try_from(last % 4).unwrap())])
                .unwrap();
            wal.release(GROUP, last - 1);
            maker.prepare().unwrap();
        }
    }
    let (_, groups) = open_real(&dir);
    assert!(indexes(&groups, GROUP).contains(&100));
}
