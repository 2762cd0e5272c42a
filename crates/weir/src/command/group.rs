//! `weir group`: look at consumer groups, move and delete their offsets.

mod reset;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::reset::ResetArguments;
use super::{client_arguments::ClientArguments, table::Table};
use crate::client::{
    Client,
    groups::Group,
    offsets::{At, Place},
};

/// What to do, and with which cluster.
#[derive(Debug, Args)]
pub(crate) struct GroupArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all groups.
    List,
    /// Show a group's members, offsets and lag.
    Describe {
        /// Their names. None: all.
        #[arg(value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Move a group's offsets. Shows what it would do, unless --execute is given.
    Reset(ResetArguments),
    /// Delete groups that have no members, with their offsets.
    Delete {
        /// Their names.
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
        /// Only the offsets in this topic; the group stays. May be repeated.
        #[arg(long, value_name = "TOPIC")]
        topic: Vec<String>,
    },
}

/// A group that is not there.
#[derive(Debug, thiserror::Error)]
#[error("group {0}: there is none; `weir group list` shows all")]
struct NoGroup(String);

/// Does it, and says so.
pub(crate) fn run(arguments: &GroupArguments) -> anyhow::Result<()> {
    let mut client = arguments.client.client();
    match &arguments.verb {
        Verb::List => list(&arguments.client, &mut client),
        Verb::Describe { groups } => describe(&arguments.client, &mut client, groups),
        Verb::Reset(reset) => reset::run(&arguments.client, &mut client, reset),
        Verb::Delete { groups, topic } => {
            let mut done = Vec::new();
            for group in groups {
                if topic.is_empty() {
                    client.delete_group(group)?;
                } else {
                    let committed = client.committed(group)?;
                    let places = committed.into_keys();
                    let places: Vec<Place> =
                        places.filter(|(name, _)| topic.contains(name)).collect();
                    client.delete_offsets(group, &places)?;
                }
                done.push(json!({ "group": group, "done": true }));
            }
            let what = if topic.is_empty() { "" } else { "offsets " };
            let lines = groups.iter();
            let lines: String = lines
                .map(|group| format!("group {group}: {what}deleted\n"))
                .collect();
            arguments.client.tell(&done, &lines)
        }
    }
}

fn list(arguments: &ClientArguments, client: &mut Client) -> anyhow::Result<()> {
    let groups = client.groups()?;
    let mut table = Table::new(&["GROUP", "STATE", "TYPE", "PROTOCOL", "COORDINATOR"]);
    let shown = |text: &str| match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    };
    for group in &groups {
        table.row(vec![
            group.group.clone(),
            shown(&group.state),
            shown(&group.kind),
            shown(&group.protocol_type),
            group.coordinator.to_string(),
        ]);
    }
    arguments.tell(&groups, &table.render())
}

fn describe(
    arguments: &ClientArguments,
    client: &mut Client,
    names: &[String],
) -> anyhow::Result<()> {
    let all: Vec<String> = match names {
        [] => client.groups()?.into_iter().map(|it| it.group).collect(),
        names => names.to_vec(),
    };
    let (mut page, mut answers) = (String::new(), Vec::new());
    for name in all {
        let committed = client.committed(&name)?;
        let group = match client.group(&name)? {
            Some(group) => group,
            // Offsets that were committed from outside are a group too, of no members.
            None if !committed.is_empty() => Group {
                group: name.clone(),
                state: "Empty".to_owned(),
                members: Vec::new(),
            },
            None => return Err(NoGroup(name).into()),
        };
        let (table, answer) = places(client, &group, &committed)?;
        page.push_str(&format!(
            "group {name}  {}\n{}\n",
            group.state,
            table.render()
        ));
        answers.push(answer);
    }
    arguments.tell(&answers, &page)
}

/// Each partition of a group: where it is committed, where it ends, who reads it.
fn places(
    client: &mut Client,
    group: &Group,
    committed: &BTreeMap<Place, i64>,
) -> anyhow::Result<(Table, Value)> {
    let mut readers: BTreeMap<&Place, usize> = BTreeMap::new();
    for (at, member) in group.members.iter().enumerate() {
        readers.extend(member.assigned.iter().map(|place| (place, at)));
    }
    let mut places: Vec<Place> = committed.keys().cloned().collect();
    places.extend(readers.keys().map(|&place| place.clone()));
    places.sort();
    places.dedup();
    let ends = known_ends(client, &places)?;
    let mut table = Table::new(&[
        "TOPIC",
        "PARTITION",
        "COMMITTED",
        "END",
        "LAG",
        "MEMBER",
        "CLIENT",
        "HOST",
    ]);
    let shown = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let mut rows = Vec::new();
    for place in &places {
        let (at, end) = (committed.get(place).copied(), ends.get(place).copied());
        let lag = at.zip(end).map(|(at, end)| (end - at).max(0));
        let reader = readers.get(place).and_then(|at| group.members.get(*at));
        let of_reader = |part: fn(&crate::client::groups::Member) -> &String| {
            reader.map_or_else(|| "-".to_owned(), |reader| part(reader).clone())
        };
        table.row(vec![
            place.0.clone(),
            place.1.to_string(),
            shown(at),
            shown(end),
            shown(lag),
            of_reader(|it| &it.member),
            of_reader(|it| &it.client_id),
            of_reader(|it| &it.host),
        ]);
        rows.push(json!({
            "topic": place.0, "partition": place.1, "committed_offset": at, "end_offset": end,
            "lag": lag, "member": reader.map(|reader| &reader.member),
        }));
    }
    let mut answer = serde_json::to_value(group)?;
    answer["partitions"] = Value::Array(rows);
    Ok((table, answer))
}

/// Ends of those partitions whose topic is still there.
fn known_ends(client: &mut Client, places: &[Place]) -> anyhow::Result<BTreeMap<Place, i64>> {
    let topics = client.topics(None, false)?;
    let is_known = |place: &&Place| {
        let mut topics = topics.iter();
        topics.any(|topic| {
            let mut partitions = topic.partitions.iter();
            topic.name == place.0
                && partitions.any(|known| known.index == place.1 && known.leader.is_some())
        })
    };
    let known: Vec<Place> = places.iter().filter(is_known).cloned().collect();
    if known.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(client.offsets(&known, At::Latest)?)
}
