//! A directory of certificates: `NAME.pem` or `NAME.crt`, with its key in `NAME.key`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{limits::MAX_DIRECTORY_PAIRS_COUNT, pem_file::TlsError};

/// The pairs of certificate and key, by name. Hidden files and those of other kinds are left alone.
pub(crate) fn pairs(directory: &Path) -> Result<Vec<(PathBuf, PathBuf)>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        file: directory.display().to_string(),
        source,
    };
    let refused = |what: String| TlsError::Directory {
        directory: directory.display().to_string(),
        what,
    };
    let mut pairs = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let certificate = entry.map_err(unreadable)?.path();
        if !is_certificate(&certificate) {
            continue;
        }
        let key = certificate.with_extension("key");
        if !key.exists() {
            return Err(refused(format!("{} is missing", key.display())));
        }
        pairs.push((certificate, key));
        if pairs.len() > MAX_DIRECTORY_PAIRS_COUNT {
            let what = format!("more than {MAX_DIRECTORY_PAIRS_COUNT} certificates");
            return Err(refused(what));
        }
    }
    pairs.sort();
    Ok(pairs)
}

fn is_certificate(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let kind = path.extension().and_then(|kind| kind.to_str());
    name.is_some_and(|name| !name.starts_with('.')) && matches!(kind, Some("pem" | "crt"))
}
