use super::{beacon::MAX_BEACON_BYTES, *};
use crate::{
    access::Tally,
    encoding::{Reader, trial},
};
use weir_raft::{FollowerView, Members};

const GROUP: GroupId = GroupId(2);

fn view(term: u64, conf_index: u64) -> GroupView {
    let follower = |node, is_active| FollowerView {
        node: NodeId(node),
        matched: 4,
        is_active,
        is_behind: false,
    };
    GroupView {
        term: Term(term),
        leader: None,
        conf_index,
        members: Members {
            voters: vec![NodeId(1), NodeId(2), NodeId(3)],
            learners: vec![NodeId(4)],
            ..Members::default()
        },
        last_index: 9,
        followers: vec![follower(2, true), follower(3, false), follower(4, true)],
    }
}

fn beacon(views: Vec<GroupView>) -> Beacon {
    Beacon {
        is_slow: false,
        is_full: false,
        metadata_applied: 3,
        boot: 9,
        address: String::new(),
        endpoint: None,
        groups: views.into_iter().map(|view| (GROUP, view)).collect(),
        tally: Tally::default(),
    }
}

fn leader(state: &ClusterState) -> Option<(Option<u64>, u64)> {
    let view = state.groups.get(&GROUP)?;
    Some((view.leader.map(|node| node.0), view.term.0))
}

#[test]
fn a_view_comes_back_and_damage_is_an_error() {
    let mut writer = Writer::new();
    writer.u8(VERSION);
    writer.u8(SLOW);
    writer.u64(3);
    writer.u64(9);
    writer.text("localhost:1");
    let secure = Endpoint {
        host: "localhost".to_owned(),
        port: 9093,
    };
    endpoint::write(&mut writer, Some(&secure));
    writer.count(1);
    writer.u32(GROUP.0);
    write_view(&mut writer, &view(5, 6));
    Tally::default().write(&mut writer);
    let bytes = writer.finish();
    let back = read_beacon(&bytes).unwrap();
    assert!(back.is_slow && !back.is_full && back.metadata_applied == 3 && back.boot == 9);
    assert_eq!(back.address, "localhost:1");
    assert_eq!(back.endpoint, Some(secure));
    assert_eq!(back.groups, [(GROUP, view(5, 6))]);
    trial::damage(&bytes, read_beacon);
    let mut bytes = bytes.to_vec();
    for (disk, is) in [
        (0, (false, false)),
        (FULL, (false, true)),
        (3, (true, true)),
    ] {
        bytes[1] = disk;
        let back = read_beacon(&bytes).unwrap();
        assert_eq!((back.is_slow, back.is_full), is);
    }
    bytes[1] = 4;
    assert!(read_beacon(&bytes).is_err());
    let long = vec![0; MAX_BEACON_BYTES + 1];
    assert!(read_beacon(&long).is_err());
}

#[test]
fn the_leader_of_the_highest_term_is_believed() {
    let mut state = ClusterState::default();
    state.merge(NodeId(2), beacon(vec![view(5, 6)]), 4);
    state.merge(NodeId(1), beacon(vec![view(4, 7)]), 4);
    assert_eq!(leader(&state), Some((Some(2), 5)));
    state.merge(NodeId(1), beacon(vec![view(6, 7)]), 4);
    assert_eq!(leader(&state), Some((Some(1), 6)));
    state.merge(NodeId(1), beacon(vec![view(6, 6)]), 4);
    assert_eq!(state.groups[&GROUP].conf_index, 7);
}

#[test]
fn who_says_no_more_that_it_leads_does_not() {
    let mut state = ClusterState::default();
    state.merge(NodeId(2), beacon(vec![view(5, 6)]), 4);
    state.merge(NodeId(3), beacon(Vec::new()), 4);
    assert_eq!(leader(&state), Some((Some(2), 5)));
    state.merge(NodeId(2), beacon(Vec::new()), 4);
    assert_eq!(leader(&state), Some((None, 5)));
    assert_eq!(voters(&state.groups[&GROUP]).len(), 3);
}

#[test]
fn a_lost_node_leads_nothing_until_it_is_back() {
    let mut state = ClusterState::default();
    state.merge(NodeId(2), beacon(vec![view(5, 6)]), 4);
    state.health_changed(NodeId(2), false);
    assert_eq!(leader(&state), Some((None, 5)));
    state.merge(NodeId(2), beacon(vec![view(5, 6)]), 4);
    assert_eq!(leader(&state), Some((None, 5)));
    state.health_changed(NodeId(2), true);
    state.merge(NodeId(2), beacon(vec![view(5, 6)]), 4);
    assert_eq!(leader(&state), Some((Some(2), 5)));
}

