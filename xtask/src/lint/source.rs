//! The workspace's Rust files, parsed once for all checks.

use super::finding::Finding;
use anyhow::{Context, Result};
use proc_macro2::TokenTree;
use quote::ToTokens;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use syn::spanned::Spanned;

/// Directories below the root that hold Rust of ours.
const DIRECTORIES: [&str; 4] = ["crates", "interop", "xtask", "fuzz"];

/// One file.
pub(super) struct Source {
    /// Path from the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Its items.
    pub ast: syn::File,
    /// It is compiled for tests only.
    pub is_test: bool,
}

/// A path as written in code or spelled by a `use`, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    /// Segments joined by `::`.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
}

impl Source {
    /// Every file of the workspace, in the order of paths.
    pub(super) fn all(root: &Path) -> Result<Vec<Self>> {
        let mut paths = BTreeSet::new();
        for directory in DIRECTORIES {
            collect(&root.join(directory), &mut paths)?;
        }
        let mut sources = Vec::new();
        for path in paths {
            let text = std::fs::read_to_string(&path)?;
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            sources.push(Self::parse(&name, &text).with_context(|| name.clone())?);
        }
        mark_test_modules(&mut sources);
        Ok(sources)
    }

    /// Parses one file's text.
    pub(super) fn parse(path: &str, text: &str) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
            ast: syn::parse_file(text)?,
            is_test: path.contains("/tests/") || path.ends_with("/tests.rs"),
        })
    }

    /// A finding in this file.
    pub(super) fn finding(&self, line: usize, what: String, habit: &'static str) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            what,
            habit,
        }
    }

    /// A line's text, from 1; empty past either end.
    pub(super) fn line(&self, number: usize) -> &str {
        number
            .checked_sub(1)
            .and_then(|index| self.text.lines().nth(index))
            .unwrap_or("")
    }

    /// Whether a line, or the one above it, has `// MARKER: ` and a reason.
    pub(super) fn is_excused(&self, line: usize, marker: &str) -> bool {
        [line, line.saturating_sub(1)]
            .into_iter()
            .any(|number| has_reason(self.line(number), marker))
    }

    /// Every path that the file's own code mentions; items for tests are left out.
    pub(super) fn mentions(&self) -> Vec<Mention> {
        if self.is_test {
            return Vec::new();
        }
        let mut ast = self.ast.clone();
        drop_tests(&mut ast.items);
        let mut found = Vec::new();
        collect_uses(&ast.items, &mut found);
        let tokens: Vec<_> = ast.into_token_stream().into_iter().collect();
        collect_paths(&tokens, &mut found);
        found.sort_by(|a, b| (a.line, &a.path).cmp(&(b.line, &b.path)));
        found.dedup();
        found
    }
}

/// Whether a line holds `MARKER: ` in a comment, with a reason of some length behind it.
pub(super) fn has_reason(line: &str, marker: &str) -> bool {
    const MIN_REASON_CHARS: usize = 10;
    let Some((_, comment)) = line.split_once("//") else {
        return false;
    };
    comment
        .split_once(&format!("{marker}: "))
        .is_some_and(|(_, reason)| reason.trim().chars().count() >= MIN_REASON_CHARS)
}

/// Whether an item is compiled for tests only.
pub(super) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = attribute.path().is_ident("test");
        let is_cfg_test = attribute.path().is_ident("cfg")
            && attribute
                .meta
                .require_list()
                .is_ok_and(|list| list.tokens.to_string() == "test");
        is_test || is_cfg_test
    })
}

fn collect(directory: &Path, paths: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.insert(path);
        }
    }
    Ok(())
}

/// A file declared by `#[cfg(test)] mod name;` is a test, wherever it lies.
fn mark_test_modules(sources: &mut [Source]) {
    let mut tests = BTreeSet::new();
    for source in sources.iter() {
        for item in &source.ast.items {
            if let syn::Item::Mod(module) = item
                && module.content.is_none()
                && (is_for_tests(&module.attrs) || source.is_test)
            {
                tests.extend(module_files(&source.path, &module.ident.to_string()));
            }
        }
    }
    for source in sources {
        source.is_test |= tests.contains(&source.path);
    }
}

