//! Who is at the other end: by its password or its token, by its certificate, or by being on this machine before there is
//! a user. This is the one place where what a request brings becomes a principal.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HOST, HeaderValue},
};
use tokio::sync::Mutex;
use weir_access::{Access, MAX_LOGIN_BYTES, PendingCheck, Principal, token::Grants};
use weir_broker::{
    access::{AccessView, TokenView},
    audit::AuditEvent,
};
use weir_door::{TlsSession, limits::FAILED_LOGIN_DELAY_MS, work::beside};
use weir_tls::PrincipalRules;

use crate::routing::problem::Problem;

const NO_USERS: &str = "there is no user yet: until weir user add has made one, only clients on the node's \
                        own machine are served, or set allow-anonymous";
const NOT_PRIVATE: &str =
    "passwords and tokens are taken over TLS and from the node's own machine alone";

/// What is known of a connection's client.
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    /// Nobody on the way hears what it sends.
    is_private: bool,
    /// It is served without a login until there is a user.
    may_be_anonymous: bool,
    /// It is on this machine, or has shown a certificate.
    is_known: bool,
    /// Served only because it is on this machine: whatever runs there may have been told to ask by a page.
    is_trusted_for_place: bool,
    /// By its certificate.
    certificate: Principal,
    /// That it has come in by that is noted.
    is_noted: AtomicBool,
    /// What its last password was found to be.
    ///
    /// A mutex: taken by one connection's requests, which follow each other.
    remembered: Mutex<Option<Remembered>>,
}

/// A login by password that holds until something changes, or one by token that is looked at again.
struct Remembered {
    header: HeaderValue,
    generation: u64,
    principal: Principal,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Who {
    pub(crate) principal: Principal,
    /// What its token allows, beside what rules do.
    pub(crate) grants: Option<Grants>,
}

impl From<Principal> for Who {
    fn from(principal: Principal) -> Self {
        Self {
            principal,
            grants: None,
        }
    }
}

impl Client {
    /// Of a connection that was just taken.
    pub(crate) fn new(
        peer: SocketAddr,
        tls: Option<&TlsSession>,
        rules: &PrincipalRules,
        allows_anonymous: bool,
    ) -> Self {
        let is_here = peer.ip().to_canonical().is_loopback();
        let identity = tls.and_then(|tls| tls.identity.as_ref());
        let named = identity.and_then(|it| rules.name(&it.subject.kafka()));
        Self {
            peer,
            is_private: is_here || tls.is_some(),
            may_be_anonymous: allows_anonymous || is_here || identity.is_some(),
            is_known: is_here || identity.is_some(),
            is_trusted_for_place: is_here && !allows_anonymous && identity.is_none(),
            certificate: named
                .and_then(|name| Principal::vouched(&name))
                .unwrap_or_default(),
            is_noted: AtomicBool::new(false),
            remembered: Mutex::default(),
        }
    }

    /// Pages that are not for everybody are shown to it.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known
    }

    /// Who asks.
    pub(crate) async fn who(
        &self,
        access: &AccessView,
        tokens: &TokenView,
        headers: &HeaderMap,
    ) -> Result<Who, Problem> {
        let now = access.load();
        if !now.is_known() {
            let detail = "this node has not heard of the cluster's users yet";
            return Err(Problem::unavailable("coordinator_loading", detail));
        }
        let mut all = headers.get_all(AUTHORIZATION).iter();
        match (all.next(), all.next()) {
            (None, _) => {
                let found = self.without_password(&now, headers);
                self.note_certificate(access, &found);
                found.map(Who::from).map_err(|it| offered(it, tokens))
            }
            (Some(_), None) if !self.is_private => {
                Err(Problem::forbidden("not_private", NOT_PRIVATE))
            }
            (Some(header), None) => {
                let found = match token_of(header).filter(|_| tokens.is_on()) {
                    Some(token) => self.by_token(access, tokens, (header, token)).await,
                    None => self.by_password(access, &now, header).await.map(Who::from),
                };
                found.map_err(|it| offered(it, tokens))
            }
            (Some(_), Some(_)) => Err(Problem::invalid("more than one header Authorization")),
        }
    }

