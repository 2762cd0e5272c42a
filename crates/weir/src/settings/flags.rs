//! The table as clap's arguments.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, error::Error};

use super::table::{Kind, SETTINGS, Setting};

const CONFIG: &str = "config";

/// What was set on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettingFlags {
    /// File with more settings.
    pub(crate) file: Option<PathBuf>,
    /// Values by setting.
    pub(crate) given: Vec<(&'static Setting, Vec<String>)>,
}

fn argument(setting: &'static Setting) -> Arg {
    let variable = setting.variable();
    let default = match (setting.default)() {
        Some(default) => format!("[default: {default}] "),
        None => String::new(),
    };
    let argument = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value_name)
        .help(format!("{} {default}[env: {variable}]", setting.doc));
    match setting.kind {
        Kind::Switch => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .action(ArgAction::Set),
        Kind::Texts | Kind::HostPorts | Kind::Listen | Kind::ListenOrOff => {
            argument.action(ArgAction::Append)
        }
        Kind::Text | Kind::Choice(_) | Kind::Number { .. } | Kind::HostPort => {
            argument.action(ArgAction::Set)
        }
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .env("WEIR_CONFIG")
            .value_parser(clap::value_parser!(PathBuf))
            .help("File with settings (TOML), whose keys are the flags' names. Flags and environment variables go before it.");
        SETTINGS
            .into_iter()
            .fold(command.arg(file), |command, setting| {
                command.arg(argument(setting))
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.file = matches.get_one::<PathBuf>(CONFIG).cloned();
        self.given.clear();
        for setting in SETTINGS {
            if let Some(texts) = matches.get_many::<String>(setting.name) {
                let values = texts.flat_map(|text| setting.split(text)).collect();
                self.given.push((setting, values));
            }
        }
        Ok(())
    }
}
