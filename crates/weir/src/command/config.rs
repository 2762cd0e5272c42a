//! `weir config`: what a node would run with, as a file that says the same.

use clap::Args;

use weir_door_http::NodeSetting;

use crate::settings::{
    Effective, Origin, ServeConfig, SettingFlags,
    table::{Kind, Setting},
};

/// Width of the comments, in columns.
const COLUMNS: usize = 96;

/// The settings of `weir serve`, and how to print them.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// Print as JSON: name, value, origin, default of each setting.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

/// Prints all settings in force, and where each comes from.
pub(crate) fn run(arguments: &ConfigArguments) -> anyhow::Result<()> {
    let effective = Effective::load(&arguments.settings)?;
    ServeConfig::new(&effective)?;
    for unknown in &effective.unknown_variables {
        eprintln!("weir: {unknown}");
    }
    if arguments.json {
        println!("{:#}", serde_json::to_value(in_force(&effective))?);
    } else {
        print!("{}", as_toml(&effective));
    }
    Ok(())
}

/// All settings in force, for programs.
pub(crate) fn in_force(effective: &Effective) -> Vec<NodeSetting> {
    let entries = effective.entries.iter().map(|entry| NodeSetting {
        name: entry.setting.name.to_owned(),
        value: entry.text(),
        origin: entry.origin.to_string(),
        default: (entry.setting.default)(),
        variable: entry.setting.variable(),
        doc: entry.setting.doc.to_owned(),
    });
    entries.collect()
}

fn as_toml(effective: &Effective) -> String {
    let mut page = String::from(
        "# Settings of `weir serve`. Each key is a flag (--data-dir) and an environment variable\n\
         # (WEIR_DATA_DIR) too. A flag goes before the environment, that before this file.\n",
    );
    for entry in &effective.entries {
        let setting = entry.setting;
        page.push('\n');
        let origin = match (&entry.origin, entry.values.is_empty()) {
            (Origin::Default, true) => "Unset.".to_owned(),
            (Origin::Default, false) => "Default.".to_owned(),
            (origin, _) => match (setting.default)() {
                Some(default) => format!("From: {origin}. Default: {default}"),
                None => format!("From: {origin}."),
            },
        };
        for line in wrapped(setting.doc).into_iter().chain([origin]) {
            page.push_str(&format!("# {line}\n"));
        }
        page.push_str(&if entry.values.is_empty() {
            format!("# {} = {}\n", setting.name, example(setting))
        } else {
            format!("{} = {}\n", setting.name, value(setting, &entry.values))
        });
    }
    page
}

fn example(setting: &Setting) -> String {
    value(setting, &[setting.value_name.to_owned()])
}

fn value(setting: &Setting, values: &[String]) -> String {
    let quoted = |text: &String| toml::Value::String(text.clone()).to_string();
    match setting.kind {
        Kind::Number { .. } | Kind::Switch => values.concat(),
        Kind::Text | Kind::Choice(_) | Kind::HostPort => quoted(&values.concat()),
        Kind::Texts | Kind::HostPorts | Kind::Listen | Kind::ListenOrOff => match values {
            [one] => quoted(one),
            several => {
                let several: Vec<String> = several.iter().map(quoted).collect();
                format!("[{}]", several.join(", "))
            }
        },
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}
