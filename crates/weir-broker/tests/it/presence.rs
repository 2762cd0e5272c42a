//! How many connections and channels there may be, and connections whose user may not have them any more.

use weir_access::{Principal, UserLimits, token::Grants};
use weir_broker::{
    access::AccessCommand,
    api::queues::{OpenSession, QueueOutcome, QueueRequest, Tiding},
    audit::Requester,
    queue_admin::{QueueAdminAnswer, QueueAdminRequest},
};
use weir_model::NodeId;

use crate::{
    nodes::Cluster,
    permissions::{change, consume, create_user, grant},
    queues::{Client, FOUNDER, OTHER, cluster, short},
};

fn open_at(cluster: &mut Cluster, at: NodeId, by: &mut Client) -> Result<QueueOutcome, String> {
    assert_eq!(by.node(), at);
    let open = QueueRequest::Open(OpenSession::by_user("/", "guest", "another"));
    match by.ask(cluster, open) {
        QueueOutcome::Refused(refused) => Err(refused.to_string()),
        opened => Ok(opened),
    }
}

fn set_limits(cluster: &mut Cluster, limits: UserLimits) {
    let user = "guest".to_owned();
    change(cluster, AccessCommand::SetLimits { user, limits });
}

#[test]
fn a_users_connections_are_counted_over_all_nodes() {
    let mut cluster = cluster();
    create_user(&mut cluster);
    grant(&mut cluster, [".*"; 3]);
    let limits = UserLimits {
        max_connections: Some(2),
        max_channels: Some(1),
    };
    set_limits(&mut cluster, limits);
    let first = Client::open(&mut cluster, FOUNDER);
    let mut second = Client::open(&mut cluster, OTHER);
    cluster.rounds(20);
    let refused = open_at(&mut cluster, OTHER, &mut second).unwrap_err();
    let text = "connection refused for user 'guest': user connection limit (2) is reached";
    assert_eq!(refused, text);
    let channel = first.session().open_channel().unwrap();
    cluster.rounds(20);
    let refused = second.session().open_channel().unwrap_err().to_string();
    assert!(
        refused.contains("maximum allowed user limit of (1)"),
        "{refused}"
    );
    drop(channel);
    drop(first);
    cluster.rounds(20);
    assert!(open_at(&mut cluster, OTHER, &mut second).is_ok());
}

#[test]
fn a_virtual_host_has_no_more_connections_and_queues_than_it_may() {
    let mut cluster = cluster();
    let mut client = Client::open(&mut cluster, FOUNDER);
    client.declare(&mut cluster, "q");
    let request = QueueAdminRequest::SetVhostLimits {
        name: "/".to_owned(),
        max_connections: Some(1),
        max_queues: Some(1),
    };
    let answer = std::sync::Arc::new(std::sync::Mutex::new(None));
    let told = std::sync::Arc::clone(&answer);
    let done = Box::new(move |answer| *told.lock().unwrap() = Some(answer));
    cluster.nodes[&FOUNDER].queue_admin(&Requester::default(), request, done);
    cluster.until("the limits are set", |_| answer.lock().unwrap().is_some());
    assert_eq!(*answer.lock().unwrap(), Some(QueueAdminAnswer::Done));
    let refused = open_at(&mut cluster, FOUNDER, &mut client).unwrap_err();
    let text = "access to vhost '/' refused for user 'guest': connection limit (1) is reached";
    assert_eq!(refused, text);
    client.declare(&mut cluster, "q");
    let declare = client.declaration("another");
    let QueueOutcome::Refused(refused) = client.ask(&mut cluster, declare) else {
        panic!("one queue too many");
    };
    let text = "cannot declare queue 'another': queue limit in vhost '/' (1) is reached";
    assert_eq!(refused.to_string(), text);
}

#[test]
fn a_session_hears_that_its_user_is_gone() {
    let mut cluster = cluster();
    create_user(&mut cluster);
    grant(&mut cluster, [".*"; 3]);
    let mut client = Client::open(&mut cluster, FOUNDER);
    let (user, is_enabled) = ("guest".to_owned(), false);
    change(&mut cluster, AccessCommand::SetEnabled { user, is_enabled });
    client.hear_all();
    let told: Vec<_> = client.told.drain(..).collect();
    let is_told = |why: &str| why == "user 'guest' was disabled";
    assert!(
        matches!(&told[..], [Tiding::Expelled(why)] if is_told(why)),
        "{told:?}"
    );
}

#[test]
fn a_consumer_ends_where_its_user_may_not_read_the_queue_any_more() {
    let mut cluster = cluster();
    create_user(&mut cluster);
    grant(&mut cluster, [".*"; 3]);
    let mut client = Client::open(&mut cluster, FOUNDER);
    client.declare(&mut cluster, "q");
    let asked = consume(client.session(), short("q"));
    let answer = client.ask(&mut cluster, asked);
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    grant(&mut cluster, [".*", ".*", "^other$"]);
    cluster.rounds(20);
    client.hear_all();
    let told: Vec<_> = client.told.drain(..).collect();
    assert!(matches!(told[..], [Tiding::Cancelled(_)]), "{told:?}");
    grant(&mut cluster, [".*"; 3]);
    client.consume(&mut cluster, 2, "q", true);
}

#[test]
fn whom_a_token_names_may_do_what_its_scopes_say_and_what_those_of_the_next_one_say_after_it() {
    let mut cluster = cluster();
    create_user(&mut cluster);
    let grants = |scopes: &str| Grants::of([scopes].into_iter(), "").unwrap();
    let open = OpenSession {
        principal: Principal::vouched("service"),
        grants: Some(grants("configure:*/q read:*/q write:*/*")),
        ..OpenSession::by_user("/", "service", "test")
    };
    let mut client = Client::open_as(&mut cluster, FOUNDER, open);
    client.declare(&mut cluster, "q");
    let declare = client.declaration("another");
    let answer = client.ask(&mut cluster, declare);
    let QueueOutcome::Refused(refused) = answer else {
        panic!("{answer:?}");
    };
    let text = "configure access to queue 'another' in vhost '/' refused for user 'service'";
    assert_eq!(refused.to_string(), text);
    let asked = consume(client.session(), short("q"));
    let answer = client.ask(&mut cluster, asked);
    assert!(matches!(answer, QueueOutcome::Done), "{answer:?}");
    let session = client.session();
    assert_eq!(
        session.regrant(grants("read:*/q configure:*/another")),
        Ok(())
    );
    client.declare(&mut cluster, "another");
    client.hear_all();
    assert!(client.told.is_empty());
    assert_eq!(session.regrant(grants("read:*/another")), Ok(()));
    cluster.rounds(5);
    client.hear_all();
    let told: Vec<_> = client.told.drain(..).collect();
    assert!(matches!(told[..], [Tiding::Cancelled(_)]), "{told:?}");
    let refused = session.regrant(grants("read:shop/q")).unwrap_err();
    let text = "access to vhost '/' refused for user 'service'";
    assert_eq!(refused.to_string(), text);
}
