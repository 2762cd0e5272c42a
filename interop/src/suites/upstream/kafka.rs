//! Suites that the authors of Kafka's clients wrote and published in their packages.

use super::{cargo_test, pytest};
use crate::place;
use crate::suites::campaign::Ground;
use crate::suites::case::Outcome;
use crate::suites::install;
use anyhow::Result;

/// The release that a node appears to be.
const PERSONA: &str = "4.2.0";
const KAFKA_PYTHON: &str = "3.0.12";
const RDKAFKA: &str = "0.39.0";
const RSKAFKA: &str = "0.6.0";

/// kafka-python's `test/integration`, without what starts brokers of its own.
pub(in crate::suites) fn kafka_python(ground: &Ground<'_>) -> Result<Outcome> {
    let python = place::python()?;
    let source = install::python_source(&python, "kafka-python", KAFKA_PYTHON)?;
    // Without it `test` would be Python's own package of that name.
    std::fs::write(source.join("test/__init__.py"), "")?;
    let mut command = pytest::command(&source, "stand_in_kafka_python", ground)?;
    command.arg("--timeout=120");
    for file in ["admin", "consumer", "producer"] {
        command.arg(format!("test/integration/test_{file}_integration.py"));
    }
    let (host, port) = ground.first();
    command.env("KAFKA_URI", format!("kafka://{host}:{port}"));
    command.env("KAFKA_VERSION", ground.persona().unwrap_or(PERSONA));
    // It must be there, and is not looked into.
    command.env("KAFKA_ROOT", &source);
    pytest::run(&mut command, KAFKA_PYTHON, ground)
}

/// rust-rdkafka's `tests/`.
pub(in crate::suites) fn rdkafka(ground: &Ground<'_>) -> Result<Outcome> {
    let source = install::crate_source("rdkafka", RDKAFKA, &[])?;
    let mut command = cargo_test::command(&source, &["--test", "*"], ground)?;
    command.env("RUST_LOG", "off");
    command.env("KAFKA_HOST", &ground.bootstrap);
    command.env("KAFKA_VERSION", ground.persona().unwrap_or(PERSONA));
    cargo_test::run(&mut command, RDKAFKA, ground)
}

/// rskafka's `tests/`. What wants a login or a bridge to Java returns at once where there is
/// none, as if it had passed, and is left out.
pub(in crate::suites) fn rskafka(ground: &Ground<'_>) -> Result<Outcome> {
    let source = install::crate_source("rskafka", RSKAFKA, &[("rsasl", "2.3.1")])?;
    let mut command = cargo_test::command(&source, &["--test", "*"], ground)?;
    command.args(["--skip", "_java_", "--skip", "test_sasl"]);
    command.env("TEST_INTEGRATION", "1");
    command.env("TEST_BROKER_IMPL", "kafka");
    command.env("KAFKA_CONNECT", &ground.bootstrap);
    cargo_test::run(&mut command, RSKAFKA, ground)
}
