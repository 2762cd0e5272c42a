//! Changes of what share groups have, as bytes: `u8` tag, text group, then by tag.
//!
//! | Tag | Change | Rest |
//! |---|---|---|
//! | 1 | step | text member, terms, `u32` parts |
//! | 2 | release | text member, `u32` count and `u64` partitions |
//! | 3 | expire | -; the group is empty |
//! | 4 | begin | `u64` partition, `u64` start, `u8` only where there is none |
//! | 5 | forget | `u8` 0: all; 1 and `u32` count and `u64` serials of topics |
//! | 6 | copied | `u64` partition, `u32` count, each `u64` offset and serial |
//!
//! Terms: `u32` lock in ms, `u16` delivery limit, `u32` first and `u32` longest wait before another
//! delivery in ms, `u8` whether dead letters are kept, `u32` most locks. A part: `u64` partition; `u32`
//! acknowledgements, each `u64` first and last offset and bytes kinds; `u8` whether it takes
//! records, and then `u64` end, `u32` void and `u32` wanted stretches, each `u64` first and last
//! offset.

use std::collections::BTreeSet;

use weir_model::PartitionId;

use super::{ComesBack, Stretch};
use crate::encoding::{DecodeError, Reader, Writer};

// Tags are never used again for something else.
const STEP: u8 = 1;
const RELEASE: u8 = 2;
const EXPIRE: u8 = 3;
const BEGIN: u8 = 4;
const FORGET: u8 = 5;
const COPIED: u8 = 6;
const PART_MIN_BYTES: usize = 8 + 4 + 1;
const ACKS_MIN_BYTES: usize = 8 + 8 + 4;
const STRETCH_BYTES: usize = 8 + 8;
const NUMBER_BYTES: usize = 8;
const RECORD_BYTES: usize = 8 + 8;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShareCommand {
    /// What a member has done with records, and which it takes.
    Step(Step),
    /// Let go of all that a member has in these partitions: nobody has seen it.
    Release {
        group: String,
        member: String,
        partitions: Vec<PartitionId>,
    },
    /// Locks that are over end.
    Expire,
    /// Begin at an offset.
    Begin {
        group: String,
        partition: PartitionId,
        start: u64,
        /// Only where the group has nothing of the partition yet.
        is_first: bool,
    },
    /// Forget what the group has of these topics, by serial; `None`: of all.
    Forget {
        group: String,
        topics: Option<BTreeSet<u64>>,
    },
    /// Copies of dead letters lie in the group's dead-letter topic, or nobody wants them.
    Copied {
        group: String,
        partition: PartitionId,
        /// Offset and serial.
        records: Vec<(u64, u64)>,
    },
}

/// One step of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) group: String,
    pub(crate) member: String,
    pub(crate) terms: Terms,
    pub(crate) parts: Vec<StepPart>,
}

/// On what terms records are held, as the group's settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) lock_ms: u32,
    pub(crate) comes_back: ComesBack,
    /// Most records of the partition that may be held.
    pub(crate) max_locks: u32,
}

/// What a step does in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepPart {
    pub(crate) partition: PartitionId,
    pub(crate) acks: Vec<Acks>,
    pub(crate) take: Option<Take>,
}

/// What becomes of records one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acks {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// One for all, or one each: 0 no record there, 1 accepted, 2 given back, 3 rejected, 4 kept for
    /// another while.
    pub(crate) kinds: Vec<u8>,
}

/// Records that a member takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Take {
    /// Where what may be taken ends.
    pub(crate) end: u64,
    /// Offsets without a record for anybody: gaps, markers, aborted transactions.
    pub(crate) void: Vec<Stretch>,
    /// What it wants, as far as that is ready.
    pub(crate) wanted: Vec<Stretch>,
}

pub(super) fn write_comes_back(writer: &mut Writer, comes_back: ComesBack) {
    writer.u16(comes_back.delivery_limit);
    writer.u32(comes_back.retry_ms);
    writer.u32(comes_back.retry_max_ms);
    writer.u8(u8::from(comes_back.keeps_dead));
}

pub(super) fn read_comes_back(reader: &mut Reader<'_>) -> Result<ComesBack, DecodeError> {
    Ok(ComesBack {
        delivery_limit: reader.u16()?,
        retry_ms: reader.u32()?,
        retry_max_ms: reader.u32()?,
        keeps_dead: reader.flag()?,
    })
}

