//! What a share partition promises its members.

use weir_log::Millis;
use weir_model::PartitionId;

use crate::{
    api::share::AcquiredRange,
    share::{
        Acks, ComesBack, DeadReason, DeadRecord, ShareApplied, ShareCommand, ShareTable, Step,
        StepPart, Stepped, Stretch, Take, Terms,
    },
};

const ID: PartitionId = PartitionId(7);
const TERMS: Terms = Terms {
    lock_ms: 100,
    comes_back: ComesBack {
        delivery_limit: 3,
        retry_ms: 0,
        retry_max_ms: 0,
        keeps_dead: false,
    },
    max_locks: 20,
};

struct World {
    table: ShareTable,
    now: Millis,
    log_start: u64,
    terms: Terms,
}

impl World {
    fn begun(start: u64) -> Self {
        let mut world = Self {
            table: ShareTable::default(),
            now: Millis(0),
            log_start: 0,
            terms: TERMS,
        };
        world.begin(start, true);
        world
    }

    fn apply(&mut self, command: ShareCommand) -> ShareApplied {
        let (mut stirred, start) = (Vec::new(), self.log_start);
        let applied = self.table.apply(self.now, command, |_| start, &mut stirred);
        let bytes = self.table.encode();
        assert_eq!(ShareTable::decode(&bytes).as_ref(), Ok(&self.table));
        applied
    }

    fn begin(&mut self, start: u64, is_first: bool) {
        self.apply(ShareCommand::Begin {
            group: "g".to_owned(),
            partition: ID,
            start,
            is_first,
        });
    }

    fn step(
        &mut self,
        member: &str,
        acks: &[(u64, u64, &[u8])],
        wanted: Option<(u64, u64)>,
    ) -> Stepped {
        let acks = acks.iter().map(|(first, last, kinds)| Acks {
            first: *first,
            last: *last,
            kinds: kinds.to_vec(),
        });
        let take = wanted.map(|(first, last)| Take {
            end: last + 1,
            void: Vec::new(),
            wanted: vec![Stretch { first, last }],
        });
        let applied = self.apply(ShareCommand::Step(Step {
            group: "g".to_owned(),
            member: member.to_owned(),
            terms: self.terms,
            parts: vec![StepPart {
                partition: ID,
                acks: acks.collect(),
                take,
            }],
        }));
        let ShareApplied::Stepped(mut parts) = applied else {
            panic!("{applied:?}");
        };
        parts.remove(0)
    }

    fn take(&mut self, member: &str, first: u64, last: u64) -> Vec<(u64, u64, i16)> {
        let stepped = self.step(member, &[], Some((first, last)));
        stepped.acquired.iter().map(told).collect()
    }

    fn is_acknowledged(&mut self, member: &str, first: u64, last: u64, kinds: &[u8]) -> bool {
        let stepped = self.step(member, &[(first, last, kinds)], None);
        stepped.acknowledged.is_ok()
    }

    fn dead(&self) -> Vec<DeadRecord> {
        self.table.get(&(ID, "g".to_owned())).unwrap().dead(9)
    }

    fn copied(&mut self, records: &[(u64, u64)]) {
        self.apply(ShareCommand::Copied {
            group: "g".to_owned(),
            partition: ID,
            records: records.to_vec(),
        });
    }

    fn start(&self) -> u64 {
        self.table.get(&(ID, "g".to_owned())).unwrap().start()
    }
}

fn told(range: &AcquiredRange) -> (u64, u64, i16) {
    (range.first, range.last, range.delivery_count)
}

#[test]
fn a_record_is_one_members_until_it_is_acknowledged() {
    let mut world = World::begun(0);
    assert_eq!(world.take("a", 0, 4), [(0, 4, 1)]);
    assert_eq!(world.take("b", 0, 9), [(5, 9, 1)]);
    assert!(world.is_acknowledged("a", 0, 4, &[1]));
    assert_eq!(world.start(), 5);
    assert!(!world.is_acknowledged("a", 0, 4, &[1]), "it is done with");
    assert!(!world.is_acknowledged("a", 5, 5, &[1]), "it is b's");
    assert!(world.is_acknowledged("b", 5, 9, &[1]));
    assert_eq!(world.start(), 10);
}

#[test]
fn acknowledgements_hold_for_all_records_or_for_none() {
    let mut world = World::begun(0);
    world.take("a", 0, 4);
    assert!(!world.is_acknowledged("a", 0, 5, &[1]));
    assert!(!world.is_acknowledged("a", 0, u64::MAX, &[1]));
    assert_eq!(world.start(), 0);
    assert!(world.is_acknowledged("a", 0, 4, &[1, 2, 3, 0, 4]));
    // 1 was given back, 4 is still held.
    assert_eq!(world.take("b", 0, 4), [(1, 1, 2)]);
    assert!(world.is_acknowledged("b", 1, 1, &[1]));
    assert_eq!(world.start(), 4);
}

