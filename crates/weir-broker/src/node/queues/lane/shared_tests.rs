//! Bodies that are stored once, as lanes see them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{
    batch::{BatchHeader, HEADER_BYTES},
    batch_builder::BatchBuilder,
    fields::{BasicProperties, ShortString},
    record::Records,
    reference::{self, BodyReference},
};

use super::{
    super::{sharing::Sharing, wire::Landed},
    *,
};
use crate::{
    api::queues::{Message, Verdict},
    bodies::bodies_of,
};

const GROUP: GroupId = GroupId(1);

fn body(at: u32) -> Bytes {
    let mut body = at.to_be_bytes().to_vec();
    body.resize(2_000, 7);
    body.into()
}

fn messages(count: u32) -> Vec<Message> {
    let short = |text| ShortString::new(text).unwrap();
    let messages = (0..count).map(|at| Message {
        exchange: short(""),
        routing_key: short("q"),
        is_mandatory: false,
        properties: BasicProperties::default(),
        body: body(at),
    });
    messages.collect()
}

/// Messages whose bodies are on their way, in their queue's lane; and the bodies' lane.
struct Lanes {
    queue: Arc<Lane>,
    bodies: Arc<Lane>,
    publishing: Arc<Publishing>,
}

fn lanes(count: u32, judged: super::super::publish::Judged) -> Lanes {
    let queue = Lane::new(GROUP, PartitionId::new(1, 0), &Arc::default());
    let bodies = Lane::new(GROUP, bodies_of(GROUP), &Arc::default());
    let sharing = Sharing::coming(count, GROUP, &queue);
    let publishing = Publishing::to_one_sharing(messages(count), sharing, judged);
    let mut form = MessageForm::default();
    for at in 0..count {
        publishing.give_form(at, &mut form);
        queue.push(&publishing, at, &form, 0);
        bodies.push(&publishing, at, &form, 0);
    }
    Lanes {
        queue,
        bodies,
        publishing,
    }
}

/// The next batch, once there is a producer.
fn sent(lane: &Lane) -> Option<(u64, Bytes)> {
    let mut state = lane.lock();
    loop {
        match state.next(Millis(0)) {
            Step::Send(flight, batch) => return Some((flight, batch)),
            Step::Number => {
                state.numbers.begin(ProducerId(1));
                let State {
                    flights, numbers, ..
                } = &mut *state;
                flights.renumber(numbers);
            }
            Step::Rest => return None,
        }
    }
}

fn values(batch: &Bytes) -> Vec<Bytes> {
    let header = BatchHeader::parse(batch).unwrap();
    let records = Records::new(&batch[HEADER_BYTES..], header.record_count);
    let values = records.map(|record| batch.slice_ref(record.unwrap().value.unwrap()));
    values.collect()
}

fn stored_at(base: u64) -> Fate {
    Fate::Stored(Landed {
        base_offset: Some(Offset(base)),
        refused_from: None,
    })
}

fn land(lane: &Lane, flight: u64, fate: Fate) -> Option<(flight::Flight, Landed)> {
    let mut state = lane.lock();
    let done = state.answered(flight, fate, (Millis(0), 0));
    if state.phase == Phase::Draining && !state.flights.are_under_way() {
        state.phase = Phase::Going;
    }
    done
}

/// The bodies are stored; the queue's lane goes on.
fn land_bodies(lanes: &Lanes, fate: Fate) {
    let (flight, batch) = sent(&lanes.bodies).unwrap();
    assert!(!BatchHeader::parse(&batch).unwrap().has_references());
    let (flight, landed) = land(&lanes.bodies, flight, fate).unwrap();
    let mut at = landed.base_offset;
    for receipt in flight.into_receipts() {
        for message in receipt.first..receipt.first + receipt.count {
            let waiting = receipt.publishing.sharing.settle(message, GROUP, at);
            assert_eq!(waiting.len(), 1);
            at = at.map(|at| at.plus(1));
        }
    }
    lanes.queue.lock().let_in(0);
}

fn publish_plain(lanes: &Lanes) {
    let later = Publishing::to_one_queue(messages(1), Box::new(|_| ()));
    let mut form = MessageForm::default();
    later.give_form(0, &mut form);
    lanes.queue.push(&later, 0, &form, 0);
}

#[test]
fn a_queue_gets_references_once_bodies_are_stored_and_nothing_overtakes_them() {
    let lanes = lanes(3, Box::new(|_| ()));
    publish_plain(&lanes);
    assert_eq!(sent(&lanes.queue), None, "its body is on its way");
    land_bodies(&lanes, stored_at(40));
    let (_, batch) = sent(&lanes.queue).unwrap();
    let header = BatchHeader::parse(&batch).unwrap();
    assert!(header.has_references() && header.record_count == 4);
    let found = reference::references(&batch).unwrap();
    let wanted = (40..43).map(|offset| BodyReference {
        offset: Offset(offset),
        length_bytes: 2_000,
    });
    assert_eq!(found, wanted.collect::<Vec<_>>());
    assert_eq!(values(&batch)[3], body(0));
}

