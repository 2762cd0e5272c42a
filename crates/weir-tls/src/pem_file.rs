//! Certificates and keys from PEM files.

use std::{fs, io, path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

use crate::limits::MAX_PEM_FILE_BYTES;

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{file} cannot be read: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's word.
        source: io::Error,
    },
    /// A file is longer than [`MAX_PEM_FILE_BYTES`].
    #[error("{0} is longer than {MAX_PEM_FILE_BYTES} bytes")]
    TooLong(String),
    /// A file is not what it should be.
    #[error("{file} is no PEM file with what is needed: {source}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("{0} has no certificate")]
    Empty(String),
    /// A certificate cannot be understood.
    #[error("{0} has a certificate that cannot be understood")]
    Malformed(String),
    /// A directory has a certificate without a key, or too much.
    #[error("{directory}: {what}")]
    Directory {
        /// The directory.
        directory: String,
        /// What is wrong.
        what: String,
    },
    /// Certificate, key and authority do not fit.
    #[error("certificate, key and authority cannot be used: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TlsError {
    /// What the TLS library refuses.
    pub fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Refused(error.into())
    }
}

/// The one provider of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The bytes of a file that holds certificates or a key.
pub fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Unreadable {
        file: path.display().to_string(),
        source,
    };
    let length_bytes = fs::metadata(path).map_err(failed)?.len();
    if length_bytes > MAX_PEM_FILE_BYTES {
        return Err(TlsError::TooLong(path.display().to_string()));
    }
    fs::read(path).map_err(failed)
}

/// All certificates of a file, at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates_in(path, &read(path)?)
}

/// As [`certificates`], of bytes that were read from `path`.
pub(crate) fn certificates_in(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = read.map_err(|source| file_error(path, source))?;
    if found.is_empty() {
        return Err(TlsError::Empty(path.display().to_string()));
    }
    Ok(found)
}

/// The private key of a file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    private_key_in(path, &read(path)?)
}

pub(crate) fn private_key_in(
    path: &Path,
    bytes: &[u8],
) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|source| file_error(path, source))
}

/// The authorities of a file.
pub fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    roots_in(path, &read(path)?)
}

pub(crate) fn roots_in(path: &Path, bytes: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates_in(path, bytes)? {
        roots.add(root).map_err(TlsError::refused)?;
    }
    Ok(roots)
}

fn file_error(path: &Path, source: pem::Error) -> TlsError {
    TlsError::File {
        file: path.display().to_string(),
        source,
    }
}
