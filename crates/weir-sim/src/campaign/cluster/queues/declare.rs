//! Declarations: as doors make them, one after the other, again until they are answered.

use std::sync::Arc;

use bytes::Bytes;
use weir_broker::api::queues::{
    Bind, DeclareExchange, DeclareQueue, Destination, QueueRequest, QueueSession,
};
use weir_model::{
    GroupId,
    fields::{FieldTable, FieldValue, ShortString},
};

use super::{
    plan::QueuePlan,
    state::{QueueWhat, Role, Spot, short},
};
use crate::campaign::cluster::run::Cluster;

/// The exchange of messages that wait.
pub(super) const LATER: &str = "later";

/// One thing to declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Exchange,
    Queue(Spot),
    Bind(usize),
}

fn steps(queues: &[QueuePlan]) -> Vec<Step> {
    let mut steps = vec![Step::Exchange];
    for (queue, plan) in queues.iter().enumerate() {
        let role = Role::Dead;
        steps.extend(
            plan.has_dead_letters
                .then_some(Step::Queue(Spot { queue, role })),
        );
        steps.push(Step::Queue(Spot::own(queue)));
        steps.extend((plan.max_delay_ms > 0).then_some(Step::Bind(queue)));
    }
    steps
}

fn number(value: u64) -> FieldValue {
    FieldValue::Int64(i64::try_from(value).unwrap_or(i64::MAX))
}

fn text(value: &str) -> FieldValue {
    FieldValue::LongString(Bytes::copy_from_slice(value.as_bytes()))
}

fn arguments(spot: Spot, plan: &QueuePlan) -> FieldTable {
    let mut table: Vec<(ShortString, FieldValue)> = Vec::new();
    if spot.role != Role::Own {
        return FieldTable(table);
    }
    let mut put = |name: &str, value: Option<FieldValue>| {
        table.extend(value.map(|value| (short(name), value)));
    };
    let kind = if plan.is_quorum { "quorum" } else { "classic" };
    put("x-queue-type", Some(text(kind)));
    let partitions = u64::from(plan.partition_count);
    put("x-weir-partitions", Some(number(partitions)));
    put("x-message-ttl", plan.message_ttl_ms.map(number));
    put("x-max-length", plan.max_length_count.map(number));
    put("x-overflow", Some(text(plan.overflow.name())));
    let limit = plan.delivery_limit_count.map(u64::from);
    put("x-delivery-limit", limit.map(number));
    let is_single = plan.is_single_active;
    put(
        "x-single-active-consumer",
        is_single.then_some(FieldValue::Boolean(true)),
    );
    let has_levels = plan.max_priority > 0 && !plan.is_quorum;
    put(
        "x-max-priority",
        has_levels.then(|| number(u64::from(plan.max_priority))),
    );
    if let Some((shortest, longest)) = plan.retry_ms {
        put("x-delayed-retry-type", Some(text("failed")));
        put("x-delayed-retry-min", Some(number(shortest)));
        put("x-delayed-retry-max", Some(number(longest)));
    }
    if plan.has_dead_letters {
        let role = Role::Dead;
        let dead = Spot { role, ..spot }.name();
        put("x-dead-letter-exchange", Some(text("")));
        put("x-dead-letter-routing-key", Some(text(dead.as_str())));
    }
    FieldTable(table)
}

impl Cluster<'_> {
    pub(super) fn is_all_declared(&self) -> bool {
        self.queues.declared_count >= steps(&self.plan.queues.queues).len()
    }

    /// How much of group 0 the machine's node has applied.
    pub(super) fn applied_of_metadata(&self, machine: usize) -> u64 {
        let process = self.machines[machine].process.as_ref();
        process.map_or(0, |process| process.node.observed(GroupId::METADATA).2)
    }

    /// Asks for the next thing that is not there yet, unless somebody does.
    pub(super) fn declare_next(&mut self, _client: usize, session: usize) {
        let is_asked = |what: &QueueWhat| matches!(what, QueueWhat::Declare);
        let is_under_way = self.queues.open.values().any(|asked| is_asked(&asked.what));
        let steps = steps(&self.plan.queues.queues);
        let step = steps.get(self.queues.declared_count).copied();
        let (Some(step), Some(handle)) = (step.filter(|_| !is_under_way), self.handle_of(session))
        else {
            return;
        };
        let request = self.declaration(step, handle);
        self.ask_queues(session, request, QueueWhat::Declare);
    }

    fn declaration(&self, step: Step, session: Arc<QueueSession>) -> QueueRequest {
        match step {
            Step::Exchange => QueueRequest::DeclareExchange(DeclareExchange {
                session,
                name: short(LATER),
                kind: short("x-delayed-message"),
                is_passive: false,
                is_durable: true,
                is_auto_delete: false,
                is_internal: false,
                arguments: FieldTable(vec![(short("x-delayed-type"), text("direct"))]),
            }),
            Step::Queue(spot) => QueueRequest::DeclareQueue(DeclareQueue {
                session,
                name: spot.name(),
                is_passive: false,
                is_durable: true,
                is_exclusive: false,
                is_auto_delete: false,
                arguments: arguments(spot, &self.plan.queues.queues[spot.queue]),
            }),
            Step::Bind(queue) => QueueRequest::Bind(Bind {
                session,
                source: short(LATER),
                destination: Destination::Queue(Spot::own(queue).name()),
                routing_key: Spot::own(queue).name(),
                arguments: FieldTable::default(),
            }),
        }
    }
}
