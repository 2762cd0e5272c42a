//! `weir group reset`: a group's offsets moved while nobody reads.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::Table;
use crate::{
    client::{
        Client,
        offsets::{At, Place},
    },
    command::client_arguments::ClientArguments,
    exit_code::Usage,
    moment,
};

/// Which offsets, and where to.
#[derive(Debug, Args)]
pub(super) struct ResetArguments {
    /// The group. None of its members may be active.
    group: String,
    /// Topic, or one partition of it as TOPIC:PARTITION. May be repeated.
    #[arg(long, value_name = "TOPIC[:PARTITION]")]
    topic: Vec<String>,
    /// Every topic that the group has offsets in.
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    #[command(flatten)]
    target: Target,
    /// Do it; without this it is only shown.
    #[arg(long)]
    execute: bool,
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// To the first message.
    #[arg(long)]
    to_earliest: bool,
    /// Behind the last message.
    #[arg(long)]
    to_latest: bool,
    /// To the first message at or after this time, such as 2026-11-24T04:05:06Z, or 15m for so long
    /// ago.
    #[arg(long, value_name = "TIME")]
    to_datetime: Option<String>,
    /// To this offset.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// By so many messages: forward, or back with a minus.
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    shift_by: Option<i64>,
}

/// A partition's way from where it is to where it goes.
struct Move {
    place: Place,
    before: Option<i64>,
    after: i64,
}

/// Shows what would be done, and does it where that is asked for.
pub(super) fn run(
    arguments: &ClientArguments,
    client: &mut Client,
    reset: &ResetArguments,
) -> anyhow::Result<()> {
    let group = client.group(&reset.group)?;
    let active = group.as_ref().map_or(0, |group| group.members.len());
    anyhow::ensure!(
        active == 0,
        "group {} has {active} active members: stop them first, or they overwrite the offsets",
        reset.group
    );
    let committed = client.committed(&reset.group)?;
    let places = chosen(client, reset, &committed)?;
    let moves = moves(client, &reset.target, &places, &committed)?;
    if reset.execute {
        let offsets = moves.iter();
        let offsets = offsets
            .map(|moved| (moved.place.clone(), moved.after))
            .collect();
        client.commit((&reset.group, -1, ""), &offsets)?;
    }
    let mut table = Table::new(&["TOPIC", "PARTITION", "BEFORE", "AFTER"]);
    for moved in &moves {
        table.row(vec![
            moved.place.0.clone(),
            moved.place.1.to_string(),
            moved
                .before
                .map_or_else(|| "-".to_owned(), |it| it.to_string()),
            moved.after.to_string(),
        ]);
    }
    let rows: Vec<Value> = moves
        .iter()
        .map(|moved| {
            let (topic, partition) = &moved.place;
            json!({
                "group": reset.group, "topic": topic, "partition": partition,
                "before": moved.before, "after": moved.after, "done": reset.execute,
            })
        })
        .collect();
    arguments.tell(&rows, &table.render())?;
    if !reset.execute {
        eprintln!("nothing was changed; the same with --execute does it");
    }
    Ok(())
}

fn chosen(
    client: &mut Client,
    reset: &ResetArguments,
    committed: &BTreeMap<Place, i64>,
) -> anyhow::Result<Vec<Place>> {
    if reset.all_topics {
        let none = format!("group {} has no offsets", reset.group);
        anyhow::ensure!(!committed.is_empty(), none);
        return Ok(committed.keys().cloned().collect());
    }
    let which = "say which offsets: --topic TOPIC, --topic TOPIC:PARTITION, or --all-topics";
    anyhow::ensure!(!reset.topic.is_empty(), Usage(which.to_owned()));
    let mut places = Vec::new();
    for wanted in &reset.topic {
        let (name, index) = split(wanted);
        let topic = client.topic(name, false)?;
        let all = topic.partitions.iter().map(|partition| partition.index);
        let before = places.len();
        let own = all.filter(|own| index.is_none_or(|index| index == *own));
        places.extend(own.map(|index| (name.to_owned(), index)));
        let none = format!("{wanted}: topic {name} has no such partition");
        anyhow::ensure!(places.len() > before, Usage(none));
    }
    places.sort();
    places.dedup();
    Ok(places)
}

/// Topic and partition; a topic's own name has no colon.
fn split(wanted: &str) -> (&str, Option<i32>) {
    match wanted.rsplit_once(':') {
        Some((topic, index)) => match index.parse() {
            Ok(index) => (topic, Some(index)),
            Err(_) => (wanted, None),
        },
        None => (wanted, None),
    }
}

fn moves(
    client: &mut Client,
    target: &Target,
    places: &[Place],
    committed: &BTreeMap<Place, i64>,
) -> anyhow::Result<Vec<Move>> {
    let starts = client.offsets(places, At::Earliest)?;
    let ends = client.offsets(places, At::Latest)?;
    let at_time = match &target.to_datetime {
        Some(time) => {
            let ms = moment::parse(time, moment::now_ms()).map_err(Usage)?;
            client.offsets(places, At::Time(ms))?
        }
        None => BTreeMap::new(),
    };
    let moved = places.iter().map(|place| {
        let of = |offsets: &BTreeMap<Place, i64>| offsets.get(place).copied();
        let (start, end) = (of(&starts).unwrap_or(0), of(&ends).unwrap_or(0));
        let before = of(committed);
        let wanted = match target {
            Target {
                to_offset: Some(offset),
                ..
            } => *offset,
            Target {
                shift_by: Some(count),
                ..
            } => before.unwrap_or(start).saturating_add(*count),
            Target {
                to_datetime: Some(_),
                ..
            } => of(&at_time).unwrap_or(end),
            Target {
                to_latest: true, ..
            } => end,
            Target { .. } => start,
        };
        Move {
            place: place.clone(),
            before,
            after: wanted.clamp(start, end.max(start)),
        }
    });
    Ok(moved.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_told_by_its_number_behind_a_colon() {
        assert_eq!(split("t"), ("t", None));
        assert_eq!(split("t:3"), ("t", Some(3)));
        assert_eq!(split("t:x"), ("t:x", None));
    }
}
