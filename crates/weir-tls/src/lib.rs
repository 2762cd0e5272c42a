//! What TLS needs beside sockets: certificates from files, configurations that are replaced while
//! they are in use, and who a certificate says that its holder is.
//!
//! Charter: shared by the doors and by the connections between nodes. No socket, no clock, no
//! thread: whoever serves says when the files are to be looked at. Of tokio nothing but what tells
//! a task that its place is gone.

pub mod directory;
pub mod identity;
pub mod limits;
pub mod login;
pub mod name;
pub mod pem_file;
pub mod principal;
pub mod server;
pub mod slots;
pub mod sni;

pub use identity::{AlternativeName, PeerIdentity};
pub use login::{AlternativeNameKind, CertificateLogin};
pub use name::DistinguishedName;
pub use pem_file::TlsError;
pub use principal::{PrincipalRules, RulesError};
pub use server::{ClientAuth, MinVersion, Reloaded, ServerTls, TlsFiles};
