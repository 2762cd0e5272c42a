//! Publishing: each message to its queues' lanes, and one verdict a message once all of them are
//! stored.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weir_log::Millis;
use weir_model::{
    GroupId, PartitionId,
    batch_builder::BatchBuilder,
    message::{Hop, MessageForm},
};

use super::{
    QueueSession,
    consume::refuse,
    current::is_absence,
    dead_letters::Lettered,
    held::Unrouted,
    lane::{Filling, Lane},
    order::Turn,
    permitted::permit_message,
    replies::reply_address,
    sharing::{Form, Sharing},
};
use crate::{
    Node,
    api::{
        Outcome,
        queues::{Message, Publish, QueueOutcome, Refused, Verdict},
    },
    bodies::bodies_of,
    mailbox::Reply,
    metadata::{TopicRecord, Topology},
    queue::ConsumerKey,
};

/// Most bytes of one partition's messages that are stored all or none.
const MAX_ATOMIC_BYTES: usize = 16 << 20;
/// The header whose routing keys nobody is to see.
const BLIND_COPIES: &str = "BCC";

/// Called once with a verdict for each message. Must not block.
pub(super) type Judged = Box<dyn FnOnce(Vec<Verdict>) + Send>;

/// Messages under way. Whoever holds a part of them holds this: when the last one lets go, the
/// verdicts are given. What nobody has said is stored counts as rejected.
pub(super) struct Publishing {
    messages: Vec<Message>,
    /// When messages came that wait, and for how long, in ms.
    delays: BTreeMap<u32, (Millis, u64)>,
    /// One for each message where all are dead letters; else none.
    hops: Vec<Hop>,
    /// Those whose bodies are stored once for several queues.
    pub(super) sharing: Sharing,
    /// A mutex: taken once per batch that has some of the messages.
    fates: Mutex<Fates>,
    /// Over when all of it is.
    _turn: Option<Turn>,
}

struct Fates {
    of: Vec<MessageFate>,
    judged: Option<Judged>,
}

enum MessageFate {
    /// To so many queues, of which so many have it.
    Routed {
        wanted_count: u32,
        stored_count: u32,
    },
    Refused(Box<Refused>),
}

/// Which message goes where.
pub(super) struct Route {
    pub(super) message: u32,
    pub(super) to: RouteTo,
}

/// What routing says of messages.
#[derive(Default)]
pub(super) struct Routed {
    fates: Vec<MessageFate>,
    /// Ascending by message.
    routes: Vec<Route>,
    /// When messages came that wait, and for how long, in ms.
    delays: BTreeMap<u32, (Millis, u64)>,
    hops: Vec<Hop>,
}

