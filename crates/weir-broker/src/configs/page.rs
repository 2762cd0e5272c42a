//! The tables of `docs/settings.md` are those of the code.

use super::{
    broker::{BROKER_KEYS, dynamic_key},
    client_metrics::CLIENT_METRICS_KEYS,
    group::GROUP_KEYS,
    key::{ConfigKey, DEAD_LETTER_PREFIX, Effect, Kind},
    topic::TOPIC_KEYS,
};

const PAGE: &str = include_str!("../../../../docs/settings.md");

fn value(kind: Kind) -> String {
    let range = |min: String, max: String| format!("{min} to {max}");
    match kind {
        Kind::Boolean => "true, false".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::DeadLetterTopic => format!("empty, or a topic's name behind `{DEAD_LETTER_PREFIX}`"),
        Kind::OffsetReset => "earliest, latest or by_duration:DURATION".to_owned(),
        Kind::Choice(words) => words.join(", "),
        Kind::List([]) => "list".to_owned(),
        Kind::List(words) => format!("list of {}", words.join(", ")),
        Kind::Int { min: i32::MIN, .. } | Kind::Long { min: i64::MIN } => "number".to_owned(),
        Kind::Int { min, max: i32::MAX } => format!("from {min}"),
        Kind::Int { min, max } => range(min.to_string(), max.to_string()),
        Kind::Short { min } => format!("from {min}"),
        Kind::Long { min } => format!("from {min}"),
        Kind::Double { min, max } => range(min.to_string(), max.to_string()),
        Kind::Class => "class".to_owned(),
        Kind::Password => "secret".to_owned(),
    }
}

fn effect(key: &ConfigKey) -> String {
    match key.effect {
        Effect::Enforced => "enforced".to_owned(),
        Effect::Moot(reason) => format!("kept, without effect: {reason}"),
        Effect::Fixed(reason) => format!("other values refused: {reason}"),
    }
}

fn row(key: &ConfigKey) -> String {
    let default = match key.default {
        None => "-".to_owned(),
        Some("") => "empty".to_owned(),
        Some(default) => default.to_owned(),
    };
    let (value, effect) = (value(key.kind), effect(key));
    format!("| `{}` | {value} | {default} | {effect} |", key.name)
}

fn table(keys: &[ConfigKey], row: impl Fn(&ConfigKey) -> String) -> String {
    keys.iter().map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_page_of_settings_says_what_the_tables_say() {
    let shared = BROKER_KEYS
        .iter()
        .filter(|key| dynamic_key(key.name).is_some());
    let shared: Vec<String> = shared.map(|key| format!("`{}`", key.name)).collect();
    let parts = [
        table(&TOPIC_KEYS, row),
        table(&GROUP_KEYS, row),
        table(&CLIENT_METRICS_KEYS, row),
        shared.join(" "),
    ];
    let missing: Vec<_> = parts.iter().filter(|part| !PAGE.contains(*part)).collect();
    for part in &missing {
        println!("to be in docs/settings.md:\n{part}\n");
    }
    assert!(missing.is_empty(), "the page lacks tables");
}
