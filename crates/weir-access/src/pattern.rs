//! Patterns of names. Regular expressions as in RabbitMQ: any part of a name may match; on an engine that
//! takes linear time. Globs: `*` stands for any characters.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

use crate::limit::{MAX_COMPILED_BYTES, MAX_NESTING, MAX_PATTERN_BYTES};

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Too long.
    #[error("longer than {MAX_PATTERN_BYTES} bytes")]
    Long,
    /// It says `{client_id}`.
    #[error("what a client chose itself ({{client_id}}) decides nothing")]
    ClientChosen,
    /// The engine does not take it.
    #[error("{0}")]
    Syntax(String),
}

/// A regular expression, understood when it is first asked.
#[derive(Clone, Debug)]
pub struct Wanted {
    text: Box<str>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Nothing,
    Everything,
    /// The name itself, between `^` and `$`.
    Whole(Box<str>),
    /// Names that begin so: `^` and `.*` around it.
    Prefix(Box<str>),
    /// `None`: this version does not understand what another one did; then nothing matches.
    Compiled(OnceLock<Option<Regex>>),
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Wanted {}

impl Wanted {
    /// The pattern that this text stands for. Compiles nothing yet.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            form: Form::of(text),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match &self.form {
            Form::Nothing => name.is_empty(),
            Form::Everything => true,
            Form::Whole(whole) => name == &**whole,
            Form::Prefix(prefix) => name.starts_with(&**prefix) && !name.contains('\n'),
            Form::Compiled(compiled) => {
                let compiled = compiled.get_or_init(|| compile(&self.text).ok());
                compiled.as_ref().is_some_and(|regex| regex.is_match(name))
            }
        }
    }

    /// Whether the text can be understood.
    pub fn fault(text: &str) -> Result<(), PatternError> {
        match Form::of(text) {
            _ if text.len() > MAX_PATTERN_BYTES => Err(PatternError::Long),
            Form::Compiled(_) => compile(text).map(drop),
            Form::Nothing | Form::Everything | Form::Whole(_) | Form::Prefix(_) => Ok(()),
        }
    }
}

impl Form {
    fn of(text: &str) -> Self {
        let is_literal = |text: &str| !text.contains(is_special);
        match text {
            "" | "^$" => return Self::Nothing,
            "^" | ".*" | "^.*" => return Self::Everything,
            _ => {}
        }
        let Some(inner) = text.strip_prefix('^') else {
            return Self::Compiled(OnceLock::new());
        };
        if let Some(whole) = inner.strip_suffix('$').filter(|inner| is_literal(inner)) {
            return Self::Whole(whole.into());
        }
        let prefix = inner.strip_suffix(".*$").filter(|inner| is_literal(inner));
        prefix.map_or_else(
            || Self::Compiled(OnceLock::new()),
            |prefix| Self::Prefix(prefix.into()),
        )
    }
}

/// Means something else than itself in a regular expression.
fn is_special(character: char) -> bool {
    "\\.+*?()|[]{}^$".contains(character)
}

fn compile(pattern: &str) -> Result<Regex, PatternError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::Long);
    }
    let compiled = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(MAX_NESTING)
        .build();
    compiled.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        PatternError::Syntax(last.trim_start_matches("error: ").to_owned())
    })
}

/// The pattern for one user and virtual host: `{username}` and `{vhost}` are their names, and match these
/// names alone, whatever is in them.
pub(crate) fn expanded(pattern: &str, user: &str, vhost: &str) -> String {
    // A name that has a variable in it is not looked at again.
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let known = [("{username}", user), ("{vhost}", vhost)];
        let found = known
            .iter()
            .find(|(variable, _)| from.starts_with(variable));
        rest = if let Some((variable, name)) = found {
            out.push_str(&regex::escape(name));
            &from[variable.len()..]
        } else {
            out.push('{');
            &from[1..]
        };
    }
    out.push_str(rest);
    out
}

