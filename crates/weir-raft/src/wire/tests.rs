//! Round trips, cuts and damage.

use bytes::Bytes;
use raft::eraftpb::{
    ConfState, Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata,
};
use weir_model::{GroupId, NodeId};

use super::*;
use crate::{PeerMessage, peer::PeerBody};

const FROM: NodeId = NodeId(7);
const TO: NodeId = NodeId(9);

fn message(body: PeerBody) -> PeerMessage {
    PeerMessage {
        from: FROM,
        to: TO,
        group: GroupId(5),
        body,
    }
}

fn raft(msg_type: MessageType) -> Message {
    Message {
        msg_type,
        from: FROM.0,
        to: TO.0,
        term: 3,
        log_term: 2,
        index: u64::MAX,
        commit: 4,
        commit_term: 5,
        request_snapshot: 6,
        reject: true,
        reject_hint: 7,
        context: Bytes::from_static(b"read-index"),
        deprecated_priority: 8,
        priority: -9,
        ..Message::default()
    }
}

fn entry(entry_type: EntryType, data: Bytes) -> Entry {
    Entry {
        entry_type,
        term: 1,
        index: 2,
        data,
        context: Bytes::from_static(b"c"),
        ..Entry::default()
    }
}

fn append() -> PeerMessage {
    let mut append = raft(MessageType::MsgAppend);
    append.entries = vec![
        entry(EntryType::EntryNormal, Bytes::new()),
        entry(
            EntryType::EntryConfChange,
            vec![1; MIN_CHUNK_BYTES - 1].into(),
        ),
        entry(
            EntryType::EntryConfChangeV2,
            vec![2; MIN_CHUNK_BYTES].into(),
        ),
        entry(EntryType::EntryNormal, vec![3; MIN_CHUNK_BYTES + 1].into()),
    ]
    .into();
    message(PeerBody::Raft(Box::new(append)))
}

fn snapshot(data: Bytes) -> PeerMessage {
    let conf_state = ConfState {
        voters: vec![1, 2],
        learners: vec![3],
        voters_outgoing: vec![1],
        learners_next: vec![4],
        auto_leave: true,
        ..ConfState::default()
    };
    let metadata = SnapshotMetadata {
        conf_state: Some(conf_state).into(),
        index: 10,
        term: 11,
        ..SnapshotMetadata::default()
    };
    let mut raft = raft(MessageType::MsgSnapshot);
    raft.snapshot = Some(Snapshot {
        data,
        metadata: Some(metadata).into(),
        ..Snapshot::default()
    })
    .into();
    message(PeerBody::Raft(Box::new(raft)))
}

const TRAVELLING: [MessageType; 12] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgTransferLeader,
    MessageType::MsgTimeoutNow,
    MessageType::MsgReadIndex,
    MessageType::MsgReadIndexResp,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

fn all() -> Vec<PeerMessage> {
    let mut messages: Vec<PeerMessage> = TRAVELLING
        .iter()
        .map(|kind| message(PeerBody::Raft(Box::new(raft(*kind)))))
        .collect();
    let (term, commit) = (12, 13);
    messages.push(message(PeerBody::Sleep { term, commit }));
    messages.push(append());
    messages.push(snapshot(Bytes::from_static(b"small")));
    messages.push(snapshot(vec![4; 2 * MIN_CHUNK_BYTES].into()));
    messages
}

fn joined(messages: &[PeerMessage]) -> Bytes {
    encode(FROM, TO, messages).concat().into()
}

#[test]
fn every_kind_reads_back_with_every_field() {
    assert_eq!(decode(FROM, TO, joined(&all())), Ok(all()));
    assert_eq!(decode(FROM, TO, joined(&[])), Ok(vec![]));
}

#[test]
fn a_messages_size_is_what_it_adds_to_the_list() {
    for message in all() {
        let added = joined(std::slice::from_ref(&message)).len() - joined(&[]).len();
        assert_eq!(added, size_bytes(&message), "{message:?}");
    }
}

#[test]
fn large_data_is_sent_and_received_without_a_copy() {
    let data = Bytes::from(vec![5; MIN_CHUNK_BYTES]);
    let mut append = raft(MessageType::MsgAppend);
    append.entries = vec![entry(EntryType::EntryNormal, data.clone())].into();
    let message = message(PeerBody::Raft(Box::new(append)));
    let chunks = encode(FROM, TO, &[message]);
    assert!(chunks.iter().any(|chunk| chunk.as_ptr() == data.as_ptr()));
    let received: Bytes = chunks.concat().into();
    let decoded = decode(FROM, TO, received.clone()).unwrap();
    let PeerBody::Raft(raft) = &decoded[0].body else {
        panic!("an append was sent")
    };
    let at = raft.entries[0].data.as_ptr();
    assert!(received.as_ptr_range().contains(&at));
}

