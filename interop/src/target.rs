//! What a campaign of clients talks to and breaks.

use crate::node::Node;
use anyhow::Result;
use std::time::Duration;

/// Enough for one node to come back and take more.
const TIME_PER_KILL: Duration = Duration::from_millis(700);

/// One node, or several that appear as one.
pub(crate) trait Target {
    /// Where clients of Kafka's protocol begin.
    fn address(&self) -> String;
    /// Where clients of AMQP begin, an address a node.
    fn amqp(&self) -> Vec<String>;
    /// kill -9 of the node that a topic's first partition is led by.
    fn kill(&mut self, topic: &str) -> Result<()>;
    /// Time from one kill to where another one makes sense.
    fn time_per_kill(&self) -> Duration;
    /// What was killed is back, and all is well.
    fn restart(&mut self) -> Result<()>;
    /// Median and longest time from start to readiness, in milliseconds.
    fn restart_ms(&self) -> (u128, u128);
}

impl Target for Node {
    fn address(&self) -> String {
        Self::address(self)
    }

    fn amqp(&self) -> Vec<String> {
        vec![Self::amqp(self).to_owned()]
    }

    fn kill(&mut self, _topic: &str) -> Result<()> {
        Self::kill(self)
    }

    fn time_per_kill(&self) -> Duration {
        TIME_PER_KILL
    }

    fn restart(&mut self) -> Result<()> {
        Self::restart(self)
    }

    fn restart_ms(&self) -> (u128, u128) {
        Self::restart_ms(self)
    }
}
