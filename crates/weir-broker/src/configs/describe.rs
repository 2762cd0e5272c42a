//! What a resource's settings are and where they come from, as Kafka tells it: a pure function
//! of what is set.

use super::{
    broker::{BROKER_KEYS, broker_key, dynamic_key, same_as},
    client_metrics::CLIENT_METRICS_KEYS,
    group::GROUP_KEYS,
    key::ConfigKey,
    topic::TOPIC_KEYS,
};
use crate::api::admin::{ConfigEntry, ConfigMap, ConfigSource, ConfigSynonym};

/// Everything that gives settings their values.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The resource's own; a node's own where it is a node.
    pub own: ConfigMap,
    /// All nodes'.
    pub all_brokers: ConfigMap,
    /// The answering node's file.
    pub fixed: ConfigMap,
}

type Entries = Vec<ConfigEntry>;

/// A topic's settings, of which `names` are wanted.
pub fn topic(layers: &Layers, names: Option<&[String]>) -> Entries {
    let described = |key: &'static ConfigKey| {
        let mut synonyms = own_synonym(layers, key, ConfigSource::Topic);
        if !key.broker_name.is_empty() {
            synonyms.extend(broker_synonyms(&ConfigMap::new(), layers, key.broker_name));
        }
        entry(key, key.default, synonyms, false)
    };
    wanted(&TOPIC_KEYS, names).map(described).collect()
}

/// The settings of a node, or of all nodes together (`is_for_all`: what is set alone).
pub fn broker(layers: &Layers, names: Option<&[String]>, is_for_all: bool) -> Entries {
    let described = |key: &'static ConfigKey| {
        let synonyms = if is_for_all {
            let set = layers.all_brokers.get(key.name)?;
            vec![synonym(key, Some(set.clone()), ConfigSource::AllBrokers)]
        } else {
            broker_synonyms(&layers.own, layers, key.name)
        };
        let is_read_only = dynamic_key(key.name).is_none();
        Some(entry(key, key.default, synonyms, is_read_only))
    };
    wanted(&BROKER_KEYS, names).filter_map(described).collect()
}

/// A group's settings.
pub fn group(layers: &Layers, names: Option<&[String]>) -> Entries {
    own_or_default(&GROUP_KEYS, layers, names, ConfigSource::Group)
}

/// A subscription's settings.
pub fn client_metrics(layers: &Layers, names: Option<&[String]>) -> Entries {
    own_or_default(
        &CLIENT_METRICS_KEYS,
        layers,
        names,
        ConfigSource::ClientMetrics,
    )
}

fn own_or_default(
    table: &'static [ConfigKey],
    layers: &Layers,
    names: Option<&[String]>,
    source: ConfigSource,
) -> Entries {
    let described = |key: &'static ConfigKey| {
        let mut synonyms = own_synonym(layers, key, source);
        let default = key.default.map(str::to_owned);
        synonyms.push(synonym(key, default, ConfigSource::Default));
        entry(key, key.default, synonyms, false)
    };
    wanted(table, names).map(described).collect()
}

fn wanted(
    table: &'static [ConfigKey],
    names: Option<&[String]>,
) -> impl Iterator<Item = &'static ConfigKey> {
    let is_wanted = move |key: &&'static ConfigKey| {
        names.is_none_or(|names| names.iter().any(|name| name == key.name))
    };
    table.iter().filter(is_wanted)
}

fn entry(
    key: &'static ConfigKey,
    default: Option<&str>,
    synonyms: Vec<ConfigSynonym>,
    is_read_only: bool,
) -> ConfigEntry {
    let first = synonyms.first();
    let source = first.map_or(ConfigSource::Default, |first| first.source);
    // A default that another name gives, in another unit, is not the value itself.
    let is_own =
        first.is_some_and(|first| source != ConfigSource::Default || first.name == key.name);
    let value = match first {
        Some(first) if is_own => first.value.clone(),
        Some(_) | None => default.map(str::to_owned),
    };
    ConfigEntry {
        name: key.name,
        value: value.filter(|_| !key.is_sensitive()),
        source,
        is_read_only,
        is_sensitive: key.is_sensitive(),
        kind: key.kind,
        doc: key.doc,
        synonyms,
    }
}

