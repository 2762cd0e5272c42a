//! Who a certificate says that its holder is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{FromDer as _, ParsedExtension},
};

use crate::{limits::MAX_ALTERNATIVE_NAMES_COUNT, name::DistinguishedName};

/// One of the names beside the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A mailbox.
    Email(String),
    /// A URI, such as `spiffe://...`.
    Uri(String),
}

/// What the certificate of a peer says, whose chain and key were verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The subject.
    pub subject: DistinguishedName,
    /// Names beside it, at most [`MAX_ALTERNATIVE_NAMES_COUNT`].
    pub alternative_names: Vec<AlternativeName>,
    /// When the certificate ends, in seconds since 1970.
    pub ends_s: i64,
}

impl PeerIdentity {
    /// Reads a certificate; `None`: it cannot be understood.
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(Self {
            subject: DistinguishedName::of(parsed.subject()),
            alternative_names: alternative_names(&parsed),
            ends_s: parsed.validity().not_after.timestamp(),
        })
    }

    /// The hosts that the certificate is for.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.alternative_names.iter().filter_map(|name| match name {
            AlternativeName::Dns(name) => Some(name.as_str()),
            AlternativeName::Ip(_) | AlternativeName::Email(_) | AlternativeName::Uri(_) => None,
        })
    }
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<AlternativeName> {
    let mut found = Vec::new();
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
            continue;
        };
        let known = names.general_names.iter().filter_map(alternative_name);
        found.extend(known.take(MAX_ALTERNATIVE_NAMES_COUNT - found.len()));
    }
    found
}

fn alternative_name(name: &GeneralName<'_>) -> Option<AlternativeName> {
    match name {
        GeneralName::DNSName(name) => Some(AlternativeName::Dns((*name).to_owned())),
        GeneralName::RFC822Name(name) => Some(AlternativeName::Email((*name).to_owned())),
        GeneralName::URI(name) => Some(AlternativeName::Uri((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|it| Ipv4Addr::from(it).into());
            let six = || <[u8; 16]>::try_from(*bytes).map(|it| Ipv6Addr::from(it).into());
            four.or_else(|_| six()).ok().map(AlternativeName::Ip)
        }
        _ => None,
    }
}