    fn without_password(&self, now: &Access, headers: &HeaderMap) -> Result<Principal, Problem> {
        if self.certificate != Principal::Anonymous {
            return Ok(self.certificate.clone());
        }
        if !now.is_open() {
            return Err(match self.is_private {
                true => Problem::unauthorized("log in, with name and password"),
                false => Problem::forbidden("not_private", NOT_PRIVATE),
            });
        }
        if !self.may_be_anonymous {
            return Err(Problem::forbidden("no_users", NO_USERS));
        }
        if self.is_trusted_for_place && !is_of_this_machine(headers) {
            let detail =
                "before there is a user, this machine is named by its address or localhost";
            return Err(Problem::forbidden("host", detail));
        }
        Ok(Principal::Anonymous)
    }

    /// Notes once a connection whom a certificate names.
    fn note_certificate(&self, access: &AccessView, found: &Result<Principal, Problem>) {
        let Ok(principal @ (Principal::User(_) | Principal::Vouched(_))) = found else {
            return;
        };
        if !self.is_noted.swap(true, Ordering::Relaxed) {
            let peer = self.peer.to_string();
            access.note(AuditEvent::new(
                principal,
                &peer,
                "login",
                "http certificate",
            ));
        }
    }

    async fn by_token(
        &self,
        access: &AccessView,
        tokens: &TokenView,
        (header, token): (&HeaderValue, &str),
    ) -> Result<Who, Problem> {
        let peer = self.peer.to_string();
        let believed = match tokens.check(token) {
            Ok(believed) => believed,
            Err(refused) => {
                let claimed = refused.name.as_deref().unwrap_or_default();
                let why = refused.error.to_string();
                let claimed = Principal::User(claimed.into());
                let event = AuditEvent::new(&claimed, &peer, "login", "http Bearer");
                access.note(event.failed(&why));
                return Err(late(&why).await);
            }
        };
        let mut remembered = self.remembered.lock().await;
        let is_new = remembered.as_ref().is_none_or(|it| it.header != *header);
        if is_new {
            let event = AuditEvent::new(&believed.principal, &peer, "login", "http Bearer");
            access.note(event);
            *remembered = Some(Remembered {
                header: header.clone(),
                generation: 0,
                principal: believed.principal.clone(),
            });
        }
        Ok(Who {
            principal: believed.principal,
            grants: Some(believed.grants),
        })
    }

    async fn by_password(
        &self,
        access: &AccessView,
        now: &Arc<Access>,
        header: &HeaderValue,
    ) -> Result<Principal, Problem> {
        let mut remembered = self.remembered.lock().await;
        if let Some(known) = remembered.as_ref()
            && known.header == *header
            && known.generation == now.generation()
        {
            return Ok(known.principal.clone());
        }
        *remembered = None;
        let said = basic(header);
        let claimed = said
            .as_ref()
            .map_or("", |(name, _)| name.as_str())
            .to_owned();
        let found = match said {
            Some((name, password)) => {
                let (pending, work) = PendingCheck::new(Arc::clone(now), name, password);
                beside(work).await;
                pending.finish(&access.load()).ok()
            }
            None => None,
        };
        let peer = self.peer.to_string();
        let Some(user) = found else {
            let claimed = Principal::User(claimed.into());
            let event = AuditEvent::new(&claimed, &peer, "login", "http Basic");
            access.note(event.failed("wrong name or password"));
            return Err(late("wrong name or password").await);
        };
        let principal = Principal::User(user.name.as_ref().into());
        access.note(AuditEvent::new(&principal, &peer, "login", "http Basic"));
        *remembered = Some(Remembered {
            header: header.clone(),
            generation: now.generation(),
            principal: principal.clone(),
        });
        Ok(principal)
    }
}

/// Refuses a login, after a while.
async fn late(why: &str) -> Problem {
    tokio::time::sleep(Duration::from_millis(FAILED_LOGIN_DELAY_MS)).await;
    Problem::unauthorized(why)
}

/// A refusal tells that tokens are taken too.
fn offered(problem: Problem, tokens: &TokenView) -> Problem {
    match tokens.is_on() {
        true => problem.or_by_token(),
        false => problem,
    }
}

