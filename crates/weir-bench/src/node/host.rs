//! A node on its production threads.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use weir_broker::{
    Engine, NoPeers, Node, NodeConfig, OnFailure, Running,
    api::{Backend, CreateTopics, NewTopic, Outcome, Request, TopicRef},
};
use weir_log::{
    disk::{Disk, RealDisk, SystemClock, SystemEntropy},
    wal::WalFigures,
};
use weir_model::TopicName;

use super::mail::Mail;

/// How long a node may take until it serves.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// A topic and its partitions.
#[derive(Clone, Debug)]
pub(crate) struct TopicRefs {
    pub(crate) topic: TopicRef,
    pub(crate) partition_count: u32,
}

/// A running node.
pub(crate) struct NodeHost {
    running: Running,
    pub(crate) node: Arc<Node>,
    mail: Mail,
}

impl NodeHost {
    /// Starts a node on an empty directory.
    pub(crate) fn open(dir: &Path, config: NodeConfig) -> Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir)?);
        let shards = config.shard_count;
        Engine::found(&disk, &SystemEntropy, &config.wal, shards, String::new())?;
        let clock = Arc::new(SystemClock::default());
        let engine = Engine::open(
            disk,
            clock,
            Arc::new(SystemEntropy),
            config,
            Arc::new(NoPeers),
        )?;
        let on_failure: OnFailure = Arc::new(|why| eprintln!("weir-bench: node failed: {why}"));
        let running = engine.start(&on_failure)?;
        ensure!(
            running.wait_ready(READY_LIMIT),
            "the node does not get ready"
        );
        Ok(Self {
            node: running.node(),
            running,
            mail: Mail::new(),
        })
    }

    /// Makes a topic.
    pub(crate) fn create(&self, name: &str, partition_count: u32) -> Result<TopicRefs> {
        let topic = NewTopic {
            name: name.to_owned(),
            partition_count: Some(partition_count),
            replication_factor: None,
            configs: Vec::new(),
            assignments: None,
        };
        let request = CreateTopics {
            topics: vec![topic],
            validate_only: false,
        };
        match self.ask(Request::CreateTopics(request))? {
            Outcome::CreateTopics(created) => {
                for topic in created {
                    topic.map_err(|error| anyhow::anyhow!("{name} is refused: {error:?}"))?;
                }
            }
            other => bail!("a topic is asked for, the answer is {other:?}"),
        }
        let topic = TopicName::new(name).map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        Ok(TopicRefs {
            topic: TopicRef::Name(topic),
            partition_count,
        })
    }

    /// Asks and waits for the answer.
    pub(crate) fn ask(&self, request: Request) -> Result<Outcome> {
        self.node.submit(request, self.mail.reply(0)?);
        let mut answers = Vec::new();
        self.mail.wait(&mut answers)?;
        let answer = answers.pop().context("a request has an answer")?;
        Ok(answer.1)
    }

    /// What the write-ahead log did.
    pub(crate) fn figures(&self) -> WalFigures {
        self.running.wal_figures()
    }

    /// Ends it in order.
    pub(crate) fn close(self) {
        self.running.stop();
    }
}
