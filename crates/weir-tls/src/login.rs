//! The name under which a certificate logs in at the AMQP door (RabbitMQ's `EXTERNAL`).

use crate::identity::{AlternativeName, PeerIdentity};

/// Which of the names beside the subject (RabbitMQ's `ssl_cert_login_san_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlternativeNameKind {
    /// A host.
    #[default]
    Dns,
    /// An address.
    Ip,
    /// A mailbox.
    Email,
    /// A URI.
    Uri,
}

/// Where the name stands (RabbitMQ's `ssl_cert_login_from`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateLogin {
    /// The whole subject.
    #[default]
    DistinguishedName,
    /// The subject's common names, with commas between them.
    CommonName,
    /// A name beside the subject: the one at `index` among those of a kind.
    SubjectAlternativeName {
        /// The kind.
        kind: AlternativeNameKind,
        /// Its place, from 0 (RabbitMQ's `ssl_cert_login_san_index`).
        index: usize,
    },
}

impl CertificateLogin {
    /// RabbitMQ's words.
    pub const WORDS: [&'static str; 3] = [
        "distinguished_name",
        "common_name",
        "subject_alternative_name",
    ];

    /// By one of [`Self::WORDS`]; `None`: it is none of them.
    pub fn of_word(word: &str, kind: AlternativeNameKind, index: usize) -> Option<Self> {
        match word {
            "distinguished_name" => Some(Self::DistinguishedName),
            "common_name" => Some(Self::CommonName),
            "subject_alternative_name" => Some(Self::SubjectAlternativeName { kind, index }),
            _ => None,
        }
    }

    /// The name; `None`: the certificate has none there.
    pub fn name(self, identity: &PeerIdentity) -> Option<String> {
        let found = match self {
            Self::DistinguishedName => identity.subject.rabbit(),
            Self::CommonName => identity.subject.common_names().join(","),
            Self::SubjectAlternativeName { kind, index } => {
                let names = identity.alternative_names.iter();
                names.filter_map(|name| text(name, kind)).nth(index)?
            }
        };
        Some(found).filter(|name| !name.is_empty())
    }
}

fn text(name: &AlternativeName, kind: AlternativeNameKind) -> Option<String> {
    match (name, kind) {
        (AlternativeName::Dns(name), AlternativeNameKind::Dns)
        | (AlternativeName::Email(name), AlternativeNameKind::Email)
        | (AlternativeName::Uri(name), AlternativeNameKind::Uri) => Some(name.clone()),
        (AlternativeName::Ip(address), AlternativeNameKind::Ip) => Some(address.to_string()),
        (
            AlternativeName::Dns(_)
            | AlternativeName::Ip(_)
            | AlternativeName::Email(_)
            | AlternativeName::Uri(_),
            AlternativeNameKind::Dns
            | AlternativeNameKind::Ip
            | AlternativeNameKind::Email
            | AlternativeNameKind::Uri,
        ) => None,
    }
}
