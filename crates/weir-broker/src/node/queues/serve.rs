//! Calls about queues that other nodes make.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::NodeId;

use super::{
    stream::ReadAnswer,
    wire::{self, Call},
};
use crate::{Node, peer::Answer};

/// Answers a call. Nobody but members asks.
pub(crate) fn serve(node: &Arc<Node>, from: NodeId, request: &Bytes, answer: Answer) {
    match Call::decode(request) {
        Ok(_) if from.0 == 0 => tracing::warn!("a call about queues from no member"),
        Ok(Call::Ask { group, .. } | Call::Append { group, .. }) if !node.has_partitions(group) => {
            tracing::warn!(%from, %group, "a call to a group that has no partitions here");
        }
        Ok(Call::Ask {
            group,
            partition,
            call,
        }) => {
            let done = Box::new(move |result| answer(wire::write_answer(&result)));
            node.lead_queue_call(group, partition, call, done);
        }
        Ok(Call::Append {
            group,
            partition,
            batch,
        }) => {
            let done = move |appended| answer(wire::write_appended(appended));
            node.append_here(group, partition, batch, Box::new(done));
        }
        Ok(Call::StreamStart { partition, start }) => {
            let done = move |found| answer(wire::write_start_answer(found));
            node.stream_start_here(partition, start, Box::new(done));
        }
        Ok(Call::StreamRead {
            partition,
            offset,
            max_bytes,
        }) => {
            let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
            let done = move |chunk: ReadAnswer| answer(wire::write_chunk(&chunk));
            node.read_stream_here(partition, offset, (max_bytes, 0), Box::new(done));
        }
        Ok(Call::Deliver(deliveries)) => answer(node.deliver_here(deliveries).encode()),
        Ok(Call::ReplyConsumer(consumer)) => answer(node.reply_consumer_here(consumer).encode()),
        Ok(Call::Lost(sessions)) => answer(node.lose_sessions(&sessions).encode()),
        Ok(Call::Room(sessions)) => answer(node.room_of(&sessions).encode()),
        Err(error) => tracing::warn!(%from, %error, "a call that is damaged or unknown"),
    }
}
