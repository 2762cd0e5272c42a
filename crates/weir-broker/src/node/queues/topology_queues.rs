//! Queues as sessions declare and delete them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use uuid::Uuid;
use weir_model::{ErrorKind, TopicId, TopicName, fields::ShortString};

use super::{
    ask::Patience,
    target::FoundQueue,
    topology::{answer, refuse_reserved},
};
use crate::{
    Node,
    api::{
        admin::ConfigMap,
        queues::{DeclareQueue, DeclaredQueue, QueueOutcome, Refused},
    },
    mailbox::Reply,
    metadata::{CreateTopic, Topology, placement, reserved},
    queue::{QueueAnswer, QueueCall, QueueFigures, SessionKey},
    routing::{
        RoutingCommand,
        command::DeclareQueueCommand,
        record::{QueueType, VhostRecord},
        settings::{self, Wanted},
        state::FIRST_VHOST,
    },
};

/// Copies of a queue, where there are as many nodes.
const MAX_COPIES_COUNT: usize = 3;
/// Partitions of a queue that does not say.
const PARTITION_COUNT: u32 = 1;
/// Kafka's word for messages that are kept until they are used.
const KEPT: &str = "-1";

/// A queue whose topic is to be made.
pub(super) struct NewQueue<'a> {
    pub(super) name: &'a ShortString,
    /// Kafka's clients do not see it.
    pub(super) is_hidden: bool,
    pub(super) is_durable: bool,
    pub(super) kind: QueueType,
    pub(super) arguments: &'a weir_model::fields::FieldTable,
}

type Declared = Result<DeclaredQueue, Refused>;

/// What is to be done for a declaration.
enum Plan {
    /// It is there.
    Known(FoundQueue),
    Make(Box<DeclareQueueCommand>),
}

impl Node {
    pub(super) fn declare_queue(self: &Arc<Self>, declare: DeclareQueue, reply: Reply) {
        let done = move |reply: Reply, declared: Declared| {
            answer(
                reply,
                match declared {
                    Ok(declared) => QueueOutcome::Declared(declared),
                    Err(refused) => QueueOutcome::Refused(refused),
                },
            );
        };
        match self.plan_queue(declare.clone()) {
            Ok(Plan::Known(found)) => {
                let (node, id) = (Arc::clone(self), found.queue.id);
                self.count(found, move |declared| match node.queue_by_id(id) {
                    Some(_) => done(reply, declared),
                    // It has ended meanwhile, as with the node where it was declared.
                    None => node.declare_queue(declare, reply),
                });
            }
            Ok(Plan::Make(command)) => {
                self.make_queue(*command, move |declared| done(reply, declared));
            }
            Err(refused) => done(reply, Err(refused)),
        }
    }

    fn plan_queue(&self, declare: DeclareQueue) -> Result<Plan, Refused> {
        let session = &declare.session;
        if declare.is_passive {
            let found = self.find_queue(&session.vhost, session.key, &declare.name)?;
            return Ok(Plan::Known(found));
        }
        let topology = self.topology.load();
        let routing = topology.routing();
        let vhost = routing.vhost(&session.vhost);
        let vhost = vhost.ok_or_else(|| Refused::NoVhost(session.vhost.clone()))?;
        let is_named_here = declare.name.is_empty();
        let name = match is_named_here {
            true => self.made_up_name(),
            false => declare.name,
        };
        let wanted = Wanted {
            name: &name,
            vhost: &vhost.name,
            is_durable: declare.is_durable,
            is_exclusive: declare.is_exclusive,
            is_auto_delete: declare.is_auto_delete,
            arguments: &declare.arguments,
        };
        let kind = wanted.queue_type(vhost.default_queue_type)?;
        let known = routing.queue(vhost.id, &name);
        if known.is_none() {
            wanted.check(kind)?;
            match is_named_here {
                true => refuse_unnamed(kind)?,
                false => refuse_reserved("queue", &name)?,
            }
        }
        let is_hidden = declare.is_exclusive || is_named_here;
        let command = DeclareQueueCommand {
            vhost: vhost.name.clone(),
            kind,
            is_durable: declare.is_durable,
            is_auto_delete: declare.is_auto_delete,
            is_exclusive: declare.is_exclusive,
            session: session.key,
            topic: self.queue_topic(
                vhost,
                &NewQueue {
                    name: &name,
                    is_hidden,
                    is_durable: declare.is_durable,
                    kind,
                    arguments: &declare.arguments,
                },
                &topology,
            )?,
            name,
            arguments: declare.arguments,
        };
        let Some(known) = known else {
            return Ok(Plan::Make(Box::new(command)));
        };
        command.check(vhost, known)?;
        let topic = topology.by_serial(known.id.0);
        Ok(match topic {
            Some(topic) => Plan::Known(FoundQueue {
                queue: Arc::clone(known),
                topic: Arc::clone(topic),
            }),
            None => Plan::Make(Box::new(command)),
        })
    }

