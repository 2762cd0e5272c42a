//! The certificates that clients are shown, looked at again while the node runs.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{info, warn};
use weir_door::TlsPort;
use weir_tls::{Reloaded, ServerTls, TlsError, TlsFiles, server::Reloader};

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What is shown, and who looks at its files.
pub(crate) struct Certificates {
    pub(crate) tls: Arc<ServerTls>,
    reloader: Reloader,
    port: TlsPort,
}

impl Certificates {
    /// Reads the files.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let (tls, reloader) = ServerTls::load(files)?;
        warn_of_ended(&tls);
        let port = TlsPort::new(Arc::clone(&tls));
        Ok(Self {
            tls,
            reloader,
            port,
        })
    }

    /// For a port; all of them share one bound on handshakes.
    pub(crate) fn port(&self) -> TlsPort {
        self.port.clone()
    }

    /// Looks at the files until it is dropped.
    pub(crate) async fn watch(self) {
        let mut reloader = self.reloader;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let looking = tokio::task::spawn_blocking(move || {
                let found = reloader.look();
                (reloader, found)
            });
            let Ok((back, found)) = looking.await else {
                // The process ends: its threads take no work any more.
                return;
            };
            reloader = back;
            match found {
                Reloaded::Same => {}
                Reloaded::Changed => {
                    info!("certificates for clients have changed and are in use");
                    warn_of_ended(&self.tls);
                }
                Reloaded::Broken(error) => {
                    warn!(%error, "changed certificates for clients cannot be used; those before stay in use");
                }
            }
        }
    }
}

fn warn_of_ended(tls: &ServerTls) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    for certificate in tls.figures().ends {
        if certificate.ends_s <= now_s {
            warn!(
                file = certificate.file,
                "the certificate has expired: clients will refuse it"
            );
        }
    }
}
