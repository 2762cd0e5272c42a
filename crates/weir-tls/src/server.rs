//! What listeners show and ask of clients, read from files again while it is in use.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    server::{ServerSessionMemoryCache, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use crate::{
    directory,
    identity::PeerIdentity,
    limits::MAX_RESUMABLE_SESSIONS_COUNT,
    pem_file::{self, TlsError},
    sni::ByName,
};

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not.
    #[default]
    None,
    /// They are, and may have none. One that nobody trusts is refused all the same.
    Want,
    /// They are, and must have one.
    Require,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Where everything stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate for clients that name no host, with those between it and its authority (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// More certificates, each for the hosts that it names.
    pub directory: Option<PathBuf>,
    /// Authorities that sign clients' certificates (PEM).
    pub client_authorities: Option<PathBuf>,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuth,
    /// The oldest version.
    pub min_version: MinVersion,
}

/// A file with a certificate, and when that ends, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    /// The file.
    pub file: String,
    /// When the first certificate in it ends.
    pub ends_s: i64,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    ends: Vec<CertificateEnd>,
}

/// What is in use. One for all listeners.
#[derive(Debug)]
pub struct ServerTls {
    current: ArcSwap<Current>,
    reload_count: AtomicU64,
    failed_reload_count: AtomicU64,
    handshake_count: AtomicU64,
    failed_handshake_count: AtomicU64,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFigures {
    /// Every certificate that is in use.
    pub ends: Vec<CertificateEnd>,
    /// How often changed files came into use.
    pub reload_count: u64,
    /// How often changed files could not be used.
    pub failed_reload_count: u64,
    /// Handshakes that were completed.
    pub handshake_count: u64,
    /// Handshakes that were not.
    pub failed_handshake_count: u64,
}

/// What one look at the files found.
#[derive(Debug)]
pub enum Reloaded {
    /// Nothing has changed.
    Same,
    /// They are in use now.
    Changed,
    /// They cannot be used; what was in use before still is. Told once for one state of the files.
    Broken(TlsError),
}

/// Looks at the files again.
#[derive(Debug)]
pub struct Reloader {
    files: TlsFiles,
    tls: Arc<ServerTls>,
    /// Of what was tried last.
    seen: u64,
}

impl ServerTls {
    /// Reads everything. The second part is for whoever looks at the files from time to time.
    pub fn load(files: TlsFiles) -> Result<(Arc<Self>, Reloader), TlsError> {
        let read = Read::new(&files)?;
        let seen = read.fingerprint();
        let tls = Arc::new(Self {
            current: ArcSwap::from_pointee(read.build(&files)?),
            reload_count: AtomicU64::new(0),
            failed_reload_count: AtomicU64::new(0),
            handshake_count: AtomicU64::new(0),
            failed_handshake_count: AtomicU64::new(0),
        });
        let reloader = Reloader {
            files,
            tls: Arc::clone(&tls),
            seen,
        };
        Ok((tls, reloader))
    }

    /// For the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// Counts a handshake.
    pub fn count_handshake(&self, is_complete: bool) {
        let count = if is_complete {
            &self.handshake_count
        } else {
            &self.failed_handshake_count
        };
        count.fetch_add(1, Relaxed);
    }

