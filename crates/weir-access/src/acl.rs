//! Kafka's ACLs: who may do what with which resource, from which host. Denials win; an allowed operation
//! implies some others, a denied one none (`AclEntry`, `StandardAuthorizer` of Kafka).

use core::net::IpAddr;

use crate::{
    limit::{MAX_HOST_BYTES, MAX_RESOURCE_BYTES, MAX_USER_NAME_BYTES},
    pattern::glob_matches,
    principal::EVERYONE,
};

/// The only resource of its type: the cluster.
pub const CLUSTER_NAME: &str = "kafka-cluster";
/// Every host, and every resource of a type where the pattern is literal.
pub const ANY: &str = "*";

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant = $code),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its code in Kafka's protocol.
            pub fn code(self) -> u8 {
                match self { $(Self::$variant => $code),* }
            }

            /// The one of that code.
            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// As people write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The one that people write so.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

coded! {
    /// What is done.
    Operation {
        /// Every operation, in rules alone.
        All = 2 "all",
        /// Read messages, join groups.
        Read = 3 "read",
        /// Write messages.
        Write = 4 "write",
        /// Make it.
        Create = 5 "create",
        /// Take it away.
        Delete = 6 "delete",
        /// Change it.
        Alter = 7 "alter",
        /// Look at it.
        Describe = 8 "describe",
        /// What brokers ask of each other.
        ClusterAction = 9 "cluster-action",
        /// Look at its settings.
        DescribeConfigs = 10 "describe-configs",
        /// Change its settings.
        AlterConfigs = 11 "alter-configs",
        /// Have a producer id.
        IdempotentWrite = 12 "idempotent-write",
        /// Have tokens for a user.
        CreateTokens = 13 "create-tokens",
        /// Look at a user's tokens.
        DescribeTokens = 14 "describe-tokens",
        /// Prepare transactions for another coordinator.
        TwoPhaseCommit = 15 "two-phase-commit",
    }
}

coded! {
    /// What it is done to.
    ResourceType {
        /// A topic.
        Topic = 2 "topic",
        /// A consumer group.
        Group = 3 "group",
        /// The cluster.
        Cluster = 4 "cluster",
        /// A transactional id.
        TransactionalId = 5 "transactional-id",
        /// A delegation token.
        DelegationToken = 6 "delegation-token",
        /// A user.
        User = 7 "user",
    }
}

coded! {
    /// How a rule means names.
    PatternType {
        /// The name itself, or all for `*`.
        Literal = 3 "literal",
        /// Names that begin so.
        Prefixed = 4 "prefixed",
        /// Names that match, where `*` stands for any characters. Not in Kafka's protocol.
        Glob = 100 "glob",
    }
}

coded! {
    /// What a rule says.
    Effect {
        /// No.
        Deny = 2 "deny",
        /// Yes.
        Allow = 3 "allow",
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// What it is about.
    pub resource: ResourceType,
    /// How `name` is meant.
    pub pattern: PatternType,
    /// The resources' name.
    pub name: Box<str>,
    /// Whom it is about: a user's name, or `*`.
    pub principal: Box<str>,
    /// From where: an address, or `*`.
    pub host: Box<str>,
    /// What is done.
    pub operation: Operation,
    /// What it says.
    pub effect: Effect,
}

impl Acl {
    /// Kafka would take it, and it keeps all limits.
    pub fn is_sound(&self) -> bool {
        let is_cluster = self.resource == ResourceType::Cluster;
        let is_named = !is_cluster || *self.name == *CLUSTER_NAME || *self.name == *ANY;
        is_named
            && (1..=MAX_RESOURCE_BYTES).contains(&self.name.len())
            && (1..=MAX_USER_NAME_BYTES).contains(&self.principal.len())
            && (1..=MAX_HOST_BYTES).contains(&self.host.len())
    }

    /// Whether it speaks of this resource.
    pub(crate) fn is_about(&self, resource: ResourceType, name: &str) -> bool {
        self.resource == resource && self.means(name)
    }

    fn means(&self, name: &str) -> bool {
        match self.pattern {
            PatternType::Literal => *self.name == *name || *self.name == *ANY,
            PatternType::Prefixed => name.starts_with(&*self.name),
            PatternType::Glob => glob_matches(&self.name, name),
        }
    }

    /// Whether it speaks of somebody who is there.
    pub(crate) fn is_from(&self, host: IpAddr) -> bool {
        *self.host == *ANY
            || self
                .host
                .parse()
                .is_ok_and(|named: IpAddr| named.to_canonical() == host)
    }

    /// Whether it speaks of this operation.
    pub(crate) fn is_of(&self, operation: Operation) -> bool {
        self.operation == Operation::All
            || self.operation == operation
            || (self.effect == Effect::Allow && implies(self.operation, operation))
    }

    /// Whether it means every resource that `other` means.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self.pattern, other.pattern) {
            (_, PatternType::Literal) if *other.name != *ANY => self.means(&other.name),
            (PatternType::Literal, _) => *self.name == *ANY,
            (PatternType::Prefixed, PatternType::Prefixed) => other.name.starts_with(&*self.name),
            (PatternType::Prefixed, PatternType::Literal | PatternType::Glob) => false,
            (PatternType::Glob, _) => {
                *self.name == *ANY || (self.pattern == other.pattern && self.name == other.name)
            }
        }
    }
}