impl ShareCommand {
    /// Appends the change.
    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Step(step) => {
                writer.u8(STEP);
                writer.text(&step.group);
                writer.text(&step.member);
                writer.u32(step.terms.lock_ms);
                write_comes_back(writer, step.terms.comes_back);
                writer.u32(step.terms.max_locks);
                writer.count(step.parts.len());
                step.parts.iter().for_each(|part| part.write(writer));
            }
            Self::Release {
                group,
                member,
                partitions,
            } => {
                writer.u8(RELEASE);
                writer.text(group);
                writer.text(member);
                writer.count(partitions.len());
                partitions.iter().for_each(|each| writer.u64(each.0));
            }
            Self::Expire => {
                writer.u8(EXPIRE);
                writer.text("");
            }
            Self::Begin {
                group,
                partition,
                start,
                is_first,
            } => {
                writer.u8(BEGIN);
                writer.text(group);
                writer.u64(partition.0);
                writer.u64(*start);
                writer.u8(u8::from(*is_first));
            }
            Self::Forget { group, topics } => {
                writer.u8(FORGET);
                writer.text(group);
                writer.u8(u8::from(topics.is_some()));
                if let Some(topics) = topics {
                    writer.count(topics.len());
                    topics.iter().for_each(|serial| writer.u64(*serial));
                }
            }
            Self::Copied {
                group,
                partition,
                records,
            } => {
                writer.u8(COPIED);
                writer.text(group);
                writer.u64(partition.0);
                writer.count(records.len());
                for (offset, serial) in records {
                    writer.u64(*offset);
                    writer.u64(*serial);
                }
            }
        }
    }

    /// Takes what [`Self::write`] wrote.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = reader.u8()?;
        let group = reader.text()?.to_owned();
        Ok(match tag {
            STEP => Self::Step(Step {
                group,
                member: reader.text()?.to_owned(),
                terms: Terms {
                    lock_ms: reader.u32()?,
                    comes_back: read_comes_back(reader)?,
                    max_locks: reader.u32()?,
                },
                parts: read_list(reader, PART_MIN_BYTES, StepPart::read)?,
            }),
            RELEASE => Self::Release {
                group,
                member: reader.text()?.to_owned(),
                partitions: read_list(reader, NUMBER_BYTES, |it| it.u64().map(PartitionId))?,
            },
            EXPIRE => Self::Expire,
            BEGIN => Self::Begin {
                group,
                partition: PartitionId(reader.u64()?),
                start: reader.u64()?,
                is_first: reader.flag()?,
            },
            FORGET => Self::Forget {
                group,
                topics: match reader.flag()? {
                    false => None,
                    true => {
                        let topics = read_list(reader, NUMBER_BYTES, Reader::u64)?;
                        Some(topics.into_iter().collect())
                    }
                },
            },
            COPIED => Self::Copied {
                group,
                partition: PartitionId(reader.u64()?),
                records: read_list(reader, RECORD_BYTES, |it| Ok((it.u64()?, it.u64()?)))?,
            },
            tag => return Err(reader.unknown_tag("share command", tag)),
        })
    }
}

impl StepPart {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.partition.0);
        writer.count(self.acks.len());
        for acks in &self.acks {
            writer.u64(acks.first);
            writer.u64(acks.last);
            writer.bytes(&acks.kinds);
        }
        writer.u8(u8::from(self.take.is_some()));
        if let Some(take) = &self.take {
            writer.u64(take.end);
            for stretches in [&take.void, &take.wanted] {
                writer.count(stretches.len());
                for stretch in stretches {
                    writer.u64(stretch.first);
                    writer.u64(stretch.last);
                }
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            partition: PartitionId(reader.u64()?),
            acks: read_list(reader, ACKS_MIN_BYTES, |reader| {
                Ok(Acks {
                    first: reader.u64()?,
                    last: reader.u64()?,
                    kinds: reader.bytes()?.to_vec(),
                })
            })?,
            take: match reader.flag()? {
                false => None,
                true => Some(Take {
                    end: reader.u64()?,
                    void: read_list(reader, STRETCH_BYTES, read_stretch)?,
                    wanted: read_list(reader, STRETCH_BYTES, read_stretch)?,
                }),
            },
        })
    }
}

fn read_stretch(reader: &mut Reader<'_>) -> Result<Stretch, DecodeError> {
    Ok(Stretch {
        first: reader.u64()?,
        last: reader.u64()?,
    })
}

fn read_list<'a, V>(
    reader: &mut Reader<'a>,
    item_min_bytes: usize,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<V, DecodeError>,
) -> Result<Vec<V>, DecodeError> {
    let mut list = Vec::new();
    for _ in 0..reader.count(item_min_bytes)? {
        list.push(item(reader)?);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<ShareCommand> {
        let part = StepPart {
            partition: PartitionId(7),
            acks: vec![Acks {
                first: 3,
                last: 5,
                kinds: vec![1, 2, 4],
            }],
            take: Some(Take {
                end: 20,
                void: vec![Stretch { first: 6, last: 6 }],
                wanted: vec![Stretch { first: 7, last: 9 }],
            }),
        };
        let idle = StepPart {
            take: None,
            acks: Vec::new(),
            partition: PartitionId(8),
        };
        let group = || "group".to_owned();
        vec![
            ShareCommand::Step(Step {
                group: group(),
                member: "member".to_owned(),
                terms: Terms {
                    lock_ms: 30_000,
                    comes_back: ComesBack {
                        delivery_limit: 5,
                        retry_ms: 7,
                        retry_max_ms: 9,
                        keeps_dead: true,
                    },
                    max_locks: 2_000,
                },
                parts: vec![part, idle],
            }),
            ShareCommand::Release {
                group: group(),
                member: "member".to_owned(),
                partitions: vec![PartitionId(7), PartitionId(9)],
            },
            ShareCommand::Expire,
            ShareCommand::Begin {
                group: group(),
                partition: PartitionId(7),
                start: 11,
                is_first: true,
            },
            ShareCommand::Forget {
                group: group(),
                topics: Some(BTreeSet::from([1, 4])),
            },
            ShareCommand::Forget {
                group: group(),
                topics: None,
            },
            ShareCommand::Copied {
                group: group(),
                partition: PartitionId(7),
                records: vec![(3, 11), (5, 12)],
            },
        ]
    }

    fn decode(bytes: &[u8]) -> Result<ShareCommand, DecodeError> {
        let mut reader = Reader::new(bytes);
        let command = ShareCommand::read(&mut reader)?;
        reader.finish()?;
        Ok(command)
    }

    #[test]
    fn commands_read_back_and_a_cut_one_is_refused() {
        for command in samples() {
            let mut writer = Writer::new();
            command.write(&mut writer);
            let bytes = writer.finish();
            assert_eq!(decode(&bytes), Ok(command));
            for cut in 0..bytes.len() {
                assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
}
