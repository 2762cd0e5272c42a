//! `weir quota`: how much of something users and clients may have in a second.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use weir_broker::access_admin::{AccessAdminAnswer, AccessAdminRequest, EntityRow, QuotaRow};

use super::{accessing::AccessingArguments, table::Table};
use crate::exit_code::Usage;

/// What stands for all that no quota names.
const DEFAULT: &str = "<default>";

/// What to do, and where.
#[derive(Debug, Args)]
pub(crate) struct QuotaArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    accessing: AccessingArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show quotas.
    List {
        #[command(flatten)]
        entity: EntityArguments,
    },
    /// Set quotas; others of the same entity stay.
    Set {
        #[command(flatten)]
        entity: EntityArguments,
        /// What is limited, and to how much: producer_byte_rate and consumer_byte_rate in bytes a second,
        /// request_percentage of a core, controller_mutation_rate in partitions a second; of --ip
        /// connection_creation_rate, in connections a second; of --topic-prefix partition_count, the
        /// partitions that there may be.
        #[arg(value_name = "KEY=NUMBER", required = true)]
        values: Vec<String>,
    },
    /// Delete quotas of an entity.
    Delete {
        #[command(flatten)]
        entity: EntityArguments,
        /// What is limited no more. None: all that the entity has.
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
    },
}

/// Whom they bind. `<default>` as a name: each that no quota names.
#[derive(Debug, Args)]
struct EntityArguments {
    /// A user; with --client, only those of its clients.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Clients that call themselves so (client.id; of AMQP connection_name).
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Connections from an address.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// Connections in a virtual host.
    #[arg(long, value_name = "NAME")]
    vhost: Option<String>,
    /// All clients of a topic together.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// All topics together whose names begin so; <default>: all that there are.
    #[arg(long, value_name = "PREFIX")]
    topic_prefix: Option<String>,
}

impl EntityArguments {
    fn row(&self) -> EntityRow {
        let all = [
            ("user", &self.user),
            ("client-id", &self.client),
            ("ip", &self.ip),
            ("vhost", &self.vhost),
            ("topic", &self.topic),
            ("topic-prefix", &self.topic_prefix),
        ];
        let given = all
            .into_iter()
            .filter_map(|(kind, name)| Some((kind, name.as_ref()?)));
        given
            .map(|(kind, name)| {
                let name = (name != DEFAULT).then(|| name.clone());
                (kind.to_owned(), name)
            })
            .collect()
    }

    fn one(&self) -> Result<EntityRow, Usage> {
        let row = self.row();
        match row.is_empty() {
            true => Err(Usage("say whom the quota binds".to_owned())),
            false => Ok(row),
        }
    }
}

/// Does it, and says so.
pub(crate) fn run(arguments: &QuotaArguments) -> anyhow::Result<()> {
    let accessing = &arguments.accessing;
    match &arguments.verb {
        Verb::List { entity } => list(accessing, &entity.row()),
        Verb::Set { entity, values } => {
            let changes = values.iter().map(|value| parsed(value));
            let changes = changes.collect::<Result<BTreeMap<_, _>, _>>()?;
            let entity = entity.one()?;
            let request = AccessAdminRequest::AlterQuota { entity, changes };
            accessing.change(&request, "quota: set")
        }
        Verb::Delete { entity, keys } => {
            let entity = entity.one()?;
            let keys = match keys.is_empty() {
                false => keys.clone(),
                true => all(accessing)?
                    .into_iter()
                    .filter(|row| row.entity == entity)
                    .flat_map(|row| row.values.into_keys())
                    .collect(),
            };
            let changes = keys.into_iter().map(|key| (key, None)).collect();
            let request = AccessAdminRequest::AlterQuota { entity, changes };
            accessing.change(&request, "quota: deleted")
        }
    }
}

fn parsed(value: &str) -> Result<(String, Option<f64>), Usage> {
    let parts = value.split_once('=');
    let parts = parts.and_then(|(key, number)| Some((key, number.parse().ok()?)));
    let (key, number) = parts.ok_or_else(|| Usage(format!("'{value}' is no KEY=NUMBER")))?;
    Ok((key.to_owned(), Some(number)))
}

fn all(accessing: &AccessingArguments) -> anyhow::Result<Vec<QuotaRow>> {
    accessing.pages(
        |after| AccessAdminRequest::ListQuotas { after },
        |answer| {
            let AccessAdminAnswer::Quotas { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        |row| row.entity.clone(),
    )
}

/// Those whose entity has all these names.
fn list(accessing: &AccessingArguments, wanted: &EntityRow) -> anyhow::Result<()> {
    let mut rows = all(accessing)?;
    rows.retain(|row| {
        let mut names = wanted.iter();
        names.all(|(kind, name)| row.entity.get(kind) == Some(name))
    });
    let mut table = Table::new(&["OF", "NAME", "QUOTAS"]);
    for row in &rows {
        let kinds: Vec<&str> = row.entity.keys().map(String::as_str).collect();
        let names = row.entity.values();
        let names: Vec<&str> = names
            .map(|name| name.as_deref().unwrap_or(DEFAULT))
            .collect();
        let values = row.values.iter();
        let values: Vec<String> = values
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        table.row(vec![kinds.join(","), names.join(","), values.join(",")]);
    }
    accessing.tell(&rows, &table.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_key_and_a_number() {
        let told = |value: &str| parsed(value).ok();
        let expected = ("producer_byte_rate".to_owned(), Some(1024.0));
        assert_eq!(told("producer_byte_rate=1024"), Some(expected));
        assert_eq!(told("producer_byte_rate"), None);
        assert_eq!(told("producer_byte_rate=fast"), None);
    }

    #[test]
    fn the_default_is_an_entity_without_a_name() {
        let arguments = EntityArguments {
            user: Some("tim".to_owned()),
            client: Some(DEFAULT.to_owned()),
            ip: None,
            vhost: None,
            topic: None,
            topic_prefix: None,
        };
        let expected = [
            ("user".to_owned(), Some("tim".to_owned())),
            ("client-id".to_owned(), None),
        ];
        assert_eq!(arguments.one().unwrap(), EntityRow::from(expected));
        let nobody = EntityArguments {
            user: None,
            client: None,
            ip: None,
            vhost: None,
            topic: None,
            topic_prefix: None,
        };
        assert!(nobody.one().is_err());
    }
}
