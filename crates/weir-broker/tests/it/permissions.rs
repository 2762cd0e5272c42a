//! What users may ask of exchanges and queues, by RabbitMQ's rules.

use std::sync::{Arc, Mutex};

use weir_access::{
    AccessError, Hash, Seed, User, Verifier,
    acl::{Acl, AclFilter, Effect, Operation, PatternType, ResourceType},
};
use weir_broker::{
    Mailbox, Node, Reply, Ticket,
    access::{AccessCommand, AccessOutcome, AccessRefused},
    api::{
        Backend as _, Outcome, Request,
        access::ChangeAccess,
        queues::{
            Bind, Consume, ConsumerTag, DeclareExchange, DeclareQueue, Destination, OpenSession,
            Publish, QueueOutcome, QueueRequest, QueueSession, Refused, Verdict,
        },
    },
};
use weir_model::fields::{FieldTable, ShortString};

use crate::{
    nodes::Cluster,
    queues::{Client, FOUNDER, OTHER, cluster, message, short},
};

type Asked = Box<dyn Fn(Arc<QueueSession>) -> QueueRequest>;

/// Changes users or rules at one of the nodes; all know of it then.
pub(crate) fn change(cluster: &mut Cluster, command: AccessCommand) {
    let answer: Arc<Mutex<Option<Result<AccessOutcome, AccessRefused>>>> = Arc::default();
    let node: &Arc<Node> = &cluster.nodes[&OTHER];
    let told = Arc::clone(&answer);
    node.change_access(command, move |outcome| {
        *told.lock().unwrap() = Some(outcome);
    });
    cluster.until("the change is decided", |_| {
        answer.lock().unwrap().is_some()
    });
    let answer = answer.lock().unwrap().take();
    assert_eq!(answer, Some(Ok(AccessOutcome::Done)));
    cluster.rounds(5);
}

pub(crate) fn create_user(cluster: &mut Cluster) {
    let user = User::new("guest");
    let seed = Seed([1; 32]);
    change(cluster, AccessCommand::CreateUser { user, seed });
}

pub(crate) fn grant(cluster: &mut Cluster, [configure, write, read]: [&str; 3]) {
    change(
        cluster,
        AccessCommand::SetPermissions {
            user: "guest".to_owned(),
            vhost: "/".to_owned(),
            configure: configure.to_owned(),
            write: write.to_owned(),
            read: read.to_owned(),
        },
    );
}

fn named(
    ask: impl Fn(Arc<QueueSession>, ShortString) -> QueueRequest + 'static,
    name: &'static str,
) -> Asked {
    Box::new(move |session| ask(session, short(name)))
}

fn declare_exchange(session: Arc<QueueSession>, name: ShortString) -> QueueRequest {
    QueueRequest::DeclareExchange(DeclareExchange {
        session,
        name,
        kind: short("topic"),
        is_passive: false,
        is_durable: true,
        is_auto_delete: false,
        is_internal: false,
        arguments: FieldTable::default(),
    })
}

fn declare_queue(session: Arc<QueueSession>, name: ShortString) -> QueueRequest {
    QueueRequest::DeclareQueue(DeclareQueue {
        session,
        name,
        is_passive: false,
        is_durable: true,
        is_exclusive: false,
        is_auto_delete: false,
        arguments: FieldTable::default(),
    })
}

fn bind(session: Arc<QueueSession>, queue: ShortString) -> QueueRequest {
    QueueRequest::Bind(Bind {
        session,
        source: short("e"),
        destination: Destination::Queue(queue),
        routing_key: short("a.b"),
        arguments: FieldTable::default(),
    })
}

pub(crate) fn consume(session: Arc<QueueSession>, name: ShortString) -> QueueRequest {
    QueueRequest::Consume(Consume {
        session,
        consumer: ConsumerTag(1),
        name,
        no_ack: true,
        is_exclusive: false,
        prefetch_count: 10,
        arguments: FieldTable::default(),
    })
}

