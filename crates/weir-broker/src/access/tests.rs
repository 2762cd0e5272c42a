use std::collections::BTreeSet;

use weir_access::{
    Access, AccessError, Caller, DecisionCache, Hash, Need, Permission, Principal, Seed, User,
    UserLimits, Verifier,
    acl::{Acl, AclFilter, Effect, Operation, PatternFilter, PatternType, ResourceType},
};
use weir_log::Millis;
use weir_model::{GroupId, Term};

use super::{AccessCommand as Command, AccessOutcome as Outcome, AccessView};
use crate::{
    Applied,
    encoding::{DecodeError, Reader, Writer, trial},
    metadata::{MetadataCommand, MetadataOutcome, MetadataState},
    quota::{Named, QuotaChanges, QuotaEntity, QuotaKey, QuotaValue},
    routing::RoutingCommand,
};

const AT: Applied = Applied {
    group: GroupId::METADATA,
    index: 1,
    term: Term(1),
    now: Millis(5),
    elapsed: Millis(5),
};

fn verifier(hash: Hash) -> Verifier {
    Verifier::of_password(hash, "secret", &[3; 16], 4_096).unwrap()
}

fn user(name: &str) -> User {
    let mut user = User::new(name);
    for hash in Hash::ALL {
        user.put_verifier(verifier(hash));
    }
    user.tags.insert("monitoring".to_owned());
    user.limits.max_channels = Some(9);
    user
}

