//! Flag before environment variable before file before default.

use std::fmt;

use super::{
    SettingFlags, file,
    table::{SETTINGS, Setting},
};
use crate::exit_code::Usage;

const PREFIX: &str = "WEIR_";
/// Variables of ours that are no settings.
const OTHER_VARIABLES: [&str; 2] = ["WEIR_CONFIG", "WEIR_BOOTSTRAP"];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Environment,
    File { path: String, line: usize },
    Default,
}

/// A setting as it is in force.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) setting: &'static Setting,
    /// Empty: unset.
    pub(crate) values: Vec<String>,
    pub(crate) origin: Origin,
}

/// All settings as they are in force, in the order of the table.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    pub(crate) entries: Vec<Entry>,
    /// Variables that begin as ours do and are none.
    pub(crate) unknown_variables: Vec<String>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::File { path, line } => write!(f, "{path}, line {line}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Effective {
    /// From the command line, this process's environment, and the file that one of them names.
    pub(crate) fn load(flags: &SettingFlags) -> Result<Self, Usage> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_ours = name.starts_with(PREFIX);
            is_ours.then(|| (name, value.to_string_lossy().into_owned()))
        });
        Self::layered(flags, &variables.collect::<Vec<_>>())
    }

    pub(super) fn layered(
        flags: &SettingFlags,
        variables: &[(String, String)],
    ) -> Result<Self, Usage> {
        let path = flags.file.as_deref();
        let in_file = path.map(file::read).transpose()?.unwrap_or_default();
        let path = path.map_or_else(String::new, |path| path.display().to_string());
        let mut entries = Vec::new();
        for setting in SETTINGS {
            let named = |given: &&Setting| given.name == setting.name;
            let variable = setting.variable();
            let mut flag = flags.given.iter().filter(|(given, _)| named(given));
            let mut set = variables.iter().filter(|(name, _)| *name == variable);
            let mut line = in_file.iter().filter(|entry| named(&entry.setting));
            let (values, origin) = if let Some((_, values)) = flag.next() {
                (values.clone(), Origin::Flag)
            } else if let Some((_, text)) = set.next() {
                (setting.split(text), Origin::Environment)
            } else if let Some(entry) = line.next() {
                let (path, line) = (path.clone(), entry.line);
                (entry.values.clone(), Origin::File { path, line })
            } else {
                let default = (setting.default)();
                let values = default.map(|text| setting.split(&text));
                (values.unwrap_or_default(), Origin::Default)
            };
            let entry = Entry {
                setting,
                values,
                origin,
            };
            entry.check()?;
            entries.push(entry);
        }
        Ok(Self {
            entries,
            unknown_variables: unknown(variables),
        })
    }

    /// One setting.
    pub(crate) fn entry(&self, setting: &Setting) -> &Entry {
        let mut entries = self.entries.iter();
        entries
            .find(|entry| entry.setting.name == setting.name)
            .expect("every setting of the table has an entry")
    }
}

impl Entry {
    fn check(&self) -> Result<(), Usage> {
        if self.origin == Origin::Default {
            return Ok(());
        }
        let name = match &self.origin {
            Origin::Flag | Origin::Default => format!("--{}", self.setting.name),
            Origin::Environment => self.setting.variable(),
            Origin::File { path, line } => format!("{path}, line {line}: {}", self.setting.name),
        };
        let checked = self.setting.check(&self.values);
        checked.map_err(|what| Usage(format!("{name}: {what}")))
    }

    /// The value as one text.
    pub(crate) fn text(&self) -> Option<String> {
        (!self.values.is_empty()).then(|| self.values.join(","))
    }
}

/// What looks like a setting and is none, with what it was likely meant to be.
fn unknown(variables: &[(String, String)]) -> Vec<String> {
    let known: Vec<String> = SETTINGS.iter().map(|setting| setting.variable()).collect();
    let is_unknown =
        |name: &str| !known.iter().any(|known| known == name) && !OTHER_VARIABLES.contains(&name);
    let mut found = Vec::new();
    for (name, _) in variables.iter().filter(|(name, _)| is_unknown(name)) {
        if let Some(nearest) = file::nearest(name, known.iter().map(String::as_str)) {
            found.push(format!("{name} is unknown; did you mean {nearest}?"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::settings::table::{DATA_DIR, JOIN, KAFKA, SHARDS};

    struct Written(PathBuf);

    impl Drop for Written {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn written(name: &str, text: &str) -> Written {
        let name = format!("weir-layers-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Written(path)
    }

    fn variable(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn flag_goes_before_environment_before_file_before_default() {
        let file = written("order", "data-dir = 'file'\nkafka = 'file:1'\nshards = 3\n");
        let flags = SettingFlags {
            file: Some(file.0.clone()),
            given: vec![(&DATA_DIR, vec!["flag".to_owned()])],
        };
        let variables = [
            variable("WEIR_DATA_DIR", "env"),
            variable("WEIR_KAFKA", "env:1,env:2"),
        ];
        let effective = Effective::layered(&flags, &variables).unwrap();
        let found = |setting: &Setting| {
            let entry = effective.entry(setting);
            (entry.text(), entry.origin.clone())
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(found(&DATA_DIR), (text("flag"), Origin::Flag));
        assert_eq!(found(&KAFKA), (text("env:1,env:2"), Origin::Environment));
        let (shards, origin) = found(&SHARDS);
        assert_eq!(shards, text("3"));
        assert!(matches!(origin, Origin::File { line: 3, .. }), "{origin}");
        assert_eq!(found(&JOIN), (None, Origin::Default));
    }

    #[test]
    fn a_value_that_is_refused_names_where_it_was_set() {
        let file = written("refused", "\nshards = 0\n");
        let in_file = SettingFlags {
            file: Some(file.0.clone()),
            given: Vec::new(),
        };
        let error = Effective::layered(&in_file, &[]).unwrap_err().to_string();
        assert!(error.contains("line 2: shards"), "{error}");
        let none = SettingFlags::default();
        let set = [variable("WEIR_SHARDS", "x")];
        let error = Effective::layered(&none, &set).unwrap_err().to_string();
        assert!(error.starts_with("WEIR_SHARDS: `x`"), "{error}");
        let given = SettingFlags {
            file: None,
            given: vec![(&SHARDS, vec!["257".to_owned()])],
        };
        let error = Effective::layered(&given, &[]).unwrap_err().to_string();
        assert!(error.starts_with("--shards: `257`"), "{error}");
    }

    #[test]
    fn a_variable_that_is_nearly_a_setting_is_told_and_others_are_left_alone() {
        let variables = [
            variable("WEIR_DATADIR", "x"),
            variable("WEIR_CONFIG", "x"),
            variable("WEIR_SERVICE_PORT_9092_TCP_PROTO_X", "x"),
        ];
        let none = SettingFlags::default();
        let effective = Effective::layered(&none, &variables).unwrap();
        assert_eq!(
            effective.unknown_variables,
            ["WEIR_DATADIR is unknown; did you mean WEIR_DATA_DIR?"]
        );
    }
}
