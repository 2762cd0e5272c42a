//! Who a client says it is.

use std::net::IpAddr;

use bytes::Bytes;
use weir_access::{Access, token::is_token};
use weir_model::fields::{FieldTable, FieldValue, Reader, ShortString, Writer};

/// Mechanisms that are offered, the preferred one first.
const MECHANISMS: &str = "PLAIN AMQPLAIN ANONYMOUS";
/// Besides, to whoever has shown a certificate.
const MECHANISMS_BY_CERTIFICATE: &str = "PLAIN AMQPLAIN ANONYMOUS EXTERNAL";
/// The user that there is as long as nobody made another.
const GUEST: &str = "guest";

/// Name and password as a client gave them.
#[derive(PartialEq, Eq)]
struct Credentials {
    user: Bytes,
    password: Bytes,
}

/// Where a login comes from, and what may come from there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// Whom its certificate names; `None`: it has shown none.
    pub certificate: Option<&'a str>,
    /// Where the client is.
    pub peer: IpAddr,
    /// `guest` need not come from this machine.
    pub is_anywhere: bool,
    /// A password that is a token is looked at as one.
    pub takes_tokens: bool,
    /// Passwords may come from other machines: nobody reads them on their way, or nobody minds.
    pub is_private: bool,
}

/// What follows from what a client says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It comes in.
    In(ShortString),
    /// It does, where this is its password.
    Checked { user: String, password: Password },
    /// It does, where this token is believed.
    Vouched(Password),
}

/// A password, which nothing prints.
#[derive(PartialEq, Eq)]
pub(super) struct Password(pub(super) String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

/// Who may come in: users by their passwords or certificates, or `guest` as long as there has never been
/// a user.
pub(super) fn authenticate(
    access: &Access,
    mechanism: &str,
    response: &Bytes,
    from: Origin<'_>,
) -> Option<Claimed> {
    if mechanism == "EXTERNAL" {
        let name = from.certificate?;
        let known = access.user(name).is_some_and(|user| user.is_enabled);
        let named = || Some(Claimed::In(ShortString::new(name)?));
        return (known || access.is_open()).then(named)?;
    }
    let is_here = from.peer.to_canonical().is_loopback();
    if !access.is_open() {
        if !is_here && !from.is_private {
            return None;
        }
        let given = match mechanism {
            "PLAIN" => plain(response)?,
            "AMQPLAIN" => amqplain(response)?,
            _ => return None,
        };
        let user = std::str::from_utf8(&given.user).ok()?;
        let password = std::str::from_utf8(&given.password).ok()?;
        if from.takes_tokens && is_token(password) {
            return Some(Claimed::Vouched(Password(password.to_owned())));
        }
        return Some(Claimed::Checked {
            user: user.to_owned(),
            password: Password(password.to_owned()),
        });
    }
    let may_come = from.is_anywhere || is_here;
    let is_guest = match mechanism {
        "PLAIN" => is_guest(&plain(response)?),
        "AMQPLAIN" => is_guest(&amqplain(response)?),
        "ANONYMOUS" => true,
        _ => false,
    };
    let guest = || Some(Claimed::In(ShortString::new(GUEST)?));
    (may_come && is_guest).then(guest)?
}

/// Mechanisms with spaces between them.
pub(super) fn offered(has_certificate: bool) -> &'static str {
    match has_certificate {
        true => MECHANISMS_BY_CERTIFICATE,
        false => MECHANISMS,
    }
}

/// Whether the mechanism is offered.
pub(super) fn is_offered(mechanism: &str, has_certificate: bool) -> bool {
    offered(has_certificate)
        .split(' ')
        .any(|offered| offered == mechanism)
}

fn is_guest(given: &Credentials) -> bool {
    given.user == GUEST && given.password == GUEST
}

/// `[authzid] NUL user NUL password`
fn plain(response: &Bytes) -> Option<Credentials> {
    let mut parts = response.split(|octet| *octet == 0);
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let given = Credentials {
        user: response.slice_ref(user),
        password: response.slice_ref(password),
    };
    parts.next().is_none().then_some(given)
}

