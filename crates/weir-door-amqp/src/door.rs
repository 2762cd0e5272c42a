//! The door: makes a session for each connection.

use core::net::IpAddr;
use std::{sync::Arc, time::Duration};

use weir_broker::access::{AccessView, TokenView};
use weir_door::{Connection, Door, Entry};
use weir_tls::CertificateLogin;

use crate::session::{asks::Label, connection::AmqpSession};

/// The version of RabbitMQ that clients are told, where nobody says otherwise: several of them
/// behave by it.
pub const DEFAULT_VERSION: &str = "4.2.1";

/// What a user may set of the AMQP door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmqpConfig {
    /// The version of RabbitMQ that clients are told, as `x.y.z`. Default [`DEFAULT_VERSION`].
    pub version: String,
    /// `guest` comes in from other machines too, as with RabbitMQ's `loopback_users.guest = false`.
    /// Default false.
    pub guest_from_anywhere: bool,
    /// Users log in from other machines without TLS too. Default false: their passwords can be read on
    /// the way.
    pub passwords_without_tls: bool,
    /// Where a client's certificate says who logs in by `EXTERNAL` (RabbitMQ's
    /// `ssl_cert_login_from`). Default: the whole subject.
    pub certificate_login: CertificateLogin,
    /// How long a client may have a delivery without settling it, in ms, where neither its consumer
    /// nor its queue says so; 0: for ever. Default 0: work that takes hours is no fault, and
    /// RabbitMQ's half an hour ends the channels of those who do it.
    pub consumer_timeout_ms: u64,
}

impl Default for AmqpConfig {
    fn default() -> Self {
        Self {
            version: DEFAULT_VERSION.to_owned(),
            guest_from_anywhere: false,
            passwords_without_tls: false,
            certificate_login: CertificateLogin::default(),
            consumer_timeout_ms: 0,
        }
    }
}

impl AmqpConfig {
    /// Whom a client's certificate names; `None`: it has shown none, or that names nobody.
    pub(crate) fn named_by_certificate(&self, connection: &Connection) -> Option<String> {
        let identity = connection.tls.as_ref()?.identity.as_ref()?;
        self.certificate_login.name(identity)
    }
}

/// The AMQP door.
#[derive(Debug)]
pub struct AmqpDoor {
    config: Arc<AmqpConfig>,
    access: AccessView,
    tokens: TokenView,
}

impl AmqpDoor {
    /// A door that lets nobody in yet: see [`Self::of`].
    pub fn new(config: AmqpConfig) -> Self {
        Self {
            config: Arc::new(config),
            access: AccessView::default(),
            tokens: TokenView::default(),
        }
    }

    /// Believes tokens that these keys have signed, in place of passwords.
    #[must_use]
    pub fn believing(self, tokens: TokenView) -> Self {
        Self { tokens, ..self }
    }

    /// The door of a node with these users.
    #[must_use]
    pub fn of(self, access: AccessView) -> Self {
        Self { access, ..self }
    }
}

impl Door for AmqpDoor {
    type Session = AmqpSession;

    fn name(&self) -> &'static str {
        "amqp"
    }

    fn request_labels(&self) -> Vec<String> {
        let labels = Label::ALL.iter();
        labels.map(|label| label.name().to_owned()).collect()
    }

    fn entry(&self, peer: IpAddr) -> Entry {
        match self.access.quotas().connect(peer) {
            Some(0) => Entry::Now,
            Some(wait_ms) => Entry::Late(Duration::from_millis(wait_ms)),
            None => Entry::Never,
        }
    }

    fn open(&self, connection: Connection) -> AmqpSession {
        let known = (self.access.clone(), self.tokens.clone());
        AmqpSession::new(connection, Arc::clone(&self.config), known)
    }
}