#[test]
fn messages_that_go_together_do_not_overtake_those_that_wait_for_their_bodies() {
    let lanes = lanes(1, Box::new(|_| ()));
    let later = Publishing::to_one_queue(messages(2), Box::new(|_| ()));
    let mut form = MessageForm::default();
    let mut together = Filling::new(BatchBuilder::new(0));
    for at in 0..2 {
        later.give_form(at, &mut form);
        together.push(&later, at, (&form, Form::Whole), 0);
    }
    lanes.queue.push_whole(together);
    assert_eq!(sent(&lanes.queue), None, "what is before it waits");
    land_bodies(&lanes, stored_at(3));
    lanes.queue.lock().proven_at = Some(Millis(0));
    let (_, first) = sent(&lanes.queue).unwrap();
    assert_eq!(reference::references(&first).unwrap().len(), 1);
    let (_, second) = sent(&lanes.queue).unwrap();
    assert_eq!(values(&second), [body(0), body(1)]);
}

#[test]
fn where_it_is_not_known_where_bodies_lie_messages_go_whole() {
    for fate in [Fate::Stored(Landed::default()), Fate::Refused] {
        let lanes = lanes(2, Box::new(|_| ()));
        land_bodies(&lanes, fate);
        let (_, batch) = sent(&lanes.queue).unwrap();
        assert!(!BatchHeader::parse(&batch).unwrap().has_references());
        assert_eq!(values(&batch), [body(0), body(1)]);
    }
}

#[test]
fn a_batch_whose_bodies_are_gone_goes_again_with_them_in_its_place() {
    let verdicts = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&verdicts);
    let lanes = lanes(2, Box::new(move |all| *heard.lock().unwrap() = all));
    land_bodies(&lanes, stored_at(7));
    let (first, batch) = sent(&lanes.queue).unwrap();
    lanes.queue.lock().proven_at = Some(Millis(0));
    publish_plain(&lanes);
    let (second, _) = sent(&lanes.queue).unwrap();
    assert!(land(&lanes.queue, first, Fate::Bodiless).is_none());
    assert!(land(&lanes.queue, second, Fate::Gap).is_none());
    let before = BatchHeader::parse(&batch).unwrap();
    let (again, whole) = sent(&lanes.queue).unwrap();
    assert_eq!(again, first);
    let header = BatchHeader::parse(&whole).unwrap();
    assert!(!header.has_references());
    assert_eq!(header.producer_epoch, before.producer_epoch + 1);
    assert_eq!(values(&whole), [body(0), body(1)]);
    let (_, last) = sent(&lanes.queue).unwrap();
    assert_eq!(BatchHeader::parse(&last).unwrap().base_sequence, 2);
    let size_bytes = lanes.queue.lock().size_bytes;
    assert_eq!(size_bytes, whole.len() + last.len());
    for flight in [again, second] {
        let (flight, _) = land(&lanes.queue, flight, stored_at(0)).unwrap();
        flight.settle(u32::MAX);
    }
    assert_eq!(lanes.queue.lock().size_bytes, 0);
    drop(lanes.publishing);
    assert_eq!(
        *verdicts.lock().unwrap(),
        [Verdict::Stored, Verdict::Stored]
    );
}

#[test]
fn a_batch_of_references_is_no_longer_than_a_batch_may_be_with_its_bodies() {
    let count = 2 * u32::try_from(MAX_BATCH_BYTES).unwrap() / 2_000;
    let lanes = lanes(count, Box::new(|_| ()));
    let mut stored: BTreeMap<u64, Bytes> = BTreeMap::new();
    let mut base = 0;
    while let Some((flight, batch)) = sent(&lanes.bodies) {
        let bodies = (base..).zip(values(&batch));
        stored.extend(bodies);
        let (flight, landed) = land(&lanes.bodies, flight, stored_at(base)).unwrap();
        base = stored.len() as u64;
        let mut at = landed.base_offset.unwrap();
        for receipt in flight.into_receipts() {
            for message in receipt.first..receipt.first + receipt.count {
                receipt.publishing.sharing.settle(message, GROUP, Some(at));
                at = at.plus(1);
            }
        }
    }
    lanes.queue.lock().let_in(0);
    let mut found = Vec::new();
    while let Some((flight, batch)) = sent(&lanes.queue) {
        let body = |reference: BodyReference| stored.get(&reference.offset.0);
        let whole: Bytes = reference::whole(&batch, body).unwrap().into();
        assert!(batch.len() < whole.len() / 10 && whole.len() <= MAX_BATCH_BYTES);
        found.extend(values(&whole));
        land(&lanes.queue, flight, stored_at(0)).unwrap();
    }
    assert_eq!(found, (0..count).map(body).collect::<Vec<_>>());
}
