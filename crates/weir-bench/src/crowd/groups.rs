//! Many groups with an offset each, and one group with many members.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use kafka_protocol::{
    messages::{
        GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, ListGroupsRequest,
        OffsetCommitRequest, SyncGroupRequest,
        join_group_request::JoinGroupRequestProtocol,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::StrBytes,
};

use super::{
    measured::{figure_row, memory_row, probe, settled},
    wire::{TOPIC, Wire, check, text, topic_name},
};
use crate::{client::NodeProcess, options::CrowdOptions, report::Report};

/// Connections that commit side by side.
const WIRE_COUNT: usize = 50;
/// What a group with one offset may cost, in bytes.
const GROUP_BYTES: u64 = 2 << 10;
/// What a member may cost beside its connection, in bytes: what it subscribes to and gets is kept
/// twice, and told to the leader at once.
const MEMBER_BYTES: u64 = 64 << 10;
/// Bytes of a member's subscription and of its assignment.
const WORDS_BYTES: usize = 200;

const COMMIT_VERSION: i16 = 7;
const LIST_VERSION: i16 = 2;
/// The last version that lets a member in without a second round.
const JOIN_VERSION: i16 = 3;
const SYNC_VERSION: i16 = 1;
const HEARTBEAT_VERSION: i16 = 1;
/// A member that says nothing for so long is taken for dead, and may take so long to come back.
const SESSION_MS: i32 = 60_000;
const REBALANCE_IN_PROGRESS: i16 = 27;
const GROUP: &str = "crowded";

pub(crate) fn measure_groups(
    options: &CrowdOptions,
    node: &NodeProcess,
    report: &mut Report,
) -> Result<()> {
    let before = settled(node.pid())?;
    let all: Result<Vec<Wire>> = (0..WIRE_COUNT)
        .map(|_| Wire::connect(node.address()))
        .collect();
    let mut wires = all?;
    let start = Instant::now();
    for first in (0..options.group_count).step_by(WIRE_COUNT) {
        let there = WIRE_COUNT.min(options.group_count - first);
        for (wire, number) in wires.iter_mut().zip(first..first + there) {
            wire.send(&commit(&format!("group-{number}")), COMMIT_VERSION)?;
        }
        for wire in &mut wires[..there] {
            let answer = wire.receive::<OffsetCommitRequest>(COMMIT_VERSION)?;
            let topic = answer.topics.first().context("a topic")?;
            let partition = topic.partitions.first().context("a partition")?;
            check(partition.error_code, "a commit")?;
        }
    }
    let rate = options.group_count as f64 / start.elapsed().as_secs_f64();
    let grown = settled(node.pid())?.saturating_sub(before);
    let limit = GROUP_BYTES * options.group_count as u64;
    report.row(memory_row("groups", options.group_count, grown, limit));
    report.row(figure_row(
        "first commits, 50 connections",
        format!("{rate:.0} commits/s"),
    ));
    let start = Instant::now();
    let listed = wires[0].ask(&ListGroupsRequest::default(), LIST_VERSION)?;
    let took_ms = start.elapsed().as_millis();
    ensure!(
        listed.groups.len() >= options.group_count,
        "not all are listed"
    );
    report.row(figure_row("a list of all groups", format!("{took_ms} ms")));
    let latency = probe(node.address())?;
    report.row(figure_row(
        "a lone produce beside them",
        latency.to_string(),
    ));
    Ok(())
}

fn commit(group: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(TOPIC))
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(vec![topic])
}

/// A member on a connection of its own.
struct Member {
    wire: Wire,
    id: StrBytes,
    generation: i32,
}

