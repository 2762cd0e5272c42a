//! What routes, as part of group 0's checkpoint: `u64` next virtual host, exchange and binding, `u64`
//! changes of policies, `u64`
//! starts of nodes, `u32` count and for each node its `u64` id, `u64` start and `u64` boot; then `u32`
//! count and the records of virtual hosts, exchanges, queues, bindings and policies, each in order.

use std::sync::Arc;

use weir_model::NodeId;

use super::{
    policy::{Policy, PolicyRecord},
    record::{Binding, ExchangeRecord, QueueRecord, Target, VhostRecord},
    state::Routing,
};
use crate::encoding::{DecodeError, Reader, Writer};

impl Routing {
    pub(crate) fn write(&self, writer: &mut Writer) {
        for number in [
            self.next_vhost,
            self.next_exchange,
            self.next_binding,
            self.policy_revision,
            self.start_count,
        ] {
            writer.u64(number);
        }
        writer.count(self.starts.len());
        for (node, (start, boot)) in self.starts.iter() {
            writer.u64(node.0);
            writer.u64(*start);
            writer.u64(*boot);
        }
        writer.count(self.vhosts.len());
        self.vhosts.values().for_each(|vhost| vhost.write(writer));
        writer.count(self.by_exchange.len());
        for exchange in self.by_exchange.values() {
            exchange.record.write(writer);
        }
        writer.count(self.by_queue.len());
        self.by_queue.values().for_each(|queue| queue.write(writer));
        writer.count(self.bindings.len());
        self.bindings().for_each(|binding| binding.write(writer));
        writer.count(self.policies.len());
        let policies = self.policies.values();
        policies.for_each(|policy| policy.record.write(writer));
    }

    /// What [`Self::write`] wrote. `has_topic`: whether there is a topic with that serial number.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        has_topic: impl Fn(u64) -> bool,
    ) -> Result<Self, DecodeError> {
        let mut routing = Self::empty();
        routing.next_vhost = reader.u64()?;
        routing.next_exchange = reader.u64()?;
        routing.next_binding = reader.u64()?;
        routing.policy_revision = reader.u64()?;
        routing.start_count = reader.u64()?;
        for _ in 0..reader.count(8 + 8 + 8)? {
            let node = NodeId(reader.u64()?);
            let start = (reader.u64()?, reader.u64()?);
            Arc::make_mut(&mut routing.starts).insert(node, start);
        }
        for _ in 0..reader.count(VhostRecord::MIN_BYTES)? {
            let vhost = VhostRecord::read(reader)?;
            if vhost.id.0 >= routing.next_vhost || routing.vhost(&vhost.name).is_some() {
                return Err(reader.invalid("virtual host"));
            }
            routing.vhosts.insert(vhost.name.clone(), Arc::new(vhost));
        }
        for _ in 0..reader.count(ExchangeRecord::MIN_BYTES)? {
            let exchange = ExchangeRecord::read(reader)?;
            let is_new = routing.exchange(exchange.vhost, &exchange.name).is_none()
                && routing.exchange_by_id(exchange.id).is_none();
            if !is_new || exchange.id.0 >= routing.next_exchange {
                return Err(reader.invalid("exchange"));
            }
            routing.add_exchange(exchange);
        }
        for _ in 0..reader.count(QueueRecord::MIN_BYTES)? {
            let queue = QueueRecord::read(reader)?;
            let is_new = routing.queue(queue.vhost, &queue.name).is_none()
                && routing.queue_by_id(queue.id).is_none();
            if !is_new || !has_topic(queue.id.0) {
                return Err(reader.invalid("queue"));
            }
            routing.add_queue(queue);
        }
        for _ in 0..reader.count(Binding::MIN_BYTES)? {
            let binding = Binding::read(reader)?;
            routing.read_binding(binding, reader)?;
        }
        for _ in 0..reader.count(PolicyRecord::MIN_BYTES)? {
            let policy = Policy::new(PolicyRecord::read(reader)?);
            let key = policy.key();
            if routing.policies.get(&key).is_some() {
                return Err(reader.invalid("policy"));
            }
            routing.policies.insert(key, policy);
        }
        let vhosts: Vec<_> = routing.vhosts().map(|vhost| vhost.id).collect();
        vhosts
            .into_iter()
            .for_each(|vhost| routing.find_expiring(vhost));
        Ok(routing)
    }

    fn read_binding(
        &mut self,
        binding: Arc<Binding>,
        reader: &Reader<'_>,
    ) -> Result<(), DecodeError> {
        let has_target = match binding.target {
            Target::Queue(queue) => self.queue_by_id(queue).is_some(),
            Target::Exchange(exchange) => self.exchange_by_id(exchange).is_some(),
        };
        let is_fit = has_target
            && binding.serial < self.next_binding
            && self.exchange_by_id(binding.source).is_some();
        if !is_fit || !self.add_binding(binding) {
            return Err(reader.invalid("binding"));
        }
        Ok(())
    }
}