fn synonym(key: &ConfigKey, value: Option<String>, source: ConfigSource) -> ConfigSynonym {
    ConfigSynonym {
        name: key.name,
        value: value.filter(|_| !key.is_sensitive()),
        source,
    }
}

fn own_synonym(layers: &Layers, key: &ConfigKey, source: ConfigSource) -> Vec<ConfigSynonym> {
    let own = layers.own.get(key.name);
    own.map(|value| synonym(key, Some(value.clone()), source))
        .into_iter()
        .collect()
}

/// All places that give a node's setting its value.
fn broker_synonyms(own: &ConfigMap, layers: &Layers, name: &'static str) -> Vec<ConfigSynonym> {
    let single = [name];
    let names = match same_as(name) {
        [] => &single[..],
        names => names,
    };
    let mut synonyms = Vec::new();
    for key in names.iter().filter_map(|name| broker_key(name)) {
        let places = [
            (own.get(key.name).cloned(), ConfigSource::Broker),
            (
                layers.all_brokers.get(key.name).cloned(),
                ConfigSource::AllBrokers,
            ),
            (layers.fixed.get(key.name).cloned(), ConfigSource::Static),
            (key.default.map(str::to_owned), ConfigSource::Default),
        ];
        for (value, source) in places {
            if value.is_some() {
                synonyms.push(synonym(key, value, source));
            }
        }
    }
    synonyms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> ConfigMap {
        let entries = entries.iter();
        entries
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn find(entries: Entries, name: &str) -> ConfigEntry {
        entries
            .into_iter()
            .find(|entry| entry.name == name)
            .unwrap()
    }

    #[test]
    fn the_nearest_place_gives_the_value_and_all_are_told() {
        let layers = Layers {
            own: map(&[("retention.ms", "5")]),
            all_brokers: map(&[("log.retention.ms", "7")]),
            fixed: ConfigMap::new(),
        };
        let entry = find(topic(&layers, None), "retention.ms");
        assert_eq!(
            (entry.value.as_deref(), entry.source),
            (Some("5"), ConfigSource::Topic)
        );
        let told: Vec<_> = entry.synonyms.iter().map(|s| (s.name, s.source)).collect();
        let expected = [
            ("retention.ms", ConfigSource::Topic),
            ("log.retention.ms", ConfigSource::AllBrokers),
            ("log.retention.hours", ConfigSource::Default),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_default_in_another_unit_is_told_beside_the_value() {
        let entry = find(topic(&Layers::default(), None), "retention.ms");
        assert_eq!(entry.value.as_deref(), Some("604800000"));
        assert_eq!(entry.source, ConfigSource::Default);
        assert_eq!(entry.synonyms[0].name, "log.retention.hours");
        assert_eq!(entry.synonyms[0].value.as_deref(), Some("168"));
    }

    #[test]
    fn only_what_is_asked_for_is_told() {
        let names = ["segment.ms".to_owned(), "no.such".to_owned()];
        let entries = topic(&Layers::default(), Some(&names));
        assert!(entries.iter().map(|entry| entry.name).eq(["segment.ms"]));
    }

    #[test]
    fn a_nodes_file_is_read_only_and_what_all_nodes_share_is_told_apart() {
        let layers = Layers {
            own: ConfigMap::new(),
            all_brokers: map(&[("log.retention.ms", "7")]),
            fixed: map(&[("node.id", "3")]),
        };
        let node = find(broker(&layers, None, false), "node.id");
        assert_eq!(
            (node.value.as_deref(), node.source),
            (Some("3"), ConfigSource::Static)
        );
        assert!(node.is_read_only);
        let shared = find(broker(&layers, None, false), "log.retention.ms");
        assert_eq!(
            (shared.value.as_deref(), shared.source),
            (Some("7"), ConfigSource::AllBrokers)
        );
        assert!(!shared.is_read_only);
        assert_eq!(broker(&layers, None, true).len(), 1);
    }
}
