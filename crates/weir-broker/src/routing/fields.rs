//! Short strings and tables of arguments in group 0's bytes: a text, and `u32` length with the table
//! as AMQP 0-9-1 writes it.

use bytes::{Bytes, BytesMut};
use weir_model::fields::{self, FieldTable, ShortString};

use crate::encoding::{DecodeError, Reader, Writer};

pub(crate) fn write_short(writer: &mut Writer, text: &ShortString) {
    writer.text(text.as_str());
}

pub(crate) fn read_short(reader: &mut Reader<'_>) -> Result<ShortString, DecodeError> {
    let text = reader.text()?;
    ShortString::new(text).ok_or_else(|| reader.invalid("short string"))
}

pub(crate) fn write_table(writer: &mut Writer, table: &FieldTable) {
    writer.bytes(&table_bytes(table));
}

/// The table as AMQP writes it: equal for equal tables.
pub(crate) fn table_bytes(table: &FieldTable) -> Bytes {
    if table.0.is_empty() {
        return Bytes::from_static(&[0; 4]);
    }
    let mut out = BytesMut::new();
    let mut fields = fields::Writer::new(&mut out);
    fields.table(table);
    fields.finish();
    out.freeze()
}

pub(crate) fn read_table(reader: &mut Reader<'_>) -> Result<FieldTable, DecodeError> {
    let bytes = Bytes::copy_from_slice(reader.bytes()?);
    let mut fields = fields::Reader::new(bytes);
    let table = fields.table("arguments").ok();
    let table = table.filter(|_| fields.finish("arguments").is_ok());
    table.ok_or_else(|| reader.invalid("table of arguments"))
}

pub(crate) fn write_flag(writer: &mut Writer, is_set: bool) {
    writer.u8(u8::from(is_set));
}

pub(crate) fn read_flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(reader.unknown_tag("flag", found)),
    }
}
