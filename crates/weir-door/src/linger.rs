//! The end of a connection whose peer may still be writing.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::{MAX_LINGER, MIN_READ_BYTES};

/// Reads away what the peer sends until it has closed its side as well, for [`MAX_LINGER`] at
/// most. A socket that is closed with bytes unread resets the connection, and the peer may lose
/// the last answer that way.
pub(crate) async fn linger<R: AsyncRead + Unpin>(reader: &mut R) {
    let reading_away = async {
        let mut away = vec![0; MIN_READ_BYTES];
        while reader.read(&mut away).await.is_ok_and(|count| count > 0) {}
    };
    // In time or not, there is nothing left to be done for the peer.
    let _ = tokio::time::timeout(MAX_LINGER, reading_away).await;
}
