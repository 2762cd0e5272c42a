//! A queue's arguments: whether they can be, and how it behaves by them.

use weir_model::fields::{FieldTable, FieldValue, ShortString};

use super::{
    equivalence::{plain, type_name},
    record::{QueueRecord, QueueType, text},
    state::Routing,
};
use crate::{
    api::queues::Refused,
    queue::{Overflow, QueueSettings},
};

/// Failed deliveries after which a message leaves a quorum queue that does not say.
const QUORUM_DELIVERY_LIMIT_COUNT: u32 = 20;
/// Longest time to live or to expire, in ms (RabbitMQ's: ten years).
const MAX_EXPIRY_MS: i64 = 315_360_000_000;
/// Highest `x-max-priority`.
const MAX_PRIORITY: i64 = 255;
/// Priorities that a quorum queue tells apart without being told.
const QUORUM_HIGHEST_PRIORITY: u8 = 31;

/// Most partitions of a queue.
const MAX_PARTITIONS_COUNT: i64 = 1_000;
/// How long message ids are told apart, in ms.
const DEDUP: &str = "x-weir-dedup-ms";
/// Partitions of a queue, 1 unless set. Messages with the same key keep their order.
pub(crate) const PARTITIONS: &str = "x-weir-partitions";
/// How long messages that are settled can be read again, in ms.
pub(crate) const REPLAY: &str = "x-weir-replay-ms";

/// What a value must be.
#[derive(Clone, Copy)]
enum Rule {
    Text,
    Flag,
    AtLeast(i64),
    Within(i64, i64),
    Priority,
    /// One of these, else what is said of it.
    OneOf(&'static [&'static str], &'static str),
    Age,
}

const CLASSIC: u8 = 1;
const QUORUM: u8 = 2;
const STREAM: u8 = 4;
const SHARED: u8 = CLASSIC | QUORUM;
const ALL: u8 = CLASSIC | QUORUM | STREAM;

/// Arguments that have a meaning: name, the types of queues that can have it, and its value. All
/// others are of no account.
const ARGUMENTS: &[(&str, u8, Rule)] = &[
    ("x-consumer-timeout", SHARED, Rule::AtLeast(0)),
    ("x-dead-letter-exchange", SHARED, Rule::Text),
    ("x-dead-letter-routing-key", SHARED, Rule::Text),
    (
        "x-dead-letter-strategy",
        QUORUM,
        Rule::OneOf(&["at-most-once", "at-least-once"], "invalid_dlx_strategy"),
    ),
    ("x-delayed-retry-max", SHARED, Rule::AtLeast(0)),
    ("x-delayed-retry-min", SHARED, Rule::AtLeast(0)),
    (
        "x-delayed-retry-type",
        SHARED,
        Rule::OneOf(
            &["disabled", "all", "failed", "returned"],
            "invalid_delayed_retry_type",
        ),
    ),
    ("x-delivery-limit", QUORUM, Rule::AtLeast(i64::MIN)),
    ("x-expires", SHARED, Rule::Within(1, MAX_EXPIRY_MS)),
    ("x-initial-cluster-size", STREAM, Rule::AtLeast(1)),
    ("x-max-age", STREAM, Rule::Age),
    ("x-max-in-memory-bytes", QUORUM, Rule::AtLeast(0)),
    ("x-max-in-memory-length", QUORUM, Rule::AtLeast(0)),
    ("x-max-length", SHARED, Rule::AtLeast(0)),
    ("x-max-length-bytes", ALL, Rule::AtLeast(0)),
    ("x-max-priority", CLASSIC, Rule::Priority),
    ("x-message-ttl", SHARED, Rule::Within(0, MAX_EXPIRY_MS)),
    (
        "x-overflow",
        SHARED,
        Rule::OneOf(
            &["drop-head", "reject-publish", "reject-publish-dlx"],
            "invalid_overflow",
        ),
    ),
    (
        "x-queue-leader-locator",
        ALL,
        Rule::OneOf(
            &["client-local", "balanced", "random", "least-leaders"],
            "invalid_queue_locator_arg",
        ),
    ),
    (
        "x-queue-type",
        ALL,
        Rule::OneOf(&["classic", "quorum", "stream"], "unsupported queue type"),
    ),
    ("x-quorum-initial-group-size", QUORUM, Rule::AtLeast(1)),
    ("x-single-active-consumer", SHARED, Rule::Flag),
    ("x-stream-filter-size-bytes", STREAM, Rule::Within(16, 255)),
    (
        "x-stream-max-segment-size-bytes",
        STREAM,
        Rule::Within(1, 3_000_000_000),
    ),
    // Not RabbitMQ's.
    (DEDUP, SHARED, Rule::Within(1, MAX_EXPIRY_MS)),
    (PARTITIONS, SHARED, Rule::Within(1, MAX_PARTITIONS_COUNT)),
    (REPLAY, SHARED, Rule::Within(1, MAX_EXPIRY_MS)),
];