pub(crate) fn measure_members(
    options: &CrowdOptions,
    node: &NodeProcess,
    report: &mut Report,
) -> Result<()> {
    let member = |_| {
        Ok(Member {
            wire: Wire::connect(node.address())?,
            id: StrBytes::default(),
            generation: -1,
        })
    };
    let all: Result<Vec<Member>> = (0..options.member_count).map(member).collect();
    let mut members = all.context("connections (ulimit -n)")?;
    let before = settled(node.pid())?;
    let start = Instant::now();
    form(&mut members)?;
    let first_ms = start.elapsed().as_millis();
    let grown = settled(node.pid())?.saturating_sub(before);
    let limit = MEMBER_BYTES * options.member_count as u64;
    report.row(memory_row(
        "members of one group",
        members.len(),
        grown,
        limit,
    ));
    report.row(figure_row(
        "until all of them have their part",
        format!("{first_ms} ms"),
    ));
    let start = Instant::now();
    ensure!(
        beat(&mut members)?.iter().all(|code| *code == 0),
        "a heartbeat is refused"
    );
    let beat_ms = start.elapsed().as_millis();
    report.row(figure_row(
        "a heartbeat of each, at once",
        format!("{beat_ms} ms"),
    ));
    // The last one comes again as somebody new: all others have to join again.
    let start = Instant::now();
    let mut newcomer = Member {
        wire: Wire::connect(node.address())?,
        id: StrBytes::default(),
        generation: -1,
    };
    newcomer.wire.send(&join(&newcomer), JOIN_VERSION)?;
    while beat(&mut members)?
        .iter()
        .any(|code| *code != REBALANCE_IN_PROGRESS)
    {}
    for member in &mut members {
        let request = join(member);
        member.wire.send(&request, JOIN_VERSION)?;
    }
    members.push(newcomer);
    take_part(&mut members)?;
    let again_ms = start.elapsed().as_millis();
    report.row(figure_row(
        "one more: until all have a part",
        format!("{again_ms} ms"),
    ));
    let latency = probe(node.address())?;
    report.row(figure_row(
        "a lone produce beside them",
        latency.to_string(),
    ));
    Ok(())
}

fn join(member: &Member) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(Bytes::from_static(&[0; WORDS_BYTES]));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(SESSION_MS)
        .with_member_id(member.id.clone())
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol])
}

/// All join, and get their parts.
fn form(members: &mut [Member]) -> Result<()> {
    for member in members.iter_mut() {
        let request = join(member);
        member.wire.send(&request, JOIN_VERSION)?;
    }
    take_part(members)
}

/// Reads the answers to the joins; the leader deals, and everybody gets a part.
fn take_part(members: &mut [Member]) -> Result<()> {
    let mut dealt = Vec::new();
    let mut leads = None;
    for (at, member) in members.iter_mut().enumerate() {
        let joined: JoinGroupResponse = member.wire.receive::<JoinGroupRequest>(JOIN_VERSION)?;
        check(joined.error_code, "a join")?;
        member.id = joined.member_id.clone();
        member.generation = joined.generation_id;
        if joined.leader == joined.member_id {
            leads = Some(at);
            let parts = joined.members.into_iter().map(|one| {
                SyncGroupRequestAssignment::default()
                    .with_member_id(one.member_id)
                    .with_assignment(Bytes::from_static(&[0; WORDS_BYTES]))
            });
            dealt = parts.collect();
        }
    }
    let leads = leads.context("nobody leads")?;
    ensure!(
        dealt.len() == members.len(),
        "the leader knows {}",
        dealt.len()
    );
    for (at, member) in members.iter_mut().enumerate() {
        let own = if at == leads {
            std::mem::take(&mut dealt)
        } else {
            Vec::new()
        };
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id(member.generation)
            .with_member_id(member.id.clone())
            .with_assignments(own);
        member.wire.send(&request, SYNC_VERSION)?;
    }
    for member in members {
        let part = member.wire.receive::<SyncGroupRequest>(SYNC_VERSION)?;
        check(part.error_code, "a part")?;
        ensure!(part.assignment.len() == WORDS_BYTES, "no part");
    }
    Ok(())
}

/// A heartbeat of each; the codes that come back.
fn beat(members: &mut [Member]) -> Result<Vec<i16>> {
    for member in members.iter_mut() {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id(member.generation)
            .with_member_id(member.id.clone());
        member.wire.send(&request, HEARTBEAT_VERSION)?;
    }
    let answers = members
        .iter_mut()
        .map(|member| member.wire.receive::<HeartbeatRequest>(HEARTBEAT_VERSION));
    answers
        .map(|answer| answer.map(|answer| answer.error_code))
        .collect()
}
