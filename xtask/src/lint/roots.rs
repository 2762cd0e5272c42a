//! `lib.rs` and `mod.rs` are tables of contents: modules, imports, types and traits, no code.

use super::finding::Finding;
use super::source::{Source, is_for_tests};
use syn::visit::{self, Visit};

/// Finds function bodies in a module's root file.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let is_root = ["/lib.rs", "/mod.rs"]
        .iter()
        .any(|name| source.path.ends_with(name));
    if !is_root {
        return Vec::new();
    }
    let mut bodies = Bodies::default();
    bodies.visit_file(&source.ast);
    bodies
        .found
        .into_iter()
        .map(|(line, name)| {
            let what = format!("fn {name} has a body here; give it a file with its subject's name");
            source.finding(line, what, "no logic in module roots")
        })
        .collect()
}

#[derive(Default)]
struct Bodies {
    found: Vec<(usize, String)>,
}

impl Bodies {
    fn add(&mut self, signature: &syn::Signature) {
        self.found.push((
            signature.ident.span().start().line,
            signature.ident.to_string(),
        ));
    }
}

impl<'ast> Visit<'ast> for Bodies {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::parse(path, text).unwrap()).len()
    }

    #[test]
    fn code_in_a_root_is_found() {
        assert_eq!(findings("crates/a/src/lib.rs", "fn f() {}"), 1);
        assert_eq!(
            findings("crates/a/src/b/mod.rs", "struct S; impl S { fn f() {} }"),
            1
        );
    }

    #[test]
    fn declarations_and_other_files_pass() {
        let contents = "mod b; pub use b::C; pub trait T { fn f(&self); fn g(&self) {} }";
        assert_eq!(findings("crates/a/src/lib.rs", contents), 0);
        assert_eq!(
            findings(
                "crates/a/src/lib.rs",
                "#[cfg(test)] mod tests { fn f() {} }"
            ),
            0
        );
        assert_eq!(findings("crates/a/src/b.rs", "fn f() {}"), 0);
    }
}