/// Arguments that two declarations of a queue must agree on.
pub(super) const COMPARED_ARGUMENTS: &[&str] = &{
    let mut names = [""; ARGUMENTS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = ARGUMENTS[at].0;
        at += 1;
    }
    names
};

impl Rule {
    /// What is wrong with a value, in RabbitMQ's words.
    fn fault(self, value: &FieldValue) -> Option<String> {
        let unacceptable = || format!("{{unacceptable_type,{}}}", type_name(value));
        match self {
            Self::Text => text(value).is_none().then(unacceptable),
            Self::Flag => (!matches!(value, FieldValue::Boolean(_))).then(unacceptable),
            Self::AtLeast(low) => number_fault(value, low, i64::MAX),
            Self::Within(low, high) => number_fault(value, low, high),
            Self::Priority => match value.as_int() {
                Some(number) if number > MAX_PRIORITY => {
                    Some(format!("{{max_value_exceeded,{number}}}"))
                }
                Some(_) | None => number_fault(value, 0, MAX_PRIORITY),
            },
            Self::OneOf(words, fault) => match text(value) {
                Some(word) => (!words.contains(&word)).then(|| fault.to_owned()),
                None => Some(unacceptable()),
            },
            Self::Age => match text(value) {
                Some(age) => age_ms(age).is_none().then(|| "invalid_max_age".to_owned()),
                None => Some(unacceptable()),
            },
        }
    }
}

fn number_fault(value: &FieldValue, low: i64, high: i64) -> Option<String> {
    match value.as_int() {
        Some(number) if number < 0 && low >= 0 => Some(format!("{{value_negative,{number}}}")),
        Some(0) if low > 0 => Some("{value_zero,0}".to_owned()),
        Some(number) if number < low => Some(format!("{{value_too_small,{number}}}")),
        Some(number) if number > high => Some(format!("{{value_too_large,{number}}}")),
        Some(_) => None,
        None => Some(format!("\"expected integer, got {}\"", type_name(value))),
    }
}

/// A time such as `7D`, in ms.
pub(crate) fn age_ms(age: &str) -> Option<u64> {
    let unit_at = age.len().checked_sub(1)?;
    let number: u64 = age.get(..unit_at)?.parse().ok()?;
    let seconds = match age.get(unit_at..)? {
        "Y" => 31_536_000,
        "M" => 2_592_000,
        "D" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return None,
    };
    number.checked_mul(seconds)?.checked_mul(1_000)
}

/// A queue that is declared.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a ShortString,
    pub(crate) vhost: &'a str,
    pub(crate) is_durable: bool,
    pub(crate) is_exclusive: bool,
    pub(crate) is_auto_delete: bool,
    pub(crate) arguments: &'a FieldTable,
}

