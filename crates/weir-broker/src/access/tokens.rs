//! What doors ask of tokens: the keys and rules that this node goes by.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use weir_access::{
    Principal,
    token::{Grants, KeySet, TokenError, TokenRefused, TokenRules, check_token},
};
use weir_log::Clock;

/// Longest time that a token is believed for without another one, in ms: a year. Clients count with it.
const MAX_LEFT_MS: u64 = 365 * 24 * 3_600_000;

/// Hears that a token names a key that is not known. Called on any thread, and must not block.
type Missing = Box<dyn Fn() + Send + Sync>;

/// The keys and rules by which this node believes tokens. A copy costs a reference count and sees later keys.
#[derive(Clone, Default)]
pub struct TokenView(Option<Arc<Inner>>);

struct Inner {
    rules: TokenRules,
    keys: ArcSwap<KeySet>,
    clock: Arc<dyn Clock>,
    missing: Missing,
}

/// Somebody whom a token names that is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Believed {
    /// Who.
    pub principal: Principal,
    /// For how long from now, in ms; never 0, nor more than a year.
    pub left_ms: u64,
    /// What the token's scopes allow, beside what rules do.
    pub grants: Grants,
}

impl fmt::Debug for TokenView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.as_ref().map(|inner| inner.keys.load());
        write!(f, "TokenView({:?})", keys.map(|keys| keys.len()))
    }
}

impl TokenView {
    /// Goes by these rules, and by the keys that [`Self::replace`] brings.
    pub fn new(rules: TokenRules, clock: Arc<dyn Clock>, missing: Missing) -> Self {
        Self(Some(Arc::new(Inner {
            rules,
            keys: ArcSwap::default(),
            clock,
            missing,
        })))
    }

    /// Tokens are taken at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// There are no keys yet: nobody is believed.
    pub fn is_empty(&self) -> bool {
        let inner = self.0.as_ref();
        inner.is_none_or(|inner| inner.keys.load().is_empty())
    }

    /// Goes by these keys from now on.
    pub fn replace(&self, keys: KeySet) {
        if let Some(inner) = &self.0 {
            inner.keys.store(Arc::new(keys));
        }
    }

    /// Whom a token names, where it is believed.
    pub fn check(&self, token: &str) -> Result<Believed, TokenRefused> {
        let Some(inner) = &self.0 else {
            return Err(TokenError::UnknownKey.into());
        };
        let now_ms = inner.clock.now().0;
        let found = check_token(token, &inner.keys.load(), &inner.rules, now_ms);
        if found
            .as_ref()
            .is_err_and(|refused| refused.error == TokenError::UnknownKey)
        {
            (inner.missing)();
        }
        let token = found?;
        let left_ms = token.holds_until_ms.saturating_sub(now_ms);
        Ok(Believed {
            principal: token.principal,
            grants: token.grants,
            left_ms: u64::try_from(left_ms).unwrap_or(0).clamp(1, MAX_LEFT_MS),
        })
    }
}
