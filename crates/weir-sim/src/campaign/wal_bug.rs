//! Puts a seeded bug into the log's settings, where the build has them.

use weir_log::wal::WalConfig;

use crate::options::Options;

#[cfg(feature = "seeded-bugs")]
pub(super) fn with_bug(mut config: WalConfig, options: Options) -> WalConfig {
    use weir_log::wal::SeededBug;

    use crate::options::Bug;

    config.seeded_bug = options.bug.map(|bug| match bug {
        Bug::AckBeforeSync => SeededBug::AckBeforeSync,
        Bug::SkipTornTailCheck => SeededBug::SkipTornTailCheck,
        Bug::AcceptRecycled => SeededBug::AcceptRecycled,
    });
    config
}

#[cfg(not(feature = "seeded-bugs"))]
pub(super) fn with_bug(config: WalConfig, _options: Options) -> WalConfig {
    config
}
