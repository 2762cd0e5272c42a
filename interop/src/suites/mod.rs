//! Real clients' own test suites and command tables, judged against allow-lists: the part of
//! `cargo xtask clients` that prints a table.

mod allow;
mod campaign;
mod case;
mod install;
mod lines;
mod list;
mod programs;
mod shell;
mod table;
mod tools;
mod upstream;

pub(crate) use campaign::{Options, run};
pub(crate) use install::{JAVA_OPTIONS, java_class_path};