/// The token of RFC 6750; `None`: the header says something else.
fn token_of(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Name and password of RFC 7617; `None`: the header says something else.
fn basic(header: &HeaderValue) -> Option<(String, String)> {
    let (scheme, credentials) = header.to_str().ok()?.split_once(' ')?;
    let is_fit = scheme.eq_ignore_ascii_case("basic") && credentials.len() <= 2 * MAX_LOGIN_BYTES;
    let bytes = is_fit.then(|| STANDARD.decode(credentials.trim()).ok())??;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.split_once(':')?;
    let is_said = !name.is_empty() && !password.is_empty();
    is_said.then(|| (name.to_owned(), password.to_owned()))
}

/// Whether the client calls this machine by an address or `localhost`: a page of a browser that reaches it by
/// a name of its own choice (DNS rebinding) does not.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use weir_access::{Hash, Seed, User, Verifier};

    use super::*;

    const HERE: &str = "127.0.0.1:7";
    const ELSEWHERE: &str = "10.0.0.7:7";

    fn client(peer: &str, allows_anonymous: bool) -> Client {
        let rules = PrincipalRules::default();
        Client::new(peer.parse().unwrap(), None, &rules, allows_anonymous)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn no_tokens() -> TokenView {
        TokenView::default()
    }

    fn closed() -> AccessView {
        let mut access = Access::default();
        let mut user = User::new("tim");
        let verifier = Verifier::of_password(Hash::Sha256, "a:b", &[1; 16], 4_096);
        user.put_verifier(verifier.unwrap());
        access.create_user(user, Seed([9; 32])).unwrap();
        let view = AccessView::open();
        view.replace(access);
        view
    }

    #[tokio::test]
    async fn before_there_is_a_user_this_machine_is_served_and_no_page_of_a_browser() {
        let view = AccessView::open();
        let asks = async |peer: &str, anonymous, host: &str| {
            let headers = headers(&[("host", host)]);
            let found = client(peer, anonymous)
                .who(&view, &no_tokens(), &headers)
                .await;
            found
                .map(|who| who.principal)
                .map_err(|problem| problem.error)
        };
        for host in ["localhost:9644", "127.0.0.1", "[::1]:9644", "LOCALHOST"] {
            assert_eq!(asks(HERE, false, host).await, Ok(Principal::Anonymous));
        }
        assert_eq!(
            asks(HERE, false, "evil.example").await,
            Err("host".to_owned())
        );
        assert_eq!(
            asks(ELSEWHERE, false, "10.0.0.1").await,
            Err("no_users".to_owned())
        );
        assert_eq!(
            asks(ELSEWHERE, true, "weir").await,
            Ok(Principal::Anonymous)
        );
        let unknown = AccessView::default();
        let found = client(HERE, true)
            .who(&unknown, &no_tokens(), &headers(&[]))
            .await;
        assert!(found.unwrap_err().retriable);
    }

    #[tokio::test]
    async fn a_password_logs_in_where_nobody_else_hears_it() {
        let view = closed();
        let asks = async |client: &Client, pairs: &[(&'static str, &str)]| {
            let found = client.who(&view, &no_tokens(), &headers(pairs)).await;
            found
                .map(|who| who.principal)
                .map_err(|problem| problem.status.as_u16())
        };
        let right = [("authorization", "Basic dGltOmE6Yg==")];
        let here = client(HERE, false);
        let tim = Ok(Principal::User("tim".into()));
        assert_eq!(asks(&here, &right).await, tim);
        assert_eq!(asks(&here, &right).await, tim);
        assert_eq!(asks(&here, &[]).await, Err(401));
        for wrong in [
            "Basic dGltOmE=",
            "Basic dGltOg==",
            "Basic !",
            "Basic",
            "Bearer dGltOmE6Yg==",
            "basic\tdGltOmE6Yg==",
        ] {
            let found = asks(&here, &[("authorization", wrong)]).await;
            assert_eq!(found, Err(401), "{wrong}");
        }
        assert_eq!(asks(&here, &[right[0], right[0]]).await, Err(400));
        assert_eq!(asks(&client(ELSEWHERE, true), &right).await, Err(403));
        assert_eq!(asks(&client(ELSEWHERE, true), &[]).await, Err(403));
        view.replace(Access::default());
        assert_eq!(asks(&here, &right).await, Err(401));
    }
}
