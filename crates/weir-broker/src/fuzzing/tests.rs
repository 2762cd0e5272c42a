//! A short run of what the fuzz targets do for long, from seeds that are understood.

use std::collections::BTreeMap;

use weir_model::NodeId;

use super::*;
use crate::{queue::LogRange, steward::AdminRequest};

const MUTATIONS_COUNT: usize = 20_000;

/// Random changes, the same in every run.
struct Mutations(u64);

impl Mutations {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn of(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] = 0xff,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                3 => bytes.insert(at, 0),
                4 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
            bytes.is_empty().then(|| bytes.push(0));
        }
        bytes
    }
}

/// Mutates, mends checksums, and reads. Some of it must be understood, and some refused.
fn play(seeds: &[Vec<u8>], mend: fn(&mut [u8]), reread: fn(&[u8]) -> Option<Bytes>) {
    for seed in seeds {
        assert_eq!(reread(seed).as_deref(), Some(&seed[..]), "{seed:?}");
    }
    let mut mutations = Mutations(0x9e37_79b9_7f4a_7c15);
    let mut understood_count = 0;
    for at in 0..MUTATIONS_COUNT {
        let mut bytes = mutations.of(&seeds[at % seeds.len()]);
        mend(&mut bytes);
        if let Some(again) = reread(&bytes) {
            understood_count += 1;
            assert_eq!(reread(&again), Some(again), "{bytes:?}");
        }
    }
    assert!((1..MUTATIONS_COUNT).contains(&understood_count));
}

/// Puts the checksum of what follows it where it stands.
fn mend_at(bytes: &mut [u8], at: usize) {
    if let Some((head, rest)) = bytes.split_at_mut_checked(at + 4) {
        head[at..].copy_from_slice(&crc32c::crc32c(rest).to_le_bytes());
    }
}

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.finish().to_vec()
}

fn change_of_members() -> Vec<u8> {
    written(|writer| {
        writer.u8(STEP);
        writer.u32(7);
        writer.u64(3);
        writer.u64(99);
        writer.u8(2);
        writer.u8(2);
        for (kind, node) in [(1, 4), (3, 5)] {
            writer.u8(kind);
            writer.u64(node);
        }
    })
}

fn transfer() -> Vec<u8> {
    written(|writer| {
        writer.u8(STEP);
        writer.u32(7);
        writer.u64(3);
        writer.u64(99);
        writer.u8(1);
        writer.u64(4);
    })
}

fn read_batches() -> Vec<u8> {
    written(|writer| {
        writer.u8(READ_BATCHES);
        (1..=3).for_each(|number| writer.u64(number));
        writer.u32(4096);
    })
}

#[test]
fn calls_are_refused_or_understood_as_what_they_say() {
    let remove = AdminRequest::Remove { node: 3 };
    let seeds = [
        read_batches(),
        transfer(),
        change_of_members(),
        join::request(5, "127.0.0.1:9192", "localhost", 9092).to_vec(),
        AdminRequest::Status.to_call().to_vec(),
        remove.to_call().to_vec(),
        [&[METADATA], &join_command()[..]].concat(),
    ];
    play(&seeds, |_| {}, call);
}

fn join_command() -> Bytes {
    let command = MetadataCommand::AdmitNode {
        incarnation: 5,
        peer_address: "127.0.0.1:9192".to_owned(),
        kafka_host: "localhost".to_owned(),
        kafka_port: 9092,
    };
    command.encode()
}

#[test]
fn answers_are_refused_or_understood_as_what_they_say() {
    let mut batches = [&[0; 13][..], b"batches"].concat();
    mend_at(&mut batches, 9);
    let trimmed = [1, 9, 0, 0, 0, 0, 0, 0, 0].to_vec();
    let seeds = [batches, trimmed, vec![2], vec![3], vec![4]];
    let mend = |bytes: &mut [u8]| mend_at(bytes, 9);
    play(&seeds, mend, range_answer);
    let admitted = written(|writer| {
        writer.u8(0);
        writer.u64(9);
        writer.u32(2);
        writer.u8(3);
        writer.u64(4);
    });
    play(&[admitted], |_| {}, metadata_answer);
}

#[test]
fn an_identity_is_refused_or_understood_as_what_it_says() {
    let address = |id| (NodeId(id), format!("node-{id}:9192"));
    let identity = Identity {
        cluster: 7,
        node: NodeId(3),
        shard_count: 16,
        addresses: BTreeMap::from([address(1), address(3)]),
    };
    let mend = |bytes: &mut [u8]| mend_at(bytes, 8);
    play(&[identity.encode().to_vec()], mend, super::identity);
}

#[test]
fn a_beacon_is_refused_or_understood() {
    let beacon = written(|writer| {
        writer.u8(5);
        writer.u8(2);
        writer.u64(3);
        writer.u64(77);
        writer.text("localhost:1");
        writer.text("localhost");
        writer.u16(9093);
        writer.count(1);
        writer.u32(2);
        (1..=3).for_each(|number| writer.u64(number));
        for count in [2, 1, 0, 0] {
            writer.count(count);
            (0..count).for_each(|_| writer.u64(5));
        }
        writer.u8(0);
        writer.count(1);
        writer.u64(2);
        writer.u64(4);
        writer.u8(1);
        writer.u8(0);
        for name in ["tim", "ann"] {
            writer.count(1);
            writer.text(name);
            writer.u32(7);
            if name == "tim" {
                writer.u32(9);
            }
        }
    });
    let same = |bytes: &[u8]| is_beacon(bytes).then(|| Bytes::copy_from_slice(bytes));
    play(&[beacon], |_| {}, same);
}

#[test]
fn a_change_of_a_queue_is_refused_or_understood() {
    let session = |writer: &mut Writer| (1..=3).for_each(|number| writer.u64(number));
    let settle = written(|writer| {
        writer.u8(4);
        session(writer);
        writer.count(2);
        for settlement in [1, 4] {
            writer.u64(9);
            writer.u64(5);
            writer.u8(settlement);
        }
    });
    let remove = written(|writer| {
        writer.u8(7);
        writer.u8(1);
        writer.count(1);
        writer.u64(9);
        writer.u8(1);
        writer.u64(5);
    });
    play(&[settle, remove], |_| {}, queue_command);
}

#[test]
fn a_queue_is_refused_or_understood() {
    let queue = Queue::new(LogRange {
        start: 3,
        end: 90,
        stable_end: 70,
    });
    play(&[queue.encode().to_vec()], |_| {}, queue_state);
}