#[test]
fn a_node_whose_connection_ended_is_doubted_until_it_is_reached_or_time_has_passed() {
    let views = Views::default();
    let is_away = |at| views.lock().is_away(NodeId(2), Millis(0).plus(at));
    views.link_changed(NodeId(2), false, Millis(10));
    assert!(!is_away(10), "a node that was never heard of");
    views.health_changed(NodeId(2), true, Millis(10));
    views.link_changed(NodeId(2), false, Millis(10));
    assert!(is_away(10) && is_away(9 + DOUBT_MS) && !is_away(10 + DOUBT_MS));
    views.link_changed(NodeId(2), true, Millis(11));
    assert!(!is_away(11));
    views.link_changed(NodeId(2), false, Millis(12));
    views.health_changed(NodeId(2), false, Millis(12));
    assert!(is_away(12 + DOUBT_MS), "lost");
    views.health_changed(NodeId(2), true, Millis(12));
    assert!(!is_away(12), "back");
}

#[test]
fn groups_and_nodes_past_the_limit_are_not_kept() {
    let mut state = ClusterState::default();
    state.merge(NodeId(2), beacon(vec![view(5, 6)]), GROUP.0 - 1);
    assert_eq!(leader(&state), None);
    for node in 3..=u64::try_from(MAX_NODES).unwrap() + 2 {
        state.merge(NodeId(node), beacon(Vec::new()), 4);
        state.health_changed(NodeId(node), true);
    }
    assert_eq!(state.nodes.len(), MAX_NODES);
}

#[test]
fn voters_that_the_leader_hears_of_are_in_sync() {
    let mut led = view(5, 6);
    led.leader = Some(NodeId(1));
    assert_eq!(in_sync(&led), [NodeId(1), NodeId(2)]);
    led.members = Members::default();
    assert_eq!(in_sync(&led), [NodeId(1)]);
}

#[test]
fn a_beacon_of_all_groups_with_five_voters_each_is_read() {
    let mut full = view(5, 6);
    full.members.voters = (1..=5).map(NodeId).collect();
    full.followers = vec![full.followers[0]; 4];
    let mut writer = Writer::new();
    writer.u8(VERSION);
    writer.u8(0);
    writer.u64(3);
    writer.u64(9);
    writer.text(&"h".repeat(255));
    endpoint::write(&mut writer, None);
    let groups = 0..=crate::config::MAX_SHARD_COUNT;
    writer.count(groups.clone().count());
    for group in groups {
        writer.u32(group);
        write_view(&mut writer, &full);
    }
    Tally::default().write(&mut writer);
    assert!(read_beacon(&writer.finish()).is_ok());
}

#[test]
fn a_node_that_hears_of_less_than_half_is_cut_off() {
    let mut state = ClusterState::default();
    let all = |count| (1..=count).map(NodeId).collect::<Vec<_>>();
    assert!(!state.hears_few(NodeId(1), all(1).iter()));
    assert!(!state.hears_few(NodeId(1), all(2).iter()));
    assert!(state.hears_few(NodeId(1), all(3).iter()));
    state.health_changed(NodeId(2), true);
    assert!(!state.hears_few(NodeId(1), all(3).iter()));
    assert!(state.hears_few(NodeId(1), all(5).iter()));
    state.health_changed(NodeId(2), false);
    assert!(state.hears_few(NodeId(1), all(3).iter()));
}

#[test]
fn where_tls_is_spoken_is_told_by_beacons_and_stays_known_of_a_lost_node() {
    let endpoint = Endpoint {
        host: "h".repeat(255),
        port: 9093,
    };
    let mut writer = Writer::new();
    endpoint::write(&mut writer, Some(&endpoint));
    endpoint::write(&mut writer, None);
    let written = writer.finish();
    let mut reader = Reader::new(&written);
    assert_eq!(endpoint::read(&mut reader), Ok(Some(endpoint.clone())));
    assert_eq!(endpoint::read(&mut reader), Ok(None));
    assert!(reader.finish().is_ok());
    let mut writer = Writer::new();
    let too_long = Endpoint {
        host: "h".repeat(256),
        port: 1,
    };
    endpoint::write(&mut writer, Some(&too_long));
    assert!(endpoint::read(&mut Reader::new(&writer.finish())).is_err());

    let mut state = ClusterState::default();
    let told = Beacon {
        endpoint: Some(endpoint.clone()),
        ..beacon(Vec::new())
    };
    state.merge(NodeId(2), told, 1);
    state.health_changed(NodeId(2), false);
    assert_eq!(state.endpoints.get(&NodeId(2)), Some(&endpoint));
    state.health_changed(NodeId(2), true);
    state.merge(NodeId(2), beacon(Vec::new()), 1);
    assert_eq!(state.endpoints.get(&NodeId(2)), None);
}