/// A table without its length.
fn amqplain(response: &Bytes) -> Option<Credentials> {
    let mut whole = bytes::BytesMut::with_capacity(response.len() + 4);
    let mut writer = Writer::new(&mut whole);
    writer.longstr(response);
    writer.finish();
    let table = Reader::new(whole.freeze()).table("response").ok()?;
    let text = |name| match FieldTable::get(&table, name)? {
        FieldValue::LongString(text) | FieldValue::Bytes(text) => Some(text.clone()),
        _ => None,
    };
    Some(Credentials {
        user: text("LOGIN")?,
        password: text("PASSWORD")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> IpAddr {
        [127, 0, 0, 1].into()
    }

    fn is_let_in(mechanism: &str, response: &'static [u8], peer: IpAddr) -> bool {
        let from = Origin {
            certificate: None,
            peer,
            is_anywhere: false,
            takes_tokens: false,
            is_private: false,
        };
        let response = Bytes::from_static(response);
        authenticate(&Access::default(), mechanism, &response, from).is_some()
    }

    #[test]
    fn guest_comes_in_from_this_machine_alone() {
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        for peer in [here(), "::1".parse().unwrap(), mapped] {
            assert!(is_let_in("PLAIN", b"\0guest\0guest", peer), "{peer}");
            assert!(is_let_in("ANONYMOUS", b"anything", peer));
        }
        let far: IpAddr = [192, 0, 2, 1].into();
        assert!(!is_let_in("PLAIN", b"\0guest\0guest", far));
        assert!(!is_let_in("ANONYMOUS", b"", far));
    }

    #[test]
    fn guest_comes_in_from_elsewhere_where_that_is_set() {
        let from = Origin {
            certificate: None,
            peer: [192, 0, 2, 1].into(),
            is_anywhere: true,
            takes_tokens: false,
            is_private: false,
        };
        let is_let_in = |response| {
            let response = Bytes::from_static(response);
            authenticate(&Access::default(), "PLAIN", &response, from)
        };
        assert!(is_let_in(b"\0guest\0guest").is_some());
        assert!(is_let_in(b"\0guest\0other").is_none());
    }

    #[test]
    fn other_names_and_passwords_and_responses_that_are_none_are_refused() {
        for response in [
            &b"\0guest\0other"[..],
            b"\0other\0guest",
            b"\0guest\0guest\0",
            b"guest\0guest",
            b"",
        ] {
            assert!(!is_let_in("PLAIN", response, here()), "{response:?}");
        }
        assert!(!is_let_in("EXTERNAL", b"\0guest\0guest", here()));
    }

    #[test]
    fn from_the_first_user_on_users_alone_come_in_by_their_passwords() {
        let salt = [1; weir_access::SALT_BYTES];
        let hash = weir_access::Hash::Sha256;
        let verifier = weir_access::Verifier::of_password(hash, "secret", &salt, 4_096);
        let mut user = weir_access::User::new("alice");
        user.put_verifier(verifier.unwrap());
        let mut access = Access::default();
        let seed = weir_access::Seed::default();
        access.create_user(user, seed).unwrap();
        let from = Origin {
            certificate: None,
            peer: here(),
            is_anywhere: true,
            takes_tokens: false,
            is_private: false,
        };
        let amqplain = b"\x05LOGINS\x00\x00\x00\x05alice\x08PASSWORDS\x00\x00\x00\x06secret";
        for (mechanism, response, user) in [
            ("PLAIN", &b"\0alice\0secret"[..], Some("alice")),
            ("AMQPLAIN", amqplain, Some("alice")),
            ("PLAIN", b"\0alice\0other", None),
            ("PLAIN", b"\0nobody\0secret", None),
            ("PLAIN", b"\0guest\0guest", None),
            ("PLAIN", b"\0\xff\0secret", None),
            ("ANONYMOUS", b"", None),
        ] {
            let response = Bytes::copy_from_slice(response);
            let found = match authenticate(&access, mechanism, &response, from) {
                Some(Claimed::Checked { user, password }) => {
                    let found = weir_access::check_password(&access, &user, &password.0);
                    found.ok().map(|user| user.name.to_string())
                }
                Some(Claimed::In(user)) => panic!("{user} needs no password"),
                Some(Claimed::Vouched(_)) | None => None,
            };
            assert_eq!(found.as_deref(), user, "{response:?}");
        }
        let response = Bytes::from_static(b"\0alice\0secret");
        for (is_private, is_let_in) in [(false, false), (true, true)] {
            let from = Origin {
                certificate: None,
                peer: [192, 0, 2, 1].into(),
                is_private,
                ..from
            };
            let found = authenticate(&access, "PLAIN", &response, from);
            assert_eq!(found.is_some(), is_let_in);
        }
    }

    #[test]
    fn a_certificate_logs_in_the_user_that_it_names_and_nobody_else() {
        let mut access = Access::default();
        let from = |certificate| Origin {
            certificate,
            peer: [192, 0, 2, 1].into(),
            is_anywhere: false,
            takes_tokens: false,
            is_private: false,
        };
        let found = |access: &Access, certificate| {
            let found = authenticate(access, "EXTERNAL", &Bytes::new(), from(certificate));
            found.map(|claimed| match claimed {
                Claimed::In(user) => user.as_str().to_owned(),
                Claimed::Checked { .. } | Claimed::Vouched(_) => panic!("there is no password"),
            })
        };
        assert_eq!(
            found(&access, Some("CN=alice")).as_deref(),
            Some("CN=alice")
        );
        let mut user = weir_access::User::new("alice");
        let seed = weir_access::Seed::default();
        access.create_user(user.clone(), seed).unwrap();
        assert_eq!(found(&access, Some("alice")).as_deref(), Some("alice"));
        user.name = "bob".into();
        user.is_enabled = false;
        access.create_user(user, seed).unwrap();
        for nobody in [Some("bob"), Some("mallory"), None] {
            assert_eq!(found(&access, nobody), None);
        }
        assert!(is_offered("EXTERNAL", true) && !is_offered("EXTERNAL", false));
    }

    #[test]
    fn amqplain_is_a_table_without_its_length() {
        let given = b"\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest";
        assert!(is_let_in("AMQPLAIN", given, here()));
        assert!(!is_let_in("AMQPLAIN", &given[..given.len() - 1], here()));
    }
}
