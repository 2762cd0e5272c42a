//! Patterns of topic names, in RE2's syntax, matched in linear time.

use regex::{Regex, RegexBuilder};

use super::config::{MAX_COMPILED_PATTERN_BYTES, MAX_PATTERN_BYTES, MAX_PATTERN_NESTING};

/// Compiles a pattern that a whole name must match. The error says what is wrong with it.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("longer than {MAX_PATTERN_BYTES} bytes"));
    }
    let whole = format!("^(?:{})$", unquoted(pattern));
    let compiled = RegexBuilder::new(&whole)
        .size_limit(MAX_COMPILED_PATTERN_BYTES)
        .dfa_size_limit(MAX_COMPILED_PATTERN_BYTES)
        .nest_limit(MAX_PATTERN_NESTING)
        .octal(true)
        .build();
    let compiled = compiled.map_err(|error| said(&error))?;
    // A pattern that closes the group around it and opens another would escape the anchors.
    let alone = RegexBuilder::new(&unquoted(pattern))
        .size_limit(MAX_COMPILED_PATTERN_BYTES)
        .nest_limit(MAX_PATTERN_NESTING)
        .octal(true)
        .build();
    alone.map(|_| compiled).map_err(|error| said(&error))
}

/// The last line of the error: those before it point into the pattern.
fn said(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// `\Q...\E`, which the engine does not know, as escaped text.
fn unquoted(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = quote_begin(rest) {
        plain.push_str(&rest[..at]);
        let quoted = &rest[at + 2..];
        let (inner, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
        plain.push_str(&regex::escape(inner));
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// Where `\Q` stands that is no escaped backslash before a `Q`.
fn quote_begin(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte == b'\\' && bytes.next().is_some_and(|(_, next)| next == b'Q') {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        compile(pattern).unwrap().is_match(name)
    }

    #[test]
    fn the_whole_name_must_match() {
        assert!(matches("a.*", "abc") && !matches("a.*", "xabc") && !matches("b", "abc"));
        assert!(matches("a|b", "b") && !matches("a|b", "ab"));
        assert!(matches("(?i)TOPIC-[0-9]+", "topic-12"));
        assert!(matches("[[:alpha:]]+\\.\\d", "abc.1"));
    }

    #[test]
    fn quoted_text_is_meant_as_it_stands() {
        assert!(matches("\\Qa.b\\E.*", "a.bc") && !matches("\\Qa.b\\E.*", "axbc"));
        assert!(matches("\\Qa+", "a+"));
        assert!(matches("\\\\Q?a", "\\a"));
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused_with_a_reason() {
        for wrong in ["[", "a(", "(?!a)", "a)|(b", "*"] {
            let reason = compile(wrong).unwrap_err();
            assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}");
        }
        assert!(compile("((a{100}){100}){100}").is_err());
        assert!(compile(&"(".repeat(200)).is_err());
        assert!(compile(&"a".repeat(MAX_PATTERN_BYTES)).is_ok());
        assert!(compile(&"a".repeat(MAX_PATTERN_BYTES + 1)).is_err());
    }
}
