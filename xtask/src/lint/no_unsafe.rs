//! `unsafe` only in files that are listed here.

use super::finding::Finding;
use super::source::Source;

/// Files that may hold `unsafe`, each block with a `SAFETY` comment (clippy sees to that).
const ALLOWED: [&str; 0] = [];

/// Finds `unsafe` blocks, functions and impls, and lint levels that let them in.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    if ALLOWED.contains(&source.path.as_str()) {
        return Vec::new();
    }
    source
        .mentions()
        .into_iter()
        .filter(|mention| ["unsafe", "unsafe_code"].contains(&mention.path.as_str()))
        .map(|mention| {
            let what = format!("`{}` in a file that is not listed", mention.path);
            source.finding(mention.line, what, "no unsafe")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&Source::parse("crates/a/src/b.rs", text).unwrap()).len()
    }

    #[test]
    fn blocks_impls_and_lint_levels_are_found() {
        assert_eq!(findings("fn f() { unsafe { g() } }"), 1);
        assert_eq!(findings("unsafe impl Send for S {}"), 1);
        assert_eq!(findings("#![allow(unsafe_code)]"), 1);
    }

    #[test]
    fn the_word_in_text_passes() {
        assert_eq!(findings("/// Not unsafe.\nfn f() { g(\"unsafe\") }"), 0);
    }
}