    /// What was counted until now.
    pub fn figures(&self) -> TlsFigures {
        TlsFigures {
            ends: self.current.load().ends.clone(),
            reload_count: self.reload_count.load(Relaxed),
            failed_reload_count: self.failed_reload_count.load(Relaxed),
            handshake_count: self.handshake_count.load(Relaxed),
            failed_handshake_count: self.failed_handshake_count.load(Relaxed),
        }
    }
}

impl Reloader {
    /// Reads the files, and puts them into use where they have changed. Connections that are open
    /// keep what they began with.
    pub fn look(&mut self) -> Reloaded {
        let built = match Read::new(&self.files) {
            Ok(read) => {
                let fingerprint = read.fingerprint();
                if fingerprint == self.seen {
                    return Reloaded::Same;
                }
                self.seen = fingerprint;
                read.build(&self.files)
            }
            Err(error) => {
                // The word of what is missing stands for the state of the files.
                let fingerprint = hashed(&[error.to_string().as_bytes()]);
                if fingerprint == self.seen {
                    return Reloaded::Same;
                }
                self.seen = fingerprint;
                Err(error)
            }
        };
        match built {
            Ok(current) => {
                self.tls.current.store(Arc::new(current));
                self.tls.reload_count.fetch_add(1, Relaxed);
                Reloaded::Changed
            }
            Err(error) => {
                self.tls.failed_reload_count.fetch_add(1, Relaxed);
                Reloaded::Broken(error)
            }
        }
    }
}

/// The files' bytes, read in one go.
struct Read {
    /// Certificates and keys, the default first.
    pairs: Vec<[(PathBuf, Vec<u8>); 2]>,
    authorities: Option<(PathBuf, Vec<u8>)>,
}

impl Read {
    fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| Ok((path.to_owned(), pem_file::read(path)?));
        let mut pairs = vec![[read(&files.certificate)?, read(&files.key)?]];
        if let Some(directory) = &files.directory {
            for (certificate, key) in directory::pairs(directory)? {
                pairs.push([read(&certificate)?, read(&key)?]);
            }
        }
        let authorities = files.client_authorities.as_deref().map(read);
        Ok(Self {
            pairs,
            authorities: authorities.transpose()?,
        })
    }

    fn fingerprint(&self) -> u64 {
        let all = self.pairs.iter().flatten().chain(&self.authorities);
        let all: Vec<&[u8]> = all
            .flat_map(|(path, bytes)| [path.as_os_str().as_encoded_bytes(), bytes])
            .collect();
        hashed(&all)
    }

    fn build(&self, files: &TlsFiles) -> Result<Current, TlsError> {
        let mut ends = Vec::new();
        let mut by_name: Option<ByName> = None;
        for [(file, certificate), (key_file, key)] in &self.pairs {
            let chain = pem_file::certificates_in(file, certificate)?;
            let shown = file.display().to_string();
            let leaf = chain.first().and_then(PeerIdentity::read);
            let leaf = leaf.ok_or_else(|| TlsError::Malformed(shown.clone()))?;
            let key = pem_file::private_key_in(key_file, key)?;
            let certified = CertifiedKey::from_der(chain, key, &pem_file::provider());
            let certified = Arc::new(certified.map_err(|error| {
                let what = format!("{shown} with {}: {error}", key_file.display());
                TlsError::refused(what)
            })?);
            ends.push(CertificateEnd {
                file: shown,
                ends_s: leaf.ends_s,
            });
            let names = by_name.get_or_insert_with(|| ByName::new(Arc::clone(&certified)));
            names.add(leaf.dns_names(), &certified);
        }
        let names = by_name.expect("the default certificate comes first");
        let config = self.config(files, names)?;
        Ok(Current {
            config: Arc::new(config),
            ends,
        })
    }

    fn config(&self, files: &TlsFiles, names: ByName) -> Result<ServerConfig, TlsError> {
        let versions: &[&SupportedProtocolVersion] = match files.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(pem_file::provider())
            .with_protocol_versions(versions)
            .map_err(TlsError::refused)?
            .with_client_cert_verifier(self.verifier(files.client_auth)?)
            .with_cert_resolver(Arc::new(names));
        config.session_storage = ServerSessionMemoryCache::new(MAX_RESUMABLE_SESSIONS_COUNT);
        Ok(config)
    }

    fn verifier(&self, auth: ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let may_have_none = match auth {
            ClientAuth::None => return Ok(WebPkiClientVerifier::no_client_auth()),
            ClientAuth::Want => true,
            ClientAuth::Require => false,
        };
        let Some((file, bytes)) = &self.authorities else {
            return Err(TlsError::refused("no authority of clients' certificates"));
        };
        let roots = Arc::new(pem_file::roots_in(file, bytes)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, pem_file::provider());
        let builder = if may_have_none {
            builder.allow_unauthenticated()
        } else {
            builder
        };
        builder.build().map_err(TlsError::refused)
    }
}

fn hashed(parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}
