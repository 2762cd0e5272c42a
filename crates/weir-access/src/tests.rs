use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crate::{
    ADMINISTRATOR, Access, AccessError, Caller, Decision, DecisionCache, Hash, MAX_ACLS_AT_ONCE,
    MAX_RULES_PER_PRINCIPAL, MAX_TAGS, Need, Permission, Permissions, Principal, Seed, User,
    Verifier,
    acl::{Acl, AclFilter, Effect, Operation, PatternType, ResourceType},
};

fn with_users(names: &[&str]) -> Access {
    let mut access = Access::default();
    for name in names {
        access.create_user(User::new(name), Seed([1; 32])).unwrap();
    }
    access
}

fn acl(
    principal: &str,
    effect: Effect,
    operation: Operation,
    (pattern, name): (PatternType, &str),
) -> Acl {
    Acl {
        resource: ResourceType::Topic,
        pattern,
        name: name.into(),
        principal: principal.into(),
        host: "*".into(),
        operation,
        effect,
    }
}

fn is_allowed(access: &Access, name: &str, need: Need<'_>) -> bool {
    let principal = match name {
        "" => Principal::Anonymous,
        name => Principal::User(name.into()),
    };
    is_allowed_to(access, &principal, need)
}

fn is_allowed_to(access: &Access, principal: &Principal, need: Need<'_>) -> bool {
    let caller = Caller {
        principal,
        host: IpAddr::from([10, 0, 0, 1]),
        grants: None,
    };
    let decision = access.check(caller, need);
    let mut cache = DecisionCache::default();
    for _ in 0..2 {
        assert_eq!(cache.check(access, caller, need), decision);
    }
    decision.is_allowed()
}

fn topic(operation: Operation, name: &str) -> Need<'_> {
    Need::Acl {
        operation,
        resource: ResourceType::Topic,
        name,
    }
}

#[test]
fn everybody_may_do_everything_until_there_has_been_a_user() {
    let mut access = Access::default();
    let needs = [
        topic(Operation::Delete, "t"),
        Need::Vhost { vhost: "/" },
        Need::Named {
            permission: Permission::Configure,
            vhost: "/",
            name: "q",
        },
    ];
    assert!(needs.iter().all(|need| is_allowed(&access, "", *need)));
    access
        .create_user(User::new("alice"), Seed([1; 32]))
        .unwrap();
    for name in ["", "alice", "nobody"] {
        assert!(needs.iter().all(|need| !is_allowed(&access, name, *need)));
    }
    // The cluster does not open again.
    access.delete_user("alice").unwrap();
    assert!(needs.iter().all(|need| !is_allowed(&access, "", *need)));
    assert!(!access.is_open() && access.user_count() == 0);
}

#[test]
fn a_denial_wins_whoever_it_is_for() {
    use Effect::{Allow, Deny};
    let literal = |name| (PatternType::Literal, name);
    let mut access = with_users(&["alice", "bob"]);
    access
        .add_acls(vec![
            acl(
                "alice",
                Allow,
                Operation::Read,
                (PatternType::Prefixed, "or"),
            ),
            acl("*", Deny, Operation::Read, literal("orders-secret")),
            acl("bob", Allow, Operation::All, literal("*")),
            acl(
                "bob",
                Deny,
                Operation::Write,
                (PatternType::Glob, "*-archive"),
            ),
        ])
        .unwrap();
    for (name, operation, topic_name, expected) in [
        ("alice", Operation::Read, "orders", true),
        ("alice", Operation::Describe, "orders", true),
        ("alice", Operation::Write, "orders", false),
        ("alice", Operation::Read, "orders-secret", false),
        ("alice", Operation::Describe, "orders-secret", true),
        ("alice", Operation::Read, "bills", false),
        ("bob", Operation::Read, "orders-secret", false),
        ("bob", Operation::Delete, "orders-secret", true),
        ("bob", Operation::Write, "a-archive", false),
        ("bob", Operation::Describe, "a-archive", true),
        ("", Operation::Read, "orders", false),
        ("nobody", Operation::Read, "orders", false),
    ] {
        assert_eq!(
            is_allowed(&access, name, topic(operation, topic_name)),
            expected,
            "{name} {operation:?} {topic_name}"
        );
    }
}

#[test]
fn acls_may_be_for_those_who_have_not_logged_in() {
    let mut access = with_users(&["alice"]);
    let rule = acl(
        "ANONYMOUS",
        Effect::Allow,
        Operation::Read,
        (PatternType::Literal, "t"),
    );
    access.add_acls(vec![rule]).unwrap();
    assert!(is_allowed(&access, "", topic(Operation::Read, "t")));
    assert!(!is_allowed(&access, "alice", topic(Operation::Read, "t")));
}

