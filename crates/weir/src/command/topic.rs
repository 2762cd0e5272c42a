//! `weir topic`: make, look at, change and delete topics.

use clap::{Args, Subcommand};
use kafka_protocol::error::ResponseError;
use serde_json::{Value, json};

use super::{
    client_arguments::{ClientArguments, name_value},
    table::Table,
};
use crate::client::{
    Client, ClientError,
    offsets::{At, Place},
    topics::{Config, NewTopic, Topic},
};

/// What to do, and with which cluster.
#[derive(Debug, Args)]
pub(crate) struct TopicArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all topics.
    List {
        /// Also those that the broker keeps for itself.
        #[arg(long)]
        internal: bool,
    },
    /// Make topics.
    Create {
        /// Their names.
        #[arg(required = true, value_name = "TOPIC")]
        names: Vec<String>,
        /// Partitions of each. Default: the cluster's (its setting default-partitions).
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// Copies of each. Default: as many as the cluster keeps of everything.
        #[arg(long, value_parser = clap::value_parser!(i16).range(1..))]
        replication_factor: Option<i16>,
        /// A setting, such as retention.ms=3600000. May be repeated.
        #[arg(long = "config", value_name = "NAME=VALUE", value_parser = name_value)]
        configs: Vec<(String, String)>,
        /// One that is there already is no mistake.
        #[arg(long)]
        if_not_exists: bool,
    },
    /// Show partitions with leaders, copies and offsets, and settings.
    Describe {
        /// Their names. None: all.
        #[arg(value_name = "TOPIC")]
        names: Vec<String>,
        /// Show every setting, not just those that were set.
        #[arg(long)]
        all_configs: bool,
    },
    /// Delete topics, with all messages in them.
    Delete {
        /// Their names.
        #[arg(required = true, value_name = "TOPIC")]
        names: Vec<String>,
        /// One that is not there is no mistake.
        #[arg(long)]
        if_exists: bool,
    },
    /// Change a topic's settings, or give it more partitions.
    Alter {
        /// Its name.
        #[arg(value_name = "TOPIC")]
        name: String,
        /// Partitions it is to have; more than it has.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// A setting to set. May be repeated.
        #[arg(long = "config", value_name = "NAME=VALUE", value_parser = name_value)]
        configs: Vec<(String, String)>,
        /// A setting to put back to its default. May be repeated.
        #[arg(long = "unset", value_name = "NAME")]
        unset: Vec<String>,
    },
}

/// Does it, and says so.
pub(crate) fn run(arguments: &TopicArguments) -> anyhow::Result<()> {
    let mut client = arguments.client.client();
    match &arguments.verb {
        Verb::List { internal } => list(&arguments.client, &mut client, *internal),
        Verb::Create {
            names,
            partitions,
            replication_factor,
            configs,
            if_not_exists,
        } => {
            let done = each(names, |name| {
                let topic = NewTopic {
                    name: name.to_owned(),
                    partition_count: *partitions,
                    replication_factor: *replication_factor,
                    configs: configs.clone(),
                };
                let excused = if_not_exists.then_some(ResponseError::TopicAlreadyExists);
                done_unless(client.create_topic(&topic), excused)
            })?;
            tell_done(&arguments.client, "created", "was there already", &done)
        }
        Verb::Describe { names, all_configs } => {
            describe(&arguments.client, &mut client, names, *all_configs)
        }
        Verb::Delete { names, if_exists } => {
            let done = each(names, |name| {
                let excused = if_exists.then_some(ResponseError::UnknownTopicOrPartition);
                done_unless(client.delete_topic(name), excused)
            })?;
            tell_done(&arguments.client, "deleted", "was not there", &done)
        }
        Verb::Alter {
            name,
            partitions,
            configs,
            unset,
        } => {
            anyhow::ensure!(
                partitions.is_some() || !configs.is_empty() || !unset.is_empty(),
                crate::exit_code::Usage(
                    "nothing to change: give --partitions, --config or --unset".to_owned()
                )
            );
            if let Some(count) = partitions {
                client.grow_topic(name, *count)?;
            }
            if !configs.is_empty() || !unset.is_empty() {
                client.alter_topic(name, configs, unset)?;
            }
            let done = [(name.clone(), true)];
            tell_done(&arguments.client, "altered", "", &done)
        }
    }
}

/// One after the other, up to the first that fails; what was done before is said first.
fn each(
    names: &[String],
    mut act: impl FnMut(&str) -> Result<bool, ClientError>,
) -> anyhow::Result<Vec<(String, bool)>> {
    let mut done = Vec::new();
    for name in names {
        match act(name) {
            Ok(is_done) => done.push((name.clone(), is_done)),
            Err(error) => {
                for (name, _) in done {
                    eprintln!("topic {name}: done before");
                }
                return Err(error.into());
            }
        }
    }
    Ok(done)
}

