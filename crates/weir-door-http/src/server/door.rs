//! What all connections of a node's admin ports share.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Semaphore;
use weir_broker::{Node, access::TokenView};
use weir_tls::PrincipalRules;

/// Requests of the API that are under way at a time.
const MAX_REQUESTS_COUNT: usize = 64;

/// A page that is no part of the API.
#[derive(Debug)]
pub struct Page {
    /// How it is answered.
    pub status: StatusCode,
    /// The type of its text.
    pub content_type: &'static str,
    /// The text.
    pub text: Bytes,
}

/// Pages beside the API.
pub trait Pages: Send + Sync + 'static {
    /// The page of a path; `None`: there is none. `is_known`: the client is on this machine, or has shown a
    /// certificate.
    fn page<'a>(
        &'a self,
        path: &'a str,
        is_known: bool,
    ) -> Pin<Box<dyn Future<Output = Option<Page>> + Send + 'a>>;
}

/// A setting that the node was started with.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NodeSetting {
    /// Its name.
    pub name: String,
    /// Its value; null: none.
    pub value: Option<String>,
    /// Where that comes from.
    pub origin: String,
    /// The value where nobody says one.
    pub default: Option<String>,
    /// The environment variable that sets it.
    pub variable: String,
    /// What it does.
    pub doc: String,
}

/// Settings by name.
pub(crate) type Settings = Arc<[NodeSetting]>;

/// What a user may set of the door, and what it shows of that.
#[derive(Debug, Default)]
pub struct HttpConfig {
    /// Clients of other machines are served before there is a user, as those of this one are.
    pub allows_anonymous: bool,
    /// Whom certificates of clients name.
    pub principals: PrincipalRules,
    /// By which tokens are believed.
    pub tokens: TokenView,
    /// What the node was started with.
    pub settings: Vec<NodeSetting>,
}

/// The HTTP door of a node.
pub struct HttpDoor {
    pub(super) pages: Arc<dyn Pages>,
    pub(super) allows_anonymous: bool,
    pub(super) principals: PrincipalRules,
    pub(super) tokens: TokenView,
    pub(super) settings: Settings,
    pub(super) places: Semaphore,
    node: OnceLock<Arc<Node>>,
}

impl fmt::Debug for HttpDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpDoor")
    }
}

impl HttpDoor {
    /// Of a node that does not run yet.
    pub fn new(pages: Arc<dyn Pages>, config: HttpConfig) -> Arc<Self> {
        let mut settings = config.settings;
        settings.sort_by(|one, other| one.name.cmp(&other.name));
        Arc::new(Self {
            pages,
            allows_anonymous: config.allows_anonymous,
            principals: config.principals,
            tokens: config.tokens,
            settings: settings.into(),
            places: Semaphore::new(MAX_REQUESTS_COUNT),
            node: OnceLock::new(),
        })
    }

    /// The node runs.
    pub fn runs(&self, node: Arc<Node>) {
        // There is one node in a process: only the first is ever set.
        let _ = self.node.set(node);
    }

    pub(super) fn node(&self) -> Option<&Arc<Node>> {
        self.node.get()
    }
}
