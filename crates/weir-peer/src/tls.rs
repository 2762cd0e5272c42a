//! TLS between nodes: both ends show a certificate of the cluster's own authority.
//!
//! Names in certificates are looked at where [`Names::Verified`] says so: then a node must be reached
//! at a host that its certificate names, and whoever says that it is a node whose address is known
//! must show a certificate for that host. Otherwise whoever the authority signed is a node or an
//! administrator. Either way, give the cluster an authority of its own.
//! A certificate that restricts its use must allow both server and client authentication.

use std::{io, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{ParsedCertificate, WebPkiClientVerifier},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use weir_tls::{AlternativeName, PeerIdentity, TlsError, pem_file};

use crate::stream::Stream;

/// Whether hosts must be named by certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Any certificate of the authority will do.
    #[default]
    Any,
    /// They must.
    Verified,
}

/// This node's certificate and its cluster's authority.
#[derive(Clone)]
pub struct PeerTls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    names: Names,
}

impl PeerTls {
    /// Reads PEM files: the node's certificate (with those between it and the authority), its
    /// key, and the authority's certificate.
    pub fn load(
        certificate: &Path,
        key: &Path,
        authority: &Path,
        names: Names,
    ) -> Result<Self, TlsError> {
        let chain = pem_file::certificates(certificate)?;
        let roots = pem_file::roots(authority)?;
        Self::new(chain, pem_file::private_key(key)?, Arc::new(roots), names)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        roots: Arc<RootCertStore>,
        names: Names,
    ) -> Result<Self, TlsError> {
        let provider = pem_file::provider();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(TlsError::refused)?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::refused)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(TlsError::refused)?;
        let verifier = SignedByAuthority {
            roots,
            provider: Arc::clone(&provider),
            names,
        };
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::refused)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(chain, key)
            .map_err(TlsError::refused)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            names,
        })
    }

    /// Whether whoever shows `identity` may say that it is the node at `address`.
    pub(crate) fn allows(&self, identity: Option<&PeerIdentity>, address: &str) -> bool {
        match self.names {
            Names::Any => true,
            Names::Verified => identity.is_some_and(|it| is_named(it, host_of(address))),
        }
    }
}

fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

fn is_named(identity: &PeerIdentity, host: &str) -> bool {
    let names = &mut identity.alternative_names.iter();
    names.any(|name| match name {
        AlternativeName::Dns(name) => name.eq_ignore_ascii_case(host),
        AlternativeName::Ip(address) => host.parse() == Ok(*address),
        AlternativeName::Email(_) | AlternativeName::Uri(_) => false,
    })
}

/// The accepting end of a connection, in TLS where there is some, and who the other one is.
pub(crate) async fn accept(
    tls: Option<&PeerTls>,
    socket: TcpStream,
) -> io::Result<(Stream, Option<PeerIdentity>)> {
    let Some(tls) = tls else {
        return Ok((Box::new(socket), None));
    };
    let stream = tls.acceptor.accept(socket).await?;
    let (_, connection) = stream.get_ref();
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let identity = certificate.and_then(PeerIdentity::read);
    Ok((Box::new(stream), identity))
}

/// The dialling end, to `address`.
pub(crate) async fn connect(
    tls: Option<&PeerTls>,
    socket: TcpStream,
    address: &str,
) -> io::Result<Stream> {
    let Some(tls) = tls else {
        return Ok(Box::new(socket));
    };
    let name = ServerName::try_from(host_of(address).to_owned());
    let name = match (name, tls.names) {
        (Ok(name), _) => name,
        // Not compared, and any will do.
        (Err(_), Names::Any) => ServerName::from(socket.peer_addr()?.ip()),
        (Err(error), Names::Verified) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
    };
    Ok(Box::new(tls.connector.connect(name, socket).await?))
}

/// Takes every server whose certificate the authority signed, and whose name is right where it counts.
#[derive(Debug)]
struct SignedByAuthority {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    names: Names,
}

impl ServerCertVerifier for SignedByAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)
            .map_err(|_| Error::from(CertificateError::BadEncoding))?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        if self.names == Names::Verified {
            verify_server_name(&certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
