use std::sync::atomic::{AtomicUsize, Ordering};

use weir_access::{Seed, User, UserLimits};

use super::{super::view::AccessView, *};
use crate::encoding::{Reader, Writer};

fn with(limits: UserLimits) -> AccessView {
    let view = AccessView::open();
    view.replace(users(&["tim", "ann"], limits));
    view
}

fn users(names: &[&str], limits: UserLimits) -> Access {
    let mut access = Access::default();
    for name in names {
        let mut user = User::new(name);
        user.limits = limits;
        access.create_user(user, Seed([9; 32])).unwrap();
    }
    access
}

fn few(count: u32) -> UserLimits {
    UserLimits {
        max_connections: Some(count),
        max_channels: Some(count),
    }
}

fn deaf() -> Ear {
    Arc::new(|_| ())
}

fn enter(view: &AccessView, user: &str) -> Result<Seat, EnterRefused> {
    view.enter(&who(user), None, deaf())
}

fn who(user: &str) -> Principal {
    Principal::User(user.into())
}

#[test]
fn a_user_has_no_more_connections_than_it_may_and_another_one_when_one_ends() {
    let view = with(few(2));
    let (first, _second) = (enter(&view, "tim").unwrap(), enter(&view, "tim").unwrap());
    let refused = enter(&view, "tim").unwrap_err().to_string();
    assert_eq!(
        refused,
        "connection refused for user 'tim': user connection limit (2) is reached"
    );
    assert!(enter(&view, "ann").is_ok());
    drop(first);
    assert!(enter(&view, "tim").is_ok());
}

#[test]
fn a_users_channels_are_counted_over_its_connections() {
    let view = with(few(2));
    let (first, second) = (enter(&view, "tim").unwrap(), enter(&view, "tim").unwrap());
    let channels = (
        first.open_channel().unwrap(),
        second.open_channel().unwrap(),
    );
    let refused = first.open_channel().unwrap_err().to_string();
    assert_eq!(
        refused,
        "number of channels opened for user 'tim' has reached the maximum allowed user limit of (2)"
    );
    drop(channels.0);
    assert!(second.open_channel().is_ok());
    // A channel may outlive its connection for a moment.
    drop((first, second));
    drop(channels.1);
    assert!(view.presence().lock().users.is_empty());
}

#[test]
fn a_virtual_hosts_connections_are_counted_whoever_has_them() {
    let view = with(UserLimits::default());
    let place = VhostPlace {
        name: "v",
        max_connections: Some(1),
    };
    let first = view.enter(&who("tim"), Some(place), deaf()).unwrap();
    let refused = view.enter(&who("ann"), Some(place), deaf()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "access to vhost 'v' refused for user 'ann': connection limit (1) is reached"
    );
    drop(first);
    assert!(view.enter(&who("ann"), Some(place), deaf()).is_ok());
    assert!(view.presence().lock().vhosts.is_empty());
}

#[test]
fn what_other_nodes_tell_counts_until_they_are_gone() {
    let here = with(few(2));
    let there = with(few(2));
    let _seats = (enter(&there, "tim").unwrap(), enter(&there, "ann").unwrap());
    let place = VhostPlace {
        name: "v",
        max_connections: Some(1),
    };
    let _in_vhost = there.enter(&who("tim"), Some(place), deaf()).unwrap();
    let tally = there.tally(|vhost| vhost == "v");
    let mut writer = Writer::new();
    tally.write(&mut writer);
    let bytes = writer.finish();
    let mut reader = Reader::new(&bytes);
    assert_eq!(Tally::read(&mut reader).unwrap(), tally);
    here.heard(NodeId(2), Some(tally));
    assert!(enter(&here, "tim").is_err() && enter(&here, "ann").is_ok());
    assert!(here.enter(&who("ann"), Some(place), deaf()).is_err());
    here.heard(NodeId(2), None);
    assert!(enter(&here, "tim").is_ok() && here.enter(&who("ann"), Some(place), deaf()).is_ok());
}

#[test]
fn a_tally_has_a_limit_and_tells_nothing_of_those_without_limits() {
    let view = with(UserLimits::default());
    let _seat = enter(&view, "tim").unwrap();
    assert!(view.tally(|_| false).is_empty());
    let mut tally = Tally::default();
    for number in 0..1_000 {
        tally.put_user(&format!("{number:0100}"), 1, 1);
    }
    let mut writer = Writer::new();
    tally.write(&mut writer);
    assert!(writer.finish().len() <= (16 << 10) + 8);
}

#[test]
fn connections_hear_that_their_user_is_gone_and_nobody_enters_as_one() {
    let view = with(UserLimits::default());
    let told = Arc::new(AtomicUsize::new(0));
    let ear = || {
        let told = Arc::clone(&told);
        let ear: Ear = Arc::new(move |gone: &UserGone| {
            assert_eq!(gone.to_string(), "user 'tim' was deleted");
            told.fetch_add(1, Ordering::Relaxed);
        });
        ear
    };
    let _seats = (
        view.enter(&who("tim"), None, ear()).unwrap(),
        view.enter(&who("tim"), None, ear()).unwrap(),
        enter(&view, "ann").unwrap(),
    );
    view.show(Some(&users(&["ann", "bob", "carl"], UserLimits::default())));
    assert_eq!(told.load(Ordering::Relaxed), 2);
    assert!(matches!(
        enter(&view, "tim"),
        Err(EnterRefused::Gone(UserGone::Deleted(_)))
    ));
    // Who does not know the users ends nobody's connection.
    view.show(None);
    assert_eq!(told.load(Ordering::Relaxed), 2);
}

#[test]
fn whom_somebody_vouches_for_need_not_be_a_user_and_has_no_more_than_one_of_the_name() {
    let view = with(few(1));
    let vouched = |name: &str| Principal::vouched(name).unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let ear = || -> Ear {
        let told = Arc::clone(&told);
        Arc::new(move |_| {
            told.fetch_add(1, Ordering::Relaxed);
        })
    };
    let _stranger = view.enter(&vouched("eve"), None, ear()).unwrap();
    let _tim = view.enter(&vouched("tim"), None, ear()).unwrap();
    let refused = enter(&view, "tim").unwrap_err();
    assert!(matches!(refused, EnterRefused::Connections { .. }));
    let mut access = users(&["tim", "ann"], few(1));
    access.delete_user("tim").unwrap();
    view.replace(access);
    assert_eq!(told.load(Ordering::Relaxed), 0);
    let mut access = users(&["tim", "eve"], few(1));
    access.set_enabled("eve", false).unwrap();
    view.replace(access);
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert!(matches!(
        view.enter(&vouched("eve"), None, ear()).unwrap_err(),
        EnterRefused::Gone(UserGone::Disabled(_))
    ));
}