#[test]
fn what_a_node_sends_to_itself_is_left_out_and_refused() {
    use MessageType as M;
    for kind in [
        M::MsgHup,
        M::MsgBeat,
        M::MsgPropose,
        M::MsgUnreachable,
        M::MsgSnapStatus,
        M::MsgCheckQuorum,
    ] {
        let local = message(PeerBody::Raft(Box::new(raft(kind))));
        assert_eq!(joined(&[local]), joined(&[]));
        let heartbeat = message(PeerBody::Raft(Box::new(raft(M::MsgHeartbeat))));
        let mut bytes = joined(&[heartbeat]).to_vec();
        bytes[LIST_HEADER_BYTES] = encode::tag(kind);
        let refused = WireError::Local {
            at: LIST_HEADER_BYTES,
            tag: encode::tag(kind),
        };
        assert_eq!(decode(FROM, TO, bytes.into()), Err(refused));
    }
}

#[test]
fn another_sender_or_receiver_than_the_connections_is_refused() {
    let bytes = joined(&all());
    let found = FROM.0;
    let expected = NodeId(8);
    assert_eq!(
        decode(expected, TO, bytes.clone()),
        Err(WireError::Sender { expected, found })
    );
    let found = TO.0;
    assert_eq!(
        decode(FROM, expected, bytes),
        Err(WireError::Receiver { expected, found })
    );
    let mut forged = raft(MessageType::MsgHeartbeat);
    forged.from = 8;
    let forged = message(PeerBody::Raft(Box::new(forged)));
    assert_eq!(joined(&[forged]), joined(&[]));
}

#[test]
fn unknown_kinds_and_misplaced_snapshots_are_refused() {
    let beat = message(PeerBody::Raft(Box::new(raft(MessageType::MsgHeartbeat))));
    let mut bytes = joined(&[beat]).to_vec();
    for (found, what) in [(19, "kind of message"), (65, "kind of message")] {
        bytes[LIST_HEADER_BYTES] = found;
        let at = LIST_HEADER_BYTES;
        let refused = WireError::Unknown { at, what, found };
        assert_eq!(decode(FROM, TO, bytes.clone().into()), Err(refused));
    }
    bytes[LIST_HEADER_BYTES] = encode::tag(MessageType::MsgSnapshot);
    let at = LIST_HEADER_BYTES;
    assert_eq!(
        decode(FROM, TO, bytes.clone().into()),
        Err(WireError::Snapshot { at })
    );
    bytes[0] = 2;
    assert!(matches!(
        decode(FROM, TO, bytes.into()),
        Err(WireError::Unknown {
            at: 0,
            found: 2,
            ..
        })
    ));
    let mut append = raft(MessageType::MsgAppend);
    append.context = Bytes::new();
    append.entries = vec![entry(EntryType::EntryNormal, Bytes::new())].into();
    let mut bytes = joined(&[message(PeerBody::Raft(Box::new(append)))]).to_vec();
    let kind_at = LIST_HEADER_BYTES + RAFT_BYTES - 1;
    bytes[kind_at] = 3;
    assert!(matches!(
        decode(FROM, TO, bytes.into()),
        Err(WireError::Unknown { at, found: 3, .. }) if at == kind_at
    ));
}

#[test]
fn no_cut_decodes_and_one_byte_more_does_not() {
    let bytes = joined(&all());
    for cut in 0..bytes.len() {
        assert!(
            decode(FROM, TO, bytes.slice(..cut)).is_err(),
            "cut at {cut}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        decode(FROM, TO, longer.into()),
        Err(WireError::Trailing { left: 1, .. })
    ));
}

#[test]
fn damage_at_any_byte_is_an_error_or_another_list_that_encodes_to_itself() {
    let bytes = joined(&all());
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] = value;
            let damaged = Bytes::from(damaged);
            if let Ok(messages) = decode(FROM, TO, damaged.clone()) {
                // A flag among the members reads as set for any value but 0.
                assert_eq!(joined(&messages).len(), damaged.len(), "byte {at}");
            }
        }
    }
}

#[test]
fn a_count_beyond_the_bytes_is_refused_before_anything_is_read() {
    let mut bytes = joined(&[]).to_vec();
    bytes[LIST_HEADER_BYTES - 4..].fill(0xff);
    assert!(matches!(
        decode(FROM, TO, bytes.into()),
        Err(WireError::Truncated { left: 0, .. })
    ));
}

#[test]
fn mutated_lists_are_refused_or_understood_as_what_they_say() {
    const MUTATIONS_COUNT: usize = 20_000;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(limit).unwrap()).unwrap()
    };
    let seeds: Vec<Bytes> = all().into_iter().map(|one| joined(&[one])).collect();
    let mut understood_count = 0;
    for _ in 0..MUTATIONS_COUNT {
        let mut bytes = seeds[below(seeds.len())].to_vec();
        for _ in 0..=below(3) {
            let at = below(bytes.len());
            match below(5) {
                0 => bytes[at] = 0xff,
                1 => bytes[at] ^= 1 << below(8),
                2 => bytes[at] = u8::try_from(below(256)).unwrap(),
                3 => bytes.insert(at, 0),
                _ => bytes.truncate(at + 1),
            }
        }
        if let Ok(messages) = decode(FROM, TO, bytes.into()) {
            understood_count += 1;
            // Members may be told in any order, and are written in theirs.
            let again = joined(&messages);
            let messages = decode(FROM, TO, again.clone()).unwrap();
            assert_eq!(joined(&messages), again);
        }
    }
    assert!((1..MUTATIONS_COUNT).contains(&understood_count));
}