/// Whether a glob means a name. Takes no more steps than the product of both lengths.
pub(crate) fn glob_matches(glob: &str, name: &str) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last star is, and how far what it stands for reaches.
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        if glob.get(at) == Some(&b'*') {
            star = Some((at, seen));
            at += 1;
        } else if glob.get(at) == Some(&name[seen]) {
            at += 1;
            seen += 1;
        } else if let Some((star_at, reached)) = star {
            star = Some((star_at, reached + 1));
            at = star_at + 1;
            seen = reached + 1;
        } else {
            return false;
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_name_may_match_and_an_empty_pattern_means_the_empty_name() {
        for (pattern, meant, not_meant) in [
            ("", &[""][..], &["a", "amq.default"][..]),
            ("^$", &[""], &["a"]),
            (".*", &["", "a", "\n"], &[]),
            ("b", &["abc", "b"], &["ac"]),
            ("^b", &["bc"], &["ab"]),
            ("^orders$", &["orders"], &["orders2", "xorders", "orders\n"]),
            (
                "^orders-.*$",
                &["orders-", "orders-1"],
                &["orders", "xorders-1"],
            ),
            ("^a.c$", &["abc"], &["a", "abcd"]),
            ("^(a|b)$", &["a", "b"], &["ab"]),
        ] {
            assert_eq!(Wanted::fault(pattern), Ok(()), "{pattern}");
            let wanted = Wanted::new(pattern);
            assert!(meant.iter().all(|name| wanted.matches(name)), "{pattern}");
            let none = not_meant.iter().all(|name| !wanted.matches(name));
            assert!(none, "{pattern}");
        }
    }

    #[test]
    fn quick_forms_mean_what_the_engine_says() {
        let patterns = [
            "^a$", "^a-b$", "^a.*$", "^a b.*$", "^.*", ".*", "^", "^x_y$",
        ];
        let names = [
            "", "a", "ab", "a-b", "a b", "a bc", "b", "x_y", "a\n", "a\nb",
        ];
        for pattern in patterns {
            let quick = Wanted::new(pattern);
            assert!(!matches!(quick.form, Form::Compiled(_)), "{pattern}");
            let engine = compile(pattern).unwrap();
            for name in names {
                let expected = engine.is_match(name);
                assert_eq!(quick.matches(name), expected, "{pattern} {name:?}");
            }
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_understood_is_a_fault_and_matches_nothing() {
        for pattern in ["(", "(?=a)", "(a)\\1", "a{1000}{1000}{1000}"] {
            assert!(Wanted::fault(pattern).is_err(), "{pattern}");
            assert!(!Wanted::new(pattern).matches("a"), "{pattern}");
        }
        let long = "a".repeat(MAX_PATTERN_BYTES);
        assert_eq!(Wanted::fault(&long), Ok(()));
        assert_eq!(Wanted::fault(&format!("{long}a")), Err(PatternError::Long));
        let deep = "(".repeat(60) + "a" + &")".repeat(60);
        assert!(Wanted::fault(&deep).is_err());
    }

    #[test]
    fn names_in_a_pattern_match_themselves_alone() {
        let of = |pattern, user, vhost| Wanted::new(&expanded(pattern, user, vhost));
        let own = of("^{username}-.*", "al.ce", "/");
        assert!(own.matches("al.ce-1") && !own.matches("alice-1"));
        let both = of("^{vhost}/{username}$", "{vhost}", "a|b");
        assert!(both.matches("a|b/{vhost}") && !both.matches("a") && !both.matches("a|b/a|b"));
        assert!(of("^a{2}$", "u", "v").matches("aa"));
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (glob, meant, not_meant) in [
            ("", &[""][..], &["a"][..]),
            ("*", &["", "a", "ab"], &[]),
            ("a*", &["a", "ab"], &["ba"]),
            ("*.log", &["a.log", ".log", "a.log.log"], &["a.log2"]),
            ("a*b*c", &["abc", "a--b--c", "abbcc"], &["acb", "ab"]),
            ("a.c", &["a.c"], &["abc"]),
        ] {
            let meant = meant.iter().all(|name| glob_matches(glob, name));
            let none = not_meant.iter().all(|name| !glob_matches(glob, name));
            assert!(meant && none, "{glob}");
        }
    }
}
