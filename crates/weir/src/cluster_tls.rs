//! Mutual TLS between nodes: all three files, or none.

use std::path::PathBuf;

use clap::Args;
use weir_peer::{PeerTls, TlsError};

/// Files in PEM form. Every node shows a certificate that the same authority signed.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClusterTls {
    /// Certificate that this side shows to nodes (PEM). With --cluster-key and --cluster-ca.
    #[arg(
        long,
        env = "WEIR_CLUSTER_CERT",
        value_name = "FILE",
        requires_all = ["cluster_key", "cluster_ca"]
    )]
    pub(crate) cluster_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(
        long,
        env = "WEIR_CLUSTER_KEY",
        value_name = "FILE",
        requires_all = ["cluster_cert", "cluster_ca"]
    )]
    pub(crate) cluster_key: Option<PathBuf>,
    /// Certificate of the authority that signed all nodes' certificates (PEM).
    #[arg(
        long,
        env = "WEIR_CLUSTER_CA",
        value_name = "FILE",
        requires_all = ["cluster_cert", "cluster_key"]
    )]
    pub(crate) cluster_ca: Option<PathBuf>,
}

impl ClusterTls {
    /// Reads the files; `None` where there are none.
    pub(crate) fn load(&self) -> Result<Option<PeerTls>, TlsError> {
        match (&self.cluster_cert, &self.cluster_key, &self.cluster_ca) {
            (Some(certificate), Some(key), Some(authority)) => {
                PeerTls::load(certificate, key, authority).map(Some)
            }
            // Some of them, but not all, the command line refuses.
            (_, _, _) => Ok(None),
        }
    }
}
