//! Names that would gather what belongs elsewhere.

use super::finding::Finding;
use super::source::Source;

const BANNED: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];
const HABIT: &str = "no attics";

/// Finds files, directories and inline modules with such a name.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in source.path.trim_end_matches(".rs").split('/') {
        if BANNED.contains(&part) {
            findings.push(source.finding(1, format!("`{part}` names no subject"), HABIT));
        }
    }
    inline(source, &source.ast.items, &mut findings);
    findings
}

fn inline(source: &Source, items: &[syn::Item], findings: &mut Vec<Finding>) {
    for item in items {
        let syn::Item::Mod(module) = item else {
            continue;
        };
        let Some((_, inner)) = &module.content else {
            continue;
        };
        let name = module.ident.to_string();
        if BANNED.contains(&name.as_str()) {
            let line = module.ident.span().start().line;
            findings.push(source.finding(line, format!("`mod {name}` names no subject"), HABIT));
        }
        inline(source, inner, findings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::parse(path, text).unwrap()).len()
    }

    #[test]
    fn files_directories_and_modules_are_seen() {
        assert_eq!(findings("crates/a/src/util.rs", ""), 1);
        assert_eq!(findings("crates/a/src/common/mod.rs", ""), 1);
        assert_eq!(
            findings("crates/a/src/b.rs", "mod tests { mod helpers {} }"),
            1
        );
    }

    #[test]
    fn a_name_that_only_contains_one_passes() {
        assert_eq!(findings("crates/a/src/commonality.rs", "mod utility {}"), 0);
    }
}
