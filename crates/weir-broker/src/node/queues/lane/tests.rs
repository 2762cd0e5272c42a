use std::collections::BTreeMap;

use weir_log::Millis;
use weir_model::{
    Offset,
    batch::{BatchHeader, HEADER_BYTES},
    fields::{BasicProperties, ShortString},
    record::Records,
};

use super::{super::wire::Landed, *};
use crate::{
    api::queues::{Message, Verdict},
    producer::{Arrival, ProducerTable, Verdict as TableVerdict},
};

/// A partition that stores what its table lets pass.
#[derive(Default)]
struct Partition {
    table: ProducerTable,
    bodies: Vec<Bytes>,
}

impl Partition {
    fn append(&mut self, batch: &Bytes) -> Fate {
        let header = BatchHeader::parse(batch).unwrap();
        let arrival = Arrival {
            now: Millis(0),
            is_settling: false,
            verified: None,
        };
        match self.table.check(&header, arrival) {
            TableVerdict::Append => {
                let at = Offset(self.bodies.len() as u64);
                self.table.record(&header, at, Millis(0));
                let records = Records::new(&batch[HEADER_BYTES..], header.record_count);
                let body = |value: &[u8]| batch.slice_ref(value);
                self.bodies
                    .extend(records.map(|record| body(record.unwrap().value.unwrap())));
                Fate::Stored(Landed::default())
            }
            TableVerdict::Duplicate { .. } => Fate::Stored(Landed::default()),
            TableVerdict::Refused(error) => Fate::of(Err(error)),
            TableVerdict::Unverified { .. } => panic!("no transactions here"),
        }
    }
}

type Verdicts = Arc<Mutex<BTreeMap<u32, Verdict>>>;

fn message(number: u32) -> Message {
    let short = |text| ShortString::new(text).unwrap();
    Message {
        exchange: short(""),
        routing_key: short("q"),
        is_mandatory: false,
        properties: BasicProperties::default(),
        body: Bytes::copy_from_slice(&number.to_be_bytes()),
    }
}

fn push(state: &mut State, number: u32, verdicts: &Verdicts) {
    let verdicts = Arc::clone(verdicts);
    let judged = move |mut all: Vec<Verdict>| {
        let before = verdicts.lock().unwrap().insert(number, all.remove(0));
        assert_eq!(before, None);
    };
    let publishing = Publishing::to_one_queue(vec![message(number)], Box::new(judged));
    let mut form = MessageForm::default();
    publishing.give_form(0, &mut form);
    state.push(&publishing, 0, (&form, Form::Whole), 0);
}

fn answer(state: &mut State, flight: u64, fate: Fate) {
    if let Some((flight, landed)) = state.answered(flight, fate, (Millis(0), 0)) {
        flight.settle(landed.refused_from.unwrap_or(u32::MAX));
    }
    if state.phase == Phase::Draining && !state.flights.are_under_way() {
        state.phase = Phase::Going;
    }
}

/// What is to be sent, and ids where they are asked for.
fn sent(state: &mut State) -> Vec<(u64, Bytes)> {
    let mut sent = Vec::new();
    loop {
        match state.next(Millis(0)) {
            Step::Send(flight, batch) => sent.push((flight, batch)),
            Step::Number => {
                state.numbers.begin(ProducerId(1));
                state.proven_at = None;
                state.flights.renumber(&mut state.numbers);
            }
            Step::Rest => return sent,
        }
    }
}

fn number_of(body: &Bytes) -> u32 {
    u32::from_be_bytes(body[..].try_into().unwrap())
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, count: u64) -> u64 {
        let product = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = product.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }

    /// One of them, if there is one.
    fn take<T>(&mut self, all: &mut Vec<T>) -> Option<T> {
        let count = all.len() as u64;
        let at = (count > 0).then(|| self.below(count))?;
        Some(all.remove(usize::try_from(at).unwrap()))
    }
}