    fn made_up_name(&self) -> ShortString {
        let id = Uuid::from_u64_pair(self.entropy.next_u64(), self.entropy.next_u64());
        let name = format!("amq.gen-{}", id.simple());
        ShortString::new(&name).expect("a prefix and 32 digits are short")
    }

    /// The topic below a queue. It has the queue's name where Kafka's clients are to see it, and
    /// lies in this node's transient group where it ends with the node's run.
    pub(super) fn queue_topic(
        &self,
        vhost: &VhostRecord,
        queue: &NewQueue<'_>,
        topology: &Topology,
    ) -> Result<CreateTopic, Refused> {
        let NewQueue {
            name,
            is_hidden,
            is_durable,
            kind,
            arguments,
        } = *queue;
        let node_count = topology.nodes().len();
        if node_count == 0 {
            // Not even this node is registered: the metadata group is not led yet.
            return Err(Refused::Failed(ErrorKind::NotLeader));
        }
        let id = Uuid::from_u64_pair(self.entropy.next_u64(), self.entropy.next_u64());
        let id = TopicId(uuid::Builder::from_random_bytes(*id.as_bytes()).into_uuid());
        let is_shown = vhost.name == FIRST_VHOST && !is_hidden;
        let plain = TopicName::new(name.as_str()).ok();
        let plain = plain.filter(|name| is_shown && !reserved::is_reserved(name.as_str()));
        let home = self.transient_group().filter(|_| !is_durable);
        let copies = match home {
            Some(_) => 1,
            None => node_count.min(MAX_COPIES_COUNT),
        };
        let count = settings::number(arguments, settings::PARTITIONS);
        let count = count.and_then(|count| u32::try_from(count).ok());
        let count = count.unwrap_or(PARTITION_COUNT);
        Ok(CreateTopic {
            name: plain.unwrap_or_else(|| reserved::queue_topic(id)),
            id,
            partitions: match home {
                Some(group) => (0..count).map(|_| group).collect(),
                None => placement::place(count, &self.shards(), topology.load()),
            },
            replication_factor: u16::try_from(copies).expect("three at most"),
            configs: retention(kind, arguments),
            created: self.clock.now(),
        })
    }

    pub(super) fn make_queue(
        self: &Arc<Self>,
        command: DeclareQueueCommand,
        done: impl FnOnce(Declared) + Send + 'static,
    ) {
        let node = Arc::clone(self);
        let vhost = command.vhost.clone();
        let (name, session) = (command.name.clone(), command.session);
        let is_exclusive = command.is_exclusive;
        let command = RoutingCommand::DeclareQueue(Box::new(command));
        self.propose_routing(command, move |outcome| {
            if let Err(refused) = outcome {
                if is_exclusive && matches!(refused, Refused::Failed(_)) {
                    return node.forget_exclusive_queue(session, move || done(Err(refused)));
                }
                return done(Err(refused));
            }
            match node.find_queue(&vhost, session, &name) {
                Ok(found) if found.queue.is_exclusive && node.sessions.get(session).is_none() => {
                    // The session has ended meanwhile, and what it owned is gone but for this.
                    let refused = Refused::Failed(ErrorKind::ShuttingDown);
                    let known = (session, false);
                    node.delete_exclusive_queues(known, Box::new(move || done(Err(refused))));
                }
                Ok(found) => node.configure(&found, done),
                Err(refused) => done(Err(refused)),
            }
        });
    }

    /// An exclusive queue may have come about that nobody here has heard of: it goes with its session,
    /// or now, where that has ended.
    fn forget_exclusive_queue(
        self: &Arc<Self>,
        session: SessionKey,
        done: impl FnOnce() + Send + 'static,
    ) {
        if let Some(session) = self.sessions.get(session) {
            session.may_own_more.store(true, Ordering::Release);
        }
        match self.sessions.get(session) {
            Some(_) => done(),
            None => self.delete_exclusive_queues((session, true), Box::new(done)),
        }
    }

    /// Makes queues of the topic's partitions.
    fn configure(
        self: &Arc<Self>,
        found: &FoundQueue,
        done: impl FnOnce(Declared) + Send + 'static,
    ) {
        let name = found.queue.name.clone();
        if found.queue.kind == QueueType::Stream {
            return done(Ok(DeclaredQueue {
                name,
                message_count: 0,
                consumer_count: 0,
            }));
        }
        let settings = self.topology.load().routing().settings(&found.queue);
        let call = QueueCall::Configure(Box::new(settings));
        self.ask_partitions(found, &call, move |answers| {
            done(answers.map(|_| DeclaredQueue {
                name,
                message_count: 0,
                consumer_count: 0,
            }));
        });
    }

