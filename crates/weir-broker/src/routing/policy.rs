//! Policies: what queues and exchanges are told by their names. A policy as bytes: `u64` virtual
//! host, flag operator, text name, text pattern, `u8` what it applies to, `i32` priority, definition.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use weir_model::fields::{FieldTable, FieldValue, ShortString};

use super::{
    fields::{read_flag, read_table, write_flag, write_table},
    record::{ExchangeRecord, QueueRecord, QueueType, VhostId},
    state::Routing,
};
use crate::encoding::{DecodeError, Reader, Writer};

/// Most policies of a cluster, those of operators included.
pub(crate) const MAX_POLICIES: usize = 10_000;
/// Longest pattern, in bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 1_024;
/// Longest name of a policy, in bytes.
pub(crate) const MAX_POLICY_NAME_BYTES: usize = 255;
/// Largest compiled pattern, in bytes.
const MAX_COMPILED_BYTES: usize = 256 * 1024;
/// Deepest nesting of a pattern.
const MAX_NESTING: u32 = 50;

/// What a policy applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplyTo {
    /// Queues and exchanges.
    #[default]
    All,
    /// Exchanges alone.
    Exchanges,
    /// Queues of any type.
    Queues,
    /// Queues of one type.
    QueuesOf(QueueType),
}

const APPLY_TO: [(ApplyTo, &str, u8); 6] = [
    (ApplyTo::All, "all", 0),
    (ApplyTo::Exchanges, "exchanges", 1),
    (ApplyTo::Queues, "queues", 2),
    (ApplyTo::QueuesOf(QueueType::Classic), "classic_queues", 3),
    (ApplyTo::QueuesOf(QueueType::Quorum), "quorum_queues", 4),
    (ApplyTo::QueuesOf(QueueType::Stream), "streams", 5),
];

/// Settings that a definition may have: name, and whether it is a number.
const SETTINGS: [(&str, bool); 24] = [
    ("alternate-exchange", false),
    ("consumer-timeout", true),
    ("dead-letter-exchange", false),
    ("dead-letter-routing-key", false),
    ("dead-letter-strategy", false),
    ("delayed-retry-max", true),
    ("delayed-retry-min", true),
    ("delayed-retry-type", false),
    ("delivery-limit", true),
    ("expires", true),
    ("initial-cluster-size", true),
    ("max-age", false),
    ("max-in-memory-bytes", true),
    ("max-in-memory-length", true),
    ("max-length", true),
    ("max-length-bytes", true),
    ("message-ttl", true),
    ("overflow", false),
    ("queue-leader-locator", false),
    ("queue-mode", false),
    ("queue-version", true),
    ("stream-max-segment-size-bytes", true),
    ("target-group-size", true),
    ("weir-dedup-ms", true),
];

/// Settings that an operator's policy may have.
const OF_OPERATORS: [&str; 9] = [
    "delivery-limit",
    "expires",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "max-length",
    "max-length-bytes",
    "message-ttl",
    "overflow",
    "target-group-size",
];

/// A policy as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRecord {
    /// Where.
    pub vhost: VhostId,
    /// It caps what others set.
    pub is_operator: bool,
    /// Its name.
    pub name: String,
    /// Which names it is for: a regular expression that any part of a name may match.
    pub pattern: String,
    /// Of what.
    pub apply_to: ApplyTo,
    /// Of several that match, the one with the highest counts.
    pub priority: i32,
    /// What it sets.
    pub definition: FieldTable,
}

/// A policy that can be matched.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) record: PolicyRecord,
    /// `None`: this version does not understand the pattern, which another one did.
    pattern: Option<Regex>,
}

impl ApplyTo {
    /// What people call so.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = APPLY_TO.iter();
        all.find_map(|(apply_to, known, _)| (*known == name).then_some(*apply_to))
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> &'static (Self, &'static str, u8) {
        let mut all = APPLY_TO.iter();
        let row = all.find(|(apply_to, _, _)| *apply_to == self);
        row.expect("all of them stand in the table")
    }

    fn is_for_exchanges(self) -> bool {
        match self {
            Self::All | Self::Exchanges => true,
            Self::Queues | Self::QueuesOf(_) => false,
        }
    }

    fn is_for_queues(self, kind: QueueType) -> bool {
        match self {
            Self::All | Self::Queues => true,
            Self::Exchanges => false,
            Self::QueuesOf(wanted) => wanted == kind,
        }
    }
}

impl PolicyRecord {
    pub(crate) const MIN_BYTES: usize = 8 + 1 + 4 + 4 + 1 + 4 + 4;

    /// What is wrong with it, for people.
    pub(crate) fn fault(&self) -> Option<String> {
        if !(1..=MAX_POLICY_NAME_BYTES).contains(&self.name.len()) {
            return Some(format!("a name has 1 to {MAX_POLICY_NAME_BYTES} bytes"));
        }
        if let Err(fault) = compile(&self.pattern) {
            return Some(format!("pattern '{}': {fault}", self.pattern));
        }
        if self.definition.0.is_empty() {
            return Some("no settings".to_owned());
        }
        self.definition.0.iter().find_map(|(name, value)| {
            let known = SETTINGS.iter().find(|(known, _)| *known == name.as_str());
            let is_allowed = !self.is_operator || OF_OPERATORS.contains(&name.as_str());
            match known.filter(|_| is_allowed) {
                None => Some(format!("{name} is not recognised")),
                Some((_, true)) if value.as_int().is_none() => {
                    Some(format!("{name} is not a number"))
                }
                Some((_, false)) if !matches!(value, FieldValue::LongString(_)) => {
                    Some(format!("{name} is not a text"))
                }
                Some(_) => None,
            }
        })
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.vhost.0);
        write_flag(writer, self.is_operator);
        writer.text(&self.name);
        writer.text(&self.pattern);
        writer.u8(self.apply_to.row().2);
        writer.i32(self.priority);
        write_table(writer, &self.definition);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vhost: VhostId(reader.u64()?),
            is_operator: read_flag(reader)?,
            name: reader.text()?.to_owned(),
            pattern: reader.text()?.to_owned(),
            apply_to: {
                let tag = reader.u8()?;
                let mut all = APPLY_TO.iter();
                let known = all.find_map(|(to, _, known)| (*known == tag).then_some(*to));
                known.ok_or_else(|| reader.unknown_tag("what a policy applies to", tag))?
            },
            priority: reader.i32()?,
            definition: read_table(reader)?,
        })
    }
}

