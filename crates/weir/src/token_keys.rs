//! The keys by which tokens are believed, looked at again while the node runs.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tracing::{info, warn};
use weir_access::{
    MAX_KEY_SET_BYTES,
    token::{KeySet, KeySetError},
};
use weir_broker::access::TokenView;
use weir_log::disk::SystemClock;

use crate::settings::TokenConfig;

/// Time between two looks at the file.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenKeysError {
    #[error("{file} cannot be read: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("{place}: {source}")]
    Set { place: String, source: KeySetError },
}

/// The keys, and who looks at their file.
pub(crate) struct TokenKeys {
    view: TokenView,
    file: PathBuf,
    /// What was seen last, usable or not.
    seen: Vec<u8>,
}

impl TokenKeys {
    /// Reads the file.
    pub(crate) fn load(config: &TokenConfig) -> Result<Self, TokenKeysError> {
        if config.rules.audiences.is_empty() {
            warn!("token-audience is not set: tokens that are meant for others are believed too");
        }
        let clock = Arc::new(SystemClock::default());
        let view = TokenView::new(config.rules.clone(), clock, Box::new(|| {}));
        let seen = read(&config.keys)?;
        view.replace(parse(&config.keys, &seen)?);
        Ok(Self {
            view,
            file: config.keys.clone(),
            seen,
        })
    }

    /// For the doors.
    pub(crate) fn view(&self) -> TokenView {
        self.view.clone()
    }

    /// Looks at the file until it is dropped.
    pub(crate) async fn watch(mut self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let looking = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            let Ok(back) = looking.await else {
                // The process ends: its threads take no work any more.
                return;
            };
            self = back;
        }
    }

    /// The keys before stay in use where there are no others.
    fn look(&mut self) {
        let found = read(&self.file);
        let keys = match found {
            Ok(bytes) if bytes == self.seen => return,
            Ok(bytes) => {
                let keys = parse(&self.file, &bytes);
                self.seen = bytes;
                keys
            }
            // Said once, too.
            Err(_) if self.seen.is_empty() => return,
            Err(error) => {
                self.seen.clear();
                Err(error)
            }
        };
        match keys {
            Ok(keys) => self.view.replace(keys),
            Err(error) => {
                warn!(%error, "changed keys of tokens cannot be used; those before stay in use");
            }
        }
    }
}

/// A file's bytes, and one more than a key set may have where it is longer.
fn read(file: &Path) -> Result<Vec<u8>, TokenKeysError> {
    let failed = |source| TokenKeysError::Unreadable {
        file: file.display().to_string(),
        source,
    };
    let max_bytes = u64::try_from(MAX_KEY_SET_BYTES + 1).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(failed)?;
    opened
        .take(max_bytes)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

fn parse(file: &Path, bytes: &[u8]) -> Result<KeySet, TokenKeysError> {
    let place = file.display().to_string();
    match KeySet::parse(bytes) {
        Ok(keys) => {
            let (count, passed_over) = (keys.len(), keys.passed_over_count());
            info!(place, count, passed_over, "keys of tokens are in use");
            Ok(keys)
        }
        Err(source) => Err(TokenKeysError::Set { place, source }),
    }
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

    #[test]
    fn keys_that_have_changed_are_used_and_kept_when_what_follows_is_none() {
        let dir = std::env::temp_dir().join(format!("weir-token-keys-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let config = TokenConfig {
            keys: dir.join("keys.json"),
            rules: TokenRules::default(),
        };
        assert!(TokenKeys::load(&config).is_err());
        fs::write(&config.keys, "{}").unwrap();
        assert!(TokenKeys::load(&config).is_err());
        fs::write(&config.keys, set(1)).unwrap();
        let mut keys = TokenKeys::load(&config).unwrap();
        let count = |keys: &TokenKeys| format!("{:?}", keys.view);
        for (text, expected) in [
            (&*set(2), "TokenView(Some(2))"),
            ("{", "TokenView(Some(2))"),
            (&set(1), "TokenView(Some(1))"),
        ] {
            fs::write(&config.keys, text).unwrap();
            keys.look();
            assert_eq!(count(&keys), expected);
        }
        fs::remove_dir_all(&dir).unwrap();
        keys.look();
        assert_eq!(count(&keys), "TokenView(Some(1))");
        fs::create_dir_all(&dir).unwrap();
        fs::write(&config.keys, set(3)).unwrap();
        keys.look();
        assert_eq!(count(&keys), "TokenView(Some(3))");
        fs::remove_dir_all(&dir).unwrap();
    }
}
