//! The pages of the admin port that are no part of its API: alive, ready, metrics.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::{sync::Mutex, time::Instant};
use weir_door_http::{Page, Pages};

use super::{metrics, watched::Watched};

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What another machine is told in place of metrics.
const NO_USERS: &str = "There is no user yet: until weir user add has made one, metrics are shown on the \
                        node's own machine alone. Or set allow-anonymous.";

/// What requests are answered from.
pub(crate) struct Site {
    watched: Arc<Watched>,
    /// The last page of metrics and when it was begun. Held while one is made, so that all who
    /// asked before it was begun get the same: each costs a look at everything.
    metrics: Mutex<Option<(Instant, Bytes)>>,
}

impl Site {
    /// Of a node that does not run yet.
    pub(crate) fn new(watched: Arc<Watched>) -> Arc<Self> {
        Arc::new(Self {
            watched,
            metrics: Mutex::default(),
        })
    }

    async fn metrics(&self) -> Bytes {
        let asked = Instant::now();
        let mut last = self.metrics.lock().await;
        if let Some((_, page)) = last.as_ref().filter(|(begun, _)| *begun >= asked) {
            return page.clone();
        }
        let begun = Instant::now();
        let page = Bytes::from(metrics::page(&self.watched).await);
        *last = Some((begun, page.clone()));
        page
    }

    async fn shown(&self, path: &str, is_known: bool) -> Option<Page> {
        let text = |status, text: &str| Page {
            status,
            content_type: TEXT,
            text: Bytes::from(format!("{text}\n")),
        };
        Some(match path {
            "/healthz" => text(StatusCode::OK, "alive"),
            "/readyz" => match self.watched.unready() {
                None => text(StatusCode::OK, "ready"),
                Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            "/metrics" if !is_known && !self.watched.is_shown_elsewhere() => {
                text(StatusCode::FORBIDDEN, NO_USERS)
            }
            "/metrics" => Page {
                status: StatusCode::OK,
                content_type: METRICS,
                text: self.metrics().await,
            },
            "/" => text(
                StatusCode::OK,
                "/metrics\n/healthz\n/readyz\n/api/v1/openapi.json",
            ),
            _ => return None,
        })
    }
}

impl Pages for Site {
    fn page<'a>(
        &'a self,
        path: &'a str,
        is_known: bool,
    ) -> Pin<Box<dyn Future<Output = Option<Page>> + Send + 'a>> {
        Box::pin(self.shown(path, is_known))
    }
}