impl Policy {
    pub(super) fn new(record: PolicyRecord) -> Arc<Self> {
        let pattern = compile(&record.pattern).ok();
        Arc::new(Self { record, pattern })
    }

    pub(super) fn key(&self) -> (VhostId, bool, String) {
        let record = &self.record;
        (record.vhost, record.is_operator, record.name.clone())
    }

    fn matches(&self, name: &ShortString) -> bool {
        let pattern = self.pattern.as_ref();
        pattern.is_some_and(|pattern| pattern.is_match(name.as_str()))
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("longer than {MAX_PATTERN_BYTES} bytes"));
    }
    let compiled = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(MAX_NESTING)
        .build();
    compiled.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        last.trim_start_matches("error: ").to_owned()
    })
}

impl Routing {
    /// A virtual host's policies by name, those of operators last.
    pub(crate) fn policies_of(&self, vhost: VhostId) -> impl Iterator<Item = &Arc<Policy>> {
        let found = self.policies.range_from(&(vhost, false, String::new()));
        let found = found.take_while(move |((known, _, _), _)| *known == vhost);
        found.map(|(_, policy)| policy)
    }

    fn policy_for(
        &self,
        vhost: VhostId,
        is_operator: bool,
        applies: impl Fn(&Policy) -> bool,
    ) -> Option<&Arc<Policy>> {
        let from = (vhost, is_operator, String::new());
        let found = self.policies.range_from(&from);
        let found = found.take_while(move |((known, operator, _), _)| {
            *known == vhost && *operator == is_operator
        });
        let found = found.map(|(_, policy)| policy);
        // Of equals the first by name.
        found
            .filter(|policy| applies(policy))
            .reduce(
                |best, other| match other.record.priority > best.record.priority {
                    true => other,
                    false => best,
                },
            )
    }

    /// The policy that a queue follows, or the one that its operator caps it with.
    pub(crate) fn queue_policy(
        &self,
        queue: &QueueRecord,
        is_operator: bool,
    ) -> Option<&Arc<Policy>> {
        self.policy_for(queue.vhost, is_operator, |policy| {
            policy.record.apply_to.is_for_queues(queue.kind) && policy.matches(&queue.name)
        })
    }

    /// The policy that an exchange follows.
    pub(crate) fn exchange_policy(&self, exchange: &ExchangeRecord) -> Option<&Arc<Policy>> {
        self.policy_for(exchange.vhost, false, |policy| {
            policy.record.apply_to.is_for_exchanges() && policy.matches(&exchange.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn policy(pattern: &str, definition: &[(&str, FieldValue)]) -> PolicyRecord {
        let fields = definition.iter();
        let fields = fields.map(|(name, value)| {
            let name = ShortString::new(name).unwrap();
            (name, value.clone())
        });
        PolicyRecord {
            vhost: VhostId(1),
            is_operator: false,
            name: "p".to_owned(),
            pattern: pattern.to_owned(),
            apply_to: ApplyTo::All,
            priority: 0,
            definition: FieldTable(fields.collect()),
        }
    }

    #[test]
    fn a_policy_with_a_fault_is_told_so() {
        let ttl = ("message-ttl", FieldValue::Int64(5));
        let text = FieldValue::LongString(Bytes::from_static(b"x"));
        assert_eq!(policy("^a", std::slice::from_ref(&ttl)).fault(), None);
        for (wrong, part) in [
            (policy("(?=a)", std::slice::from_ref(&ttl)), "pattern"),
            (policy("", &[]), "no settings"),
            (policy("", &[("ha-mode", text.clone())]), "not recognised"),
            (policy("", &[("message-ttl", text.clone())]), "not a number"),
            (
                policy("", &[("overflow", FieldValue::Int8(1))]),
                "not a text",
            ),
        ] {
            assert!(wrong.fault().unwrap().contains(part), "{wrong:?}");
        }
        let mut operator = policy("", &[("alternate-exchange", text)]);
        operator.is_operator = true;
        assert!(operator.fault().is_some());
        operator.definition = policy("", &[ttl]).definition;
        assert_eq!(operator.fault(), None);
    }

    #[test]
    fn any_part_of_a_name_may_match() {
        let name = |text| ShortString::new(text).unwrap();
        let any = Policy::new(policy("b", &[]));
        assert!(any.matches(&name("abc")) && !any.matches(&name("acc")));
        let all = Policy::new(policy("^a.*c$", &[]));
        assert!(all.matches(&name("abc")) && !all.matches(&name("abcd")));
    }

    #[test]
    fn what_it_applies_to_comes_back_by_its_name() {
        for (apply_to, name, _) in APPLY_TO {
            assert_eq!(ApplyTo::named(name), Some(apply_to));
            assert_eq!(apply_to.name(), name);
        }
        assert_eq!(ApplyTo::named("topics"), None);
    }
}
