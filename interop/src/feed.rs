//! Feeds bytes into a client's standard input at a pace, and tells how far it is.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CHUNK_BYTES: usize = 16 * 1024;

/// Writes all of `bytes` over at least `time`; `fed` counts along.
pub(crate) fn feed(
    mut input: impl Write,
    bytes: &[u8],
    time: Duration,
    fed: &AtomicUsize,
) -> std::io::Result<()> {
    let started = Instant::now();
    for chunk in bytes.chunks(CHUNK_BYTES) {
        input.write_all(chunk)?;
        let so_far = fed.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
        let due = started + due_after(time, so_far, bytes.len());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    input.flush()
}

fn due_after(time: Duration, so_far: usize, total: usize) -> Duration {
    // Corpora are far below 2^52 bytes: the ratio is exact enough.
    time.mul_f64(so_far as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_arrives_and_is_counted() {
        let bytes = vec![7; CHUNK_BYTES * 2 + 1];
        let fed = AtomicUsize::new(0);
        let mut arrived = Vec::new();
        feed(&mut arrived, &bytes, Duration::ZERO, &fed).unwrap();
        assert_eq!(arrived, bytes);
        assert_eq!(fed.into_inner(), bytes.len());
    }

    #[test]
    fn the_pace_is_even() {
        let time = Duration::from_secs(10);
        assert_eq!(due_after(time, 0, 4), Duration::ZERO);
        assert_eq!(due_after(time, 1, 4), Duration::from_millis(2_500));
        assert_eq!(due_after(time, 4, 4), time);
    }
}
