//! A queue as bytes, for checkpoints.
//!
//! `u8` version; bytes settings; bytes ledger; `u64` next owner; `u8` whether it has had a
//! consumer; `u8` whether it serves one consumer
//! at a time, `u64` which, 0: none; `u32` holders, ascending, each `u64` owner, session, `u8` kind: 0
//! gets on demand, 1 detached, with `u64` consumer, 2 attached, with `u64` consumer, `i32` priority,
//! `u32` most messages, `u8` exclusive; `u32` owners in line, by priority and turn, each `u64`; `u32`
//! sessions with their last request, each session, `u64` request, `u64` owner, `u8` whether it got
//! something and its `u64` offset and serial; `u32` producers with open transactions, each `i64` id,
//! `u32` ranges, each `u64` first and last offset; `u8` whether the ledger is behind; `u8` whether
//! messages have times to live; `u64` bytes that are ready, `u32` sizes, each `u64` offset, `u32`
//! bytes; `u32` batches that were not taken as a whole, ascending, each `u64` base offset, `u32` the
//! first record that was refused; `u32` deletions under way, ascending, each a key like a session's,
//! `i64` until when it closes the queue at the latest, ms since 1970; `u32` messages that wait for a while,
//! ascending, each `u64` offset, `i64` until when, by the group's clock in ms; then what came before: see [`super::repeats`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use weir_ledger::{Ledger, OwnerId};
use weir_log::Millis;
use weir_model::ProducerId;

use super::{
    Queue, QueueSettings,
    arrival::Undecided,
    closing::CloserKey,
    consumers::{Consumers, Holder, Terms},
    dead::Reason,
    delays::Delays,
    encoding::{read_session, write_session},
    limits::Sizes,
    repeats::{Hops, MessageIds},
    sessions::LastGet,
};
use crate::{
    api::queues::ConsumerTag,
    encoding::{DecodeError, Reader, Writer},
};

const VERSION: u8 = 5;
const SESSION_BYTES: usize = 3 * 8;
const HOLDER_MIN_BYTES: usize = 8 + SESSION_BYTES + 1;
const GET_BYTES: usize = SESSION_BYTES + 8 + 8 + 1 + 8 + 8;
const CLOSER_BYTES: usize = SESSION_BYTES + 8;

const GETS: u8 = 0;
const DETACHED: u8 = 1;
const ATTACHED: u8 = 2;

impl Queue {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        let mut settings = Writer::new();
        self.settings.write(&mut settings);
        writer.bytes(&settings.finish());
        writer.bytes(&self.ledger.encode());
        write_consumers(&mut writer, &self.consumers);
        writer.count(self.gets.len());
        for (session, last) in &self.gets {
            write_session(&mut writer, session);
            writer.u64(last.request);
            writer.u64(last.owner.0);
            writer.u8(u8::from(last.given.is_some()));
            let (offset, serial) = last.given.unwrap_or_default();
            writer.u64(offset);
            writer.u64(serial);
        }
        writer.count(self.lost.len());
        for session in &self.lost {
            write_session(&mut writer, session);
        }
        writer.count(self.undecided.len());
        for (producer, Undecided(ranges)) in &self.undecided {
            writer.i64(producer.0);
            writer.count(ranges.len());
            for (first, last) in ranges {
                writer.u64(*first);
                writer.u64(*last);
            }
        }
        writer.u8(u8::from(self.is_behind));
        writer.u8(u8::from(self.has_expirations));
        writer.u64(self.sizes.ready_bytes);
        writer.count(self.sizes.by_offset.len());
        for (offset, bytes) in &self.sizes.by_offset {
            writer.u64(*offset);
            writer.u32(*bytes);
        }
        writer.count(self.refusals.len());
        for (base, from) in &self.refusals {
            writer.u64(*base);
            writer.u32(*from);
        }
        writer.count(self.closers.len());
        for (CloserKey(key), until) in &self.closers {
            write_session(&mut writer, key);
            writer.i64(until.0);
        }
        self.delays.write(&mut writer);
        self.hops.write(&mut writer);
        self.ids.write(&mut writer);
        writer.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("queue version", VERSION)?;
        let mut of_settings = Reader::new(reader.bytes()?);
        let settings = QueueSettings::read(&mut of_settings)?;
        of_settings.finish()?;
        let ledger = Ledger::decode(reader.bytes()?).map_err(|_| reader.invalid("ledger"))?;
        let consumers = read_consumers(&mut reader)?;
        let gets = read_gets(&mut reader)?;
        let mut lost = BTreeSet::new();
        for _ in 0..reader.count(SESSION_BYTES)? {
            lost.insert(read_session(&mut reader)?);
        }
        let undecided = read_undecided(&mut reader)?;
        let (is_behind, has_expirations) = (reader.u8()? != 0, reader.u8()? != 0);
        let sizes = read_sizes(&mut reader)?;
        let mut refusals = VecDeque::new();
        for _ in 0..reader.count(8 + 4)? {
            refusals.push_back((reader.u64()?, reader.u32()?));
        }
        let mut closers = BTreeMap::new();
        for _ in 0..reader.count(CLOSER_BYTES)? {
            let closer = CloserKey(read_session(&mut reader)?);
            closers.insert(closer, Millis(reader.i64()?));
        }
        let delays = Delays::read(&mut reader)?;
        let hops = Hops::read(&mut reader)?;
        let ids = MessageIds::read(&mut reader)?;
        let dead = Reason::ALL.into_iter().flat_map(|reason| {
            let held = ledger.held_by(reason.owner());
            held.map(|(offset, held)| (held.serial, offset))
        });
        let queue = Self {
            dead: dead.collect(),
            delays,
            settings,
            ledger,
            consumers,
            lost,
            gets,
            undecided,
            is_behind,
            sizes,
            refusals,
            hops,
            ids,
            has_expirations,
            closers,
        };
        if !queue.is_sound() {
            return Err(reader.invalid("queue"));
        }
        reader.finish()?;
        Ok(queue)
    }

    /// Whether the parts fit each other.
    fn is_sound(&self) -> bool {
        let ready = self.sizes.by_offset.iter();
        let ready = ready.filter(|(offset, _)| self.ledger.held(**offset).is_none());
        let ready_bytes: u64 = ready.map(|(_, bytes)| u64::from(*bytes)).sum();
        self.consumers.is_single_active == self.settings.is_single_active
            && self.sizes.ready_bytes <= ready_bytes
            && self.dates_what_waits()
    }
}