#[test]
fn whatever_fails_on_the_way_each_message_is_stored_once_and_in_order() {
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let (mut state, mut partition) = (State::default(), Partition::default());
        let verdicts = Verdicts::default();
        let (mut next, mut steps_count) = (0, 0);
        let mut in_air: Vec<(u64, Bytes)> = Vec::new();
        // Copies that arrive again later, and answers that are on their way.
        let (mut copies, mut answers): (Vec<Bytes>, Vec<(u64, Fate)>) = Default::default();
        while next < 200 || !state.flights.is_empty() || state.open.is_some() {
            steps_count += 1;
            assert!(steps_count < 100_000, "seed {seed} ends");
            for _ in 0..chance.below(4) {
                if next < 200 {
                    push(&mut state, next, &verdicts);
                    next += 1;
                }
            }
            in_air.extend(sent(&mut state));
            if chance.below(4) == 0
                && let Some(copy) = chance.take(&mut copies)
            {
                partition.append(&copy);
            }
            if let Some((flight, batch)) = chance.take(&mut in_air) {
                let fate = match chance.below(10) {
                    0 => Fate::NotSent,
                    1 => Fate::Unknown,
                    2 => {
                        partition.append(&batch);
                        Fate::Unknown
                    }
                    _ => partition.append(&batch),
                };
                copies.extend((chance.below(4) == 0).then_some(batch));
                answers.push((flight, fate));
            }
            if chance.below(2) == 0
                && let Some((flight, fate)) = chance.take(&mut answers)
            {
                answer(&mut state, flight, fate);
            }
        }
        let stored: Vec<u32> = partition.bodies.iter().map(number_of).collect();
        assert_eq!(stored, (0..200).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(state.size_bytes, 0);
        let verdicts = verdicts.lock().unwrap();
        assert_eq!(verdicts.len(), 200);
        assert!(verdicts.values().all(|verdict| *verdict == Verdict::Stored));
    }
}

#[test]
fn after_a_batch_that_is_refused_the_others_are_stored_in_order() {
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let (mut state, mut partition) = (State::default(), Partition::default());
        let verdicts = Verdicts::default();
        let (mut next, mut in_air) = (0, Vec::new());
        while next < 100 || !state.flights.is_empty() || state.open.is_some() {
            if next < 100 {
                push(&mut state, next, &verdicts);
                next += 1;
            }
            in_air.extend(sent(&mut state));
            if in_air.is_empty() {
                continue;
            }
            let (flight, batch) = in_air.remove(0);
            let fate = match chance.below(10) {
                0 => Fate::Refused,
                1 => Fate::Unknown,
                _ => partition.append(&batch),
            };
            answer(&mut state, flight, fate);
        }
        let stored: Vec<u32> = partition.bodies.iter().map(number_of).collect();
        let verdicts = verdicts.lock().unwrap();
        let judged_stored = verdicts
            .iter()
            .filter(|(_, verdict)| **verdict == Verdict::Stored);
        let judged_stored: Vec<u32> = judged_stored.map(|(number, _)| *number).collect();
        assert_eq!(stored, judged_stored, "seed {seed}");
        assert!(stored.len() > 50 && stored.len() < 100);
        assert_eq!((verdicts.len(), state.size_bytes), (100, 0));
    }
}

#[test]
fn batches_that_a_full_disk_refuses_wait_and_are_stored_in_order_once_there_is_room() {
    let (mut state, mut partition) = (State::default(), Partition::default());
    let verdicts = Verdicts::default();
    push(&mut state, 0, &verdicts);
    let first = sent(&mut state).remove(0);
    let fate = partition.append(&first.1);
    answer(&mut state, first.0, fate);
    for round in 1..20 {
        push(&mut state, round, &verdicts);
        for (flight, _) in sent(&mut state) {
            answer(&mut state, flight, Fate::of(Err(ErrorKind::StorageFull)));
        }
    }
    assert_eq!(verdicts.lock().unwrap().len(), 1, "nobody is refused");
    while !state.flights.is_empty() || state.open.is_some() {
        for (flight, batch) in sent(&mut state) {
            let fate = partition.append(&batch);
            answer(&mut state, flight, fate);
        }
    }
    let stored: Vec<u32> = partition.bodies.iter().map(number_of).collect();
    assert_eq!(stored, (0..20).collect::<Vec<_>>());
    let verdicts = verdicts.lock().unwrap();
    assert!(verdicts.values().all(|verdict| *verdict == Verdict::Stored));
    assert_eq!((verdicts.len(), state.size_bytes), (20, 0));
}

#[test]
fn records_that_the_queue_does_not_take_are_rejected_and_those_before_them_stored() {
    let (mut state, verdicts) = (State::default(), Verdicts::default());
    (0..4).for_each(|number| push(&mut state, number, &verdicts));
    let batches = sent(&mut state);
    assert_eq!(batches.len(), 1);
    answer(
        &mut state,
        batches[0].0,
        Fate::Stored(Landed {
            refused_from: Some(3),
            ..Landed::default()
        }),
    );
    let verdicts: Vec<Verdict> = verdicts.lock().unwrap().values().cloned().collect();
    let stored = [Verdict::Stored, Verdict::Stored, Verdict::Stored];
    assert_eq!(
        (&verdicts[..3], &verdicts[3]),
        (&stored[..], &Verdict::Rejected)
    );
}

