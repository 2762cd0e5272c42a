//! The allocator, and how it comes to give memory back.
//!
//! mimalloc means to return to the system what has been free for a second. But it looks for such
//! memory only where a thread ends, or where one allocates small blocks by the thousand
//! (`_mi_arenas_collect`), and a node's threads live as long as it does: after a peak hundreds of MB
//! stayed as they were until somebody came by. So a thread ends every now and then.

use std::{hint::black_box, thread, time::Duration};

use anyhow::Context;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// From one look for free memory to the next.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Gives memory back from now on, until the process ends.
pub(crate) fn give_back() -> anyhow::Result<()> {
    let ends = || thread::Builder::new().name("weir-memory-end".to_owned());
    let looks = move || {
        loop {
            thread::sleep(LOOK_INTERVAL);
            // Only a thread that has allocated something has a heap to end. Where there is no
            // thread to be had, there is one at the next look.
            if let Ok(ending) = ends().spawn(|| drop(black_box(Box::new(0_u8)))) {
                let _ = ending.join();
            }
        }
    };
    let thread = thread::Builder::new().name("weir-memory".to_owned());
    thread
        .spawn(looks)
        .context("no thread that gives memory back")?;
    Ok(())
}
