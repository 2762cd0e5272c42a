//! How a queue behaves: its arguments and the policies that match it, resolved into numbers.

use weir_model::fields::ShortString;

use crate::encoding::{DecodeError, Reader, Writer};

/// What happens where a message would be one too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The oldest ready message goes.
    #[default]
    DropHead,
    /// The new one is refused.
    RejectPublish,
    /// The new one is refused and dead-lettered.
    RejectPublishDeadLetter,
}

/// How a queue behaves. Put into the queue's group by the leader, whenever it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueSettings {
    /// Messages live this long in it, in ms. 0: they are given to a consumer that waits, or expire.
    pub(crate) message_ttl_ms: Option<u64>,
    /// Most ready messages.
    pub(crate) max_length_count: Option<u64>,
    /// Most bytes of bodies of ready messages.
    pub(crate) max_length_bytes: Option<u64>,
    /// What happens beyond.
    pub(crate) overflow: Overflow,
    /// Where dead letters go: exchange, and routing key where it is not their own.
    pub(crate) dead_letter: Option<(ShortString, Option<ShortString>)>,
    /// Failed deliveries after which a message is dead-lettered, or parked where there is no
    /// exchange for it; `None`: never.
    pub(crate) delivery_limit_count: Option<u32>,
    /// Priorities above it are it; 0: all are alike.
    pub(crate) highest_priority: u8,
    /// One consumer at a time, the next when it goes.
    pub(crate) is_single_active: bool,
    /// Failed messages come back after a while: shortest and longest wait in ms, doubled with each
    /// failure.
    pub(crate) retry_delay_ms: Option<(u64, u64)>,
    /// Settled messages can be read again for this long, in ms.
    pub(crate) replay_ms: Option<u64>,
    /// Message ids are told apart for this long, in ms.
    pub(crate) dedup_ms: Option<u64>,
}

/// The fields in the order of their declaration, each that may be missing behind `u8` 0 or 1.
impl QueueSettings {
    pub(crate) fn write(&self, writer: &mut Writer) {
        write_number(writer, self.message_ttl_ms);
        write_number(writer, self.max_length_count);
        write_number(writer, self.max_length_bytes);
        writer.u8(match self.overflow {
            Overflow::DropHead => 0,
            Overflow::RejectPublish => 1,
            Overflow::RejectPublishDeadLetter => 2,
        });
        writer.u8(u8::from(self.dead_letter.is_some()));
        if let Some((exchange, routing_key)) = &self.dead_letter {
            writer.text(exchange.as_str());
            writer.optional_text(routing_key.as_ref().map(ShortString::as_str));
        }
        write_number(writer, self.delivery_limit_count.map(u64::from));
        writer.u8(self.highest_priority);
        writer.u8(u8::from(self.is_single_active));
        writer.u8(u8::from(self.retry_delay_ms.is_some()));
        if let Some((shortest_ms, longest_ms)) = self.retry_delay_ms {
            writer.u64(shortest_ms);
            writer.u64(longest_ms);
        }
        write_number(writer, self.replay_ms);
        write_number(writer, self.dedup_ms);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            message_ttl_ms: read_number(reader)?,
            max_length_count: read_number(reader)?,
            max_length_bytes: read_number(reader)?,
            overflow: match reader.u8()? {
                0 => Overflow::DropHead,
                1 => Overflow::RejectPublish,
                2 => Overflow::RejectPublishDeadLetter,
                tag => return Err(reader.unknown_tag("overflow", tag)),
            },
            dead_letter: match reader.flag()? {
                true => {
                    let exchange = read_short(reader)?;
                    let routing_key = match reader.flag()? {
                        true => Some(read_short(reader)?),
                        false => None,
                    };
                    Some((exchange, routing_key))
                }
                false => None,
            },
            delivery_limit_count: match read_number(reader)? {
                Some(count) => {
                    let count = u32::try_from(count).ok();
                    Some(count.ok_or_else(|| reader.invalid("delivery limit"))?)
                }
                None => None,
            },
            highest_priority: reader.u8()?,
            is_single_active: reader.flag()?,
            retry_delay_ms: match reader.flag()? {
                true => Some((reader.u64()?, reader.u64()?)),
                false => None,
            },
            replay_ms: read_number(reader)?,
            dedup_ms: read_number(reader)?,
        })
    }
}

fn write_number(writer: &mut Writer, number: Option<u64>) {
    writer.u8(u8::from(number.is_some()));
    if let Some(number) = number {
        writer.u64(number);
    }
}

fn read_number(reader: &mut Reader<'_>) -> Result<Option<u64>, DecodeError> {
    match reader.flag()? {
        true => reader.u64().map(Some),
        false => Ok(None),
    }
}

fn read_short(reader: &mut Reader<'_>) -> Result<ShortString, DecodeError> {
    let text = reader.text()?;
    ShortString::new(text).ok_or_else(|| reader.invalid("short string"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::encoding::trial;

    /// Settings with nothing missing.
    pub(crate) fn full() -> QueueSettings {
        let short = |text| ShortString::new(text).unwrap();
        QueueSettings {
            message_ttl_ms: Some(1),
            max_length_count: Some(2),
            max_length_bytes: Some(3),
            overflow: Overflow::RejectPublish,
            dead_letter: Some((short("dlx"), Some(short("key")))),
            delivery_limit_count: Some(20),
            highest_priority: 10,
            is_single_active: true,
            retry_delay_ms: Some((4, 5)),
            replay_ms: Some(6),
            dedup_ms: Some(7),
        }
    }

    #[test]
    fn settings_come_back_and_damage_is_an_error() {
        for settings in [full(), QueueSettings::default()] {
            let mut writer = Writer::new();
            settings.write(&mut writer);
            let decode = |bytes: &[u8]| {
                let mut reader = Reader::new(bytes);
                let settings = QueueSettings::read(&mut reader)?;
                reader.finish()?;
                Ok(settings)
            };
            let bytes = writer.finish();
            assert_eq!(decode(&bytes), Ok(settings));
            trial::damage(&bytes, decode);
        }
    }
}
