//! Changes of settings as pure functions: what a resource has after them, or why not.

use weir_model::ErrorKind;

use super::{
    broker, client_metrics, group,
    key::{ConfigKey, Kind},
    topic::{topic_key, topic_key_of_broker},
    value::items,
};
use crate::api::admin::{ConfigChange, ConfigMap, ConfigOp, ConfigResource, Refusal};

/// Most settings of one resource: more than there are keys.
const MAX_CHANGES_COUNT: usize = 1_000;

/// What `before` becomes. With `is_whole` what no change names goes.
pub fn alter(
    resource: &ConfigResource,
    before: &ConfigMap,
    is_whole: bool,
    changes: &[ConfigChange],
) -> Result<ConfigMap, Refusal> {
    if changes.len() > MAX_CHANGES_COUNT {
        return Err(Refusal::new(
            ErrorKind::InvalidRequest,
            format!("over {MAX_CHANGES_COUNT} changes of one resource"),
        ));
    }
    let mut after = if is_whole {
        ConfigMap::new()
    } else {
        before.clone()
    };
    for change in changes {
        // A topic has no such setting afterwards, as it had none before: tools take back keys of
        // other releases, and Kafka lets them.
        let is_topic = matches!(resource, ConfigResource::Topic(_));
        if is_topic && change.op == ConfigOp::Delete && topic_key(&change.name).is_none() {
            continue;
        }
        let key = key_of(resource, &change.name)?;
        apply(key, change, &mut after)?;
    }
    check_together(resource, &after)?;
    Ok(after)
}

fn apply(key: &ConfigKey, change: &ConfigChange, after: &mut ConfigMap) -> Result<(), Refusal> {
    let name = key.name;
    let value = match (change.op, &change.value) {
        (ConfigOp::Delete, _) => {
            after.remove(name);
            return Ok(());
        }
        (ConfigOp::Set | ConfigOp::Append | ConfigOp::Subtract, None) => {
            return Err(Refusal::new(
                ErrorKind::InvalidRequest,
                format!("Null value not supported for : {name}"),
            ));
        }
        (ConfigOp::Set, Some(value)) => value.trim().to_owned(),
        (ConfigOp::Append | ConfigOp::Subtract, Some(value)) => {
            if !matches!(key.kind, Kind::List(_)) {
                return Err(Refusal::new(
                    ErrorKind::InvalidConfig,
                    format!(
                        "Can't {} to key {name} because its type is not LIST.",
                        verb(change.op)
                    ),
                ));
            }
            let present = after
                .get(name)
                .map_or_else(|| key.default.unwrap_or_default(), String::as_str);
            joined(present, value, change.op)
        }
    };
    if let Some(reason) = key.refusal(&value) {
        return Err(invalid(name, &value, &reason));
    }
    after.insert(name.to_owned(), value);
    Ok(())
}

fn verb(op: ConfigOp) -> &'static str {
    match op {
        ConfigOp::Append => "APPEND",
        ConfigOp::Set | ConfigOp::Delete | ConfigOp::Subtract => "SUBTRACT",
    }
}

/// A list with items added that it lacks, or with items taken away.
fn joined(present: &str, value: &str, op: ConfigOp) -> String {
    let mut list: Vec<&str> = items(present).collect();
    for item in items(value) {
        match op {
            ConfigOp::Append if !list.contains(&item) => list.push(item),
            ConfigOp::Subtract => list.retain(|present| *present != item),
            ConfigOp::Append | ConfigOp::Set | ConfigOp::Delete => {}
        }
    }
    list.join(",")
}

fn invalid(name: &str, value: &str, reason: &str) -> Refusal {
    /// Most of a refused value that is repeated, in bytes.
    const MAX_SHOWN_BYTES: usize = 256;
    let shown = &value[..value.floor_char_boundary(MAX_SHOWN_BYTES)];
    Refusal::new(
        ErrorKind::InvalidConfig,
        format!("Invalid value {shown} for configuration {name}: {reason}"),
    )
}

/// The key of a resource's setting that may be changed.
fn key_of(resource: &ConfigResource, name: &str) -> Result<&'static ConfigKey, Refusal> {
    let unknown = |what: &str| {
        Refusal::new(
            ErrorKind::InvalidConfig,
            format!("Unknown {what} config name: {name}"),
        )
    };
    match resource {
        ConfigResource::Topic(_) => topic_key(name).ok_or_else(|| unknown("topic")),
        ConfigResource::Group(_) => group::group_key(name).ok_or_else(|| unknown("group")),
        ConfigResource::ClientMetrics(_) => {
            client_metrics::client_metrics_key(name).ok_or_else(|| unknown("client metrics"))
        }
        ConfigResource::BrokerLogger(_) => Err(Refusal::new(
            ErrorKind::InvalidConfig,
            format!("Logger {name} does not exist!"),
        )),
        ConfigResource::Broker(node) => broker_key_of(node.is_some(), name),
    }
}

