//! The file: TOML, one key a setting. What is not known is an error, not a silence.

use std::{ops::Range, path::Path};

use toml::de::{DeTable, DeValue};

use super::table::{Kind, SETTINGS, Setting};
use crate::exit_code::Usage;

/// Longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// One line of the file.
#[derive(Debug)]
pub(super) struct FileEntry {
    pub(super) setting: &'static Setting,
    pub(super) values: Vec<String>,
    pub(super) line: usize,
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Vec<FileEntry>, Usage> {
    let refused = |what: String| Usage(format!("{}: {what}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?;
    if length.len() > MAX_FILE_BYTES {
        return Err(refused(format!("more than {MAX_FILE_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    parse(&text).map_err(|(line, what)| Usage(format!("{}, line {line}: {what}", path.display())))
}

type Refused = (usize, String);

fn parse(text: &str) -> Result<Vec<FileEntry>, Refused> {
    let line_of = |span: Range<usize>| {
        let before = text.get(..span.start).unwrap_or(text);
        1 + before.bytes().filter(|byte| *byte == b'\n').count()
    };
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, line_of);
        (line, error.message().to_owned())
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let line = line_of(key.span());
        let name = key.get_ref().as_ref();
        let setting = SETTINGS.into_iter().find(|setting| setting.name == name);
        let setting = setting.ok_or_else(|| (line, unknown(name)))?;
        let values = values_of(setting, value.get_ref())
            .map_err(|what| (line, format!("{name}: {what}")))?;
        entries.push(FileEntry {
            setting,
            values,
            line,
        });
    }
    Ok(entries)
}

fn unknown(name: &str) -> String {
    let nearest = nearest(name, SETTINGS.iter().map(|setting| setting.name));
    match nearest {
        Some(nearest) => format!("unknown key `{name}`; did you mean `{nearest}`?"),
        None => format!("unknown key `{name}`; `weir config` prints all that there are"),
    }
}

/// The known name that `name` was most likely meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &&str| strsim::damerau_levenshtein(name, other);
    let nearest = known.min_by_key(distance)?;
    let is_near = distance(&nearest) <= name.len().max(3) / 2;
    let is_part = nearest.starts_with(name) || name.starts_with(nearest);
    (is_near || is_part).then_some(nearest)
}

fn values_of(setting: &Setting, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let wanted = match setting.kind {
        Kind::Number { .. } => "a whole number",
        Kind::Switch => "true or false",
        Kind::Texts | Kind::HostPorts | Kind::Listen | Kind::ListenOrOff => {
            "a text, or a list of texts"
        }
        Kind::Text | Kind::Choice(_) | Kind::HostPort => "a text, in quotes",
    };
    let values = match (setting.kind, value) {
        (Kind::Number { .. }, DeValue::Integer(number)) => {
            let number = i128::from_str_radix(number.as_str(), number.radix());
            number.ok().map(|number| vec![number.to_string()])
        }
        (Kind::Switch, DeValue::Boolean(is_on)) => Some(vec![is_on.to_string()]),
        (
            Kind::Texts | Kind::HostPorts | Kind::Listen | Kind::ListenOrOff,
            DeValue::Array(items),
        ) => {
            let text = |item: &DeValue<'_>| item.as_str().map(str::to_owned);
            items.iter().map(|item| text(item.get_ref())).collect()
        }
        (Kind::Number { .. } | Kind::Switch, _) => None,
        (_, value) => value.as_str().map(|text| setting.split(text)),
    };
    values.ok_or_else(|| format!("{wanted} is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (usize, String) {
        parse(text).unwrap_err()
    }

    #[test]
    fn every_kind_of_value_is_read_with_its_line() {
        let text = "# a comment\ndata-dir = 'x'\nshards = 1_0\nauto-create-topics = false\n\
                    kafka = ['a:1', 'b:2']\njoin = \"c:3, d:4\"\n";
        let entries = parse(text).unwrap();
        let found = |name: &str| {
            let mut found = entries.iter().filter(|entry| entry.setting.name == name);
            let entry = found.next().unwrap();
            (entry.line, entry.values.join("|"))
        };
        assert_eq!(found("data-dir"), (2, "x".to_owned()));
        assert_eq!(found("shards"), (3, "10".to_owned()));
        assert_eq!(found("auto-create-topics"), (4, "false".to_owned()));
        assert_eq!(found("kafka"), (5, "a:1|b:2".to_owned()));
        assert_eq!(found("join"), (6, "c:3|d:4".to_owned()));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_nearest_one() {
        for (key, meant) in [
            ("data_dir", "data-dir"),
            ("datadir", "data-dir"),
            ("max-conections", "max-connections"),
            ("kafka-advertised", "kafka-advertise"),
            ("auto-create", "auto-create-topics"),
        ] {
            let (line, what) = refused(&format!("\n\n{key} = 1"));
            assert_eq!(line, 3);
            assert!(what.contains(&format!("`{meant}`")), "{key}: {what}");
        }
        let (_, what) = refused("zzzzzzzzzzzzzzzzzz = 1");
        assert!(what.contains("weir config"), "{what}");
        assert!(refused("[kafka]\nlisten = 'a:1'").1.contains("kafka"));
    }

    #[test]
    fn a_value_of_another_type_is_an_error_that_says_which() {
        for (text, wanted) in [
            ("shards = '3'", "whole number"),
            ("shards = 1.5", "whole number"),
            ("init = 1", "true or false"),
            ("data-dir = 7", "quotes"),
            ("kafka = [1]", "list of texts"),
            ("log-format = true", "quotes"),
        ] {
            let (_, what) = refused(text);
            assert!(what.contains(wanted), "{text}: {what}");
        }
    }

    #[test]
    fn what_is_no_toml_is_named_with_its_line() {
        assert_eq!(refused("data-dir = 'x'\nshards =\n").0, 2);
        assert_eq!(refused("init = true\ninit = true\n").0, 2);
    }
}