fn implies(allowed: Operation, asked: Operation) -> bool {
    use Operation::{Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
    match asked {
        Describe => matches!(allowed, Read | Write | Delete | Alter),
        DescribeConfigs => matches!(allowed, AlterConfigs),
        _ => false,
    }
}

/// Which rules are meant. `None`: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclFilter {
    /// What they are about.
    pub resource: Option<ResourceType>,
    /// How names are meant.
    pub pattern: PatternFilter,
    /// The name.
    pub name: Option<Box<str>>,
    /// Whom they are about.
    pub principal: Option<Box<str>>,
    /// From where.
    pub host: Option<Box<str>>,
    /// What is done.
    pub operation: Option<Operation>,
    /// What they say.
    pub effect: Option<Effect>,
}

/// Which patterns are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatternFilter {
    /// Of any type, and the name as it was written.
    #[default]
    Any,
    /// All that speak of a resource of that name.
    Match,
    /// Of this type, and the name as it was written.
    Only(PatternType),
}

impl AclFilter {
    /// Whether this rule is meant.
    pub fn matches(&self, acl: &Acl) -> bool {
        let is_name = |name: &str| match self.pattern {
            PatternFilter::Any | PatternFilter::Only(_) => *name == *acl.name,
            PatternFilter::Match => acl.means(name),
        };
        let is_pattern = match self.pattern {
            PatternFilter::Only(pattern) => pattern == acl.pattern,
            PatternFilter::Any | PatternFilter::Match => true,
        };
        is_pattern
            && self
                .resource
                .is_none_or(|resource| resource == acl.resource)
            && self.name.as_deref().is_none_or(is_name)
            && self
                .principal
                .as_ref()
                .is_none_or(|name| *name == acl.principal)
            && self.host.as_ref().is_none_or(|host| *host == acl.host)
            && self
                .operation
                .is_none_or(|operation| operation == acl.operation)
            && self.effect.is_none_or(|effect| effect == acl.effect)
    }

    /// It means all rules but those of one name.
    pub(crate) fn is_for(&self, principal: &str) -> bool {
        self.principal
            .as_ref()
            .is_none_or(|name| **name == *principal)
    }

    /// It means rules for everybody, and no name alone.
    pub fn is_for_everyone(&self) -> bool {
        self.is_for(EVERYONE)
    }