impl Wanted<'_> {
    /// Its type. `default_type`: of durable queues that are shared and do not say.
    pub(crate) fn queue_type(&self, default_type: Option<QueueType>) -> Result<QueueType, Refused> {
        match self.arguments.get("x-queue-type") {
            Some(value) => self.named_type(value),
            None => {
                let is_shared = self.is_durable && !self.is_exclusive && !self.is_auto_delete;
                let kind = default_type.filter(|_| is_shared);
                Ok(kind.unwrap_or_default())
            }
        }
    }

    /// Whether a queue of that type can have its properties and arguments.
    pub(crate) fn check(&self, kind: QueueType) -> Result<(), Refused> {
        for (name, types, rule) in ARGUMENTS {
            let Some(value) = self.arguments.get(name) else {
                continue;
            };
            if types & bit(kind) == 0 {
                return Err(Refused::Precondition(format!(
                    "invalid arg '{name}' for queue '{}' in vhost '{}' of queue type rabbit_{}_queue",
                    self.name,
                    self.vhost,
                    kind.name()
                )));
            }
            if let Some(fault) = rule.fault(value) {
                return Err(self.fault(name, fault));
            }
        }
        self.check_dead_letters()?;
        self.check_properties(kind)
    }

    fn named_type(&self, value: &FieldValue) -> Result<QueueType, Refused> {
        let FieldValue::LongString(name) = value else {
            let fault = format!("{{unacceptable_type,{}}}", type_name(value));
            return Err(self.fault("x-queue-type", fault));
        };
        QueueType::named(name).ok_or_else(|| {
            let fault = format!("\"unsupported queue type '{}'\"", plain(value));
            self.fault("x-queue-type", fault)
        })
    }

    fn check_dead_letters(&self) -> Result<(), Refused> {
        let has_key = self.arguments.get("x-dead-letter-routing-key").is_some();
        if has_key && self.arguments.get("x-dead-letter-exchange").is_none() {
            let fault = "routing_key_but_no_dlx_defined".to_owned();
            return Err(self.fault("x-dead-letter-routing-key", fault));
        }
        Ok(())
    }

    /// Quorum queues and streams are durable and shared.
    fn check_properties(&self, kind: QueueType) -> Result<(), Refused> {
        if kind == QueueType::Classic {
            return Ok(());
        }
        let wrong = [
            ("auto-delete", self.is_auto_delete),
            ("exclusive-owner", self.is_exclusive),
            ("non-durable", !self.is_durable),
        ];
        match wrong.into_iter().find(|(_, is_wrong)| *is_wrong) {
            Some((property, _)) => Err(Refused::Precondition(format!(
                "invalid property '{property}' for queue '{}' in vhost '{}'",
                self.name, self.vhost
            ))),
            None => Ok(()),
        }
    }

    fn fault(&self, argument: &str, reason: String) -> Refused {
        Refused::Argument {
            what: "queue",
            name: self.name.clone(),
            vhost: self.vhost.to_owned(),
            argument: argument.to_owned(),
            reason,
        }
    }
}

fn bit(kind: QueueType) -> u8 {
    match kind {
        QueueType::Classic => CLASSIC,
        QueueType::Quorum => QUORUM,
        QueueType::Stream => STREAM,
    }
}

pub(crate) fn number(arguments: &FieldTable, name: &str) -> Option<u64> {
    let value = arguments.get(name)?.as_int()?;
    u64::try_from(value).ok()
}

pub(crate) fn text_of<'a>(arguments: &'a FieldTable, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(text)
}

/// A queue's arguments, its policy, and its operator's.
struct Layers<'a> {
    arguments: &'a FieldTable,
    policy: Option<&'a FieldTable>,
    operator: Option<&'a FieldTable>,
}

impl<'a> Layers<'a> {
    fn of(routing: &'a Routing, queue: &'a QueueRecord) -> Self {
        let definition = |is_operator| {
            let policy = routing.queue_policy(queue, is_operator);
            policy.map(|policy| &policy.record.definition)
        };
        Self {
            arguments: &queue.arguments,
            policy: definition(false),
            operator: definition(true),
        }
    }

    /// The lowest of all.
    fn lowest(&self, argument: &str) -> Option<u64> {
        let setting = argument.strip_prefix("x-").unwrap_or(argument);
        let of_policies = [self.policy, self.operator].into_iter().flatten();
        let of_policies = of_policies.filter_map(|definition| number(definition, setting));
        of_policies.chain(number(self.arguments, argument)).min()
    }

