//! `weir consume`: messages to standard output.

mod position;
mod print;
mod reader;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use signal_hook::{consts, flag};

use self::{
    position::From,
    print::{Format, Printer},
    reader::Reader,
};
use super::{client_arguments::ClientArguments, progress::Progress};
use crate::{
    client::{
        Client,
        member::{GroupMember, must_rejoin},
        offsets::Place,
    },
    exit_code::Usage,
};

/// Time between two commits of a group's offsets.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// What to read, and from where.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArguments {
    /// Topics.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Where to begin: beginning, end, an offset, or -COUNT for that many before the end of each
    /// partition. With --group: where the group has committed nothing.
    #[arg(
        long,
        default_value = "beginning",
        allow_hyphen_values = true,
        value_name = "WHERE"
    )]
    from: From,
    /// Begin with the first message at or after this time: 2026-11-24T04:05:06Z, 2026-11-24, or 15m
    /// for so long ago.
    #[arg(long, conflicts_with = "from", value_name = "TIME")]
    since: Option<String>,
    /// Only these partitions. May be repeated.
    #[arg(long, conflicts_with = "group", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    /// As a member of this consumer group, whose offsets are committed.
    #[arg(long)]
    group: Option<String>,
    /// End after so many messages.
    #[arg(long, short = 'n')]
    count: Option<u64>,
    /// End where the partitions ended when this began.
    #[arg(long, short = 'e')]
    exit_at_end: bool,
    /// Print the key before the value, with this text between them.
    #[arg(long, value_name = "TEXT", conflicts_with = "json")]
    key_separator: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
}

struct Consumer<'a> {
    arguments: &'a ConsumeArguments,
    client: Client,
    reader: Reader,
    member: Option<GroupMember>,
    printer: Printer,
    /// What was printed and not committed.
    uncommitted: BTreeMap<Place, i64>,
    committed_at: Instant,
    left_count: u64,
    progress: Progress,
}

/// Reads until it is told to end, or is at the end.
pub(crate) fn run(arguments: &ConsumeArguments) -> anyhow::Result<()> {
    let from = match &arguments.since {
        Some(since) => From::since(since).map_err(Usage)?,
        None => arguments.from,
    };
    let stop = stop_flag()?;
    let format = match (arguments.client.json, &arguments.key_separator) {
        (true, _) => Format::Json,
        (false, Some(separator)) => Format::KeyValue(separator.clone()),
        (false, None) => Format::Value,
    };
    let mut topics = arguments.topics.clone();
    topics.sort();
    topics.dedup();
    let mut consumer = Consumer {
        arguments,
        client: arguments.client.client(),
        reader: Reader::new(from),
        member: arguments
            .group
            .as_deref()
            .map(|group| GroupMember::new(group, &topics)),
        printer: Printer::new(format),
        uncommitted: BTreeMap::new(),
        committed_at: Instant::now(),
        left_count: arguments.count.unwrap_or(u64::MAX),
        progress: Progress::new("read"),
    };
    let read = consumer.read(&topics, &stop);
    consumer.progress.end();
    let ended = consumer.end();
    match read {
        // Whoever read our output has enough.
        Err(error) if is_broken_pipe(&error) => ended,
        Err(error) => Err(error),
        Ok(()) => ended,
    }
}

/// Set by the first Ctrl-C or SIGTERM; the second Ctrl-C ends the process.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    /// What a shell shows for a process that Ctrl-C ended.
    const INTERRUPTED: i32 = 130;
    let stop = Arc::new(AtomicBool::new(false));
    flag::register_conditional_shutdown(consts::SIGINT, INTERRUPTED, Arc::clone(&stop))
        .and_then(|_| flag::register(consts::SIGINT, Arc::clone(&stop)))
        .and_then(|_| flag::register(consts::SIGTERM, Arc::clone(&stop)))
        .context("no signals")?;
    Ok(stop)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Consumer<'_> {
    fn read(&mut self, topics: &[String], stop: &AtomicBool) -> anyhow::Result<()> {
        self.begin(topics)?;
        while !stop.load(Ordering::Relaxed) && self.left_count > 0 {
            if self.arguments.exit_at_end && self.reader.is_at_end() {
                return Ok(());
            }
            self.stay_member()?;
            for (place, incoming) in self.reader.read(&mut self.client)? {
                if self.left_count == 0 {
                    break;
                }
                self.printer.print(&place, &incoming)?;
                self.left_count -= 1;
                self.uncommitted.insert(place, incoming.offset + 1);
            }
            self.printer.flush()?;
            self.progress.at(self.printer.count);
        }
        Ok(())
    }

    fn begin(&mut self, topics: &[String]) -> anyhow::Result<()> {
        let mut places = Vec::new();
        for topic in topics {
            let found = self.client.topic(topic, false)?;
            let all = found.partitions.iter().map(|partition| partition.index);
            let wanted = &self.arguments.partition;
            for index in wanted {
                let is_there = all.clone().any(|known| known == *index);
                let reason = format!("topic {topic} has no partition {index}");
                anyhow::ensure!(is_there, Usage(reason));
            }
            let chosen = all.filter(|index| wanted.is_empty() || wanted.contains(index));
            places.extend(chosen.map(|index| (topic.clone(), index)));
        }
        if self.member.is_some() {
            self.rejoin()
        } else {
            self.reader
                .assign(&mut self.client, &places, &BTreeMap::new())
        }
    }

    fn rejoin(&mut self) -> anyhow::Result<()> {
        let Some(member) = &mut self.member else {
            return Ok(());
        };
        let places = member.join(&mut self.client)?;
        let (group, _, _) = member.signature();
        let committed = self.client.committed(group)?;
        self.reader.assign(&mut self.client, &places, &committed)
    }

    /// Commits and heartbeats as often as needed; joins again where the group has moved on.
    fn stay_member(&mut self) -> anyhow::Result<()> {
        let Some(member) = &mut self.member else {
            return Ok(());
        };
        let is_member = member.beat(&mut self.client)?;
        let is_due = self.committed_at.elapsed() >= COMMIT_INTERVAL;
        let is_member = match is_due || !is_member {
            true => self.commit()? && is_member,
            false => is_member,
        };
        if is_member { Ok(()) } else { self.rejoin() }
    }

    /// Whether it is a member still.
    fn commit(&mut self) -> anyhow::Result<bool> {
        let Some(member) = &self.member else {
            return Ok(true);
        };
        self.committed_at = Instant::now();
        if self.uncommitted.is_empty() {
            return Ok(true);
        }
        let offsets = std::mem::take(&mut self.uncommitted);
        match self.client.commit(member.signature(), &offsets) {
            Ok(()) => Ok(true),
            // Another member goes on from the last commit, and reads some of it again.
            Err(error) if must_rejoin(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self
            .member
            .as_ref()
            .is_none_or(|member| !member.has_joined())
        {
            return Ok(());
        }
        self.commit()?;
        if let Some(member) = &self.member {
            member.leave(&mut self.client)?;
        }
        Ok(())
    }
}