impl Routed {
    /// The message waits for so long from `now` on.
    fn delay(&mut self, at: u32, now: Millis, wait_ms: u64) {
        if wait_ms > 0 {
            self.delays.insert(at, (now, wait_ms));
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum RouteTo {
    Lane(GroupId, PartitionId),
    /// To a consumer of replies.
    Consumer(ConsumerKey),
}

impl Publishing {
    fn new(messages: Vec<Message>, routed: Routed, turn: Option<Turn>, judged: Judged) -> Self {
        Self {
            messages,
            delays: routed.delays,
            hops: routed.hops,
            sharing: Sharing::default(),
            fates: Mutex::new(Fates {
                of: routed.fates,
                judged: Some(judged),
            }),
            _turn: turn,
        }
    }

    /// For tests of lanes: each message to one queue.
    #[cfg(test)]
    pub(super) fn to_one_queue(messages: Vec<Message>, judged: Judged) -> Arc<Self> {
        Self::to_one_sharing(messages, Sharing::default(), judged)
    }

    /// The same where bodies are shared.
    #[cfg(test)]
    pub(super) fn to_one_sharing(
        messages: Vec<Message>,
        sharing: Sharing,
        judged: Judged,
    ) -> Arc<Self> {
        let routed = Routed {
            fates: messages.iter().map(|_| MessageFate::routed(1)).collect(),
            ..Routed::default()
        };
        let mut publishing = Self::new(messages, routed, None, judged);
        publishing.sharing = sharing;
        Arc::new(publishing)
    }

    /// Gives a message its form.
    pub(super) fn give_form(&self, at: u32, form: &mut MessageForm) {
        let message = self.message(at);
        form.set(&message.exchange, &message.routing_key, &message.properties);
        if let Some((now, wait_ms)) = self.delays.get(&at) {
            form.set_delay(now.0, *wait_ms);
        }
        if let Some(hop) = self.hops.get(index(at)) {
            form.set_hop(hop);
        }
    }

    pub(super) fn message(&self, at: u32) -> &Message {
        &self.messages[index(at)]
    }

    /// One of the queues of so many messages has them.
    pub(super) fn stored(&self, first: u32, count: u32) {
        self.change(first, count, |_, stored_count| *stored_count += 1);
    }

    /// One of the queues of so many messages is no more.
    pub(super) fn lost(&self, first: u32, count: u32) {
        self.change(first, count, |wanted_count, _| *wanted_count -= 1);
    }

    fn change(&self, first: u32, count: u32, change: impl Fn(&mut u32, &mut u32)) {
        let range = index(first)..index(first) + index(count);
        for fate in &mut self.lock().of[range] {
            match fate {
                MessageFate::Routed {
                    wanted_count,
                    stored_count,
                } => change(wanted_count, stored_count),
                MessageFate::Refused(_) => {}
            }
        }
    }

    /// None of the messages is to be published.
    fn refuse_all(&self, refused: &Refused) {
        for fate in &mut self.lock().of {
            *fate = MessageFate::Refused(Box::new(refused.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Fates> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Routed {
    /// Whether nothing that another node was told of could make a difference.
    pub(super) fn is_certain(&self) -> bool {
        self.fates.iter().all(|fate| match fate {
            MessageFate::Routed { wanted_count, .. } => *wanted_count > 0,
            MessageFate::Refused(refused) => !is_absence(refused),
        })
    }

    /// This node does not know whether what it did not find is there: nothing is dropped as if it were not.
    pub(super) fn doubt(&mut self, messages: &[Message], reason: &Refused) {
        for (fate, message) in self.fates.iter_mut().zip(messages) {
            match fate {
                MessageFate::Refused(refused) if is_absence(refused) => {
                    **refused = reason.clone();
                }
                MessageFate::Routed { wanted_count, .. } if !message.is_mandatory => {
                    *wanted_count = (*wanted_count).max(1);
                }
                MessageFate::Refused(_) | MessageFate::Routed { .. } => {}
            }
        }
    }

    fn first_refused(&self) -> Option<&Refused> {
        self.fates.iter().find_map(|fate| match fate {
            MessageFate::Refused(refused) => Some(&**refused),
            MessageFate::Routed { .. } => None,
        })
    }
}

impl MessageFate {
    fn routed(wanted_count: u32) -> Self {
        Self::Routed {
            wanted_count,
            stored_count: 0,
        }
    }

    fn verdict(self) -> Verdict {
        match self {
            Self::Routed {
                wanted_count: 0, ..
            } => Verdict::Unroutable,
            Self::Routed {
                wanted_count,
                stored_count,
            } if stored_count == wanted_count => Verdict::Stored,
            Self::Routed { .. } => Verdict::Rejected,
            Self::Refused(refused) => Verdict::Refused(*refused),
        }
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        let fates = self.fates.get_mut().unwrap_or_else(PoisonError::into_inner);
        let verdicts = fates.of.drain(..).map(MessageFate::verdict).collect();
        if let Some(judged) = fates.judged.take() {
            judged(verdicts);
        }
    }
}

impl Node {
    /// Publishes what is routed.
    pub(super) fn publish_routed(self: &Arc<Self>, unrouted: Unrouted, mut routed: Routed) {
        let Unrouted {
            publish,
            turn,
            reply,
        } = unrouted;
        let Publish {
            mut messages,
            is_atomic,
            ..
        } = publish;
        messages.iter_mut().for_each(hide_copies);
        if is_atomic && let Some(refused) = routed.first_refused() {
            return refuse(reply, refused.clone());
        }
        let routes = std::mem::take(&mut routed.routes);
        let judged = move |verdicts| {
            reply.send(Outcome::Queue(QueueOutcome::Published(verdicts)));
        };
        let publishing = Publishing::new(messages, routed, Some(turn), Box::new(judged));
        if is_atomic && let Err(refused) = check_size(&publishing.messages, &routes) {
            return publishing.refuse_all(&refused);
        }
        match is_atomic {
            true => self.send_together(&Arc::new(publishing), &routes),
            false => self.send(publishing, &routes),
        }
    }

    /// Says why the first of the messages that would be refused would be.
    pub(super) fn check_publish(
        self: &Arc<Self>,
        session: &QueueSession,
        messages: &[Message],
        reply: Reply,
    ) {
        match self.routes(session, messages).first_refused() {
            Some(refused) => refuse(reply, refused.clone()),
            None => reply.send(Outcome::Queue(QueueOutcome::Done)),
        }
    }

    /// Publishes dead letters whose queues are known.
    pub(super) fn publish_letters(self: &Arc<Self>, letters: Vec<Lettered>, judged: Judged) {
        let now = self.clock.now();
        let mut routed = Routed::default();
        let mut messages = Vec::with_capacity(letters.len());
        for (at, letter) in (0..).zip(letters) {
            let picked = letter.to.iter();
            let picked = picked.filter_map(|topic| pick_for(topic, &letter.message, letter.hop));
            let before_count = routed.routes.len();
            routed.routes.extend(picked.map(|(group, partition)| Route {
                message: at,
                to: RouteTo::Lane(group, partition),
            }));
            let count = routed.routes.len() - before_count;
            let count = u32::try_from(count).expect("queues are far fewer");
            routed.fates.push(MessageFate::routed(count));
            routed.delay(at, now, letter.wait_ms);
            routed.hops.push(letter.hop);
            messages.push(letter.message);
        }
        let routes = std::mem::take(&mut routed.routes);
        self.send(Publishing::new(messages, routed, None, judged), &routes);
    }

    /// Routes messages by what this node knows.
    pub(super) fn routes(&self, session: &QueueSession, messages: &[Message]) -> Routed {
        let topology = self.topology.load();
        let mut routed = Routed {
            routes: Vec::with_capacity(messages.len()),
            ..Routed::default()
        };
        for (at, message) in (0..).zip(messages) {
            let fate = match reply_address(message) {
                Some(consumer) if permit_message(&topology, session, message).is_ok() => {
                    let to = RouteTo::Consumer(consumer);
                    routed.routes.push(Route { message: at, to });
                    MessageFate::routed(1)
                }
                Some(_) | None => self.route_one(&topology, session, (at, message), &mut routed),
            };
            routed.fates.push(fate);
        }
        routed
    }

    fn route_one(
        &self,
        topology: &Topology,
        session: &QueueSession,
        (at, message): (u32, &Message),
        routed: &mut Routed,
    ) -> MessageFate {
        let before_count = routed.routes.len();
        let mut wait_ms = 0;
        let found = |topic: &Arc<TopicRecord>, delay_ms: u64| {
            wait_ms = delay_ms;
            let picked = self.pick(topic, message);
            let lane = picked.map(|(group, partition)| RouteTo::Lane(group, partition));
            routed
                .routes
                .extend(lane.map(|to| Route { message: at, to }));
        };
        let permitted = permit_message(topology, session, message);
        if let Err(refused) = &permitted {
            session.note_refused(refused);
        }
        let done = permitted.and_then(|()| self.route_message(topology, session, message, found));
        if let Err(refused) = done {
            return MessageFate::Refused(Box::new(refused));
        }
        routed.delay(at, self.clock.now(), wait_ms);
        let count = routed.routes.len() - before_count;
        MessageFate::routed(u32::try_from(count).expect("queues are far fewer"))
    }

    /// The partition of a queue that a message goes to: always the same one for the same key, else
    /// another one each time.
    fn pick(&self, topic: &TopicRecord, message: &Message) -> Option<(GroupId, PartitionId)> {
        let count = u64::try_from(topic.partitions.len()).ok()?;
        let at = match count {
            1 => 0,
            count => match MessageForm::key_of(&message.properties) {
                Some(key) => u64::from(weir_model::partitioner::of_key(key)) % count,
                None => self.lanes.next_turn() % count,
            },
        };
        let (partition, group) = topic.partition(i32::try_from(at).ok()?)?;
        Some((group, partition))
    }

    fn send(self: &Arc<Self>, mut publishing: Publishing, routes: &[Route]) {
        publishing.sharing = self.sharing(&publishing.messages, routes);
        let publishing = &Arc::new(publishing);
        let now_ms = self.clock.now().0;
        let mut form = MessageForm::default();
        let mut of_form = None;
        let mut lanes: BTreeMap<PartitionId, Arc<Lane>> = BTreeMap::new();
        for route in routes {
            if of_form != Some(route.message) {
                of_form = Some(route.message);
                publishing.give_form(route.message, &mut form);
            }
            match route.to {
                RouteTo::Lane(group, partition) => {
                    let lane = lanes
                        .entry(partition)
                        .or_insert_with(|| self.lanes.get(group, partition));
                    lane.push(publishing, route.message, &form, now_ms);
                }
                RouteTo::Consumer(consumer) => {
                    self.send_reply(publishing, route.message, &form, consumer);
                }
            }
        }
        for (message, group) in publishing.sharing.wanted() {
            let lane = lanes
                .entry(bodies_of(group))
                .or_insert_with(|| self.lanes.get(group, bodies_of(group)));
            lane.push(publishing, message, &form, now_ms);
        }
        lanes.values().for_each(|lane| lane.drive(self));
    }

    /// All of a partition's messages in one batch.
    fn send_together(self: &Arc<Self>, publishing: &Arc<Publishing>, routes: &[Route]) {
        let now_ms = self.clock.now().0;
        let mut form = MessageForm::default();
        let mut batches: BTreeMap<PartitionId, (GroupId, Filling)> = BTreeMap::new();
        for route in routes {
            publishing.give_form(route.message, &mut form);
            match route.to {
                RouteTo::Lane(group, partition) => {
                    let new = || (group, Filling::new(BatchBuilder::new(0)));
                    let (_, filling) = batches.entry(partition).or_insert_with(new);
                    filling.push(publishing, route.message, (&form, Form::Whole), now_ms);
                }
                RouteTo::Consumer(consumer) => {
                    self.send_reply(publishing, route.message, &form, consumer);
                }
            }
        }
        for (partition, (group, filling)) in batches {
            let lane = self.lanes.get(group, partition);
            lane.push_whole(filling);
            lane.drive(self);
        }
    }
}

/// The partition of a queue that a dead letter goes to: the same one each time that it is sent.
fn pick_for(topic: &TopicRecord, message: &Message, hop: Hop) -> Option<(GroupId, PartitionId)> {
    let count = u64::try_from(topic.partitions.len()).ok()?;
    let at = match MessageForm::key_of(&message.properties) {
        Some(key) => u64::from(weir_model::partitioner::of_key(key)),
        None => hop.serial,
    };
    let at = at.checked_rem(count)?;
    let (partition, group) = topic.partition(i32::try_from(at).ok()?)?;
    Some((group, partition))
}

fn check_size(messages: &[Message], routes: &[Route]) -> Result<(), Refused> {
    let mut sizes: BTreeMap<PartitionId, usize> = BTreeMap::new();
    for route in routes {
        let RouteTo::Lane(_, partition) = route.to else {
            continue;
        };
        let size_bytes = sizes.entry(partition).or_default();
        *size_bytes += messages[index(route.message)].body.len();
        if *size_bytes > MAX_ATOMIC_BYTES {
            return Err(Refused::Precondition(format!(
                "a transaction has more than {MAX_ATOMIC_BYTES} bytes for one queue"
            )));
        }
    }
    Ok(())
}

/// Takes routing keys away that nobody is to see.
fn hide_copies(message: &mut Message) {
    if let Some(table) = &mut message.properties.headers {
        table.0.retain(|(name, _)| name.as_str() != BLIND_COPIES);
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).expect("a u32 fits")
}
