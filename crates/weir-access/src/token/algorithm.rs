//! The signatures that are believed. All of them are made by a key that only whoever signs has: neither `none`
//! nor one by a secret that is shared (`HS256` and the like) stands here.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, VerificationAlgorithm,
};

/// A signature's kind (RFC 7518, RFC 8037).
#[derive(Debug)]
pub(super) struct Algorithm {
    /// As headers and keys call it.
    pub(super) name: &'static str,
    pub(super) method: Method,
}

/// How it is checked.
#[derive(Debug)]
pub(super) enum Method {
    /// By a key of RSA.
    Rsa(&'static RsaParameters),
    /// By a point on this curve.
    Point(Curve, &'static dyn VerificationAlgorithm),
}

/// A curve that keys are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    Ed25519,
}

const fn rsa(name: &'static str, parameters: &'static RsaParameters) -> Algorithm {
    Algorithm {
        name,
        method: Method::Rsa(parameters),
    }
}

const fn point(
    name: &'static str,
    curve: Curve,
    check: &'static dyn VerificationAlgorithm,
) -> Algorithm {
    Algorithm {
        name,
        method: Method::Point(curve, check),
    }
}

static ALGORITHMS: [Algorithm; 10] = [
    rsa("RS256", &RSA_PKCS1_2048_8192_SHA256),
    rsa("RS384", &RSA_PKCS1_2048_8192_SHA384),
    rsa("RS512", &RSA_PKCS1_2048_8192_SHA512),
    rsa("PS256", &RSA_PSS_2048_8192_SHA256),
    rsa("PS384", &RSA_PSS_2048_8192_SHA384),
    rsa("PS512", &RSA_PSS_2048_8192_SHA512),
    point("ES256", Curve::P256, &ECDSA_P256_SHA256_FIXED),
    point("ES384", Curve::P384, &ECDSA_P384_SHA384_FIXED),
    point("EdDSA", Curve::Ed25519, &ED25519),
    point("Ed25519", Curve::Ed25519, &ED25519),
];

impl Algorithm {
    /// The one of that name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ALGORITHMS.iter().find(|known| known.name == name)
    }
}

impl Curve {
    /// As keys call it, whose type is this one.
    pub(super) fn named(key_type: &str, name: &str) -> Option<Self> {
        match (key_type, name) {
            ("EC", "P-256") => Some(Self::P256),
            ("EC", "P-384") => Some(Self::P384),
            ("OKP", "Ed25519") => Some(Self::Ed25519),
            _ => None,
        }
    }

    /// Bytes of each of a point's numbers.
    pub(super) fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 | Self::Ed25519 => 32,
            Self::P384 => 48,
        }
    }
}
