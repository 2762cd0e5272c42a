//! The keys by which tokens are believed, looked at again while the node runs.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tracing::{debug, info, warn};
use weir_access::{
    MAX_KEY_SET_BYTES,
    token::{KeySet, KeySetError},
};
use weir_broker::access::TokenView;
use weir_log::disk::SystemClock;

use crate::{
    key_url::{FetchError, KeyUrl, KeyUrlError, is_url},
    settings::TokenConfig,
};

/// Time between two looks at a file.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Least time between two requests to a URL: for one that failed, or for a key that is not known, which anybody can
/// name.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenKeysError {
    #[error("{place} cannot be read: {source}")]
    Unreadable { place: String, source: io::Error },
    #[error("{place}: {source}")]
    Fetch { place: String, source: FetchError },
    #[error("{place}: {source}")]
    Url { place: String, source: KeyUrlError },
    #[error("{place}: {source}")]
    Set { place: String, source: KeySetError },
}

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Url(KeyUrl),
}

/// The keys, and who looks for others.
pub(crate) struct TokenKeys {
    view: TokenView,
    /// As it was given.
    place: String,
    source: Source,
    refresh: Duration,
    /// Somebody has shown a token by a key that is not known.
    missing: Arc<Notify>,
    /// What was seen last, usable or not; `None`: nothing, or it could not be read.
    seen: Option<Bytes>,
}

impl TokenKeys {
    /// Reads the file, which has to be one, or asks the URL, which may answer later.
    pub(crate) async fn load(config: &TokenConfig) -> Result<Self, TokenKeysError> {
        if config.rules.audiences.is_empty() {
            warn!("token-audience is not set: tokens that are meant for others are believed too");
        }
        let missing = Arc::new(Notify::new());
        let wanted = Arc::clone(&missing);
        let clock = Arc::new(SystemClock::default());
        let hears = Box::new(move || wanted.notify_one());
        let mut keys = Self {
            view: TokenView::new(config.rules.clone(), clock, hears),
            source: Source::of(config)?,
            place: config.keys.clone(),
            refresh: config.refresh,
            missing,
            seen: None,
        };
        match (keys.look().await, &keys.source) {
            (Err(error), Source::File(_)) => Err(error),
            (Err(error), Source::Url(_)) => {
                warn!(%error, "no keys of tokens yet: nobody is believed");
                Ok(keys)
            }
            (Ok(()), _) => Ok(keys),
        }
    }

    /// For the doors.
    pub(crate) fn view(&self) -> TokenView {
        self.view.clone()
    }

    /// Looks for others until it is dropped.
    pub(crate) async fn watch(mut self) {
        let mut has_failed = self.view.is_empty();
        loop {
            let looked = Instant::now();
            let (least, most) = match &self.source {
                Source::File(_) => (LOOK_INTERVAL, LOOK_INTERVAL),
                Source::Url(_) if has_failed => (MIN_FETCH_INTERVAL, MIN_FETCH_INTERVAL),
                Source::Url(_) => (MIN_FETCH_INTERVAL.min(self.refresh), self.refresh),
            };
            sleep_until(looked + least).await;
            tokio::select! {
                () = sleep_until(looked + most) => {}
                () = self.missing.notified() => {}
            }
            match (self.look().await, has_failed) {
                (Ok(()), _) => has_failed = false,
                (Err(error), false) => {
                    warn!(%error, "no other keys of tokens; those before stay in use");
                    has_failed = true;
                }
                // Said once.
                (Err(error), true) => debug!(%error, "still no other keys of tokens"),
            }
        }
    }

    /// The keys before stay in use where there are no others.
    async fn look(&mut self) -> Result<(), TokenKeysError> {
        let found = self.source.get(&self.place).await;
        let found = found.inspect_err(|_| self.seen = None)?;
        let is_new = self.seen.as_ref() != Some(&found);
        let parsed = parse(&self.place, &found);
        self.seen = Some(found);
        let keys = parsed?;
        if is_new {
            let (count, passed_over) = (keys.len(), keys.passed_over_count());
            info!(
                place = self.place,
                count, passed_over, "keys of tokens are in use"
            );
            self.view.replace(keys);
        }
        Ok(())
    }
}