#[test]
fn no_more_batches_are_under_way_than_repeats_are_known_by() {
    let (mut state, verdicts) = (State::default(), Verdicts::default());
    push(&mut state, 100, &verdicts);
    push(&mut state, 101, &verdicts);
    let first = sent(&mut state);
    push(&mut state, 102, &verdicts);
    assert_eq!((first.len(), sent(&mut state).len()), (1, 0));
    answer(&mut state, first[0].0, Fate::Stored(Landed::default()));
    let mut under_way = sent(&mut state);
    for number in 0..8 {
        push(&mut state, number, &verdicts);
        under_way.extend(sent(&mut state));
    }
    assert_eq!(under_way.len(), crate::producer::MAX_BATCHES);
    answer(&mut state, under_way[0].0, Fate::Stored(Landed::default()));
    let next = sent(&mut state);
    let header = BatchHeader::parse(&next[0].1).unwrap();
    assert_eq!((next.len(), header.record_count), (1, 4));
}

#[test]
fn nothing_new_goes_while_the_oldest_batch_would_not_be_known_again() {
    let (mut state, verdicts) = (State::default(), Verdicts::default());
    push(&mut state, 100, &verdicts);
    let first = sent(&mut state);
    answer(&mut state, first[0].0, Fate::Stored(Landed::default()));
    let mut sent_count = 0;
    let mut oldest = None;
    for number in 0..20 {
        push(&mut state, number, &verdicts);
        for (flight, _) in sent(&mut state) {
            sent_count += 1;
            match oldest {
                None => oldest = Some(flight),
                Some(_) => answer(&mut state, flight, Fate::Stored(Landed::default())),
            }
        }
    }
    assert_eq!(sent_count, crate::producer::MAX_BATCHES);
    answer(&mut state, oldest.unwrap(), Fate::Stored(Landed::default()));
    assert_eq!(sent(&mut state).len(), 1);
}

#[test]
fn messages_wait_while_a_lane_is_full_and_come_in_when_there_is_room() {
    let lane = Lane::new(GroupId(1), PartitionId::new(1, 0), &Arc::default());
    let body = Bytes::from(vec![0; 1 << 20]);
    let messages = (0..20).map(|_| Message {
        body: body.clone(),
        ..message(0)
    });
    let publishing = Publishing::to_one_queue(messages.collect(), Box::new(|_| ()));
    let mut form = MessageForm::default();
    publishing.give_form(0, &mut form);
    (0..20).for_each(|at| lane.push(&publishing, at, &form, 0));
    let mut state = lane.lock();
    assert_eq!(state.waiting.len(), 4);
    assert!(state.size_bytes >= MAX_LANE_BYTES && state.size_bytes < MAX_LANE_BYTES + (1 << 20));
    let mut landed_count = 0;
    while let Some((flight, _)) = sent(&mut state).first() {
        let rest: Vec<u64> = state.flights.numbers().collect();
        assert!(rest.contains(flight));
        for flight in rest {
            answer(&mut state, flight, Fate::Stored(Landed::default()));
            landed_count += 1;
        }
    }
    assert_eq!(
        (landed_count, state.waiting.len(), state.size_bytes),
        (20, 0, 0)
    );
}

#[test]
fn lanes_together_take_no_more_than_there_is_and_those_that_wait_come_in_by_turns() {
    let budget = Arc::<Budget>::default();
    let lanes: Vec<Arc<Lane>> = (0..300)
        .map(|at| Lane::new(GroupId(1), PartitionId::new(at + 1, 0), &budget))
        .collect();
    let messages = vec![Message {
        body: Bytes::from(vec![0; 1 << 20]),
        ..message(0)
    }];
    let publishing = Publishing::to_one_queue(messages, Box::new(|_| ()));
    let mut form = MessageForm::default();
    publishing.give_form(0, &mut form);
    for lane in &lanes {
        lane.push(&publishing, 0, &form, 0);
    }
    let waiting_count = || {
        lanes
            .iter()
            .filter(|lane| !lane.lock().waiting.is_empty())
            .count()
    };
    let has_batch = |lane: &&Arc<Lane>| lane.lock().size_bytes > 0;
    assert_eq!(waiting_count(), 300 - 256);
    assert!(budget.is_full() && budget.next_starved().is_none());
    let first = lanes.iter().find(has_batch).unwrap();
    let flight = sent(&mut first.lock())[0].0;
    answer(&mut first.lock(), flight, Fate::Stored(Landed::default()));
    let starved = budget.next_starved().unwrap().upgrade().unwrap();
    starved.lock().let_in(0);
    assert_eq!(waiting_count(), 300 - 257);
    assert!(has_batch(&&starved) && budget.next_starved().is_none());
    let small = Publishing::to_one_queue(vec![message(0)], Box::new(|_| ()));
    small.give_form(0, &mut form);
    let another = Lane::new(GroupId(1), PartitionId::new(1_000, 0), &budget);
    another.push(&small, 0, &form, 0);
    assert!(has_batch(&&another));
}
