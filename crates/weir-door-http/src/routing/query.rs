//! What stands behind the question mark: parameters that a route knows, each once.

use serde_json::{Map, Value};

use super::{cursor, path::decode, problem::Problem};

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) doc: &'static str,
}

/// What its value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Flag,
    /// A number up to this.
    Number(u32),
    /// Where a list goes on.
    Cursor,
}

/// Rows of a page unless the client wants fewer.
pub(crate) const MAX_PAGE_ROW_COUNT: u32 = 200;

/// Of every list.
pub(crate) const PAGE: [Parameter; 2] = [
    Parameter {
        name: "after",
        kind: Kind::Cursor,
        doc: "Go on behind this place: `next` of the page before.",
    },
    Parameter {
        name: "limit",
        kind: Kind::Number(MAX_PAGE_ROW_COUNT),
        doc: "Most rows of the page.",
    },
];

/// Reads what stands behind the question mark.
pub(crate) fn read(known: &[Parameter], query: &str) -> Result<Map<String, Value>, Problem> {
    let mut found = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (text(name)?, text(value)?);
        let parameter = known.iter().find(|parameter| parameter.name == name);
        let Some(parameter) = parameter else {
            return Err(Problem::invalid(format!(
                "there is no parameter '{name}' here"
            )));
        };
        let value = parameter.value(value)?;
        if found.insert(name, value).is_some() {
            let name = parameter.name;
            return Err(Problem::invalid(format!("'{name}' stands there twice")));
        }
    }
    Ok(found)
}

/// As forms are sent: a plus is a space.
fn text(part: &str) -> Result<String, Problem> {
    decode(&part.replace('+', " "))
}

impl Parameter {
    fn value(&self, text: String) -> Result<Value, Problem> {
        let name = self.name;
        match self.kind {
            Kind::Text => Ok(text.into()),
            Kind::Cursor => cursor::read(&text),
            Kind::Flag => match &*text {
                "true" => Ok(true.into()),
                "false" => Ok(false.into()),
                _ => Err(Problem::invalid(format!("'{name}' is true or false"))),
            },
            Kind::Number(max) => {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse::<u32>().ok().filter(|_| digits);
                match number.filter(|number| (1..=max).contains(number)) {
                    Some(number) => Ok(number.into()),
                    None => Err(Problem::invalid(format!(
                        "'{name}' is a number from 1 to {max}"
                    ))),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: [Parameter; 3] = [
        PAGE[1],
        Parameter {
            name: "name",
            kind: Kind::Text,
            doc: "",
        },
        Parameter {
            name: "all",
            kind: Kind::Flag,
            doc: "",
        },
    ];

    #[test]
    fn known_parameters_are_read_by_their_kind() {
        let found = read(&KNOWN, "limit=200&name=a+b%2Fc&all=true").unwrap();
        let expected = json!({ "limit": 200, "name": "a b/c", "all": true });
        assert_eq!(Value::Object(found), expected);
        assert!(read(&KNOWN, "").unwrap().is_empty());
    }

    #[test]
    fn what_is_unknown_twice_or_of_another_kind_is_refused() {
        for bad in [
            "limit=0",
            "limit=201",
            "limit=+1",
            "limit=x",
            "limit",
            "all=1",
            "all",
            "more=1",
            "name=a&name=b",
            "name=%zz",
            "=1",
        ] {
            assert!(read(&KNOWN, bad).is_err(), "{bad}");
        }
    }
}
