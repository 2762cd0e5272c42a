//! A program that is asked something, for a limited time.

use crate::client::Guarded;
use anyhow::{Context, Result};
use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Runs a command to its end, and ends it after `limit`.
pub(super) fn output(command: &mut Command, limit: Duration) -> Result<Output> {
    let mut client = Guarded::start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )?;
    let out = reader(client.process().stdout.take());
    let err = reader(client.process().stderr.take());
    let status = client.wait(&format!("{:?}", command.get_program()), limit);
    client.end();
    Ok(Output {
        stdout: out.join().expect("a reader does not panic")?,
        stderr: err.join().expect("a reader does not panic")?,
        status: status.context("no answer")?,
    })
}

fn reader(
    pipe: Option<impl Read + Send + 'static>,
) -> std::thread::JoinHandle<std::io::Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    })
}
