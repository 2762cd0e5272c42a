//! Tokens (JWT, RFC 7519) that somebody else has signed: whom they name, and until when. Whose keys are believed,
//! and where they come from, is said by whoever asks.

mod algorithm;
mod check;
mod claims;
mod grants;
mod key_set;
mod signed;
#[cfg(test)]
mod tests;

pub use check::{Token, TokenError, TokenRefused, TokenRules, check_token};
pub use grants::Grants;
pub use key_set::{KeySet, KeySetError};
pub use signed::{Unverified, is_token};
