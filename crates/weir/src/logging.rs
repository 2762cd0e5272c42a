//! Logs on stderr, for people or for machines.

mod flood;

use tracing_subscriber::{EnvFilter, Layer as _, Registry, layer::SubscriberExt as _};

pub(crate) use self::flood::{Flood, LeftOut};
use crate::exit_code::Usage;

/// What programs other than a node log.
const DEFAULT_LEVELS: &str = "warn";

/// For a node: `levels` in `tracing`'s form, such as `warn,weir_broker=debug`.
pub(crate) fn of_node(levels: &str, as_json: bool) -> Result<Flood, Usage> {
    let filter = EnvFilter::try_new(levels);
    let filter = filter.map_err(|error| Usage(format!("log: `{levels}`: {error}")))?;
    let flood = Flood::default();
    install(filter, as_json, flood.clone());
    Ok(flood)
}

/// For everything else: `WEIR_LOG`.
pub(crate) fn of_tool() {
    let filter = EnvFilter::try_from_env("WEIR_LOG");
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(DEFAULT_LEVELS));
    install(filter, false, Flood::default());
}

fn install(filter: EnvFilter, as_json: bool, flood: Flood) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if as_json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.boxed()
    };
    // The limit is asked last, so that only what would be written counts.
    let lines = lines.with_filter(flood).with_filter(filter);
    // Whoever embeds this has installed theirs: then that is it.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(lines));
}
