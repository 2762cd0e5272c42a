//! Whether a token is believed.

use std::sync::Arc;

use super::{
    algorithm::Algorithm, claims::Claims, grants::Grants, key_set::KeySet, signed::SignedToken,
};
use crate::{
    limit::{MAX_GRANTS, MAX_TOKEN_BYTES},
    principal::Principal,
};

/// The claim that has scopes (RFC 8693).
const SCOPE: &str = "scope";

/// What tokens have to say, besides being signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// Who has to have made them (`iss`); `None`: whoever has the key.
    pub issuer: Option<String>,
    /// For whom they have to be meant: one of these (`aud`). None: for anybody.
    pub audiences: Vec<String>,
    /// The claims that tell whom they name: the first that is there counts.
    pub principal_claims: Vec<String>,
    /// What scopes begin with from which RabbitMQ's permissions follow; `None`: none follow.
    pub scope_prefix: Option<String>,
    /// By how much the clocks of those who make them and of this node may differ, in ms.
    pub clock_skew_ms: u64,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            issuer: None,
            audiences: Vec::new(),
            principal_claims: vec!["sub".to_owned()],
            scope_prefix: None,
            clock_skew_ms: 30_000,
        }
    }
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is longer than any.
    #[error("a token of more than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// It is not what a signed token is.
    #[error("no signed token")]
    Malformed,
    /// It is signed in a way that nobody believes, or not at all.
    #[error("a token signed in a way that is not believed")]
    Algorithm,
    /// It has an extension that has to be understood.
    #[error("a token with an extension that is not understood")]
    Critical,
    /// It is signed by a key that is not known.
    #[error("a token by a key that is not known")]
    UnknownKey,
    /// The key that it names has not signed it.
    #[error("a token with a wrong signature")]
    Signature,
    /// It does not say whom it names, or that is nobody's name.
    #[error("a token that names nobody")]
    Nobody,
    /// It does not say until when it holds.
    #[error("a token without an end")]
    Endless,
    /// Its time is over.
    #[error("a token that has expired")]
    Expired,
    /// Its time has not come.
    #[error("a token that does not hold yet")]
    Early,
    /// Somebody else has made it.
    #[error("a token of another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("a token for another audience")]
    Audience,
    /// It has more scopes from which something follows than there may be.
    #[error("a token with more than {MAX_GRANTS} scopes")]
    TooManyScopes,
}

/// A token that is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct TokenRefused {
    /// Why.
    pub error: TokenError,
    /// Whom it names; told only where its signature is right.
    pub name: Option<Arc<str>>,
}

impl From<TokenError> for TokenRefused {
    fn from(error: TokenError) -> Self {
        Self { error, name: None }
    }
}

/// What a token says that is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Whom it names.
    pub principal: Principal,
    /// Until when it is believed, in ms since 1970: its own end, and as much as clocks may differ.
    pub holds_until_ms: i64,
    /// What its scopes allow, beside what rules do.
    pub grants: Grants,
}

/// Believes a token that one of the keys has signed, and that says what the rules want, at this time.
pub fn check_token(
    text: &str,
    keys: &KeySet,
    rules: &TokenRules,
    now_ms: i64,
) -> Result<Token, TokenRefused> {
    let signed = SignedToken::parse(text)?;
    let algorithm = Algorithm::named(&signed.algorithm).ok_or(TokenError::Algorithm)?;
    let made = (signed.message, signed.signature.as_slice());
    match keys.verify(algorithm, signed.key_id.as_deref(), made) {
        Some(true) => {}
        Some(false) => return Err(TokenError::Signature.into()),
        None => return Err(TokenError::UnknownKey.into()),
    }
    let claims = Claims(&signed.payload);
    let mut names = rules.principal_claims.iter();
    let named = names.find_map(|claim| claims.text(claim));
    let principal = named.and_then(Principal::vouched);
    let principal = principal.ok_or(TokenError::Nobody)?;
    let holds = check_claims(&claims, rules, now_ms);
    match holds.and_then(|holds_until_ms| Ok((holds_until_ms, grants_of(&claims, rules)?))) {
        Ok((holds_until_ms, grants)) => Ok(Token {
            principal,
            holds_until_ms,
            grants,
        }),
        Err(error) => Err(TokenRefused {
            error,
            name: Some(principal.name().into()),
        }),
    }
}

fn grants_of(claims: &Claims<'_>, rules: &TokenRules) -> Result<Grants, TokenError> {
    let Some(prefix) = &rules.scope_prefix else {
        return Ok(Grants::default());
    };
    Grants::of(claims.texts(SCOPE), prefix).ok_or(TokenError::TooManyScopes)
}

/// Until when it holds.
fn check_claims(claims: &Claims<'_>, rules: &TokenRules, now_ms: i64) -> Result<i64, TokenError> {
    let ends_ms = claims.time_ms("exp")?.ok_or(TokenError::Endless)?;
    let holds_until_ms = ends_ms.saturating_add_unsigned(rules.clock_skew_ms);
    if holds_until_ms <= now_ms {
        return Err(TokenError::Expired);
    }
    for begins in ["nbf", "iat"] {
        let begins_ms = claims.time_ms(begins)?;
        let latest_ms = now_ms.saturating_add_unsigned(rules.clock_skew_ms);
        if begins_ms.is_some_and(|begins_ms| begins_ms > latest_ms) {
            return Err(TokenError::Early);
        }
    }
    if let Some(issuer) = &rules.issuer
        && claims.text("iss") != Some(issuer)
    {
        return Err(TokenError::Issuer);
    }
    let is_meant = |audience: &str| rules.audiences.iter().any(|wanted| wanted == audience);
    if !rules.audiences.is_empty() && !claims.texts("aud").any(is_meant) {
        return Err(TokenError::Audience);
    }
    Ok(holds_until_ms)
}
