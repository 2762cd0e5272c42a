//! Which certificate a client is shown: by the host that it says it wants (SNI).

use std::{collections::BTreeMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// Certificates by the hosts that they are for.
#[derive(Debug)]
pub(crate) struct ByName {
    /// Hosts in lower case; `*.` at the start stands for one label.
    names: BTreeMap<String, Arc<CertifiedKey>>,
    /// For clients that say no host, or one that no certificate is for.
    default: Arc<CertifiedKey>,
}

impl ByName {
    pub(crate) fn new(default: Arc<CertifiedKey>) -> Self {
        Self {
            names: BTreeMap::new(),
            default,
        }
    }

    /// The first certificate that is added for a host is the one that counts.
    pub(crate) fn add<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
        certificate: &Arc<CertifiedKey>,
    ) {
        for name in names {
            let name = name.to_ascii_lowercase();
            let kept = self.names.entry(name);
            kept.or_insert_with(|| Arc::clone(certificate));
        }
    }

    fn choose(&self, host: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(host) = host else {
            return &self.default;
        };
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let with_star = || {
            let (_, domain) = host.split_once('.')?;
            self.names.get(&format!("*.{domain}"))
        };
        let found = self.names.get(host).or_else(with_star);
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.choose(hello.server_name())))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::pem_file::provider;

    fn certificate() -> Arc<CertifiedKey> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["x".to_owned()]).unwrap();
        let signed = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let made = CertifiedKey::from_der(vec![signed.der().clone()], key, &provider());
        Arc::new(made.unwrap())
    }

    #[test]
    fn a_whole_name_goes_before_a_star_and_a_star_before_the_default() {
        let (default, exact, star) = (certificate(), certificate(), certificate());
        let mut names = ByName::new(Arc::clone(&default));
        names.add(["a.Example.com"].into_iter(), &exact);
        names.add(["*.example.com", "a.example.com"].into_iter(), &star);
        for (host, wanted) in [
            (Some("A.example.COM"), &exact),
            (Some("a.example.com."), &exact),
            (Some("b.example.com"), &star),
            (Some("c.b.example.com"), &default),
            (Some("example.com"), &default),
            (Some("localhost"), &default),
            (None, &default),
        ] {
            assert!(Arc::ptr_eq(names.choose(host), wanted), "{host:?}");
        }
    }
}
