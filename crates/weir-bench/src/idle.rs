//! What groups cost that nobody uses.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;

use crate::{
    cpu,
    group::{Rig, RigConfig},
};

/// Groups of one voter.
pub(crate) const GROUP_COUNT: u32 = 300;
/// Elections and first files are over after this.
const SETTLE: Duration = Duration::from_secs(1);

/// Share of a core, in percent, that all threads together take over `time`.
pub(crate) fn measure(dir: &Path, time: Duration) -> Result<f64> {
    let config = RigConfig {
        group_count: GROUP_COUNT,
        flush_bytes: u64::MAX,
        tail_bytes: 1 << 20,
    };
    let rig = Rig::open(dir, config)?;
    thread::sleep(SETTLE);
    let before = cpu::own_threads()?;
    thread::sleep(time);
    let spent = cpu::own_threads()?.saturating_sub(before);
    rig.close()?;
    Ok(100.0 * spent.as_secs_f64() / time.as_secs_f64())
}