fn broker_key_of(is_for_one: bool, name: &str) -> Result<&'static ConfigKey, Refusal> {
    let refused = |message: String| Err(Refusal::new(ErrorKind::InvalidRequest, message));
    match broker::dynamic_key(name) {
        None if broker::broker_key(name).is_some() => refused(format!(
            "Cannot update these configs dynamically: {name}: it is set in the node's file"
        )),
        None => refused(format!("Unknown broker config name: {name}")),
        Some(_) if is_for_one && topic_key_of_broker(name).is_some() => refused(format!(
            "{name} is a default for topics, whose replicas must agree: set it for all brokers"
        )),
        Some(key) => Ok(key),
    }
}

/// Rules between settings.
fn check_together(resource: &ConfigResource, after: &ConfigMap) -> Result<(), Refusal> {
    if !matches!(resource, ConfigResource::Topic(_)) {
        return Ok(());
    }
    let lag = |name: &str| after.get(name).and_then(|value| value.parse::<i64>().ok());
    let (min, max) = (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"));
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(Refusal::new(
            ErrorKind::InvalidConfig,
            format!(
                "conflict topic config setting min.compaction.lag.ms ({min}) > \
                 max.compaction.lag.ms ({max})"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, op: ConfigOp, value: Option<&str>) -> ConfigChange {
        ConfigChange {
            name: name.to_owned(),
            op,
            value: value.map(str::to_owned),
        }
    }

    fn topic() -> ConfigResource {
        ConfigResource::Topic("t".to_owned())
    }

    fn one(resource: &ConfigResource, change: ConfigChange) -> Result<ConfigMap, ErrorKind> {
        alter(resource, &ConfigMap::new(), false, &[change]).map_err(|refusal| refusal.kind)
    }

    #[test]
    fn values_are_set_taken_back_and_lists_grow_and_shrink() {
        let before = ConfigMap::from([("retention.ms".to_owned(), "5".to_owned())]);
        let changes = [
            change("retention.ms", ConfigOp::Delete, None),
            change("cleanup.policy", ConfigOp::Append, Some("compact,delete")),
            change("segment.ms", ConfigOp::Set, Some(" 7 ")),
        ];
        let after = alter(&topic(), &before, false, &changes).unwrap();
        let expected = [("cleanup.policy", "delete,compact"), ("segment.ms", "7")];
        assert!(
            after
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .eq(expected)
        );
        let less = [change("cleanup.policy", ConfigOp::Subtract, Some("delete"))];
        let after = alter(&topic(), &after, false, &less).unwrap();
        assert_eq!(after["cleanup.policy"], "compact");
    }

    #[test]
    fn a_whole_change_forgets_what_it_does_not_name() {
        let before = ConfigMap::from([("retention.ms".to_owned(), "5".to_owned())]);
        let changes = [change("segment.ms", ConfigOp::Set, Some("7"))];
        let after = alter(&topic(), &before, true, &changes).unwrap();
        assert!(after.keys().eq(["segment.ms"]));
    }

    #[test]
    fn what_cannot_be_is_refused_with_kafkas_error() {
        use ErrorKind::{InvalidConfig, InvalidRequest};
        let all = ConfigResource::Broker(None);
        let own = ConfigResource::Broker(Some(1));
        let cases = [
            (
                topic(),
                change("retention.mss", ConfigOp::Set, Some("1")),
                InvalidConfig,
            ),
            (
                topic(),
                change("retention.ms", ConfigOp::Set, Some("x")),
                InvalidConfig,
            ),
            (
                topic(),
                change("retention.ms", ConfigOp::Set, None),
                InvalidRequest,
            ),
            (
                topic(),
                change("retention.ms", ConfigOp::Append, Some("1")),
                InvalidConfig,
            ),
            (
                all.clone(),
                change("num.io.threads", ConfigOp::Set, Some("1")),
                InvalidRequest,
            ),
            (
                all,
                change("no.such", ConfigOp::Set, Some("1")),
                InvalidRequest,
            ),
            (
                own,
                change("log.retention.ms", ConfigOp::Set, Some("1")),
                InvalidRequest,
            ),
        ];
        for (resource, change, expected) in cases {
            let name = change.name.clone();
            assert_eq!(one(&resource, change), Err(expected), "{name}");
        }
        let lags = [
            change("min.compaction.lag.ms", ConfigOp::Set, Some("9")),
            change("max.compaction.lag.ms", ConfigOp::Set, Some("8")),
        ];
        assert!(alter(&topic(), &ConfigMap::new(), false, &lags).is_err());
    }

    #[test]
    fn an_unknown_setting_of_a_topic_can_be_taken_back_and_not_be_set() {
        let old = |op, value| change("message.format.version", op, value);
        assert_eq!(
            one(&topic(), old(ConfigOp::Delete, None)),
            Ok(ConfigMap::new())
        );
        let set = old(ConfigOp::Set, Some("3.0"));
        assert_eq!(one(&topic(), set), Err(ErrorKind::InvalidConfig));
    }

    #[test]
    fn all_nodes_and_groups_have_settings_of_their_own() {
        let all = ConfigResource::Broker(None);
        assert!(one(&all, change("log.retention.ms", ConfigOp::Set, Some("9"))).is_ok());
        let group = ConfigResource::Group("g".to_owned());
        let timeout = change("consumer.session.timeout.ms", ConfigOp::Set, Some("50000"));
        assert!(one(&group, timeout).is_ok());
    }
}
