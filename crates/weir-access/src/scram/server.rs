//! The exchange itself: what it expects next is its type.

use std::sync::Arc;

use aws_lc_rs::constant_time;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::message::{Final, First, text};
use crate::{
    limit::DEFAULT_ITERATIONS,
    plain::AuthError,
    prepare::prepared,
    store::Access,
    user::User,
    verifier::{Hash, MAX_HASH_BYTES, Verifier},
};

/// An exchange that has heard the client's first message, and expects its final one.
#[derive(Debug)]
pub struct Exchange {
    user: Box<str>,
    /// What the proof is checked against: nobody's where the user is not there.
    verifier: Verifier,
    header: Box<str>,
    nonce: Box<str>,
    /// The client's first message without its header, the server's, and commas after both.
    heard: String,
}

/// What came of it.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who it is.
    pub user: Arc<User>,
    /// The server's final message.
    pub answer: String,
}

impl Exchange {
    /// Takes the client's first message; with it comes the server's first. `nonce`: the server's part, printable,
    /// without a comma, and never the same twice.
    pub fn begin(
        access: &Access,
        hash: Hash,
        nonce: &str,
        message: &[u8],
    ) -> Result<(Self, String), AuthError> {
        let first = First::parse(text(message)?)?;
        let name = prepared(&first.user).ok_or(AuthError::Malformed)?;
        let known = access.user(&name).filter(|user| user.is_enabled);
        let verifier = known.and_then(|user| user.verifier(hash)).cloned();
        let verifier = verifier.unwrap_or_else(|| {
            Verifier::of_nobody(hash, &access.seed().0, &name, DEFAULT_ITERATIONS)
        });
        let nonce = format!("{}{nonce}", first.nonce);
        let salt = STANDARD.encode(&verifier.salt);
        let answer = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let exchange = Self {
            user: (&*name).into(),
            verifier,
            header: first.header.into(),
            nonce: nonce.into(),
            heard: format!("{},{answer},", first.bare),
        };
        Ok((exchange, answer))
    }

    /// Who the client says it is.
    pub fn user_name(&self) -> &str {
        &self.user
    }

    /// Takes the client's final message. The user must be there still, with the same password.
    pub fn finish(self, access: &Access, message: &[u8]) -> Result<LoggedIn, AuthError> {
        let last = Final::parse(text(message)?)?;
        let header = STANDARD
            .decode(last.binding)
            .map_err(|_| AuthError::Malformed)?;
        if header != self.header.as_bytes() {
            return Err(AuthError::ChannelBinding);
        }
        // librdkafka before 2.6.1 puts its own part in front twice, and Kafka bears it. It is enough:
        // the proof is over all messages.
        if !last.nonce.ends_with(&*self.nonce) {
            return Err(AuthError::Malformed);
        }
        let hash = self.verifier.hash;
        let proof = STANDARD
            .decode(last.proof)
            .map_err(|_| AuthError::Malformed)?;
        if proof.len() != hash.size_bytes() {
            return Err(AuthError::Malformed);
        }
        let spoken = format!("{}{}", self.heard, last.without_proof);
        let signature = hash.sign(&self.verifier.stored_key, spoken.as_bytes());
        let mut client_key = [0; MAX_HASH_BYTES];
        let pairs = proof.iter().zip(signature.as_ref());
        for (byte, (proof, signature)) in client_key.iter_mut().zip(pairs) {
            *byte = proof ^ signature;
        }
        let is_proven = self.verifier.is_client_key(&client_key[..proof.len()]);
        let user = access.user(&self.user).filter(|user| {
            is_proven && user.is_enabled && user.verifier(hash).is_some_and(|now| self.is_by(now))
        });
        let user = user.ok_or(AuthError::Credentials)?;
        let own = hash.sign(&self.verifier.server_key, spoken.as_bytes());
        Ok(LoggedIn {
            user: Arc::clone(user),
            answer: format!("v={}", STANDARD.encode(own.as_ref())),
        })
    }

    fn is_by(&self, verifier: &Verifier) -> bool {
        let (asked, now) = (&self.verifier.stored_key, &verifier.stored_key);
        constant_time::verify_slices_are_equal(asked, now).is_ok()
    }
}
