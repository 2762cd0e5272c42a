//! Mutual TLS between nodes: all three files, or none.

use std::path::PathBuf;

use clap::Args;
use weir_peer::{Names, PeerTls};

use crate::exit_code::Usage;

/// Files in PEM form. Every node shows a certificate that the same authority signed.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClusterTls {
    /// Certificate that this side shows to nodes (PEM). With --cluster-key and --cluster-ca.
    #[arg(long, global = true, env = "WEIR_CLUSTER_CERT", value_name = "FILE")]
    pub(crate) cluster_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, global = true, env = "WEIR_CLUSTER_KEY", value_name = "FILE")]
    pub(crate) cluster_key: Option<PathBuf>,
    /// Certificate of the authority that signed all nodes' certificates (PEM).
    #[arg(long, global = true, env = "WEIR_CLUSTER_CA", value_name = "FILE")]
    pub(crate) cluster_ca: Option<PathBuf>,
    /// Believe only nodes whose certificate names the host that they are reached at.
    #[arg(long, global = true, env = "WEIR_CLUSTER_VERIFY_NAMES")]
    pub(crate) cluster_verify_names: bool,
}

impl ClusterTls {
    /// Reads the files; `None` where there are none.
    pub(crate) fn load(&self) -> anyhow::Result<Option<PeerTls>> {
        match (&self.cluster_cert, &self.cluster_key, &self.cluster_ca) {
            (Some(certificate), Some(key), Some(authority)) => {
                let names = if self.cluster_verify_names {
                    Names::Verified
                } else {
                    Names::Any
                };
                Ok(Some(PeerTls::load(certificate, key, authority, names)?))
            }
            (None, None, None) if self.cluster_verify_names => {
                let reason = "--cluster-verify-names needs certificates";
                Err(Usage(reason.to_owned()).into())
            }
            (None, None, None) => Ok(None),
            (_, _, _) => {
                let reason = "--cluster-cert, --cluster-key and --cluster-ca go together";
                Err(Usage(reason.to_owned()).into())
            }
        }
    }
}
