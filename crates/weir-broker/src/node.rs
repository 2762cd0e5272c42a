//! One node as its doors see it: every request is checked here and goes to the group that can
//! answer it.

mod configs;
mod coordinator;
mod create_topics;
mod decided;
mod delete_records;
mod elect;
mod endings;
mod epochs;
pub(crate) mod fetch;
pub(crate) mod figures;
mod group_admin;
mod groups;
mod identity;
mod list_offsets;
pub(crate) mod manage;
mod produce;
mod producer_ids;
pub(crate) mod queues;
mod reassign;
mod replicas;
mod segments;
pub(crate) mod share;
mod stored;
mod successor;
mod topics;
pub(crate) mod transaction_calls;
mod transaction_offsets;
mod transactional;
mod transactions;

use std::sync::{Arc, Mutex, atomic::AtomicU32};

use weir_log::{Clock, Disk, Entropy, Millis, partition::PartitionLog};
use weir_model::{ErrorKind, GroupId, NodeId, PartitionId};
use weir_raft::{BufferPool, Context, Done, GroupStatus, Handle, Input, NotCommitted};

use self::{
    identity::Known,
    producer_ids::ProducerIds,
    queues::{Lanes, Looks, Run, Sessions, Watchers},
    share::ShareSessions,
};
use crate::{
    api::{Backend, Request, TopicRef},
    audit::AuditWriter,
    catch_up::Offers,
    config::NodeConfig,
    identity::Identity,
    machine::Machine,
    mailbox::Reply,
    metadata::TopicRecord,
    metadata_host::MetadataView,
    outcome::AppliedOutcome,
    peer::{PeerMessages, PeerPort},
    purgatory::Purgatory,
    shard::ShardEnv,
    steward::StewardState,
    view::Views,
};

/// The node's API. All state is in the groups; what is here only finds the way to them.
pub struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) env: ShardEnv,
    pub(crate) identity: Identity,
    pub(crate) offers: Arc<Offers>,
    pub(crate) buffers: Arc<BufferPool>,
    pub(crate) peers: Arc<dyn PeerPort>,
    pub(crate) topology: Arc<MetadataView>,
    pub(crate) handles: Vec<Handle<Machine>>,
    /// By group id.
    pub(crate) statuses: Vec<Arc<GroupStatus>>,
    /// Of this node's transient group; blank where it has none.
    pub(crate) transient_status: Arc<GroupStatus>,
    /// Of groups of which this node has nothing: other nodes' transient groups.
    no_status: GroupStatus,
    pub(crate) purgatory: Arc<Purgatory>,
    pub(crate) steward: StewardState,
    /// A mutex: taken a few times a second.
    pub(crate) known: Mutex<Known>,
    /// Commands of an announcement that have no answer yet.
    pub(crate) announcing_count: AtomicU32,
    pub(crate) views: Views,
    /// A mutex: taken once per new producer.
    pub(crate) producer_ids: Mutex<ProducerIds>,
    pub(crate) sessions: Sessions,
    pub(crate) run: Run,
    pub(crate) lanes: Lanes,
    pub(crate) watchers: Watchers,
    pub(crate) looks: Looks,
    pub(crate) share_sessions: ShareSessions,
    pub(crate) audit_writer: AuditWriter,
}

/// Where a partition lives.
struct Route {
    topic: Arc<TopicRecord>,
    partition: PartitionId,
    group: GroupId,
}

/// What a node's parts need to be put together.
pub(crate) struct NodeParts {
    pub(crate) config: NodeConfig,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) env: ShardEnv,
    pub(crate) identity: Identity,
    pub(crate) offers: Arc<Offers>,
    pub(crate) buffers: Arc<BufferPool>,
    pub(crate) peers: Arc<dyn PeerPort>,
    pub(crate) topology: Arc<MetadataView>,
    pub(crate) handles: Vec<Handle<Machine>>,
    pub(crate) statuses: Vec<Arc<GroupStatus>>,
    pub(crate) transient_status: Arc<GroupStatus>,
}

impl Node {
    pub(crate) fn new(parts: NodeParts) -> Arc<Self> {
        let NodeParts {
            config,
            disk,
            clock,
            entropy,
            env,
            identity,
            offers,
            buffers,
            peers,
            topology,
            handles,
            statuses,
            transient_status,
        } = parts;
        peers.set_addresses(&identity.addresses);
        let known = Mutex::new(Known::new(&identity));
        let of_shards = Arc::clone(&env.node);
        let sessions = Sessions::new(config.node, entropy.next_u64().max(1));
        let node = Arc::new(Self {
            config,
            disk,
            known,
            announcing_count: AtomicU32::new(0),
            views: Views::default(),
            clock,
            entropy,
            env,
            identity,
            offers,
            buffers,
            peers,
            topology,
            handles,
            statuses,
            transient_status,
            no_status: GroupStatus::default(),
            purgatory: Arc::default(),
            steward: StewardState::default(),
            producer_ids: Mutex::default(),
            sessions,
            run: Run::default(),
            lanes: Lanes::default(),
            watchers: Watchers::default(),
            looks: Looks::default(),
            share_sessions: ShareSessions::default(),
            audit_writer: AuditWriter::default(),
        });
        of_shards.get_or_init(|| Arc::downgrade(&node));
        node.topology.set_node(&node);
        node.access().audit().begin(node.id(), &node.clock);
        node.access().quotas().begin(&node.clock);
        node
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.config.node
    }

