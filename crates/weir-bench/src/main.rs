//! Benchmarks of WeirMQ: production code beside what the same disk gives to others.

mod batch;
mod client;
mod cpu;
mod crowd;
mod drive;
mod fio;
mod node;
mod options;
mod report;
mod scratch;
mod suite;
mod wal;

use std::process::ExitCode;

use clap::Parser;

use options::{Arguments, Bench};

/// As in the node's binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().bench {
        Bench::Log(options) => suite::log(&options),
        Bench::Crowd(options) => crowd::run(&options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("weir-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
