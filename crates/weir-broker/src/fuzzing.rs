//! What fuzz targets need of this crate: decoders of what other machines and the disk say. Each
//! gives what it has understood, written again, which must be understood as the same.

use bytes::Bytes;

use crate::{
    access_admin,
    call::{
        ACCESS_ADMIN, ADMIN, JOIN, METADATA, QUEUE, QUEUE_ADMIN, READ_BATCHES, SHARE, STEP,
        TOPIC_ADMIN, TRANSACTION,
    },
    catch_up,
    encoding::{Reader, Writer},
    forward,
    group::{GroupTable, OffsetTable},
    identity::Identity,
    join,
    metadata::{MetadataCommand, MetadataState},
    node,
    producer::ProducerTable,
    queue::{Queue, QueueCommand},
    queue_admin,
    shard::{ShardBody, ShardCommand},
    share::ShareTable,
    steward, topic_admin,
    transaction::{PendingOffsets, TransactionTable, TransactionView},
    view,
};

/// Tags of calls that are JSON.
pub const JSON_CALLS: [u8; 4] = [ADMIN, QUEUE_ADMIN, ACCESS_ADMIN, TOPIC_ADMIN];

/// A call between nodes, its tag included.
pub fn call(bytes: &[u8]) -> Option<Bytes> {
    let (tag, body) = bytes.split_first()?;
    match *tag {
        READ_BATCHES => catch_up::reread_call(body),
        METADATA => forward::reread_call(body),
        JOIN => join::reread_call(body),
        tag @ (STEP | ADMIN) => steward::reread_call(tag, body),
        TRANSACTION => node::transaction_calls::reread_call(body),
        QUEUE => node::queues::reread_call(body),
        QUEUE_ADMIN => queue_admin::reread_call(body),
        ACCESS_ADMIN => access_admin::reread_call(body),
        TOPIC_ADMIN => topic_admin::reread_call(body),
        SHARE => node::share::reread_call(body),
        _ => None,
    }
}

/// An answer to a range of batches.
pub fn range_answer(bytes: &[u8]) -> Option<Bytes> {
    catch_up::reread_answer(bytes)
}

/// An answer to a command for the metadata group.
pub fn metadata_answer(bytes: &[u8]) -> Option<Bytes> {
    forward::reread_answer(bytes)
}

/// An answer of a queue's leader.
pub fn queue_answer(bytes: &[u8]) -> Option<Bytes> {
    node::queues::reread_answer(bytes)
}

/// An answer of a shard about share groups.
pub fn share_answer(bytes: &[u8]) -> Option<Bytes> {
    node::share::reread_answer(bytes)
}

/// A queue as a checkpoint has it.
pub fn queue_state(bytes: &[u8]) -> Option<Bytes> {
    Queue::decode(bytes).ok().map(|queue| queue.encode())
}

/// A change of a queue.
pub fn queue_command(bytes: &[u8]) -> Option<Bytes> {
    let mut reader = Reader::new(bytes);
    let command = QueueCommand::read(&mut reader).ok()?;
    reader.finish().ok()?;
    let mut writer = Writer::new();
    command.write(&mut writer);
    Some(writer.finish())
}

/// A change of the metadata.
pub fn metadata_command(bytes: &[u8]) -> Option<Bytes> {
    let command = MetadataCommand::decode(bytes).ok()?;
    Some(command.encode())
}

/// The metadata as a checkpoint has them.
pub fn metadata_state(bytes: &[u8]) -> Option<Bytes> {
    let metadata = MetadataState::decode(bytes).ok()?;
    Some(metadata.encode())
}

/// Whether the bytes are a change of a shard: of a partition, a group, a transaction, a share group.
pub fn is_shard_command(bytes: &[u8]) -> bool {
    ShardCommand::decode(Bytes::copy_from_slice(bytes)).is_ok()
}

/// A shard as a checkpoint has it, its tables as they stand in it.
pub fn shard_state(bytes: &[u8]) -> Option<Bytes> {
    let body = ShardBody::decode(bytes).ok()?;
    Some(body.encode())
}

/// Whether the bytes are such a table: of offsets, groups, producers, transactions, share groups.
pub fn is_shard_table(kind: u8, bytes: &[u8]) -> bool {
    match kind % 7 {
        0 => OffsetTable::decode(bytes).is_ok(),
        1 => GroupTable::decode(bytes).is_ok(),
        2 => PendingOffsets::decode(bytes).is_ok(),
        3 => TransactionTable::decode(bytes).is_ok(),
        4 => ShareTable::decode(bytes).is_ok(),
        5 => ProducerTable::decode(bytes).is_ok(),
        _ => TransactionView::decode(bytes).is_ok(),
    }
}

/// Whether the bytes are a beacon.
pub fn is_beacon(bytes: &[u8]) -> bool {
    view::is_beacon(bytes)
}

/// The file that says who a node is.
pub fn identity(bytes: &[u8]) -> Option<Bytes> {
    let identity = Identity::decode(bytes).ok()?;
    Some(identity.encode())
}

#[cfg(test)]
mod tests;
