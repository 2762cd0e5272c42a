//! Who a client is by its certificate.

use std::{net::IpAddr, sync::Arc};

use weir_access::{
    UserLimits,
    acl::{Acl, Operation, ResourceType},
};
use weir_broker::access::AccessView;
use weir_door::{Connection, Session, TlsSession};
use weir_door_kafka::{KafkaConfig, KafkaSession, codec::versions::Api};
use weir_tls::{DistinguishedName, PeerIdentity, PrincipalRules, name::Attribute};

use crate::{
    logins::{FAR, line, log_in, reason, with_users},
    outcomes::outcome,
    permissions::acl_on,
    samples::frame,
    wire::{NOW, sent, shared},
};

/// Whether it is asked for what wants a permission.
fn may_act(session: &mut KafkaSession) -> bool {
    session.receive(NOW, frame(line(Api::Heartbeat), 4, 3));
    let Some((ticket, request)) = session.poll_request() else {
        return false;
    };
    session.complete(NOW, ticket, outcome(&request, None));
    !sent(session).is_empty()
}

/// A session over TLS of somebody far away with a certificate of that name.
fn certified(view: AccessView, rules: &str, name: &str) -> KafkaSession {
    let attribute = Attribute {
        oid: "2.5.4.3".to_owned(),
        text: Some(name.to_owned()),
        der: Vec::new(),
    };
    let identity = PeerIdentity {
        subject: DistinguishedName {
            sets: vec![vec![attribute]],
        },
        ..PeerIdentity::default()
    };
    let connection = Connection {
        peer: (IpAddr::from(FAR), 5).into(),
        local: ([127, 0, 0, 1], 9093).into(),
        number: 0,
        tls: Some(TlsSession {
            identity: Some(Arc::new(identity)),
            version: "TLSv1.3",
        }),
    };
    let mut shared = shared(view);
    shared.principals = Arc::new(PrincipalRules::parse(rules).unwrap());
    KafkaSession::sharing(connection, KafkaConfig::default(), &shared)
}

fn allowing(name: &str) -> AccessView {
    let mut access = with_users();
    let acl = Acl {
        principal: name.into(),
        ..acl_on(Operation::Read, ResourceType::Group, "*")
    };
    access.add_acls(vec![acl]).unwrap();
    let view = AccessView::open();
    view.replace(access);
    view
}

#[test]
fn a_certificate_makes_a_principal_without_a_login_and_without_a_user() {
    let rules = "RULE:^CN=(.*)$/$1/L,DEFAULT";
    let mut session = certified(allowing("alice"), rules, "ALICE");
    assert!(may_act(&mut session));
    let mut session = certified(allowing("CN=alice"), "DEFAULT", "alice");
    assert!(may_act(&mut session));
    // Who it is is known, and it may do nothing.
    let mut session = certified(allowing("alice"), "DEFAULT", "alice");
    assert!(!may_act(&mut session));
    assert_eq!(reason(&session), "");
    // Before there is a user its holder is no stranger.
    let mut session = certified(AccessView::open(), "DEFAULT", "alice");
    assert!(may_act(&mut session));
}

#[test]
fn a_certificate_that_no_rule_names_wants_a_login_and_a_login_comes_before_a_certificate() {
    let mut session = certified(allowing("tim"), "RULE:^OU=(.*)$/$1/", "alice");
    assert_eq!(log_in(&mut session, NOW, "tim").error_code, 0);
    assert!(may_act(&mut session));
    for nobody in ["*", "ANONYMOUS"] {
        let mut session = certified(allowing(nobody), "RULE:^CN=(.*)$/$1/", nobody);
        assert!(!may_act(&mut session));
        assert!(reason(&session).contains("before a login"));
    }
    let mut session = certified(allowing("tim"), "DEFAULT", "alice");
    assert_eq!(log_in(&mut session, NOW, "tim").error_code, 0);
    assert!(may_act(&mut session));
}

#[test]
fn a_user_that_is_disabled_does_nothing_by_its_certificate_either() {
    let view = allowing("tim");
    let mut session = certified(view.clone(), "RULE:^CN=(.*)$/$1/", "tim");
    assert!(may_act(&mut session));
    let mut access = with_users();
    access.set_enabled("tim", false).unwrap();
    let acl = acl_on(Operation::Read, ResourceType::Group, "*");
    access.add_acls(vec![acl]).unwrap();
    view.replace(access);
    let mut session = certified(view, "RULE:^CN=(.*)$/$1/", "tim");
    assert!(!may_act(&mut session));
}

#[test]
fn whom_a_certificate_names_has_a_place_as_others_and_loses_it_to_a_login() {
    let view = AccessView::open();
    let mut access = with_users();
    let limits = UserLimits {
        max_connections: Some(1),
        max_channels: None,
    };
    access.set_limits("tim", limits).unwrap();
    let acl = acl_on(Operation::Read, ResourceType::Group, "*");
    access.add_acls(vec![acl]).unwrap();
    view.replace(access.clone());
    let open = || certified(view.clone(), "RULE:^CN=(.*)$/$1/", "tim");
    let mut first = open();
    // Who says nothing has none.
    let _silent = open();
    assert!(may_act(&mut first) && may_act(&mut first));
    let mut second = open();
    assert!(!may_act(&mut second));
    assert!(reason(&second).contains("user connection limit (1) is reached"));
    // As somebody else it has another one.
    assert_eq!(log_in(&mut first, NOW, "root").error_code, 0);
    let mut third = open();
    assert!(may_act(&mut third));
    // And where it is disabled it ends.
    access.set_enabled("tim", false).unwrap();
    view.replace(access);
    assert!(third.poll_timeout().is_some_and(|due| due <= NOW));
    third.handle_timeout(NOW);
    assert!(reason(&third).contains("user 'tim' was disabled"));
    assert!(may_act(&mut first));
}
