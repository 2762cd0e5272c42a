//! SCRAM's server side (RFC 5802, RFC 7677), without channel binding: we offer no mechanism with `-PLUS`.
//!
//! A client's first message: `n` or `y`, a name to act for or nothing, then `n=` its name, `r=` its nonce, and
//! extensions. The server's first: `r=` both nonces, `s=` the salt, `i=` the rounds. The client's final
//! message: `c=` its header in base64, `r=` both nonces, extensions, `p=` its proof. The server's final: `v=`
//! its own proof.

mod message;
mod server;
#[cfg(test)]
mod tests;

pub use server::{Exchange, LoggedIn};
