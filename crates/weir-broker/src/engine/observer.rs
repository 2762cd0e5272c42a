//! A running node as people watch it: plain figures, whoever shows them.

use std::sync::Arc;

use weir_log::wal::{GroupCommit, WalFigures};
use weir_model::figures::HistogramFigures;

use crate::{GroupLag, Node, NodeFigures, TopicFigures};

/// Looks at one node. Every look is cheap enough for some a second.
#[derive(Clone)]
pub struct Observer {
    node: Arc<Node>,
    queue: Arc<GroupCommit>,
}

impl Observer {
    pub(super) fn new(node: Arc<Node>, queue: Arc<GroupCommit>) -> Self {
        Self { node, queue }
    }

    /// Whether requests can be served.
    pub fn is_ready(&self) -> bool {
        self.node.is_ready()
    }

    /// Groups, memory, what is stored.
    pub fn figures(&self) -> NodeFigures {
        self.node.figures()
    }

    /// What clients sent and took, by topic: `max_count` of them, those with the most bytes.
    pub fn topics(&self, max_count: usize) -> TopicFigures {
        self.node.topic_figures(max_count)
    }

    /// How far the groups that this node coordinates are behind. `done` is called once, on some
    /// other thread.
    pub fn lags(&self, max_count: usize, done: impl FnOnce(Vec<GroupLag>) + Send + 'static) {
        self.node.lags(max_count, done);
    }

    /// What the write-ahead log did since the start.
    pub fn wal(&self) -> WalFigures {
        self.queue.figures()
    }

    /// How long its commits took, from the first byte written to the end of the sync.
    pub fn commits(&self) -> HistogramFigures {
        self.queue.commit_durations()
    }
}