#[test]
fn an_administrator_is_not_bound_by_acls_but_by_rabbitmqs_permissions() {
    let mut access = with_users(&["root"]);
    let tags = BTreeSet::from([ADMINISTRATOR.to_owned()]);
    access.set_tags("root", tags).unwrap();
    let denial = acl(
        "root",
        Effect::Deny,
        Operation::All,
        (PatternType::Literal, "*"),
    );
    access.add_acls(vec![denial]).unwrap();
    assert!(is_allowed(&access, "root", topic(Operation::Delete, "t")));
    assert!(!is_allowed(&access, "root", Need::Vhost { vhost: "/" }));
    access.set_enabled("root", false).unwrap();
    assert!(!is_allowed(&access, "root", topic(Operation::Read, "t")));
}

#[test]
fn any_of_a_type_is_allowed_where_one_is_that_no_denial_covers() {
    use PatternType::{Literal, Prefixed};
    for (denial, allowed, expected) in [
        (None, (Literal, "t"), true),
        (Some((Literal, "*")), (Literal, "t"), false),
        (Some((Literal, "t")), (Literal, "t"), false),
        (Some((Literal, "u")), (Literal, "t"), true),
        (Some((Prefixed, "t")), (Literal, "tx"), false),
        (Some((Prefixed, "tx")), (Prefixed, "t"), true),
        (Some((Prefixed, "t")), (Prefixed, "tx"), false),
        (Some((Prefixed, "t")), (Literal, "*"), true),
    ] {
        let mut access = with_users(&["alice"]);
        let mut rules = vec![acl("alice", Effect::Allow, Operation::Write, allowed)];
        rules.extend(denial.map(|name| acl("*", Effect::Deny, Operation::All, name)));
        access.add_acls(rules).unwrap();
        let need = |operation| Need::AnyOf {
            operation,
            resource: ResourceType::Topic,
        };
        assert_eq!(
            is_allowed(&access, "alice", need(Operation::Write)),
            expected,
            "{denial:?} {allowed:?}"
        );
        assert!(!is_allowed(&access, "alice", need(Operation::Read)));
    }
}

#[test]
fn hosts_tell_callers_apart() {
    let mut access = with_users(&["alice"]);
    let mut rule = acl(
        "alice",
        Effect::Allow,
        Operation::Read,
        (PatternType::Literal, "t"),
    );
    rule.host = "10.0.0.2".into();
    access.add_acls(vec![rule]).unwrap();
    let principal = Principal::User("alice".into());
    for (host, expected) in [
        (IpAddr::from([10, 0, 0, 2]), Decision::Allowed),
        ("::ffff:10.0.0.2".parse().unwrap(), Decision::Allowed),
        (IpAddr::from([10, 0, 0, 1]), Decision::Denied),
    ] {
        let caller = Caller {
            principal: &principal,
            host,
            grants: None,
        };
        assert_eq!(access.check(caller, topic(Operation::Read, "t")), expected);
    }
}

#[test]
fn permissions_are_those_of_the_virtual_host() {
    let mut access = with_users(&["alice"]);
    let own = Permissions::new("^alice-.*$", "", "^(alice-.*|news)$");
    access.set_permissions("alice", "/a", Some(own)).unwrap();
    let named = |permission, vhost, name| Need::Named {
        permission,
        vhost,
        name,
    };
    for (need, expected) in [
        (Need::Vhost { vhost: "/a" }, true),
        (Need::Vhost { vhost: "/" }, false),
        (named(Permission::Configure, "/a", "alice-1"), true),
        (named(Permission::Configure, "/", "alice-1"), false),
        (named(Permission::Write, "/a", "alice-1"), false),
        (named(Permission::Write, "/a", ""), false),
        (named(Permission::Read, "/a", "news"), true),
        (named(Permission::Read, "/a", "old-news"), false),
    ] {
        assert_eq!(is_allowed(&access, "alice", need), expected, "{need:?}");
        assert!(!is_allowed(&access, "", need), "{need:?}");
    }
    access.forget_vhost("/a");
    assert!(!is_allowed(&access, "alice", Need::Vhost { vhost: "/a" }));
    assert!(access.rules("alice").is_none());
}