fn write_consumers(writer: &mut Writer, consumers: &Consumers) {
    writer.u64(consumers.next_owner);
    writer.u8(u8::from(consumers.was_consumed));
    writer.u8(u8::from(consumers.is_single_active));
    writer.u64(consumers.active.map_or(0, |owner| owner.0));
    writer.count(consumers.holders.len());
    for (owner, holder) in &consumers.holders {
        writer.u64(owner.0);
        write_session(writer, &holder.session);
        match (holder.tag, holder.terms) {
            (None, _) => writer.u8(GETS),
            (Some(tag), None) => {
                writer.u8(DETACHED);
                writer.u64(tag.0);
            }
            (Some(tag), Some(terms)) => {
                writer.u8(ATTACHED);
                writer.u64(tag.0);
                writer.i32(terms.priority);
                let most = u32::try_from(terms.max_held_count);
                writer.u32(most.expect("a constant limits it"));
                writer.u8(u8::from(terms.is_exclusive));
            }
        }
    }
    let lines = consumers.waiting.values();
    writer.count(lines.clone().map(VecDeque::len).sum());
    lines.flatten().for_each(|owner| writer.u64(owner.0));
}

fn read_consumers(reader: &mut Reader<'_>) -> Result<Consumers, DecodeError> {
    let next_owner = reader.u64()?;
    let was_consumed = reader.u8()? != 0;
    let is_single_active = reader.u8()? != 0;
    let active = Some(OwnerId(reader.u64()?)).filter(|owner| owner.0 != 0);
    let mut holders = BTreeMap::new();
    for _ in 0..reader.count(HOLDER_MIN_BYTES)? {
        let owner = OwnerId(reader.u64()?);
        let session = read_session(reader)?;
        let (tag, terms) = match reader.u8()? {
            GETS => (None, None),
            DETACHED => (Some(ConsumerTag(reader.u64()?)), None),
            ATTACHED => {
                let tag = ConsumerTag(reader.u64()?);
                let terms = Terms {
                    priority: reader.i32()?,
                    max_held_count: usize::try_from(reader.u32()?).unwrap_or(usize::MAX),
                    is_exclusive: reader.u8()? != 0,
                };
                (Some(tag), Some(terms))
            }
            tag => return Err(reader.unknown_tag("kind of a holder", tag)),
        };
        let holder = Holder {
            session,
            tag,
            terms,
        };
        holders.insert(owner, holder);
    }
    let mut lines = Vec::new();
    for _ in 0..reader.count(8)? {
        lines.push(OwnerId(reader.u64()?));
    }
    let consumers = Consumers::restore(holders, lines, active, is_single_active, next_owner);
    let mut consumers = consumers.ok_or_else(|| reader.invalid("consumers"))?;
    consumers.was_consumed = was_consumed;
    Ok(consumers)
}

fn read_gets(reader: &mut Reader<'_>) -> Result<BTreeMap<super::SessionKey, LastGet>, DecodeError> {
    let mut gets = BTreeMap::new();
    for _ in 0..reader.count(GET_BYTES)? {
        let session = read_session(reader)?;
        let (request, owner) = (reader.u64()?, OwnerId(reader.u64()?));
        let has_got = reader.u8()? != 0;
        let given = (reader.u64()?, reader.u64()?);
        let last = LastGet {
            request,
            owner,
            given: has_got.then_some(given),
        };
        gets.insert(session, last);
    }
    Ok(gets)
}

fn read_undecided(reader: &mut Reader<'_>) -> Result<BTreeMap<ProducerId, Undecided>, DecodeError> {
    let mut undecided = BTreeMap::new();
    for _ in 0..reader.count(8 + 4)? {
        let producer = ProducerId(reader.i64()?);
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for _ in 0..reader.count(8 + 8)? {
            let (first, last) = (reader.u64()?, reader.u64()?);
            let follows = ranges.last().is_none_or(|(_, before)| *before < first);
            if !follows || first > last {
                return Err(reader.invalid("messages of an open transaction"));
            }
            ranges.push((first, last));
        }
        undecided.insert(producer, Undecided(ranges));
    }
    Ok(undecided)
}

fn read_sizes(reader: &mut Reader<'_>) -> Result<Sizes, DecodeError> {
    let ready_bytes = reader.u64()?;
    let mut by_offset = BTreeMap::new();
    for _ in 0..reader.count(8 + 4)? {
        by_offset.insert(reader.u64()?, reader.u32()?);
    }
    Ok(Sizes {
        by_offset,
        ready_bytes,
    })
}