    /// The argument, else what policies say: the operator's first.
    fn text(&self, argument: &str) -> Option<&'a str> {
        let setting = argument.strip_prefix("x-").unwrap_or(argument);
        let of_policies = [self.operator, self.policy].into_iter().flatten();
        let mut of_policies = of_policies.filter_map(|definition| text_of(definition, setting));
        text_of(self.arguments, argument).or_else(|| of_policies.next())
    }

    fn short(&self, argument: &str) -> Option<ShortString> {
        ShortString::new(self.text(argument)?)
    }

    /// An argument may lift it altogether; policies cap it.
    fn delivery_limit(&self, kind: QueueType) -> Option<u32> {
        if kind != QueueType::Quorum {
            return None;
        }
        let of_policies = [self.policy, self.operator].into_iter().flatten();
        let of_policies = of_policies.filter_map(|definition| number(definition, "delivery-limit"));
        let own = self.arguments.get("x-delivery-limit");
        let own = own.and_then(FieldValue::as_int);
        let is_lifted = own.is_some_and(|limit| limit < 0);
        let own = own.and_then(|limit| u64::try_from(limit).ok());
        let limit = of_policies.chain(own).min();
        match limit {
            Some(limit) => Some(u32::try_from(limit).unwrap_or(u32::MAX)),
            None => (!is_lifted).then_some(QUORUM_DELIVERY_LIMIT_COUNT),
        }
    }

    fn retry_delay_ms(&self) -> Option<(u64, u64)> {
        let kind = self.text("x-delayed-retry-type")?;
        if kind == "disabled" {
            return None;
        }
        let shortest = self.lowest("x-delayed-retry-min").unwrap_or_default();
        let longest = self.lowest("x-delayed-retry-max").unwrap_or(shortest);
        Some((shortest, longest.max(shortest)))
    }
}

impl Routing {
    /// How a queue behaves.
    pub(crate) fn settings(&self, queue: &QueueRecord) -> QueueSettings {
        let layers = Layers::of(self, queue);
        let overflow = match layers.text("x-overflow") {
            Some("reject-publish") => Overflow::RejectPublish,
            Some("reject-publish-dlx") => Overflow::RejectPublishDeadLetter,
            Some(_) | None => Overflow::DropHead,
        };
        let dead_letter = layers.short("x-dead-letter-exchange");
        let dead_letter =
            dead_letter.map(|exchange| (exchange, layers.short("x-dead-letter-routing-key")));
        let keeps_all = queue.kind == QueueType::Stream;
        let limit = |argument| layers.lowest(argument).filter(|_| !keeps_all);
        QueueSettings {
            message_ttl_ms: limit("x-message-ttl"),
            max_length_count: limit("x-max-length"),
            max_length_bytes: limit("x-max-length-bytes"),
            overflow,
            dead_letter,
            delivery_limit_count: layers.delivery_limit(queue.kind),
            highest_priority: highest_priority(queue),
            is_single_active: matches!(
                queue.arguments.get("x-single-active-consumer"),
                Some(FieldValue::Boolean(true))
            ),
            retry_delay_ms: layers.retry_delay_ms(),
            // Who reads the log besides goes by the topic's own retention.
            replay_ms: match keeps_all || queue.is_over_topic {
                true => Some(u64::MAX),
                false => number(&queue.arguments, REPLAY),
            },
            dedup_ms: layers.lowest(DEDUP),
        }
    }

    /// How long a client may have a delivery of the queue without settling it, in ms.
    pub(crate) fn consumer_timeout_ms(&self, queue: &QueueRecord) -> Option<u64> {
        Layers::of(self, queue).lowest("x-consumer-timeout")
    }

    /// How long a queue is there that nobody uses, in ms.
    pub(crate) fn expires_ms(&self, queue: &QueueRecord) -> Option<u64> {
        Layers::of(self, queue).lowest("x-expires")
    }
}

fn highest_priority(queue: &QueueRecord) -> u8 {
    match queue.kind {
        QueueType::Classic => {
            let highest = number(&queue.arguments, "x-max-priority").unwrap_or_default();
            u8::try_from(highest).unwrap_or(u8::MAX)
        }
        QueueType::Quorum => QUORUM_HIGHEST_PRIORITY,
        QueueType::Stream => 0,
    }
}
