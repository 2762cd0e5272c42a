//! The suites.

use super::campaign::Ground;
use super::case::Outcome;
use super::upstream::{amqp, kafka};
use super::{programs, tools};
use crate::place;
use anyhow::Result;

/// What clients of a suite speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Kafka's protocol.
    Kafka,
    /// AMQP 0-9-1.
    Amqp,
    /// Both, against each other.
    Both,
}

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
    /// What its clients speak.
    pub door: Door,
    /// A repository whose working tree it wants, where no package carries the tests.
    pub checkout: Option<&'static str>,
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
        door: Door::Kafka,
        checkout: None,
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
        door: Door::Kafka,
        checkout: None,
        serve: &[],
        run: |ground| programs::python("scenario_confluent.py", ground),
    },
    Suite {
        name: "aiokafka",
        about: "our cases with aiokafka",
        is_quick: false,
        needs: &[],
        door: Door::Kafka,
        checkout: None,
        serve: &[],
        run: |ground| programs::python("scenario_aiokafka.py", ground),
    },
    Suite {
        name: "platformatic-kafka",
        about: "our cases with @platformatic/kafka",
        is_quick: false,
        needs: &["node", "npm"],
        door: Door::Kafka,
        checkout: None,
        serve: &[],
        run: |ground| programs::node("scenario-platformatic.js", ground),
    },
    Suite {
        name: "kafkajs",
        about: "our cases with kafkajs",
        is_quick: false,
        needs: &["node", "npm"],
        door: Door::Kafka,
        checkout: None,
        serve: &[],
        run: |ground| programs::node("scenario-kafkajs.js", ground),
    },
    Suite {
        name: "sarama",
        about: "our cases with Sarama",
        is_quick: false,
        needs: &["go"],
        door: Door::Kafka,
        checkout: None,
        serve: &[],
        run: |ground| programs::go("sarama", ground),
    },
    Suite {
        name: "franz-go",
        about: "our cases with franz-go",
        is_quick: false,
        needs: &["go"],
        door: Door::Kafka,
        checkout: None,
        serve: &[],
        run: |ground| programs::go("franz", ground),
    },
    Suite {
        name: "kafka-python-upstream",
        about: "kafka-python's own integration tests",
        is_quick: false,
        needs: &[],
        door: Door::Kafka,
        checkout: None,
        serve: &["--default-partitions=4"],
        run: kafka::kafka_python,
    },
    Suite {
        name: "rdkafka-upstream",
        about: "rust-rdkafka's own integration tests",
        is_quick: false,
        needs: &["make"],
        door: Door::Kafka,
        checkout: None,
        serve: &["--default-partitions=3"],
        run: kafka::rdkafka,
    },
    Suite {
        name: "rskafka-upstream",
        about: "rskafka's own integration tests",
        is_quick: false,
        needs: &["make", "java"],
        door: Door::Kafka,
        checkout: None,
        serve: &["--auto-create-topics=false"],
        run: kafka::rskafka,
    },
    Suite {
        name: "applications",
        about: "Streams with exactly once, Connect, a table in a compacted topic; all killed and resumed",
        is_quick: false,
        needs: &[],
        door: Door::Kafka,
        checkout: None,
        serve: &[],
        run: |ground| programs::java("Apps", ground),
    },
    Suite {
        name: "pika",
        about: "our cases of AMQP with pika",
        is_quick: true,
        needs: &[],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: |ground| programs::python("scenario_pika.py", ground),
    },
    Suite {
        name: "amqplib",
        about: "our cases of AMQP with amqplib",
        is_quick: true,
        needs: &["node", "npm"],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: |ground| programs::node("scenario-amqplib.js", ground),
    },
    Suite {
        name: "celery",
        about: "a Celery application on kombu and py-amqp, its workers killed and cut off",
        is_quick: false,
        needs: &[],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: |ground| programs::python("scenario_celery.py", ground),
    },
    Suite {
        name: "topologies",
        about: "what MassTransit and NServiceBus declare and send, method by method",
        is_quick: false,
        needs: &[],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: |ground| programs::python("scenario_topologies.py", ground),
    },
    Suite {
        name: "rabbitmq-java",
        about: "our cases of AMQP with RabbitMQ's client for Java",
        is_quick: false,
        needs: &["javac", "mvn"],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: |ground| programs::amqp_java("Client", ground),
    },
    Suite {
        name: "perf-test",
        about: "RabbitMQ's PerfTest in its common uses",
        is_quick: false,
        needs: &["javac", "mvn"],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: |ground| programs::amqp_java("PerfTests", ground),
    },
    Suite {
        name: "spring-amqp",
        about: "an application on Spring AMQP: listeners, retries with dead letters, RPC, confirms",
        is_quick: false,
        needs: &["javac", "mvn"],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: |ground| programs::amqp_java("SpringApp", ground),
    },
    Suite {
        name: "py-amqp-upstream",
        about: "py-amqp's own integration tests",
        is_quick: false,
        needs: &[],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: amqp::py_amqp,
    },
    Suite {
        name: "kombu-upstream",
        about: "kombu's own integration tests over py-amqp",
        is_quick: false,
        needs: &[],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: amqp::kombu,
    },
    Suite {
        name: "aio-pika-upstream",
        about: "aio-pika's own tests",
        is_quick: false,
        needs: &[],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: amqp::aio_pika,
    },
    Suite {
        name: "lapin-upstream",
        about: "lapin's own integration tests",
        is_quick: false,
        needs: &[],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: amqp::lapin,
    },
    Suite {
        name: "amqprs-upstream",
        about: "amqprs's own tests",
        is_quick: false,
        needs: &[],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: amqp::amqprs,
    },
    Suite {
        name: "amqp091-go-upstream",
        about: "amqp091-go's own integration tests",
        is_quick: false,
        needs: &["go"],
        door: Door::Amqp,
        checkout: None,
        serve: &[],
        run: amqp::amqp091_go,
    },
];
