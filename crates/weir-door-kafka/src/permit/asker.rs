//! Questions to the ACLs, on behalf of one client.

use weir_access::{
    Access, Caller, DecisionCache, Need,
    acl::{CLUSTER_NAME, Operation, ResourceType},
};
use weir_broker::{access::TopicNames, api::TopicRef};
use weir_model::{ErrorKind, TopicName};

/// Allowed, or what the client is told.
pub type Verdict = Result<(), ErrorKind>;

/// Most denials of one request that are told.
const MAX_DENIED_COUNT: usize = 4;

/// One client, and what it may do as things are now.
pub struct Asker<'a> {
    /// Users and rules.
    pub access: &'a Access,
    /// The client.
    pub caller: Caller<'a>,
    /// What it was told before.
    pub cache: &'a mut DecisionCache,
    /// Which topics there are.
    pub names: &'a dyn TopicNames,
    /// What it was not allowed, for people: the first few.
    pub denied: Vec<String>,
}

impl Asker<'_> {
    fn check(&mut self, need: Need<'_>, or: ErrorKind) -> Verdict {
        let decision = self.cache.check(self.access, self.caller, need);
        if decision.is_allowed() {
            return Ok(());
        }
        if self.denied.len() < MAX_DENIED_COUNT {
            self.denied.push(need.to_string());
        }
        Err(or)
    }

    fn named(
        &mut self,
        operation: Operation,
        resource: ResourceType,
        name: &str,
        or: ErrorKind,
    ) -> Verdict {
        let need = Need::Acl {
            operation,
            resource,
            name,
        };
        self.check(need, or)
    }

    /// On a topic by name.
    pub fn topic(&mut self, operation: Operation, name: &str) -> Verdict {
        let or = ErrorKind::TopicUnauthorized;
        self.named(operation, ResourceType::Topic, name, or)
    }

    /// On a topic as a client names it. An id that nobody knows here is not asked for elsewhere: it
    /// may be known there.
    pub fn topic_ref(&mut self, operation: Operation, topic: &TopicRef) -> Verdict {
        match topic {
            TopicRef::Name(name) => self.topic(operation, name.as_str()),
            TopicRef::Id(id) => match self.names.name_of(*id) {
                Some(name) => self.topic(operation, name.as_str()),
                None => Err(ErrorKind::UnknownTopicId),
            },
        }
    }

    /// On a group.
    pub fn group(&mut self, operation: Operation, name: &str) -> Verdict {
        let or = ErrorKind::GroupUnauthorized;
        self.named(operation, ResourceType::Group, name, or)
    }

    /// On a transactional id.
    pub fn transaction(&mut self, operation: Operation, id: &str) -> Verdict {
        let or = ErrorKind::TransactionalIdUnauthorized;
        self.named(operation, ResourceType::TransactionalId, id, or)
    }

    /// On the cluster.
    pub fn cluster(&mut self, operation: Operation) -> Verdict {
        let or = ErrorKind::ClusterUnauthorized;
        self.named(operation, ResourceType::Cluster, CLUSTER_NAME, or)
    }

    /// Have a producer id: whoever may write to any topic may.
    pub fn producer_id(&mut self) -> Verdict {
        let any = Need::AnyOf {
            operation: Operation::Write,
            resource: ResourceType::Topic,
        };
        let any = self.check(any, ErrorKind::ClusterUnauthorized);
        any.or_else(|_| self.cluster(Operation::IdempotentWrite))
    }

    /// Make a topic.
    pub fn create(&mut self, name: &str) -> Verdict {
        let cluster = self.cluster(Operation::Create);
        cluster.or_else(|_| self.topic(Operation::Create, name))
    }

    /// Look at a topic, or make it by looking at it.
    pub fn look(&mut self, topic: &TopicRef, makes: bool) -> Verdict {
        self.topic_ref(Operation::Describe, topic)?;
        match topic {
            TopicRef::Name(name) if makes && !self.is_known(name) => self.create(name.as_str()),
            TopicRef::Name(_) | TopicRef::Id(_) => Ok(()),
        }
    }

    fn is_known(&self, name: &TopicName) -> bool {
        self.names.is_known(name)
    }
}
