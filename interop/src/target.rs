//! What a campaign of clients talks to and breaks.

use crate::node::Node;
use anyhow::Result;

/// One node, or several that appear as one.
pub(crate) trait Target {
    /// Where clients begin.
    fn address(&self) -> String;
    /// kill -9 of the node that a topic's first partition is led by.
    fn kill(&mut self, topic: &str) -> Result<()>;
    /// What was killed is back, and all is well.
    fn restart(&mut self) -> Result<()>;
    /// Median and longest time from start to readiness, in milliseconds.
    fn restart_ms(&self) -> (u128, u128);
}

impl Target for Node {
    fn address(&self) -> String {
        Self::address(self)
    }

    fn kill(&mut self, _topic: &str) -> Result<()> {
        Self::kill(self)
    }

    fn restart(&mut self) -> Result<()> {
        Self::restart(self)
    }

    fn restart_ms(&self) -> (u128, u128) {
        Self::restart_ms(self)
    }
}