fn module_files(declared_in: &str, name: &str) -> [String; 2] {
    let (directory, file) = declared_in.rsplit_once('/').unwrap_or(("", declared_in));
    let base = match file {
        "lib.rs" | "mod.rs" | "main.rs" => directory.to_owned(),
        other => format!("{directory}/{}", other.trim_end_matches(".rs")),
    };
    [format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")]
}

fn drop_tests(items: &mut Vec<syn::Item>) {
    items.retain(|item| match item {
        syn::Item::Mod(module) => !is_for_tests(&module.attrs),
        syn::Item::Fn(function) => !is_for_tests(&function.attrs),
        syn::Item::Use(import) => !is_for_tests(&import.attrs),
        syn::Item::Impl(block) => !is_for_tests(&block.attrs),
        _ => true,
    });
    for item in items {
        if let syn::Item::Mod(syn::ItemMod {
            content: Some((_, inner)),
            ..
        }) = item
        {
            drop_tests(inner);
        }
    }
}

fn collect_uses(items: &[syn::Item], found: &mut Vec<Mention>) {
    for item in items {
        match item {
            syn::Item::Use(import) => spell("", &import.tree, found),
            syn::Item::Mod(syn::ItemMod {
                content: Some((_, inner)),
                ..
            }) => {
                collect_uses(inner, found);
            }
            _ => {}
        }
    }
}

fn spell(prefix: &str, tree: &syn::UseTree, found: &mut Vec<Mention>) {
    let mut leaf = |name: &str, line| {
        found.push(Mention {
            path: format!("{prefix}{name}"),
            line,
        });
    };
    match tree {
        syn::UseTree::Path(path) => spell(&format!("{prefix}{}::", path.ident), &path.tree, found),
        syn::UseTree::Name(name) => leaf(&name.ident.to_string(), name.ident.span().start().line),
        syn::UseTree::Rename(name) => leaf(&name.ident.to_string(), name.ident.span().start().line),
        syn::UseTree::Glob(glob) => leaf("*", glob.span().start().line),
        syn::UseTree::Group(group) => {
            for inner in &group.items {
                spell(prefix, inner, found);
            }
        }
    }
}

/// Paths as they stand in the tokens, macros' insides included.
fn collect_paths(tokens: &[TokenTree], found: &mut Vec<Mention>) {
    let mut path = String::new();
    let mut start = 0;
    let mut colons = 0;
    let mut end = |path: &mut String, line| {
        if !path.is_empty() {
            found.push(Mention {
                path: std::mem::take(path),
                line,
            });
        }
    };
    let mut groups = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                path.push_str("::");
                path.push_str(&ident.to_string());
            }
            TokenTree::Ident(ident) => {
                end(&mut path, start);
                path = ident.to_string();
                start = ident.span().start().line;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                colons += 1;
                continue;
            }
            TokenTree::Group(group) => {
                end(&mut path, start);
                groups.push(group.stream().into_iter().collect::<Vec<_>>());
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => end(&mut path, start),
        }
        colons = 0;
    }
    end(&mut path, start);
    for group in groups {
        collect_paths(&group, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(text: &str) -> Vec<String> {
        let source = Source::parse("crates/a/src/b.rs", text).unwrap();
        source
            .mentions()
            .into_iter()
            .map(|mention| mention.path)
            .collect()
    }

    #[test]
    fn a_grouped_use_is_spelled_out() {
        let found = mentions("use std::{net::{TcpStream, UdpSocket as U}, io::*};");
        for path in ["std::net::TcpStream", "std::net::UdpSocket", "std::io::*"] {
            assert!(
                found.iter().any(|mention| mention == path),
                "{path}: {found:?}"
            );
        }
    }

    #[test]
    fn a_path_inside_a_macro_is_seen_and_text_is_not() {
        let found =
            mentions("fn f() { println!(\"{:?} tokio::main\", std::time::Instant::now()); }");
        assert!(found.contains(&"std::time::Instant::now".to_owned()));
        assert!(!found.iter().any(|mention| mention.contains("tokio")));
    }

    #[test]
    fn code_for_tests_is_left_out() {
        let found =
            mentions("#[cfg(test)] mod tests { use tokio::net; } #[test] fn t() { rand::x(); }");
        assert!(
            !found
                .iter()
                .any(|mention| mention.contains("tokio") || mention.contains("rand"))
        );
    }

    #[test]
    fn a_file_declared_for_tests_is_a_test() {
        let mut sources = vec![
            Source::parse("crates/a/src/b.rs", "#[cfg(test)] mod kit; mod real;").unwrap(),
            Source::parse("crates/a/src/b/kit.rs", "").unwrap(),
            Source::parse("crates/a/src/b/real.rs", "").unwrap(),
        ];
        mark_test_modules(&mut sources);
        let tests: Vec<_> = sources.iter().map(|source| source.is_test).collect();
        assert_eq!(tests, [false, true, false]);
    }

    #[test]
    fn a_marker_needs_a_reason() {
        assert!(has_reason("x // Table: one arm per error code", "Table"));
        assert!(!has_reason("x // Table: ok", "Table"));
        assert!(!has_reason("Table: one arm per error code", "Table"));
    }
}