    /// Hands over messages from other nodes' groups.
    pub fn take_messages(&self, messages: PeerMessages) {
        for message in messages {
            if message.group.0 <= self.config.shard_count {
                self.handle_of(message.group).send(message.into_input());
            }
        }
    }

    /// Another node was lost, or answers again.
    pub fn peer_changed(&self, node: NodeId, is_up: bool) {
        self.views.health_changed(node, is_up, self.elapsed());
        if !is_up {
            self.access().heard(node, None);
        }
        for handle in &self.handles {
            handle.send(Input::PeerChanged { node, is_up });
        }
    }

    /// The connection by which another node is told things was made, or that node has ended it.
    pub fn link_changed(&self, node: NodeId, is_open: bool) {
        self.views.link_changed(node, is_open, self.elapsed());
    }

    /// Whether the node is known to the cluster as it is, and knows who leads each group.
    pub fn is_ready(&self) -> bool {
        let groups = (0..=self.config.shard_count).map(GroupId);
        self.is_announced()
            && groups
                .into_iter()
                .all(|group| self.leader_of(group).is_some())
    }

    /// Whether this node leads the group. Its transient group takes nothing before what ended with
    /// earlier runs is gone: others could take its partitions for those that they knew.
    pub(crate) fn leads(&self, group: GroupId) -> bool {
        let leads = self.status(group).leader() == Some(self.config.node);
        leads && (!group.is_transient() || self.run.has_begun())
    }

    /// Answers every request that waits for more, so that connections can end.
    pub fn release_waits(&self) {
        self.purgatory.close();
    }

    /// Whether this node is going down.
    pub(crate) fn is_closing(&self) -> bool {
        self.purgatory.is_closed()
    }

    /// Milliseconds of a clock that never jumps, for waits on this node alone.
    pub(crate) fn elapsed(&self) -> Millis {
        crate::purgatory::elapsed(&*self.clock)
    }

    pub(crate) fn handle_of(&self, group: GroupId) -> &Handle<Machine> {
        let count = u32::try_from(self.handles.len()).expect("a node has few workers");
        &self.handles[(group.0 % count) as usize]
    }

    pub(crate) fn propose(
        &self,
        group: GroupId,
        command: weir_raft::Command,
        done: Done<AppliedOutcome>,
    ) {
        self.handle_of(group).send(Input::Propose {
            group,
            command,
            done: Some(done),
        });
    }

