//! What a client may do, told as a number (KIP-430).

use weir_access::{
    Access, Caller, Need,
    acl::{CLUSTER_NAME, Operation, ResourceType},
};

/// "Not asked for", in the place of allowed operations.
pub const NOT_ASKED: i32 = i32::MIN;

/// What there is to do with a resource, as Kafka's `AclEntry.supportedOperations` has it.
fn operations(resource: ResourceType) -> &'static [Operation] {
    use Operation::{
        Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs,
        IdempotentWrite, Read, Write,
    };
    match resource {
        ResourceType::Topic => &[
            Read,
            Write,
            Create,
            Delete,
            Alter,
            Describe,
            DescribeConfigs,
            AlterConfigs,
        ],
        ResourceType::Group => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
        ResourceType::Cluster => &[
            Create,
            Alter,
            Describe,
            ClusterAction,
            DescribeConfigs,
            AlterConfigs,
            IdempotentWrite,
        ],
        ResourceType::TransactionalId | ResourceType::DelegationToken | ResourceType::User => &[],
    }
}

/// One client, who asks what it may do.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    /// Users and rules.
    pub access: &'a Access,
    /// The client.
    pub caller: Caller<'a>,
}

impl Rights<'_> {
    /// What it may do with a topic: a bit for each operation, by Kafka's codes.
    pub fn on_topic(&self, name: &str) -> i32 {
        self.on(ResourceType::Topic, name)
    }

    /// The same of a group.
    pub fn on_group(&self, name: &str) -> i32 {
        self.on(ResourceType::Group, name)
    }

    /// The same of the cluster: nothing for whoever may not describe it.
    pub fn on_cluster(&self) -> i32 {
        match self.may(Operation::Describe, ResourceType::Cluster, CLUSTER_NAME) {
            true => self.on(ResourceType::Cluster, CLUSTER_NAME),
            false => 0,
        }
    }

    fn on(&self, resource: ResourceType, name: &str) -> i32 {
        let allowed = operations(resource).iter();
        let allowed = allowed.filter(|operation| self.may(**operation, resource, name));
        allowed.fold(0, |bits, operation| bits | 1 << operation.code())
    }

    fn may(&self, operation: Operation, resource: ResourceType, name: &str) -> bool {
        let need = Need::Acl {
            operation,
            resource,
            name,
        };
        self.access.check(self.caller, need).is_allowed()
    }
}