#[test]
fn routing_keys_are_free_where_nothing_is_said_of_the_exchange() {
    let mut access = with_users(&["alice", "bob"]);
    access
        .set_topic_permissions("alice", ("/", "amq.topic"), "^{username}\\.", "")
        .unwrap();
    let key = |permission, exchange, key| Need::RoutingKey {
        permission,
        vhost: "/",
        exchange,
        key,
    };
    for (need, expected) in [
        (key(Permission::Write, "amq.topic", "alice.1"), true),
        (key(Permission::Write, "amq.topic", "bob.1"), false),
        (key(Permission::Read, "amq.topic", "alice.1"), false),
        (key(Permission::Write, "other", "bob.1"), true),
    ] {
        assert_eq!(is_allowed(&access, "alice", need), expected, "{need:?}");
    }
    assert!(is_allowed(
        &access,
        "bob",
        key(Permission::Write, "amq.topic", "x")
    ));
    access.clear_topic_permissions("alice", "/", None).unwrap();
    assert!(is_allowed(
        &access,
        "alice",
        key(Permission::Write, "amq.topic", "bob.1")
    ));
}

#[test]
fn what_a_connection_remembers_ends_with_the_next_change() {
    let mut access = with_users(&["alice"]);
    let principal = Principal::User("alice".into());
    let caller = Caller {
        principal: &principal,
        host: IpAddr::from([127, 0, 0, 1]),
        grants: None,
    };
    let mut cache = DecisionCache::default();
    let need = topic(Operation::Read, "t");
    assert_eq!(cache.check(&access, caller, need), Decision::Denied);
    let rule = acl(
        "alice",
        Effect::Allow,
        Operation::Read,
        (PatternType::Literal, "*"),
    );
    access.add_acls(vec![rule]).unwrap();
    assert_eq!(cache.check(&access, caller, need), Decision::Allowed);
    access.delete_acls(&[AclFilter::default()]);
    assert_eq!(cache.check(&access, caller, need), Decision::Denied);
    for at in 0..1_000 {
        let name = at.to_string();
        assert_eq!(
            cache.check(&access, caller, topic(Operation::Read, &name)),
            Decision::Denied
        );
    }
}

#[test]
fn a_user_that_goes_takes_permissions_along_and_leaves_acls() {
    let mut access = with_users(&["alice"]);
    let all = Permissions::new(".*", ".*", ".*");
    access.set_permissions("alice", "/", Some(all)).unwrap();
    let rule = acl(
        "alice",
        Effect::Allow,
        Operation::Read,
        (PatternType::Literal, "t"),
    );
    access.add_acls(vec![rule.clone()]).unwrap();
    access.delete_user("alice").unwrap();
    assert!(!is_allowed(&access, "alice", topic(Operation::Read, "t")));
    access
        .create_user(User::new("alice"), Seed([2; 32]))
        .unwrap();
    assert!(is_allowed(&access, "alice", topic(Operation::Read, "t")));
    assert!(!is_allowed(&access, "alice", Need::Vhost { vhost: "/" }));
    assert_eq!(access.seed(), &Seed([1; 32]));
    assert_eq!(
        access.delete_acls(&[AclFilter::default()]),
        (vec![Arc::new(rule)], false)
    );
}

#[test]
fn a_verifier_makes_a_user_where_that_is_wanted() {
    let verifier = || Verifier::of_password(Hash::Sha256, "x", &[1; 16], 4_096).unwrap();
    let mut access = Access::default();
    let put = access.put_verifiers("alice", vec![verifier()], false, Seed([1; 32]));
    assert_eq!(put, Err(AccessError::NoUser));
    assert!(access.is_open());
    access
        .put_verifiers("alice", vec![verifier()], true, Seed([1; 32]))
        .unwrap();
    assert!(
        !access.is_open()
            && access
                .user("alice")
                .unwrap()
                .verifier(Hash::Sha256)
                .is_some()
    );
    access.remove_verifier("alice", Hash::Sha512).unwrap();
    access.remove_verifier("alice", Hash::Sha256).unwrap();
    assert!(access.user("alice").unwrap().verifiers.is_empty());
}

