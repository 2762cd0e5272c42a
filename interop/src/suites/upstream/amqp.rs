//! Suites that the authors of AMQP's clients wrote, from their packages where those carry them.

use super::{cargo_test, go_test, pytest};
use crate::place;
use crate::suites::campaign::Ground;
use crate::suites::case::Outcome;
use crate::suites::install;
use anyhow::Result;
use std::process::Command;

const PY_AMQP: &str = "5.4.2";
const KOMBU: &str = "5.7.0";
const AIO_PIKA: &str = "10.2.1";
const LAPIN: &str = "4.12.3";
const AMQPRS: &str = "2.1.5";
const AMQP091_GO: &str = "v1.16.0";

/// pika's acceptance tests, which its package leaves out, from a person's working tree: a copy of
/// them, since the broker's port stands in their text.
pub(in crate::suites) fn pika(ground: &Ground<'_>) -> Result<Outcome> {
    let tree = ground.checkout("pika")?;
    let copy = ground.directory.join("pika");
    std::fs::create_dir_all(&copy)?;
    let mut command = Command::new("cp");
    command
        .arg("-r")
        .args([tree.join("tests"), tree.join("pika")]);
    place::run(command.arg(&copy))?;
    let (_, port) = ground.first();
    install::replace(&copy.join("tests"), "py", &[("5672", port)])?;
    let tests = copy.join("tests/acceptance");
    let mut command = pytest::command(&copy, "pytest_tell", ground)?;
    command.args(["-p", "no:asyncio", "--timeout=60"]);
    for file in [
        "async_adapter_tests",
        "blocking_adapter_test",
        "enforce_one_basicget_test",
        "thread_safe_bounded_queue_test",
        "thread_safe_connection_test",
        "twisted_adapter_tests",
    ] {
        command.arg(tests.join(file).with_extension("py"));
    }
    pytest::run(&mut command, "checkout", ground)
}

/// py-amqp's `t/integration`, without what wants TLS.
pub(in crate::suites) fn py_amqp(ground: &Ground<'_>) -> Result<Outcome> {
    let source = install::python_source(&place::python()?, "amqp", PY_AMQP)?;
    let mut command = pytest::command(&source, "pytest_tell", ground)?;
    let plain = match ground.part() {
        "" => "not tls".to_owned(),
        part => format!("{part} and not tls"),
    };
    command.args(["t/integration", "-k", &plain]);
    let (host, port) = ground.first();
    command.env("RABBITMQ_HOST", host);
    command.env("RABBITMQ_5672_TCP", port);
    pytest::run(&mut command, PY_AMQP, ground)
}

/// kombu's tests of its transport over py-amqp.
pub(in crate::suites) fn kombu(ground: &Ground<'_>) -> Result<Outcome> {
    let source = install::python_source(&place::python()?, "kombu", KOMBU)?;
    let mut command = pytest::command(&source, "pytest_tell", ground)?;
    command.arg("t/integration/test_py_amqp.py");
    let (host, port) = ground.first();
    command.env("RABBITMQ_HOST", host);
    command.env("RABBITMQ_5672_TCP", port);
    pytest::run(&mut command, KOMBU, ground)
}

/// aio-pika's tests, without those that want TLS or end the broker themselves.
pub(in crate::suites) fn aio_pika(ground: &Ground<'_>) -> Result<Outcome> {
    let source = install::python_source(&place::python()?, "aio-pika", AIO_PIKA)?;
    let mut command = pytest::command(&source, "stand_in_aio_pika", ground)?;
    command.args(["-p", "no:asyncio", "--timeout=60", "tests"]);
    command.args([
        "--ignore=tests/test_amqps.py",
        "--ignore=tests/test_robust_recovery.py",
    ]);
    let (host, port) = ground.first();
    command.env("AMQP_HOST", host).env("AMQP_PORT", port);
    pytest::run(&mut command, AIO_PIKA, ground)
}

/// lapin's `tests/`.
pub(in crate::suites) fn lapin(ground: &Ground<'_>) -> Result<Outcome> {
    let source = install::crate_source("lapin", LAPIN, &[])?;
    let mut command = cargo_test::command(&source, &["--tests"], ground)?;
    let (host, port) = ground.first();
    command.env("RUST_LOG", "off");
    command.env("AMQP_ADDR", format!("amqp://{host}:{port}/%2f"));
    cargo_test::run(&mut command, LAPIN, ground)
}

/// amqprs's tests, beside its code and in `tests/`. Where they name a broker and a login, ours
/// are read from the environment.
pub(in crate::suites) fn amqprs(ground: &Ground<'_>) -> Result<Outcome> {
    let source = install::crate_source("amqprs", AMQPRS, &[])?;
    let port = "std::env::var(\"AMQP_PORT\").unwrap()";
    let login = format!("\"localhost\", {port}.parse().unwrap(), \"guest\", \"guest\"");
    install::replace(
        &source,
        "rs",
        &[
            ("\"user\"", "\"guest\""),
            ("\"bitnami\"", "\"guest\""),
            ("\"localhost\", 5672, \"guest\", \"guest\"", &login),
            (
                "OpenConnectionArguments::default()\n            .credentials",
                &format!("OpenConnectionArguments::new({login})\n            .credentials"),
            ),
            (
                "open(\"localhost:5672\")",
                &format!("open(&format!(\"localhost:{{}}\", {port}))"),
            ),
        ],
    )?;
    let which = ["--lib", "--test", "*"];
    let mut command = cargo_test::command(&source, &which, ground)?;
    // It asserts the port that was there before.
    command.args(["--skip", "test_connection_getters"]);
    command.env("AMQP_PORT", ground.first().1);
    cargo_test::run(&mut command, AMQPRS, ground)
}

/// amqp091-go's integration tests.
pub(in crate::suites) fn amqp091_go(ground: &Ground<'_>) -> Result<Outcome> {
    let source = go_test::source("github.com/rabbitmq/amqp091-go", AMQP091_GO)?;
    let (host, port) = ground.first();
    let url = format!("amqp://guest:guest@{host}:{port}/");
    let variables = [("AMQP_URL", url)];
    go_test::run(&source, "integration", &variables, AMQP091_GO, ground)
}
