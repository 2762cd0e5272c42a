use weir_log::{
    Disk, FileKind, Millis,
    disk::{AlignedBuf, BLOCK_BYTES},
};

use super::{
    super::{SimClock, Trace},
    DiskConfig, Fault, FaultKind, SimDisk,
};

fn disk() -> SimDisk {
    let config = DiskConfig {
        capacity_bytes: 1 << 20,
        supports_direct: true,
    };
    let disk = SimDisk::new(config, SimClock::new(Millis(0)), Trace::new(false));
    disk.create_dir("d").unwrap();
    disk
}

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(path, FileKind::Read).ok()?;
    let mut bytes = vec![0; 100];
    let len = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(len);
    Some(bytes)
}

#[test]
fn synced_bytes_with_a_synced_name_survive_every_power_cut() {
    for salt in 0..50 {
        let disk = disk();
        let file = disk.open("d/a", FileKind::CreateBuffered).unwrap();
        file.write_at(b"kept", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("d").unwrap();
        file.write_at(b"lost?", 0).unwrap();
        disk.power_cut(salt);
        assert!(file.sync_data().is_err(), "old handles are dead");
        let found = content(&disk.reopened(), "d/a").unwrap();
        assert!(
            found.starts_with(b"kept") || b"lost?".starts_with(&found),
            "{found:?}"
        );
    }
}

#[test]
fn a_kill_keeps_what_was_written() {
    let disk = disk();
    let file = disk.open("d/a", FileKind::CreateBuffered).unwrap();
    file.write_at(b"x", 0).unwrap();
    disk.kill(1);
    assert_eq!(content(&disk.reopened(), "d/a").unwrap(), b"x");
}

#[test]
fn after_an_armed_crash_nothing_works_until_restart() {
    let disk = disk();
    disk.arm(Fault {
        kind: FaultKind::Crash,
        after_count: 1,
        salt: 3,
    });
    let file = disk.open("d/a", FileKind::CreateBuffered).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(disk.is_off());
    assert!(disk.list("d").is_err());
    disk.power_cut(1);
    assert!(disk.reopened().list("d").is_ok());
}

#[test]
fn a_full_disk_refuses_and_takes_again_when_space_returns() {
    let disk = disk();
    let file = disk.open("d/a", FileKind::CreateBuffered).unwrap();
    disk.set_foreign_bytes(1 << 20);
    let error = file.write_at(b"x", 0).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    disk.set_foreign_bytes(0);
    file.write_at(b"x", 0).unwrap();
    let free = disk.free_bytes().unwrap();
    disk.remove("d/a").unwrap();
    assert_eq!(disk.free_bytes().unwrap(), free + 1);
}

#[test]
#[should_panic(expected = "not aligned")]
fn direct_writes_must_be_aligned() {
    let disk = disk();
    disk.open("d/a", FileKind::CreateBuffered).unwrap();
    let file = disk.open("d/a", FileKind::Direct).unwrap();
    let mut block = AlignedBuf::default();
    block.resize(BLOCK_BYTES);
    file.write_at(block.as_slice(), 0).unwrap();
    file.write_at(block.as_slice(), 1).unwrap();
}
