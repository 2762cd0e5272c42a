//! The suites.

use super::campaign::Ground;
use super::case::Outcome;
use super::{faults, programs, tools, upstream};
use crate::place;
use anyhow::Result;

/// A suite of some client.
pub(super) struct Suite {
    /// Its name, also that of its allow-list.
    pub name: &'static str,
    /// What is run, in words.
    pub about: &'static str,
    /// Whether it belongs to the quick ones.
    pub is_quick: bool,
    /// Programs without which it is left out.
    pub needs: &'static [&'static str],
    /// Nodes that it wants at least.
    pub min_nodes: u8,
    /// Settings of nodes that it expects.
    pub serve: &'static [&'static str],
    /// Runs it.
    pub run: fn(&Ground<'_>) -> Result<Outcome>,
}

/// All of them, in the order in which they run.
pub(super) const SUITES: &[Suite] = &[
    Suite {
        name: "kafka-tools",
        about: "Kafka's command line tools, command by command",
        is_quick: true,
        needs: &[],
        min_nodes: 1,
        serve: &[],
        run: |ground| {
            tools::run(
                &place::root().join("interop/suites/kafka-tools.table"),
                ground,
            )
        },
    },
    Suite {
        name: "confluent-python",
        about: "our cases with confluent-kafka-python, on librdkafka",
        is_quick: true,
        needs: &[],
        min_nodes: 1,
        serve: &[],
        run: |ground| programs::python("scenario_confluent.py", ground),
    },
    Suite {
        name: "aiokafka",
        about: "our cases with aiokafka",
        is_quick: false,
        needs: &[],
        min_nodes: 1,
        serve: &[],
        run: |ground| programs::python("scenario_aiokafka.py", ground),
    },
    Suite {
        name: "platformatic-kafka",
        about: "our cases with @platformatic/kafka",
        is_quick: false,
        needs: &["node", "npm"],
        min_nodes: 1,
        serve: &[],
        run: |ground| programs::node("scenario-platformatic.js", ground),
    },
    Suite {
        name: "kafkajs",
        about: "our cases with kafkajs",
        is_quick: false,
        needs: &["node", "npm"],
        min_nodes: 1,
        serve: &[],
        run: |ground| programs::node("scenario-kafkajs.js", ground),
    },
    Suite {
        name: "sarama",
        about: "our cases with Sarama",
        is_quick: false,
        needs: &["go"],
        min_nodes: 1,
        serve: &[],
        run: |ground| programs::go("sarama", ground),
    },
    Suite {
        name: "franz-go",
        about: "our cases with franz-go",
        is_quick: false,
        needs: &["go"],
        min_nodes: 1,
        serve: &[],
        run: |ground| programs::go("franz", ground),
    },
    Suite {
        name: "kafka-python-upstream",
        about: "kafka-python's own integration tests",
        is_quick: false,
        needs: &[],
        min_nodes: 1,
        serve: &["--default-partitions=4"],
        run: upstream::kafka_python,
    },
    Suite {
        name: "rdkafka-upstream",
        about: "rust-rdkafka's own integration tests",
        is_quick: false,
        needs: &["make"],
        min_nodes: 1,
        serve: &["--default-partitions=3"],
        run: upstream::rdkafka,
    },
    Suite {
        name: "rskafka-upstream",
        about: "rskafka's own integration tests",
        is_quick: false,
        needs: &["make", "java"],
        min_nodes: 1,
        serve: &["--auto-create-topics=false"],
        run: upstream::rskafka,
    },
    Suite {
        name: "applications",
        about: "Streams with exactly once, Connect, a table in a compacted topic; all killed and resumed",
        is_quick: false,
        needs: &[],
        min_nodes: 1,
        serve: &[],
        run: |ground| programs::java("Apps", ground),
    },
    Suite {
        name: "faults",
        about: "Kafka's verifiable clients and transactional copier while leaders are killed",
        is_quick: false,
        needs: &["kcat"],
        min_nodes: 3,
        serve: &[],
        run: faults::run,
    },
];
