//! Quotas as bytes. An entity: `u8` kind, then its names in order, each a flag and, where it is no default, a text.
//! Changes: `u32` count and for each `u8` key, a flag and, where it is set, `u64` the bits of its value. All quotas:
//! `u64` generation, `u32` entities in order, each with `u32` count and for each key in order `u8` key and `u64`
//! value.

use super::{
    entity::{Named, QuotaEntity},
    key::{QuotaKey, QuotaValue},
    table::{QuotaChanges, QuotaTable, QuotaValues},
};
use crate::encoding::{DecodeError, Reader, Writer};

// Kinds are never used again for something else.
const USER: u8 = 1;
const CLIENT: u8 = 2;
const USER_CLIENT: u8 = 3;
const IP: u8 = 4;
const VHOST: u8 = 5;
const TOPIC: u8 = 6;
const TOPIC_PREFIX: u8 = 7;

const ENTITY_MIN_BYTES: usize = 1 + 1 + 4;
const CHANGE_MIN_BYTES: usize = 1 + 1;
const VALUE_MIN_BYTES: usize = 1 + 8;

type Decoded<T> = Result<T, DecodeError>;

pub(crate) fn write_entity(writer: &mut Writer, entity: &QuotaEntity) {
    writer.u8(match entity {
        QuotaEntity::User(_) => USER,
        QuotaEntity::Client(_) => CLIENT,
        QuotaEntity::UserClient(..) => USER_CLIENT,
        QuotaEntity::Ip(_) => IP,
        QuotaEntity::Vhost(_) => VHOST,
        QuotaEntity::Topic(_) => TOPIC,
        QuotaEntity::TopicPrefix(_) => TOPIC_PREFIX,
    });
    for (_, named) in entity.parts() {
        writer.optional_text(named.name());
    }
}

pub(crate) fn read_entity(reader: &mut Reader<'_>) -> Decoded<QuotaEntity> {
    let kind = reader.u8()?;
    let mut name = || reader.optional_text().map(Named::of);
    Ok(match kind {
        USER => QuotaEntity::User(name()?),
        CLIENT => QuotaEntity::Client(name()?),
        USER_CLIENT => QuotaEntity::UserClient(name()?, name()?),
        IP => QuotaEntity::Ip(name()?),
        VHOST => QuotaEntity::Vhost(name()?),
        TOPIC => QuotaEntity::Topic(name()?),
        TOPIC_PREFIX => QuotaEntity::TopicPrefix(name()?),
        tag => return Err(reader.unknown_tag("quota entity", tag)),
    })
}

pub(crate) fn write_changes(writer: &mut Writer, changes: &QuotaChanges) {
    writer.count(changes.len());
    for (key, value) in changes {
        writer.u8(key.code());
        writer.u8(u8::from(value.is_some()));
        value
            .iter()
            .for_each(|value| writer.u64(value.get().to_bits()));
    }
}

pub(crate) fn read_changes(reader: &mut Reader<'_>) -> Decoded<QuotaChanges> {
    let mut changes = QuotaChanges::new();
    for _ in 0..reader.count(CHANGE_MIN_BYTES)? {
        let key = read_key(reader)?;
        let value = match reader.flag()? {
            true => Some(read_value(reader)?),
            false => None,
        };
        changes.insert(key, value);
    }
    Ok(changes)
}

fn read_key(reader: &mut Reader<'_>) -> Decoded<QuotaKey> {
    let code = reader.u8()?;
    QuotaKey::from_code(code).ok_or_else(|| reader.unknown_tag("quota key", code))
}

fn read_value(reader: &mut Reader<'_>) -> Decoded<QuotaValue> {
    let value = QuotaValue::new(f64::from_bits(reader.u64()?));
    value.ok_or_else(|| reader.invalid("quota value"))
}

pub(crate) fn write(writer: &mut Writer, quotas: &QuotaTable) {
    writer.u64(quotas.generation());
    writer.count(quotas.len());
    for (entity, values) in quotas.all() {
        write_entity(writer, entity);
        writer.count(values.len());
        for (key, value) in values {
            writer.u8(key.code());
            writer.u64(value.get().to_bits());
        }
    }
}

pub(crate) fn read(reader: &mut Reader<'_>) -> Decoded<QuotaTable> {
    let mut quotas = QuotaTable::of_generation(reader.u64()?);
    for _ in 0..reader.count(ENTITY_MIN_BYTES)? {
        let entity = read_entity(reader)?;
        let mut values = QuotaValues::new();
        for _ in 0..reader.count(VALUE_MIN_BYTES)? {
            let key = read_key(reader)?;
            values.insert(key, read_value(reader)?);
        }
        if !quotas.put(entity, values) {
            return Err(reader.invalid("quota"));
        }
    }
    Ok(quotas)
}