#[test]
fn a_lock_that_is_over_gives_the_record_to_others() {
    let mut world = World::begun(0);
    world.take("a", 0, 1);
    world.now = Millis(100);
    world.apply(ShareCommand::Expire);
    assert_eq!(world.take("b", 0, 1), []);
    assert_eq!(world.table.next_end(), Some(Millis(101)));
    world.now = Millis(101);
    world.apply(ShareCommand::Expire);
    assert_eq!(world.take("b", 0, 1), [(0, 1, 2)]);
    assert!(!world.is_acknowledged("a", 0, 1, &[1]));
}

#[test]
fn a_renewed_lock_lasts_for_another_while() {
    let mut world = World::begun(0);
    world.take("a", 0, 1);
    world.now = Millis(60);
    assert!(world.is_acknowledged("a", 0, 0, &[4]));
    world.now = Millis(101);
    world.apply(ShareCommand::Expire);
    assert_eq!(world.take("b", 0, 1), [(1, 1, 2)]);
    assert!(world.is_acknowledged("a", 0, 0, &[1]));
}

#[test]
fn a_record_is_put_away_when_it_comes_back_after_the_last_delivery() {
    let mut world = World::begun(0);
    for count in 1..=3 {
        assert_eq!(world.take("a", 0, 0), [(0, 0, count)]);
        assert!(world.is_acknowledged("a", 0, 0, &[2]));
    }
    assert_eq!(world.take("a", 0, 0), []);
    assert_eq!(world.start(), 1);
}

#[test]
fn a_member_that_leaves_has_delivered_nothing() {
    let mut world = World::begun(0);
    world.take("a", 0, 2);
    world.apply(ShareCommand::Release {
        group: "g".to_owned(),
        member: "a".to_owned(),
        partitions: vec![ID],
    });
    assert_eq!(world.take("b", 0, 2), [(0, 2, 1)]);
}

#[test]
fn no_more_records_are_held_than_there_are_locks() {
    let mut world = World::begun(0);
    assert_eq!(world.take("a", 0, 14), [(0, 14, 1)]);
    assert_eq!(world.take("b", 15, 40), [(15, 19, 1)]);
    assert_eq!(world.take("b", 20, 40), []);
    assert!(world.is_acknowledged("a", 0, 1, &[1]));
    assert_eq!(world.take("b", 20, 40), [(20, 21, 1)]);
}

#[test]
fn what_retention_took_needs_no_acknowledgement() {
    let mut world = World::begun(0);
    world.take("a", 0, 4);
    world.log_start = 3;
    assert!(world.is_acknowledged("a", 0, 4, &[1]));
    assert_eq!(world.start(), 5);
    world.log_start = 8;
    assert_eq!(world.take("a", 5, 9), [(8, 9, 1)]);
}

#[test]
fn a_group_that_begins_again_forgets_what_was_held() {
    let mut world = World::begun(0);
    world.take("a", 0, 4);
    world.begin(2, true);
    assert_eq!(world.start(), 0, "it had begun");
    world.begin(2, false);
    assert_eq!(world.start(), 2);
    assert_eq!(world.table.next_end(), None);
    assert_eq!(world.take("b", 0, 4), [(2, 4, 1)]);
}

#[test]
fn a_forgotten_group_has_nothing() {
    let mut world = World::begun(0);
    world.take("a", 0, 4);
    world.apply(ShareCommand::Forget {
        group: "g".to_owned(),
        topics: Some([ID.topic_serial() + 1].into()),
    });
    assert!(world.table.get(&(ID, "g".to_owned())).is_some());
    world.apply(ShareCommand::Forget {
        group: "g".to_owned(),
        topics: None,
    });
    assert_eq!(world.table, ShareTable::default());
    assert!(!world.is_acknowledged("a", 0, 4, &[1]));
}

#[test]
fn a_record_that_comes_back_waits_longer_each_time_and_is_nobodys_meanwhile() {
    let mut world = World::begun(0);
    world.terms.comes_back = ComesBack {
        delivery_limit: 4,
        retry_ms: 50,
        retry_max_ms: 150,
        keeps_dead: false,
    };
    assert_eq!(world.take("a", 0, 0), [(0, 0, 1)]);
    for (count, wait_ms) in [(2, 50), (3, 100), (4, 150)] {
        assert!(world.is_acknowledged("a", 0, 0, &[2]));
        assert!(!world.is_acknowledged("a", 0, 0, &[1]), "it waits");
        world.now = Millis(world.now.0 + wait_ms);
        world.apply(ShareCommand::Expire);
        assert_eq!(world.take("a", 0, 0), []);
        world.now = Millis(world.now.0 + 1);
        world.apply(ShareCommand::Expire);
        assert_eq!(world.take("a", 0, 0), [(0, 0, count)]);
    }
    assert!(world.is_acknowledged("a", 0, 0, &[2]));
    assert_eq!(world.start(), 1, "it was delivered often enough");
}

