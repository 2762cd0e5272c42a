//! `weir token`: what tokens say, and whether a node with these settings believes them. Tokens come from a file or
//! standard input, never from an argument, which others on the machine see.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use weir_access::{
    MAX_TOKEN_BYTES,
    token::{Unverified, check_token},
};

use super::table::Table;
use crate::{
    exit_code::Usage,
    moment::now_ms,
    settings::{Effective, ServeConfig, SettingFlags},
    token_keys,
};

/// Claims that are times, in s since 1970.
const TIMES: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what a token says, whoever has made it.
    Show(Given),
    /// Show it, and whether a node that runs with these settings believes it: ends with 1 where it does not.
    Verify {
        #[command(flatten)]
        given: Given,
        #[command(flatten)]
        settings: SettingFlags,
    },
}

#[derive(Debug, Args)]
struct Given {
    /// The token stands in this file; `-`: comes from standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &TokenArguments) -> anyhow::Result<()> {
    match &arguments.verb {
        Verb::Show(given) => {
            let said = Unverified::read(&given.read()?)?;
            given.print(&said, None);
            Ok(())
        }
        Verb::Verify { given, settings } => verify(given, settings),
    }
}

fn verify(given: &Given, settings: &SettingFlags) -> anyhow::Result<()> {
    let config = ServeConfig::new(&Effective::load(settings)?)?;
    let Some(tokens) = config.tokens else {
        return Err(Usage("token-keys is not set: no token is believed".to_owned()).into());
    };
    let text = given.read()?;
    let said = Unverified::read(&text)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let keys = runtime.block_on(token_keys::now(&tokens))?;
    let found = check_token(&text, &keys, &tokens.rules, now_ms());
    let named = found.as_ref().map(|token| token.principal.name());
    given.print(&said, Some(named.map_err(ToString::to_string)));
    if let Err(refused) = &found {
        bail!("not believed: {refused}");
    }
    Ok(())
}

impl Given {
    fn read(&self) -> anyhow::Result<String> {
        let text = match self.file.as_path() {
            path if path == Path::new("-") => bounded(io::stdin().lock()),
            path => File::open(path).and_then(bounded),
        };
        let text = text.with_context(|| format!("{}", self.file.display()))?;
        Ok(text.trim().to_owned())
    }

    /// `verdict`: whom it names where it is believed, or why it is not.
    fn print(&self, said: &Unverified, verdict: Option<Result<&str, String>>) {
        if self.json {
            let mut page = json!({ "header": said.header, "claims": said.claims });
            match verdict {
                Some(Ok(name)) => page["names"] = name.into(),
                Some(Err(why)) => page["refused"] = why.into(),
                None => {}
            }
            return println!("{page:#}");
        }
        print!("{}", rows(&said.header, &said.claims, now_ms()));
        if let Some(Ok(name)) = verdict {
            println!("believed: it names {name}");
        }
    }
}

/// A token, and blanks around it; one byte more than that shows that it is too long.
fn bounded(source: impl io::Read) -> io::Result<String> {
    let limit = u64::try_from(MAX_TOKEN_BYTES + 64).unwrap_or(u64::MAX);
    let mut text = String::new();
    source.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

fn rows(header: &Map<String, Value>, claims: &Map<String, Value>, now_ms: i64) -> String {
    let mut table = Table::new(&["CLAIM", "VALUE"]);
    for (name, value) in header.iter().chain(claims) {
        let shown = match value {
            Value::String(text) => text.escape_debug().to_string(),
            other => other.to_string(),
        };
        let time_s = value.as_i64().filter(|_| TIMES.contains(&&**name));
        let shown = match time_s.map(|time_s| time_s.saturating_sub(now_ms / 1_000)) {
            Some(left_s) if left_s >= 0 => format!("{shown} (in {left_s} s)"),
            Some(left_s) => format!("{shown} ({} s ago)", left_s.unsigned_abs()),
            None => shown,
        };
        table.row(vec![name.escape_debug().to_string(), shown]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_shown_without_what_a_terminal_would_do_and_times_by_how_far_they_are() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let claims = object(json!({ "exp": 1_060, "iat": 990, "sub": "a\u{1b}[2J" }));
        let shown = rows(&object(json!({ "alg": "RS256" })), &claims, 1_000_000);
        for row in ["RS256", "1060 (in 60 s)", "990 (10 s ago)", "a\\u{1b}[2J"] {
            assert!(shown.contains(row), "{shown}");
        }
    }
}
