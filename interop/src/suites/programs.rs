//! Suites that are programs: our own cases in each client's language, and upstream's tests.

use super::campaign::Ground;
use super::case::Outcome;
use super::{install, lines};
use crate::place;
use anyhow::Result;
use std::process::Command;
use std::time::Duration;

/// Time that the cases of one client have.
const LIMIT: Duration = Duration::from_secs(600);

/// Cases in Python: `interop/clients/python/SCRIPT`.
pub(super) fn python(script: &str, ground: &Ground<'_>) -> Result<Outcome> {
    let mut command = Command::new(place::python()?);
    command.arg(place::root().join("interop/clients/python").join(script));
    run(&mut command, ground)
}

/// As [`python`], for cases that start nodes of their own, and Kafka's tools.
pub(super) fn python_with_nodes(script: &str, ground: &Ground<'_>) -> Result<Outcome> {
    let mut command = Command::new(place::python()?);
    command.arg(place::root().join("interop/clients/python").join(script));
    command.env("KAFKA_CLASS_PATH", place::java_class_path()?);
    run(command.env("WEIR", place::built_node()?), ground)
}

/// Cases for Node.js: `interop/clients/node/SCRIPT`.
pub(super) fn node(script: &str, ground: &Ground<'_>) -> Result<Outcome> {
    let mut command = Command::new("node");
    command.arg(install::node_directory()?.join(script));
    command.env("KAFKAJS_NO_PARTITIONER_WARNING", "1");
    run(&mut command, ground)
}

/// Cases in Go: the program in `interop/clients/go/PROGRAM`.
pub(super) fn go(program: &str, ground: &Ground<'_>) -> Result<Outcome> {
    run(&mut Command::new(install::go_program(program)?), ground)
}

/// Cases in Ruby, with Debian's packages: `interop/clients/ruby/SCRIPT`.
pub(super) fn ruby(script: &str, ground: &Ground<'_>) -> Result<Outcome> {
    let mut command = Command::new("ruby");
    command.arg(place::root().join("interop/clients/ruby").join(script));
    run(&mut command, ground)
}

/// Applications in Java: the program in `interop/java/src/CLASS.java`.
pub(super) fn java(class: &str, ground: &Ground<'_>) -> Result<Outcome> {
    java_of(&install::java_class_path()?, class, ground)
}

/// Cases and applications in Java that speak AMQP: the program in `interop/java/amqp/src/CLASS.java`.
pub(super) fn amqp_java(class: &str, ground: &Ground<'_>) -> Result<Outcome> {
    java_of(&install::amqp_class_path()?, class, ground)
}

fn java_of(class_path: &str, class: &str, ground: &Ground<'_>) -> Result<Outcome> {
    let mut command = Command::new("java");
    command.args(install::JAVA_OPTIONS);
    command.args(["-cp", class_path, class]);
    run(command.arg(&ground.directory), ground)
}

fn run(command: &mut Command, ground: &Ground<'_>) -> Result<Outcome> {
    command.arg(&ground.bootstrap).env("CASE", ground.part());
    command.env("AMQP", &ground.amqp);
    command.env("DIRECTORY", &ground.directory);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    lines::run(command, ground, LIMIT)
}