    fn count(self: &Arc<Self>, found: FoundQueue, done: impl FnOnce(Declared) + Send + 'static) {
        let (node, name) = (Arc::clone(self), found.queue.name.clone());
        self.figures_of(&found.clone(), true, move |figures| match figures {
            Ok(Some(figures)) => done(Ok(DeclaredQueue {
                name,
                message_count: figures.ready_count,
                consumer_count: figures.consumer_count,
            })),
            // Whoever declared it first did not come so far.
            Ok(None) => node.configure(&found, done),
            Err(refused) => done(Err(refused)),
        });
    }

    /// What a queue's partitions hold together; `None`: not all of them are queues yet. `is_use`:
    /// the queue counts as used by it.
    pub(crate) fn figures_of(
        self: &Arc<Self>,
        found: &FoundQueue,
        is_use: bool,
        done: impl FnOnce(Result<Option<QueueFigures>, Refused>) + Send + 'static,
    ) {
        if found.queue.kind == QueueType::Stream {
            return self.stream_figures(found, done);
        }
        self.ask_partitions(found, &QueueCall::Figures { is_use }, move |answers| {
            done(answers.map(|answers| {
                let mut sum = QueueFigures {
                    idle_ms: u64::MAX,
                    ..QueueFigures::default()
                };
                for answer in answers {
                    let QueueAnswer::Figures(one) = answer else {
                        return None;
                    };
                    sum.ready_count += one.ready_count;
                    sum.unacked_count += one.unacked_count;
                    sum.delayed_count += one.delayed_count;
                    // A consumer takes from all partitions.
                    sum.consumer_count = sum.consumer_count.max(one.consumer_count);
                    sum.idle_ms = sum.idle_ms.min(one.idle_ms);
                }
                Some(sum)
            }));
        });
    }

    /// Asks the leaders of all of a queue's partitions the same.
    pub(crate) fn ask_partitions(
        self: &Arc<Self>,
        found: &FoundQueue,
        call: &QueueCall,
        done: impl FnOnce(Result<Vec<QueueAnswer>, Refused>) + Send + 'static,
    ) {
        let partitions: Vec<_> = found.partitions().collect();
        let asked = Arc::new(Asked {
            open_count: AtomicUsize::new(partitions.len()),
            answers: Mutex::new(Ok(Vec::new())),
            done: Mutex::new(Some(Box::new(done))),
        });
        for (group, partition) in partitions {
            let asked = Arc::clone(&asked);
            let done = Box::new(move |answer| asked.answered(answer));
            self.ask_queue(group, partition, call.clone(), Patience::OfAClient, done);
        }
    }
}

/// Only classic queues get a name from the broker.
fn refuse_unnamed(kind: QueueType) -> Result<(), Refused> {
    match kind {
        QueueType::Classic => Ok(()),
        QueueType::Quorum | QueueType::Stream => Err(Refused::Precondition(format!(
            "Cannot declare a server-named queue for type rabbit_{}_queue",
            kind.name()
        ))),
    }
}

type AskedDone = Box<dyn FnOnce(Result<Vec<QueueAnswer>, Refused>) + Send>;

/// One question to several leaders.
struct Asked {
    open_count: AtomicUsize,
    /// A mutex: taken once per partition.
    answers: Mutex<Result<Vec<QueueAnswer>, Refused>>,
    done: Mutex<Option<AskedDone>>,
}

impl Asked {
    fn answered(&self, answer: Result<QueueAnswer, ErrorKind>) {
        {
            let mut answers = lock(&self.answers);
            match (answers.as_mut(), answer) {
                (Ok(_), Ok(QueueAnswer::Refused(refused))) => *answers = Err(refused),
                (Ok(known), Ok(answer)) => known.push(answer),
                (Ok(_), Err(error)) => *answers = Err(Refused::Failed(error)),
                (Err(_), _) => {}
            }
        }
        if self.open_count.fetch_sub(1, Ordering::AcqRel) == 1 {
            let answers = std::mem::replace(&mut *lock(&self.answers), Ok(Vec::new()));
            if let Some(done) = lock(&self.done).take() {
                done(answers);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// How long the topic keeps what is in it, by Kafka's names: a stream by its age and size, any other
/// queue until it is settled.
fn retention(kind: QueueType, arguments: &weir_model::fields::FieldTable) -> ConfigMap {
    let (mut age, mut size) = (KEPT.to_owned(), KEPT.to_owned());
    if let Some(ms) = settings::number(arguments, settings::REPLAY) {
        age = ms.to_string();
    }
    if kind == QueueType::Stream {
        let max_age = settings::text_of(arguments, "x-max-age").and_then(settings::age_ms);
        let max_bytes = settings::number(arguments, "x-max-length-bytes");
        age = max_age.map_or(age, |ms| ms.min(i64::MAX.cast_unsigned()).to_string());
        size = max_bytes.map_or(size, |bytes| bytes.to_string());
    }
    ConfigMap::from([
        ("retention.ms".to_owned(), age),
        ("retention.bytes".to_owned(), size),
    ])
}