fn acl(principal: &str, name: &str) -> Acl {
    Acl {
        resource: ResourceType::Topic,
        pattern: PatternType::Glob,
        name: name.into(),
        principal: principal.into(),
        host: "10.0.0.1".into(),
        operation: Operation::Read,
        effect: Effect::Allow,
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn grant(user: &str, vhost: &str) -> Command {
    Command::SetPermissions {
        user: text(user),
        vhost: text(vhost),
        configure: text("^a"),
        write: text(".*"),
        read: text(""),
    }
}

/// Each command once, and all of them with an effect.
// Table: one command a row.
fn commands() -> Vec<Command> {
    let alice = || text("alice");
    vec![
        Command::CreateUser {
            user: user("alice"),
            seed: Seed([7; 32]),
        },
        Command::PutVerifiers {
            user: text("bob"),
            verifiers: vec![verifier(Hash::Sha512)],
            makes: true,
            seed: Seed([8; 32]),
        },
        Command::RemoveVerifier {
            user: alice(),
            hash: Hash::Sha256,
        },
        Command::SetTags {
            user: alice(),
            tags: BTreeSet::from([text("administrator")]),
        },
        Command::SetEnabled {
            user: alice(),
            is_enabled: false,
        },
        Command::SetLimits {
            user: alice(),
            limits: UserLimits {
                max_connections: Some(3),
                max_channels: None,
            },
        },
        grant("alice", "/"),
        grant("bob", "/"),
        Command::ClearPermissions {
            user: text("bob"),
            vhost: text("/"),
        },
        Command::SetTopicPermissions {
            user: alice(),
            vhost: text("/"),
            exchange: text("amq.topic"),
            write: text("^{username}"),
            read: text(".*"),
        },
        Command::SetTopicPermissions {
            user: text("bob"),
            vhost: text("/"),
            exchange: text("e"),
            write: text("a"),
            read: text("b"),
        },
        Command::ClearTopicPermissions {
            user: text("bob"),
            vhost: text("/"),
            exchange: Some(text("e")),
        },
        Command::AddAcls {
            acls: vec![acl("alice", "a*"), acl("*", "b"), acl("bob", "c")],
        },
        Command::DeleteAcls {
            filters: vec![AclFilter {
                resource: Some(ResourceType::Topic),
                pattern: PatternFilter::Only(PatternType::Glob),
                name: Some("c".into()),
                principal: Some("bob".into()),
                host: Some("10.0.0.1".into()),
                operation: Some(Operation::Read),
                effect: Some(Effect::Allow),
            }],
        },
        Command::CreateUser {
            user: user("carol"),
            seed: Seed([9; 32]),
        },
        Command::DeleteUser {
            user: text("carol"),
        },
        Command::AlterQuota {
            entity: QuotaEntity::UserClient(Named::of(Some("alice")), Named::Default),
            changes: QuotaChanges::from([
                (QuotaKey::ProducerByteRate, QuotaValue::new(1_024.0)),
                (QuotaKey::ConsumerByteRate, None),
            ]),
        },
    ]
}

fn apply(state: &mut MetadataState, command: Command) -> Outcome {
    match state.apply(&AT, MetadataCommand::Access(command)) {
        MetadataOutcome::Access(outcome) => outcome,
        outcome => panic!("another outcome: {outcome:?}"),
    }
}

fn filled() -> MetadataState {
    let mut state = MetadataState::new();
    for command in commands() {
        let before = state.fingerprint();
        let outcome = apply(&mut state, command.clone());
        assert!(!matches!(outcome, Outcome::Refused(_)), "{command:?}");
        assert_ne!(state.fingerprint(), before, "{command:?}");
    }
    state
}

fn access(state: &MetadataState) -> Access {
    state.known().access().clone()
}

#[test]
fn commands_come_back_and_damage_is_an_error() {
    for command in commands() {
        let command = MetadataCommand::Access(command);
        let bytes = command.encode();
        assert_eq!(MetadataCommand::decode(&bytes), Ok(command));
        trial::damage(&bytes, MetadataCommand::decode);
    }
}

#[test]
fn the_state_comes_back_and_damage_is_an_error() {
    let state = filled();
    let bytes = state.encode();
    let back = MetadataState::decode(&bytes).unwrap();
    assert_eq!(
        (back.encode(), access(&back)),
        (bytes.clone(), access(&state))
    );
    trial::damage(&bytes, MetadataState::decode);
}

#[test]
fn outcomes_come_back_and_damage_is_an_error() {
    let decode = |bytes: &[u8]| -> Result<Outcome, DecodeError> {
        let mut reader = Reader::new(bytes);
        let outcome = Outcome::read(&mut reader)?;
        reader.finish()?;
        Ok(outcome)
    };
    let deleted = Outcome::AclsDeleted {
        acls: vec![acl("alice", "a").into()],
        has_more: true,
    };
    for outcome in [
        Outcome::Done,
        deleted,
        Outcome::Refused(AccessError::NoVhost),
    ] {
        let mut writer = Writer::new();
        outcome.write(&mut writer);
        let bytes = writer.finish();
        assert_eq!(decode(&bytes), Ok(outcome));
        trial::damage(&bytes, decode);
    }
}

#[test]
fn permissions_want_a_virtual_host_and_go_with_it() {
    let mut state = filled();
    let refused = Outcome::Refused(AccessError::NoVhost);
    assert_eq!(apply(&mut state, grant("alice", "v")), refused);
    let create = RoutingCommand::CreateVhost {
        name: text("v"),
        description: text(""),
        default_queue_type: None,
    };
    state.apply(&AT, MetadataCommand::Routing(create));
    assert_eq!(apply(&mut state, grant("alice", "v")), Outcome::Done);
    let delete = RoutingCommand::DeleteVhost { name: text("v") };
    state.apply(&AT, MetadataCommand::Routing(delete));
    let rules = access(&state);
    let of_alice = rules.rules("alice").unwrap().permissions();
    assert_eq!(of_alice.map(|(vhost, _)| vhost).collect::<Vec<_>>(), ["/"]);
}

#[test]
fn nothing_that_is_shown_to_people_tells_what_checks_passwords() {
    let state = filled();
    let shown = format!("{:?} {:?}", access(&state), commands());
    for secret in ["salt", "stored_key", "[3, 3", "[7, 7", "[8, 8"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn a_view_knows_nothing_at_first_and_then_what_is_shown() {
    let (view, seen) = (AccessView::default(), AccessView::default());
    let principal = Principal::Anonymous;
    let caller = Caller {
        principal: &principal,
        host: core::net::Ipv4Addr::LOCALHOST.into(),
        grants: None,
    };
    let need = Need::Named {
        permission: Permission::Read,
        vhost: "/",
        name: "q",
    };
    let mut cache = DecisionCache::default();
    let mut is_allowed = |view: &AccessView| view.check(&mut cache, caller, need).is_allowed();
    assert!(!is_allowed(&view) && !view.is_open());
    let copy = view.clone();
    view.show(Some(&Access::default()));
    assert!(is_allowed(&copy) && copy.is_open() && !is_allowed(&seen));
    view.show(Some(&access(&filled())));
    assert!(!is_allowed(&copy) && copy.load().user("alice").is_some());
    view.show(None);
    assert!(copy.load().user("alice").is_none());
}