impl Source {
    fn of(config: &TokenConfig) -> Result<Self, TokenKeysError> {
        if !is_url(&config.keys) {
            return Ok(Self::File(PathBuf::from(&config.keys)));
        }
        let url = KeyUrl::new(&config.keys, &config.authorities).map_err(|source| {
            let place = config.keys.clone();
            TokenKeysError::Url { place, source }
        })?;
        if url.is_exposed() {
            let place = &config.keys;
            warn!("{place} without TLS: whoever is on the way can say which keys are believed");
        }
        Ok(Self::Url(url))
    }

    /// What is there now.
    async fn get(&self, place: &str) -> Result<Bytes, TokenKeysError> {
        let place = || place.to_owned();
        match self {
            Self::File(file) => read(file).await.map_err(|source| {
                let place = place();
                TokenKeysError::Unreadable { place, source }
            }),
            Self::Url(url) => url.get().await.map_err(|source| {
                let place = place();
                TokenKeysError::Fetch { place, source }
            }),
        }
    }
}

/// The keys as they are now.
pub(crate) async fn now(config: &TokenConfig) -> Result<KeySet, TokenKeysError> {
    let found = Source::of(config)?.get(&config.keys).await?;
    parse(&config.keys, &found)
}

fn parse(place: &str, text: &[u8]) -> Result<KeySet, TokenKeysError> {
    KeySet::parse(text).map_err(|source| {
        let place = place.to_owned();
        TokenKeysError::Set { place, source }
    })
}

/// A file's bytes, and one more than a key set may have where it is longer.
async fn read(file: &Path) -> io::Result<Bytes> {
    let file = file.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let max_bytes = u64::try_from(MAX_KEY_SET_BYTES + 1).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        File::open(file)?.take(max_bytes).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    });
    reading.await?
}

#[cfg(test)]
mod tests {
    use std::fs;

    use weir_access::token::TokenRules;

    use super::*;

    const KEY: &str = r#"{"kty": "OKP", "crv": "Ed25519", "kid": "first",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn set(count: usize) -> String {
        format!(r#"{{"keys": [{}]}}"#, vec![KEY; count].join(","))
    }

    fn config(keys: &str) -> TokenConfig {
        TokenConfig {
            keys: keys.to_owned(),
            authorities: PathBuf::new(),
            refresh: Duration::from_secs(3_600),
            rules: TokenRules::default(),
        }
    }

    fn count(keys: &TokenKeys) -> String {
        format!("{:?}", keys.view)
    }

    #[tokio::test]
    async fn keys_that_have_changed_are_used_and_kept_when_what_follows_is_none() {
        let dir = std::env::temp_dir().join(format!("weir-token-keys-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("keys.json");
        let config = config(file.to_str().unwrap());
        assert!(TokenKeys::load(&config).await.is_err());
        fs::write(&file, "{}").unwrap();
        assert!(TokenKeys::load(&config).await.is_err());
        fs::write(&file, set(1)).unwrap();
        let mut keys = TokenKeys::load(&config).await.unwrap();
        for (text, expected, is_used) in [
            (&*set(2), "TokenView(Some(2))", true),
            ("{", "TokenView(Some(2))", false),
            (&set(1), "TokenView(Some(1))", true),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(keys.look().await.is_ok(), is_used);
            assert_eq!(count(&keys), expected);
        }
        fs::remove_dir_all(&dir).unwrap();
        assert!(keys.look().await.is_err());
        assert_eq!(count(&keys), "TokenView(Some(1))");
        fs::create_dir_all(&dir).unwrap();
        fs::write(&file, set(3)).unwrap();
        assert!(keys.look().await.is_ok());
        assert_eq!(count(&keys), "TokenView(Some(3))");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn a_url_may_answer_later_and_nobody_is_believed_until_then() {
        // A port where nobody listens any more.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let keys = TokenKeys::load(&config(&format!("http://{address}/keys"))).await;
        assert!(keys.unwrap().view.is_empty());
        assert!(
            TokenKeys::load(&config("https://id.example/"))
                .await
                .is_err()
        );
    }
}