/// What is asked, what it needs and nothing more, and what is wanting without it.
fn table() -> Vec<(Asked, [&'static str; 3], &'static str)> {
    let get = |session, name| QueueRequest::Get {
        session,
        name,
        no_ack: true,
    };
    let purge = |session, name| QueueRequest::Purge { session, name };
    let delete_queue = |session, name| QueueRequest::DeleteQueue {
        session,
        name,
        if_unused: false,
        if_empty: false,
    };
    let delete_exchange = |session, name| QueueRequest::DeleteExchange {
        session,
        name,
        if_unused: false,
    };
    vec![
        (
            named(declare_exchange, "e"),
            ["^e$", "", ""],
            "configure access to exchange 'e'",
        ),
        (
            named(declare_queue, "q"),
            ["^q$", "", ""],
            "configure access to queue 'q'",
        ),
        (
            named(bind, "q"),
            ["", "^q$", "^e$"],
            "write access to queue 'q'",
        ),
        (named(get, "q"), ["", "", "^q$"], "read access to queue 'q'"),
        (
            named(consume, "q"),
            ["", "", "^q$"],
            "read access to queue 'q'",
        ),
        (
            named(purge, "q"),
            ["", "", "^q$"],
            "read access to queue 'q'",
        ),
        (
            named(delete_queue, "q"),
            ["^q$", "", ""],
            "configure access to queue 'q'",
        ),
        (
            named(delete_exchange, "e"),
            ["^e$", "", ""],
            "configure access to exchange 'e'",
        ),
    ]
}

#[test]
fn each_request_wants_the_permission_of_its_own_and_no_other() {
    let mut cluster = cluster();
    let mut client = Client::open(&mut cluster, FOUNDER);
    create_user(&mut cluster);
    for (ask, needed, wanting) in table() {
        grant(&mut cluster, ["", "", ""]);
        let answer = client.ask(&mut cluster, ask(client.session()));
        let expected = format!("{wanting} in vhost '/' refused for user 'guest'");
        let QueueOutcome::Refused(refused) = answer else {
            panic!("{wanting}: {answer:?}");
        };
        assert_eq!(refused, Refused::Access(expected));
        grant(&mut cluster, needed);
        let answer = client.ask(&mut cluster, ask(client.session()));
        let is_done = !matches!(answer, QueueOutcome::Refused(_));
        assert!(is_done, "{wanting}: {answer:?}");
    }
}

#[test]
fn messages_want_permission_to_write_and_for_the_key_of_a_topic_exchange() {
    let mut cluster = cluster();
    let mut client = Client::open(&mut cluster, OTHER);
    create_user(&mut cluster);
    let mut publish = |cluster: &mut Cluster, exchange: &str| {
        let mut message = message("t", "m");
        message.exchange = short(exchange);
        let publish = Publish {
            session: client.session(),
            messages: vec![message],
            is_atomic: false,
        };
        match client.ask(cluster, QueueRequest::Publish(publish)) {
            QueueOutcome::Published(mut verdicts) => verdicts.remove(0),
            other => panic!("{other:?}"),
        }
    };
    let refused = |text: &str| {
        let text = format!("write access to {text} in vhost '/' refused for user 'guest'");
        Verdict::Refused(Refused::Access(text))
    };
    grant(&mut cluster, ["", "", ""]);
    assert_eq!(publish(&mut cluster, ""), refused("exchange 'amq.default'"));
    grant(&mut cluster, ["", "^amq\\.default$", ""]);
    assert_eq!(publish(&mut cluster, ""), Verdict::Stored);
    assert_eq!(
        publish(&mut cluster, "amq.topic"),
        refused("exchange 'amq.topic'")
    );
    grant(&mut cluster, ["", ".*", ""]);
    assert_eq!(publish(&mut cluster, "amq.topic"), Verdict::Unroutable);
    let keys = AccessCommand::SetTopicPermissions {
        user: "guest".to_owned(),
        vhost: "/".to_owned(),
        exchange: "amq.topic".to_owned(),
        write: "^{username}\\.".to_owned(),
        read: String::new(),
    };
    change(&mut cluster, keys);
    let of_key = "topic 't' in exchange 'amq.topic'";
    assert_eq!(publish(&mut cluster, "amq.topic"), refused(of_key));
}

#[test]
fn nobody_comes_into_a_virtual_host_without_permissions_there_or_once_disabled() {
    let mut cluster = cluster();
    let mut client = Client::open(&mut cluster, FOUNDER);
    create_user(&mut cluster);
    let open = || QueueRequest::Open(OpenSession::by_user("/", "guest", "another"));
    let answer = client.ask(&mut cluster, open());
    let text = "access to vhost '/' refused for user 'guest'";
    let is_refused = |answer: &QueueOutcome, text: &str| match answer {
        QueueOutcome::Refused(refused) => refused.to_string() == text,
        _ => false,
    };
    assert!(is_refused(&answer, text), "{answer:?}");
    grant(&mut cluster, ["", "", ".*"]);
    Client::open(&mut cluster, FOUNDER);
    let is_enabled = false;
    let user = "guest".to_owned();
    change(&mut cluster, AccessCommand::SetEnabled { user, is_enabled });
    let answer = client.ask(&mut cluster, open());
    assert!(is_refused(&answer, text), "{answer:?}");
    let purge = QueueRequest::Purge {
        session: client.session(),
        name: short("t"),
    };
    let answer = client.ask(&mut cluster, purge);
    let text = "read access to queue 't' in vhost '/' refused for user 'guest'";
    assert!(is_refused(&answer, text), "{answer:?}");
}

#[test]
fn changes_of_clients_are_made_in_turn_and_each_is_told() {
    let mut cluster = cluster();
    let mailbox = Mailbox::new(Box::new(|| {}));
    let verifier = |hash| Verifier::of_salted_password(hash, &[1; 64], &[2; 16], 4_096);
    let put = |user: &str| ChangeAccess::PutVerifier {
        user: user.to_owned(),
        verifier: verifier(Hash::Sha512).unwrap(),
    };
    let acl = |name: &str| Acl {
        resource: ResourceType::Topic,
        pattern: PatternType::Literal,
        name: name.into(),
        principal: "alice".into(),
        host: "*".into(),
        operation: Operation::Read,
        effect: Effect::Allow,
    };
    let changes = vec![
        put("alice"),
        put("*"),
        ChangeAccess::RemoveVerifier {
            user: "nobody".to_owned(),
            hash: Hash::Sha512,
        },
        ChangeAccess::AddAcls(vec![acl("a"), acl("b")]),
        ChangeAccess::DeleteAcls(vec![AclFilter::default()]),
    ];
    let node: Arc<Node> = Arc::clone(&cluster.nodes[&OTHER]);
    let reply = Reply::new(Arc::clone(&mailbox), Ticket(1));
    node.submit(Request::ChangeAccess(changes), reply);
    let mut told = Vec::new();
    cluster.until("the changes are told", |_| {
        mailbox.take(&mut told);
        !told.is_empty()
    });
    let Some((Ticket(1), Outcome::AccessChanged(told))) = told.pop() else {
        panic!("{told:?}");
    };
    let refused = |error| Err(AccessRefused::Refused(error));
    let gone = vec![Arc::new(acl("a")), Arc::new(acl("b"))];
    let expected = [
        Ok(vec![]),
        refused(AccessError::Invalid),
        refused(AccessError::NoUser),
        Ok(vec![]),
        Ok(gone),
    ];
    assert_eq!(told[..], expected);
    let access = node.access().load();
    assert!(
        access
            .user("alice")
            .unwrap()
            .verifier(Hash::Sha512)
            .is_some()
    );
    assert!(!access.is_open() && *access.seed() != Seed::default());
}