/// Whether it was done; `false`: it was so already, and that is excused.
fn done_unless(
    result: Result<(), ClientError>,
    excused: Option<ResponseError>,
) -> Result<bool, ClientError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if excused.is_some() && error.refusal() == excused => Ok(false),
        Err(error) => Err(error),
    }
}

fn tell_done(
    arguments: &ClientArguments,
    verb: &str,
    otherwise: &str,
    done: &[(String, bool)],
) -> anyhow::Result<()> {
    let words = |is_done: bool| if is_done { verb } else { otherwise };
    let lines: String = done
        .iter()
        .map(|(name, is_done)| format!("topic {name}: {}\n", words(*is_done)))
        .collect();
    let answer: Vec<Value> = done
        .iter()
        .map(|(name, is_done)| json!({ "topic": name, "done": is_done }))
        .collect();
    arguments.tell(&answer, &lines)
}

fn list(arguments: &ClientArguments, client: &mut Client, internal: bool) -> anyhow::Result<()> {
    let mut topics = client.topics(None, false)?;
    topics.retain(|topic| internal || !topic.is_internal);
    let mut table = Table::new(&[
        "TOPIC",
        "PARTITIONS",
        "COPIES",
        "WITHOUT LEADER",
        "COPIES LACKING",
    ]);
    for topic in &topics {
        let count = |lacks: &dyn Fn(&crate::client::topics::Partition) -> bool| {
            let lacking = topic.partitions.iter().filter(|partition| lacks(partition));
            lacking.count().to_string()
        };
        table.row(vec![
            topic.name.clone(),
            topic.partitions.len().to_string(),
            copies(topic).to_string(),
            count(&|partition| partition.leader.is_none()),
            count(&|partition| partition.in_sync.len() < partition.replicas.len()),
        ]);
    }
    arguments.tell(&topics, &table.render())
}

fn copies(topic: &Topic) -> usize {
    let partitions = topic.partitions.iter();
    partitions.map(|it| it.replicas.len()).max().unwrap_or(0)
}

fn describe(
    arguments: &ClientArguments,
    client: &mut Client,
    names: &[String],
    all_configs: bool,
) -> anyhow::Result<()> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let topics = client.topics((!names.is_empty()).then_some(&names), false)?;
    let (mut page, mut answers) = (String::new(), Vec::new());
    for topic in &topics {
        let mut configs = client.topic_configs(&topic.name)?;
        configs.retain(|config| all_configs || config.is_set);
        let places: Vec<Place> = topic
            .partitions
            .iter()
            .filter(|partition| partition.leader.is_some())
            .map(|partition| (topic.name.clone(), partition.index))
            .collect();
        let starts = client.offsets(&places, At::Earliest)?;
        let ends = client.offsets(&places, At::Latest)?;
        let offset = |of: &std::collections::BTreeMap<Place, i64>, index: i32| {
            of.get(&(topic.name.clone(), index)).copied()
        };
        let mut table = Table::new(&["PARTITION", "LEADER", "COPIES", "IN SYNC", "START", "END"]);
        let mut answer = serde_json::to_value(topic)?;
        for (at, partition) in topic.partitions.iter().enumerate() {
            let (start, end) = (
                offset(&starts, partition.index),
                offset(&ends, partition.index),
            );
            answer["partitions"][at]["start_offset"] = json!(start);
            answer["partitions"][at]["end_offset"] = json!(end);
            let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            table.row(vec![
                partition.index.to_string(),
                shown(partition.leader.map(|leader| leader.to_string())),
                ids(&partition.replicas),
                ids(&partition.in_sync),
                shown(start.map(|offset| offset.to_string())),
                shown(end.map(|offset| offset.to_string())),
            ]);
        }
        answer["configs"] = json!(configs);
        answers.push(answer);
        page.push_str(&format!("topic {}  id {}\n", topic.name, topic.id));
        page.push_str(&configs_line(&configs));
        page.push_str(&format!("{}\n", table.render()));
    }
    arguments.tell(&answers, &page)
}

fn configs_line(configs: &[Config]) -> String {
    let configs = configs.iter().map(|config| {
        let value = config.value.as_deref().unwrap_or("");
        format!("  {}={value}\n", config.name)
    });
    configs.collect()
}

fn ids(nodes: &[i32]) -> String {
    let ids: Vec<String> = nodes.iter().map(i32::to_string).collect();
    ids.join(",")
}