    /// Keeps all limits.
    pub fn is_sound(&self) -> bool {
        let is_short =
            |text: &Option<Box<str>>, max| text.as_ref().is_none_or(|text| text.len() <= max);
        is_short(&self.name, MAX_RESOURCE_BYTES)
            && is_short(&self.principal, MAX_USER_NAME_BYTES)
            && is_short(&self.host, MAX_HOST_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn acl(
        pattern: PatternType,
        name: &str,
        operation: Operation,
        effect: Effect,
    ) -> Acl {
        Acl {
            resource: ResourceType::Topic,
            pattern,
            name: name.into(),
            principal: "alice".into(),
            host: ANY.into(),
            operation,
            effect,
        }
    }

    #[test]
    fn an_allowed_operation_implies_looking_and_a_denied_one_nothing() {
        use Operation::*;
        let literal = PatternType::Literal;
        for &operation in Operation::ALL {
            let allow = acl(literal, "t", operation, Effect::Allow);
            let deny = acl(literal, "t", operation, Effect::Deny);
            for &asked in Operation::ALL {
                let implied = matches!(
                    (operation, asked),
                    (Read | Write | Delete | Alter, Describe) | (AlterConfigs, DescribeConfigs)
                );
                let same = operation == All || operation == asked;
                assert_eq!(
                    allow.is_of(asked),
                    same || implied,
                    "{operation:?} {asked:?}"
                );
                assert_eq!(deny.is_of(asked), same, "{operation:?} {asked:?}");
            }
        }
    }

    #[test]
    fn names_are_literal_prefixes_or_globs() {
        use PatternType::*;
        for (pattern, name, meant, not_meant) in [
            (Literal, "a", "a", "ab"),
            (Literal, "*", "anything", ""),
            (Prefixed, "a", "ab", "ba"),
            (Prefixed, "*", "*a", "a"),
            (Glob, "a*c", "abc", "abcd"),
        ] {
            let acl = acl(pattern, name, Operation::Read, Effect::Allow);
            assert!(acl.is_about(ResourceType::Topic, meant), "{acl:?}");
            assert!(!acl.is_about(ResourceType::Group, meant), "{acl:?}");
            let is_all = pattern == Literal && name == ANY;
            assert_eq!(
                acl.is_about(ResourceType::Topic, not_meant),
                is_all,
                "{acl:?}"
            );
        }
    }

    #[test]
    fn a_rule_covers_another_where_it_means_all_its_names() {
        use PatternType::*;
        let of = |pattern, name| acl(pattern, name, Operation::Read, Effect::Deny);
        let rules = [
            (Literal, "*"),
            (Literal, "ab"),
            (Prefixed, "a"),
            (Prefixed, "ab"),
            (Glob, "a*"),
            (Glob, "*"),
        ];
        let covered: [&[usize]; 6] = [
            &[0, 1, 2, 3, 4, 5],
            &[1],
            &[1, 2, 3],
            &[1, 3],
            &[1, 4],
            &[0, 1, 2, 3, 4, 5],
        ];
        for (at, expected) in covered.iter().enumerate() {
            let rule = of(rules[at].0, rules[at].1);
            for (other, (pattern, name)) in rules.iter().enumerate() {
                let expected = expected.contains(&other);
                assert_eq!(rule.covers(&of(*pattern, name)), expected, "{at} {other}");
            }
        }
    }

    #[test]
    fn hosts_are_addresses_however_they_are_written() {
        let mut rule = acl(PatternType::Literal, "t", Operation::Read, Effect::Allow);
        rule.host = "::ffff:10.0.0.1".into();
        assert!(rule.is_from("10.0.0.1".parse().unwrap()));
        assert!(!rule.is_from("10.0.0.2".parse().unwrap()));
        rule.host = "some-host".into();
        assert!(!rule.is_from("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn filters_mean_patterns_as_kafkas_do() {
        use PatternType::*;
        let all = [
            acl(Literal, "orders", Operation::Read, Effect::Allow),
            acl(Prefixed, "or", Operation::Read, Effect::Allow),
            acl(Literal, "*", Operation::Write, Effect::Deny),
        ];
        let found = |filter: AclFilter| {
            let found = all.iter().map(|acl| filter.matches(acl));
            found.collect::<Vec<_>>()
        };
        let named = |pattern| AclFilter {
            pattern,
            name: Some("orders".into()),
            ..AclFilter::default()
        };
        assert_eq!(found(AclFilter::default()), [true, true, true]);
        assert_eq!(found(named(PatternFilter::Any)), [true, false, false]);
        assert_eq!(found(named(PatternFilter::Match)), [true, true, true]);
        assert_eq!(
            found(named(PatternFilter::Only(Prefixed))),
            [false, false, false]
        );
        let denials = AclFilter {
            effect: Some(Effect::Deny),
            ..AclFilter::default()
        };
        assert_eq!(found(denials), [false, false, true]);
        let others = AclFilter {
            principal: Some("bob".into()),
            ..AclFilter::default()
        };
        assert_eq!(found(others), [false, false, false]);
    }

    #[test]
    fn codes_are_kafkas_and_come_back() {
        assert_eq!((Operation::Read.code(), ResourceType::Topic.code()), (3, 2));
        assert_eq!((PatternType::Prefixed.code(), Effect::Allow.code()), (4, 3));
        for operation in Operation::ALL {
            assert_eq!(Operation::from_code(operation.code()), Some(*operation));
            assert_eq!(Operation::named(operation.name()), Some(*operation));
        }
        assert_eq!(
            (Operation::from_code(1), ResourceType::from_code(8)),
            (None, None)
        );
    }
}
