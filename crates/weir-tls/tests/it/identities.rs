//! What is read of a certificate.

use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};
use weir_tls::{
    AlternativeName, AlternativeNameKind, CertificateLogin, PeerIdentity, PrincipalRules,
};

fn identity(change: impl FnOnce(&mut CertificateParams)) -> PeerIdentity {
    let mut params = CertificateParams::new(["a.example.com".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, text) in [
        (DnType::CountryName, "DE"),
        (DnType::OrganizationName, "Example, Inc."),
        (DnType::OrganizationalUnitName, "Ops"),
        (DnType::CommonName, "Alice"),
    ] {
        params.distinguished_name.push(kind, text);
    }
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    PeerIdentity::read(certificate.der()).unwrap()
}

#[test]
fn subject_names_and_end_are_read() {
    let read = identity(|params| {
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        params.subject_alt_names.extend([
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
            SanType::IpAddress("::1".parse().unwrap()),
            SanType::Rfc822Name("alice@example.com".try_into().unwrap()),
            SanType::URI("spiffe://example.com/alice".try_into().unwrap()),
        ]);
    });
    assert_eq!(
        read.subject.kafka(),
        "CN=Alice,OU=Ops,O=Example\\, Inc.,C=DE"
    );
    assert_eq!(
        read.alternative_names,
        [
            AlternativeName::Dns("a.example.com".to_owned()),
            AlternativeName::Ip("10.0.0.1".parse().unwrap()),
            AlternativeName::Ip("::1".parse().unwrap()),
            AlternativeName::Email("alice@example.com".to_owned()),
            AlternativeName::Uri("spiffe://example.com/alice".to_owned()),
        ]
    );
    assert_eq!(read.ends_s, 1_927_843_200);
    let rules = PrincipalRules::parse("RULE:^CN=(.*?),OU=Ops,.*$/$1/L,DEFAULT").unwrap();
    assert_eq!(rules.name(&read.subject.kafka()).unwrap(), "alice");
}

#[test]
fn a_login_is_taken_from_where_it_was_said() {
    let read = identity(|params| {
        params.subject_alt_names.extend([
            SanType::DnsName("b.example.com".try_into().unwrap()),
            SanType::Rfc822Name("alice@example.com".try_into().unwrap()),
        ]);
    });
    let login = |word, kind, index| {
        let login = CertificateLogin::of_word(word, kind, index).unwrap();
        login.name(&read)
    };
    use AlternativeNameKind::{Dns, Email, Ip, Uri};
    let whole = "CN=Alice,OU=Ops,O=Example\\, Inc.,C=DE";
    let [subject, common, alternative] = CertificateLogin::WORDS;
    assert_eq!(login(subject, Dns, 0).as_deref(), Some(whole));
    assert_eq!(login(common, Dns, 0).as_deref(), Some("Alice"));
    for (kind, index, name) in [
        (Dns, 0, Some("a.example.com")),
        (Dns, 1, Some("b.example.com")),
        (Dns, 2, None),
        (Email, 0, Some("alice@example.com")),
        (Ip, 0, None),
        (Uri, 0, None),
    ] {
        assert_eq!(login(alternative, kind, index).as_deref(), name);
    }
    assert_eq!(CertificateLogin::of_word("serial", Dns, 0), None);
    let nobody = identity(|params| params.distinguished_name = rcgen::DistinguishedName::new());
    assert!(nobody.subject.is_empty());
    assert_eq!(CertificateLogin::CommonName.name(&nobody), None);
    assert_eq!(CertificateLogin::DistinguishedName.name(&nobody), None);
}

#[test]
fn text_of_every_kind_is_read() {
    let read = identity(|params| {
        let wide = rcgen::string::BmpString::try_from("Zoë").unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, DnValue::BmpString(wide));
    });
    assert_eq!(read.subject.common_names(), ["Zoë"]);
}

#[test]
fn a_certificate_that_is_cut_off_is_none() {
    let params = CertificateParams::new(["a".to_owned()]).unwrap();
    let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let der = der.der();
    assert!(PeerIdentity::read(der).is_some());
    for length in 0..der.len() {
        assert_eq!(PeerIdentity::read(&der[..length].into()), None, "{length}");
    }
}