    /// Proposes what is small and lets clients of queues go on while publishers wait: a full disk does
    /// not refuse it. Stored as long as the log's file has room; past that it waits for some.
    pub(crate) fn propose_in_spite(
        &self,
        group: GroupId,
        command: weir_raft::Command,
        done: Done<AppliedOutcome>,
    ) {
        let (handle, again) = (self.handle_of(group).clone(), command.clone());
        let tried = move |outcome| match outcome {
            Err(NotCommitted::StorageFull) => {
                let visit = move |_: &mut Machine, context: &mut Context<'_, AppliedOutcome>| {
                    context.propose(again, Some(done));
                };
                let visit = Box::new(visit);
                handle.send(Input::Visit { group, visit });
            }
            outcome => done(outcome),
        };
        self.propose(group, command, Box::new(tried));
    }

    fn route(&self, topic: &TopicRef, index: i32) -> Result<Route, ErrorKind> {
        let topology = self.topology.load();
        let topic = topology.topic(topic)?;
        let found = topic
            .partition(index)
            .ok_or(ErrorKind::UnknownTopicOrPartition)?;
        Ok(Route {
            topic: Arc::clone(topic),
            partition: found.0,
            group: found.1,
        })
    }

    /// The log of a partition that this node leads. `leader_epoch` is what the client knows; -1
    /// where it does not say.
    fn readable(
        &self,
        topic: &TopicRef,
        index: i32,
        leader_epoch: i32,
    ) -> Result<Arc<PartitionLog>, ErrorKind> {
        self.readable_on(&self.route(topic, index)?, leader_epoch)
    }

    fn readable_on(
        &self,
        route: &Route,
        leader_epoch: i32,
    ) -> Result<Arc<PartitionLog>, ErrorKind> {
        if !self.leads(route.group) {
            return Err(ErrorKind::NotLeader);
        }
        self.check_epoch(route.group, leader_epoch)?;
        Ok(self.log_of(route))
    }

    fn log_of(&self, route: &Route) -> Arc<PartitionLog> {
        self.env.open_partition(route.group, route.partition)
    }

    /// Whether the leader epoch that the client knows is this node's; -1: it does not say.
    fn check_epoch(&self, group: GroupId, leader_epoch: i32) -> Result<(), ErrorKind> {
        let current = self.status(group).led_term().leader_epoch();
        if leader_epoch >= 0 && leader_epoch < current {
            Err(ErrorKind::FencedLeaderEpoch)
        } else if leader_epoch > current {
            Err(ErrorKind::UnknownLeaderEpoch)
        } else {
            Ok(())
        }
    }

    /// Index of the last entry that the group applied on this node.
    pub(crate) fn applied(&self, group: GroupId) -> u64 {
        self.status(group).applied()
    }

    pub(crate) fn status(&self, group: GroupId) -> &GroupStatus {
        if group.is_transient() {
            return match self.transient_group() == Some(group) {
                true => &self.transient_status,
                false => &self.no_status,
            };
        }
        &self.statuses[usize::try_from(group.0).expect("a u32 fits")]
    }

    /// The group of what ends with this node's run.
    pub(crate) fn transient_group(&self) -> Option<GroupId> {
        GroupId::transient(self.id())
    }

    /// The groups of which this node may lead partitions: all but the metadata's.
    pub(crate) fn groups_with_partitions(&self) -> impl Iterator<Item = GroupId> + use<> {
        let shards = (1..=self.config.shard_count).map(GroupId);
        shards.chain(self.transient_group())
    }

    /// Whether the group is one of those.
    pub(crate) fn has_partitions(&self, group: GroupId) -> bool {
        let is_shard = (1..=self.config.shard_count).contains(&group.0);
        is_shard || self.transient_group() == Some(group)
    }

    fn leader_epoch(&self, topic: &TopicRef, index: i32) -> i32 {
        self.route(topic, index)
            .map_or(-1, |route| self.epoch_of(route.group).leader_epoch())
    }
}

/// The same node for every door.
impl Backend for Arc<Node> {
    fn submit(&self, request: Request, reply: Reply) {
        match request {
            Request::Produce(produce) => self.produce(produce, reply),
            Request::Fetch(fetch) => self.fetch(fetch, reply),
            Request::ListOffsets(wanted) => self.list_offsets(wanted, reply),
            Request::EndOfEpoch(wanted) => self.ends_of_epochs(wanted, reply),
            Request::Metadata(metadata) => self.metadata(metadata, reply),
            Request::CreateTopics(create) => self.create_topics(create, reply),
            Request::InitProducerId(init) => self.init_producer_id(init, reply),
            Request::FindCoordinator(groups) => self.find_coordinators(&groups, reply),
            Request::JoinGroup(join) => self.join_group(join, reply),
            Request::SyncGroup(sync) => self.sync_group(sync, reply),
            Request::Heartbeat(heartbeat) => self.heartbeat(heartbeat, reply),
            Request::ConsumerHeartbeat(beat) => self.consumer_heartbeat(beat, reply),
            Request::ShareHeartbeat(beat) => self.share_heartbeat(beat, reply),
            Request::LeaveGroup(leave) => self.leave_group(leave, reply),
            Request::OffsetCommit(commit) => self.commit_offsets(commit, reply),
            Request::OffsetFetch(wanted) => self.fetch_offsets(wanted, reply),
            Request::ListGroups(wanted) => self.list_groups(wanted, reply),
            Request::DescribeGroups(groups) => self.describe_groups(groups, reply),
            Request::DescribeConsumerGroups(groups) => self.describe_consumer_groups(groups, reply),
            Request::DescribeShareGroups(groups) => self.describe_share_groups(groups, reply),
            Request::DeleteGroups(groups) => self.delete_groups(groups, reply),
            Request::DeleteOffsets(delete) => self.delete_offsets(delete, reply),
            Request::Manage(manage) => self.manage(manage, reply),
            Request::AddPartitions(wanted) => self.add_partitions(wanted, reply),
            Request::AddOffsets(wanted) => self.add_offsets(wanted, reply),
            Request::EndTransaction(end) => self.end_transaction(end, reply),
            Request::TransactionOffsetCommit(commit) => self.commit_in_transaction(commit, reply),
            Request::WriteMarkers(wanted) => self.write_markers(&wanted, reply),
            Request::DescribeProducers(wanted) => self.describe_producers(wanted, reply),
            Request::DescribeTransactions(wanted) => self.describe_transactions(wanted, reply),
            Request::ListTransactions(wanted) => self.list_transactions(wanted, reply),
            Request::Share(request) => self.share_records(request, reply),
            Request::ShareAdmin(asked) => self.share_admin(asked, reply),
            Request::ChangeAccess(changes) => self.change_access_in_turn(changes, reply),
            Request::Queue(request) => self.queue_request(request, reply),
        }
    }
}
