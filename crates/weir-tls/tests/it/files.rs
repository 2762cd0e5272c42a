//! Files that are read, and read again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, KeyPair};
use weir_tls::{ClientAuth, MinVersion, Reloaded, ServerTls, TlsError, TlsFiles, limits};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("more")).unwrap();
        Self(dir)
    }

    /// A certificate in `NAME.pem`, its key in `NAME.key`.
    fn issue(&self, name: &str, host: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let signed = params.self_signed(&key).unwrap();
        self.write(&format!("{name}.pem"), &signed.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.0.join("node.pem"),
            key: self.0.join("node.key"),
            directory: Some(self.0.join("more")),
            client_authorities: None,
            client_auth: ClientAuth::None,
            min_version: MinVersion::Tls12,
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn changed_files_come_into_use_and_broken_ones_do_not() {
    let dir = Dir::new("reload");
    dir.issue("node", "node");
    dir.issue("more/a", "a.example.com");
    let (tls, mut reloader) = ServerTls::load(dir.files()).unwrap();
    let first = tls.config();
    assert!(matches!(reloader.look(), Reloaded::Same));
    assert_eq!(tls.figures().ends.len(), 2);

    dir.issue("node", "node");
    assert!(matches!(reloader.look(), Reloaded::Changed));
    let second = tls.config();
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(matches!(reloader.look(), Reloaded::Same));

    let good = fs::read_to_string(dir.0.join("node.pem")).unwrap();
    for broken in ["", "no certificate", &good[..good.len() / 2]] {
        dir.write("node.pem", broken);
        assert!(matches!(reloader.look(), Reloaded::Broken(_)), "{broken}");
        assert!(matches!(reloader.look(), Reloaded::Same), "told twice");
        assert!(Arc::ptr_eq(&tls.config(), &second));
    }
    fs::remove_file(dir.0.join("node.pem")).unwrap();
    assert!(matches!(
        reloader.look(),
        Reloaded::Broken(TlsError::Unreadable { .. })
    ));
    assert!(matches!(reloader.look(), Reloaded::Same), "told twice");

    dir.write("node.pem", &good);
    assert!(matches!(reloader.look(), Reloaded::Changed));
    let figures = tls.figures();
    assert_eq!((figures.reload_count, figures.failed_reload_count), (2, 4));
}

#[test]
fn a_certificate_that_comes_before_its_key_waits_for_it() {
    let dir = Dir::new("half");
    dir.issue("node", "node");
    let (_, mut reloader) = ServerTls::load(dir.files()).unwrap();
    let old = fs::read_to_string(dir.0.join("node.key")).unwrap();
    dir.issue("node", "node");
    let new = fs::read_to_string(dir.0.join("node.key")).unwrap();
    dir.write("node.key", &old);
    assert!(matches!(
        reloader.look(),
        Reloaded::Broken(TlsError::Refused(_))
    ));
    dir.write("node.key", &new);
    assert!(matches!(reloader.look(), Reloaded::Changed));
}

#[test]
fn what_does_not_go_together_is_refused_with_its_name() {
    let dir = Dir::new("refused");
    dir.issue("node", "node");
    dir.issue("more/a", "a");
    fs::remove_file(dir.0.join("more/a.key")).unwrap();
    let error = ServerTls::load(dir.files()).unwrap_err().to_string();
    assert!(error.contains("a.key"), "{error}");
    dir.issue("more/a", "a");
    for auth in [ClientAuth::Want, ClientAuth::Require] {
        let files = TlsFiles {
            client_auth: auth,
            ..dir.files()
        };
        assert!(ServerTls::load(files).is_err());
    }
    let longest = usize::try_from(limits::MAX_PEM_FILE_BYTES).unwrap();
    let node = fs::read_to_string(dir.0.join("node.pem")).unwrap();
    let filled = |length: usize| format!("{node}{}", "\n".repeat(length - node.len()));
    dir.write("node.pem", &filled(longest));
    assert!(ServerTls::load(dir.files()).is_ok());
    dir.write("node.pem", &filled(longest + 1));
    assert!(matches!(
        ServerTls::load(dir.files()),
        Err(TlsError::TooLong(_))
    ));
}

#[test]
fn as_many_certificates_as_allowed_are_read_and_not_one_more() {
    let dir = Dir::new("many");
    dir.issue("node", "node");
    let of = |name: &str| fs::read_to_string(dir.0.join(name)).unwrap();
    let (certificate, key) = (of("node.pem"), of("node.key"));
    let add = |number: usize| {
        dir.write(&format!("more/{number}.crt"), &certificate);
        dir.write(&format!("more/{number}.key"), &key);
    };
    (0..limits::MAX_DIRECTORY_PAIRS_COUNT).for_each(add);
    assert!(ServerTls::load(dir.files()).is_ok());
    add(limits::MAX_DIRECTORY_PAIRS_COUNT);
    assert!(matches!(
        ServerTls::load(dir.files()),
        Err(TlsError::Directory { .. })
    ));
}
