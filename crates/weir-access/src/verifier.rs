//! What is kept of a password (RFC 5802, section 3): enough to check it, not to log in with it.

use std::{fmt, num::NonZeroU32};

use aws_lc_rs::{
    constant_time,
    digest::{self, digest},
    hmac, pbkdf2,
};

use crate::limit::{MAX_ITERATIONS, MAX_SALT_BYTES, MIN_ITERATIONS, MIN_SALT_BYTES, SALT_BYTES};

/// Longest output of a hash, in bytes.
pub(crate) const MAX_HASH_BYTES: usize = 64;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

impl Hash {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The SASL mechanism's name.
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The mechanism of that name.
    pub fn of_mechanism(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.mechanism() == name)
    }

    /// Length of its output, in bytes.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// HMAC.
    pub(crate) fn sign(self, key: &[u8], text: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text)
    }

    pub(crate) fn digest(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        digest(algorithm, bytes)
    }

    /// The salted password: `Hi` of RFC 5802.
    fn stretch(self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = vec![0; self.size_bytes()];
        pbkdf2::derive(
            algorithm,
            iterations,
            salt,
            password.as_bytes(),
            &mut salted,
        );
        salted
    }
}

/// What is kept of a password for one mechanism.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The mechanism's hash.
    pub hash: Hash,
    /// Chosen at random for it.
    pub salt: Box<[u8]>,
    /// Rounds of its derivation.
    pub iterations: u32,
    /// Checks a client's proof.
    pub stored_key: Box<[u8]>,
    /// Proves the server to the client.
    pub server_key: Box<[u8]>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            hash, iterations, ..
        } = self;
        write!(f, "Verifier({}, {iterations})", hash.mechanism())
    }
}

impl Verifier {
    /// Of a password that is [`crate::prepared`]. `None`: too few or too many rounds.
    pub fn of_password(
        hash: Hash,
        password: &str,
        salt: &[u8; SALT_BYTES],
        iterations: u32,
    ) -> Option<Self> {
        let rounds = NonZeroU32::new(iterations)?;
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return None;
        }
        let salted = hash.stretch(password, salt, rounds);
        Self::of_salted_password(hash, &salted, salt, iterations)
    }

    /// Of a password that its owner has salted and stretched. `None`: something has not the length
    /// that it must have.
    pub fn of_salted_password(
        hash: Hash,
        salted: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> Option<Self> {
        let client_key = hash.sign(salted, b"Client Key");
        let verifier = Self {
            hash,
            salt: salt.into(),
            iterations,
            stored_key: hash.digest(client_key.as_ref()).as_ref().into(),
            server_key: hash.sign(salted, b"Server Key").as_ref().into(),
        };
        (verifier.is_sound() && salted.len() == hash.size_bytes()).then_some(verifier)
    }

    /// All of it has the length that it must have.
    pub fn is_sound(&self) -> bool {
        let size_bytes = self.hash.size_bytes();
        (MIN_SALT_BYTES..=MAX_SALT_BYTES).contains(&self.salt.len())
            && (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&self.iterations)
            && self.stored_key.len() == size_bytes
            && self.server_key.len() == size_bytes
    }

    /// Whether it is of this password, which is [`crate::prepared`]. Takes as long as the rounds do.
    pub fn is_of(&self, password: &str) -> bool {
        let Some(rounds) = NonZeroU32::new(self.iterations) else {
            return false;
        };
        let salted = self.hash.stretch(password, &self.salt, rounds);
        let client_key = self.hash.sign(&salted, b"Client Key");
        self.is_client_key(client_key.as_ref())
    }

    pub(crate) fn is_client_key(&self, client_key: &[u8]) -> bool {
        let found = self.hash.digest(client_key);
        constant_time::verify_slices_are_equal(found.as_ref(), &self.stored_key).is_ok()
    }

    /// For a name that nobody has: the same one each time, and of no password.
    pub(crate) fn of_nobody(hash: Hash, seed: &[u8], name: &str, iterations: u32) -> Self {
        let sign = |what: &str| {
            let text = [
                what.as_bytes(),
                hash.mechanism().as_bytes(),
                name.as_bytes(),
            ]
            .join(&0);
            hash.sign(seed, &text)
        };
        Self {
            hash,
            salt: sign("salt").as_ref()[..SALT_BYTES].into(),
            iterations,
            stored_key: sign("stored").as_ref().into(),
            server_key: sign("server").as_ref().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; SALT_BYTES] = [7; SALT_BYTES];

    #[test]
    fn a_verifier_is_of_its_password_alone() {
        for hash in Hash::ALL {
            let verifier = Verifier::of_password(hash, "pencil", &SALT, MIN_ITERATIONS).unwrap();
            assert!(verifier.is_sound() && verifier.is_of("pencil"));
            assert!(!verifier.is_of("pencils") && !verifier.is_of(""));
            assert!(!format!("{verifier:?}").contains("7"), "{verifier:?}");
        }
    }

    #[test]
    fn rounds_and_lengths_have_limits() {
        let of = |iterations| Verifier::of_password(Hash::Sha256, "x", &SALT, iterations);
        assert!(of(MIN_ITERATIONS - 1).is_none() && of(MAX_ITERATIONS + 1).is_none());
        assert!(of(MAX_ITERATIONS).is_some());
        let salted = |salted: usize, salt: usize| {
            let (salted, salt) = (vec![1; salted], vec![1; salt]);
            Verifier::of_salted_password(Hash::Sha256, &salted, &salt, MIN_ITERATIONS)
        };
        assert!(salted(32, MIN_SALT_BYTES).is_some() && salted(32, MAX_SALT_BYTES).is_some());
        assert!(salted(31, 16).is_none() && salted(64, 16).is_none());
        assert!(salted(32, MIN_SALT_BYTES - 1).is_none());
        assert!(salted(32, MAX_SALT_BYTES + 1).is_none());
    }

    #[test]
    fn nobodys_verifier_is_the_same_each_time_and_another_for_each_name() {
        let of = |name| Verifier::of_nobody(Hash::Sha512, b"seed", name, 4_096);
        assert!(of("a") == of("a") && of("a").salt != of("b").salt);
        assert!(of("a").is_sound() && !of("a").is_of(""));
    }
}
