//! Producers of one topic, each with one batch under way.

use anyhow::{Result, bail};
use bytes::Bytes;
use weir_broker::{
    Ticket,
    api::{AckLevel, Backend, Outcome, Produce, ProducePartition, Request},
};

use super::{NodeHost, TopicRefs, mail::Mail};
use crate::drive::Target;

/// What clients allow a request by default, in ms.
const PRODUCE_TIMEOUT_MS: u64 = 30_000;

/// Writers that go through a topic's partitions in turn.
pub(crate) struct NodeWriters<'a> {
    host: &'a NodeHost,
    topic: TopicRefs,
    batch: Bytes,
    next_partition: u32,
    mail: Mail,
    arrived: Vec<(Ticket, Outcome)>,
}

impl<'a> NodeWriters<'a> {
    /// Writers of `batch` to `topic`.
    pub(crate) fn new(host: &'a NodeHost, topic: TopicRefs, batch: Bytes) -> Self {
        Self {
            host,
            topic,
            batch,
            next_partition: 0,
            mail: Mail::new(),
            arrived: Vec::new(),
        }
    }
}

impl Target for NodeWriters<'_> {
    fn send(&mut self, writer: usize) -> Result<()> {
        let index = self.next_partition;
        self.next_partition = (index + 1) % self.topic.partition_count;
        let partition = ProducePartition {
            topic: self.topic.topic.clone(),
            index: i32::try_from(index)?,
            batch: self.batch.clone(),
        };
        let produce = Produce {
            transaction: None,
            ack: AckLevel::Majority,
            timeout_ms: PRODUCE_TIMEOUT_MS,
            partitions: vec![partition],
        };
        let reply = self.mail.reply(writer)?;
        self.host.node.submit(Request::Produce(produce), reply);
        Ok(())
    }

    fn wait(&mut self, answered: &mut Vec<usize>) -> Result<()> {
        self.mail.wait(&mut self.arrived)?;
        for (ticket, outcome) in self.arrived.drain(..) {
            let Outcome::Produce(produced) = outcome else {
                bail!("a batch was produced, the answer is {outcome:?}");
            };
            for one in produced {
                if let Err(error) = one.base_offset {
                    bail!("a batch was refused: {error:?}");
                }
            }
            answered.push(usize::try_from(ticket.0)?);
        }
        Ok(())
    }
}