#[test]
fn a_refused_change_changes_nothing() {
    let mut access = with_users(&["alice"]);
    let before = access.clone();
    let tags = |count: usize| (0..count).map(|at| at.to_string()).collect::<BTreeSet<_>>();
    let rule = |at: usize| {
        acl(
            "alice",
            Effect::Allow,
            Operation::Read,
            (PatternType::Literal, &at.to_string()),
        )
    };
    let many: Vec<Acl> = (0..=MAX_ACLS_AT_ONCE).map(rule).collect();
    let mut nameless = rule(1);
    nameless.name = "".into();
    let mut other = User::new("alice");
    other.is_enabled = false;
    let created = access.create_user(other, Seed([0; 32]));
    assert_eq!(created, Err(AccessError::UserExists));
    assert_eq!(
        access.create_user(User::new("*"), Seed([0; 32])),
        Err(AccessError::Invalid)
    );
    access.delete_user("bob").unwrap();
    assert_eq!(
        access.set_tags("alice", tags(MAX_TAGS + 1)),
        Err(AccessError::Invalid)
    );
    assert_eq!(access.add_acls(many), Err(AccessError::TooManyAtOnce));
    assert_eq!(
        access.add_acls(vec![rule(1), nameless]),
        Err(AccessError::Invalid)
    );
    let all = || Some(Permissions::new(".*", ".*", ".*"));
    assert_eq!(
        access.set_permissions("bob", "/", all()),
        Err(AccessError::NoUser)
    );
    assert_eq!(
        access.set_permissions("alice", "", all()),
        Err(AccessError::Invalid)
    );
    assert_eq!(access, before);
    access.set_tags("alice", tags(MAX_TAGS)).unwrap();
}

#[test]
fn a_change_that_is_proposed_twice_is_done_once() {
    let mut access = with_users(&["alice"]);
    let before = access.clone();
    access
        .create_user(User::new("alice"), Seed([2; 32]))
        .unwrap();
    assert_eq!(access, before);
    access.delete_user("alice").unwrap();
    let gone = access.clone();
    access.delete_user("alice").unwrap();
    assert_eq!(access, gone);
}

#[test]
fn a_node_that_knows_nothing_yet_lets_nobody_do_anything() {
    let access = Access::unknown();
    for name in ["", "alice"] {
        assert!(!is_allowed(&access, name, topic(Operation::Read, "t")));
        assert!(!is_allowed(&access, name, Need::Vhost { vhost: "/" }));
    }
}

#[test]
fn rules_of_one_name_have_a_limit() {
    let mut access = with_users(&["alice"]);
    let rule = |at: usize| {
        acl(
            "alice",
            Effect::Allow,
            Operation::Read,
            (PatternType::Literal, &at.to_string()),
        )
    };
    access
        .add_acls((0..MAX_RULES_PER_PRINCIPAL).map(rule).collect())
        .unwrap();
    let before = access.clone();
    let more = vec![rule(MAX_RULES_PER_PRINCIPAL)];
    assert_eq!(access.add_acls(more), Err(AccessError::TooManyRules));
    assert_eq!(access, before);
    let (removed, has_more) = access.delete_acls(&[AclFilter::default()]);
    assert_eq!((removed.len(), has_more), (MAX_ACLS_AT_ONCE, false));
}

#[test]
fn errors_come_back_by_their_codes() {
    for code in 0..=u8::MAX {
        if let Some(error) = AccessError::from_code(code) {
            assert_eq!(error.code(), code);
        }
    }
    assert_eq!(
        AccessError::from_code(AccessError::NoUser.code()),
        Some(AccessError::NoUser)
    );
}

#[test]
fn whom_a_certificate_names_need_not_be_a_user_and_may_do_what_rules_for_the_name_say() {
    let mut access = with_users(&["root", "bob"]);
    let tags = BTreeSet::from([ADMINISTRATOR.to_owned()]);
    access.set_tags("root", tags).unwrap();
    let literal = (PatternType::Literal, "t");
    let of = |name: &str| acl(name, Effect::Allow, Operation::Read, literal);
    access.add_acls(vec![of("alice"), of("bob")]).unwrap();
    let may = |access: &Access, name: &str, operation| {
        let principal = Principal::vouched(name).unwrap();
        is_allowed_to(access, &principal, topic(operation, "t"))
    };
    assert!(may(&access, "alice", Operation::Read) && !may(&access, "alice", Operation::Write));
    assert!(!may(&access, "mallory", Operation::Read));
    assert!(!is_allowed(&access, "alice", topic(Operation::Read, "t")));
    assert!(may(&access, "root", Operation::Write));
    access.set_enabled("bob", false).unwrap();
    access.set_enabled("root", false).unwrap();
    assert!(!may(&access, "bob", Operation::Read) && !may(&access, "root", Operation::Read));
    for nobody in ["", "*", "ANONYMOUS", &"a".repeat(256)] {
        assert_eq!(Principal::vouched(nobody), None);
    }
}
