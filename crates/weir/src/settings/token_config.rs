//! Settings of tokens, as values of their types.

use std::{path::PathBuf, time::Duration};

use weir_access::token::TokenRules;

use super::{Origin, serve_config::Read, table};
use crate::exit_code::Usage;

/// Whose tokens a node believes.
#[derive(Clone, Debug)]
pub(crate) struct TokenConfig {
    /// The key set's file, or its URL.
    pub(crate) keys: String,
    /// Whose certificates are believed where that is reached over TLS.
    pub(crate) authorities: PathBuf,
    /// How long keys of a URL are used before it is asked again.
    pub(crate) refresh: Duration,
    pub(crate) rules: TokenRules,
}

impl TokenConfig {
    /// `None`: no tokens are taken.
    pub(super) fn read(read: &Read<'_>) -> Result<Option<Self>, Usage> {
        let Some(keys) = read.optional(&table::TOKEN_KEYS) else {
            return without_keys(read);
        };
        let rules = TokenRules {
            issuer: read.optional(&table::TOKEN_ISSUER),
            audiences: read.texts(&table::TOKEN_AUDIENCE),
            principal_claims: read.texts(&table::TOKEN_PRINCIPAL_CLAIM),
            scope_prefix: read.optional(&table::TOKEN_SCOPE_PREFIX),
            clock_skew_ms: read.number(&table::TOKEN_CLOCK_SKEW_MS),
        };
        Ok(Some(Self {
            keys,
            authorities: read.path(&table::TOKEN_KEYS_CA_FILE).unwrap_or_default(),
            refresh: Duration::from_millis(read.number(&table::TOKEN_KEYS_REFRESH_MS)),
            rules,
        }))
    }
}

/// Nobody may believe that tokens are taken that are not.
fn without_keys(read: &Read<'_>) -> Result<Option<TokenConfig>, Usage> {
    for setting in [
        &table::TOKEN_ISSUER,
        &table::TOKEN_AUDIENCE,
        &table::TOKEN_SCOPE_PREFIX,
    ] {
        if read.0.entry(setting).origin != Origin::Default {
            let (name, needed) = (setting.name, table::TOKEN_KEYS.name);
            return Err(Usage(format!("{name} needs {needed}")));
        }
    }
    Ok(None)
}