#[test]
fn a_lock_that_is_over_makes_its_record_wait_and_what_waits_takes_nobodys_room() {
    let mut world = World::begun(0);
    world.terms.max_locks = 2;
    world.terms.comes_back.retry_ms = 1_000;
    assert_eq!(world.take("a", 0, 3), [(0, 1, 1)]);
    world.now = Millis(101);
    world.apply(ShareCommand::Expire);
    assert_eq!(world.take("b", 0, 3), [(2, 3, 1)], "those wait");
    assert!(world.is_acknowledged("b", 2, 3, &[1]));
    world.now = Millis(1_102);
    world.apply(ShareCommand::Expire);
    assert_eq!(world.take("b", 0, 3), [(0, 1, 2)]);
}

#[test]
fn what_is_rejected_or_comes_back_too_often_is_dead_until_its_copy_is_stored() {
    let mut world = World::begun(0);
    world.terms.comes_back.keeps_dead = true;
    world.terms.comes_back.delivery_limit = 2;
    world.take("a", 0, 2);
    assert!(world.is_acknowledged("a", 0, 2, &[3, 2, 1]));
    assert_eq!(world.take("a", 0, 2), [(1, 1, 2)]);
    assert!(world.is_acknowledged("a", 1, 1, &[2]));
    let dead = world.dead();
    let told: Vec<_> = dead
        .iter()
        .map(|it| (it.offset, it.delivery_count, it.reason))
        .collect();
    let wanted = [(0, 1, DeadReason::Rejected), (1, 2, DeadReason::Exceeded)];
    assert_eq!(told, wanted);
    assert_eq!((world.start(), world.take("a", 0, 2)), (0, vec![]));
    assert!(!world.is_acknowledged("a", 0, 0, &[1]), "it is nobody's");
    world.copied(&[(0, dead[0].serial + 9)]);
    assert_eq!(world.dead(), dead, "that was another delivery");
    world.copied(&[(0, dead[0].serial)]);
    assert_eq!((world.dead(), world.start()), (vec![dead[1]], 1));
    world.copied(&[(1, dead[1].serial)]);
    assert_eq!((world.dead(), world.start()), (vec![], 3));
}

#[test]
fn a_lock_that_ends_too_often_makes_a_dead_record_and_the_end_of_the_log_takes_it_along() {
    let mut world = World::begun(0);
    world.terms.comes_back.keeps_dead = true;
    world.terms.comes_back.delivery_limit = 1;
    world.take("a", 0, 0);
    world.now = Millis(101);
    world.apply(ShareCommand::Expire);
    assert_eq!(world.dead().len(), 1);
    world.log_start = 1;
    world.take("a", 1, 1);
    assert_eq!((world.dead(), world.start()), (vec![], 1));
}

#[test]
fn dead_records_are_locked_as_others_are() {
    let mut world = World::begun(0);
    world.terms.comes_back.keeps_dead = true;
    world.terms.max_locks = 2;
    world.take("a", 0, 1);
    assert!(world.is_acknowledged("a", 0, 1, &[3]));
    assert_eq!(world.take("a", 2, 3), []);
    let first = world.dead()[0];
    world.copied(&[(first.offset, first.serial)]);
    assert_eq!(world.take("a", 2, 3), [(2, 2, 1)]);
}

#[test]
fn what_the_log_no_longer_has_is_not_left_to_be_done() {
    let mut world = World::begun(0);
    world.take("a", 0, 9);
    let lag = |world: &World| world.table.get(&(ID, "g".to_owned())).unwrap().lag(12);
    assert_eq!(lag(&world), 12);
    world.log_start = 8;
    world.table.trim(PartitionId(8), 8);
    assert_eq!(lag(&world), 12, "another partition's log");
    world.table.trim(ID, 8);
    assert_eq!(
        (lag(&world), world.table.next_end()),
        (4, Some(Millis(101)))
    );
    world.log_start = 10;
    world.table.trim(ID, 10);
    assert_eq!((lag(&world), world.table.next_end()), (2, None));
    assert!(world.is_acknowledged("a", 0, 9, &[1]));
}
