//! Files of at most 500 lines, functions of at most 70.
//!
//! A longer file says why on line 1: `// Long: reason` or `//! ... Long: reason`. A longer
//! function that is a single table has `// Table: reason` above its `fn` line.

use super::finding::Finding;
use super::source::{Source, has_reason};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;

/// Finds files and functions past the limits.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_FILE_LINES && !has_reason(source.line(1), "Long") {
        let what = format!("{lines} lines, at most {MAX_FILE_LINES} without a reason on line 1");
        findings.push(source.finding(1, what, "one subject per file"));
    }
    for function in functions(source) {
        let lines = function.last_line - function.first_line + 1;
        if lines > MAX_FUNCTION_LINES && !source.is_excused(function.first_line, "Table") {
            let what = format!(
                "fn {} has {lines} lines, at most {MAX_FUNCTION_LINES}",
                function.name
            );
            findings.push(source.finding(function.first_line, what, "short functions"));
        }
    }
    findings
}

/// Number of functions with a body.
pub(super) fn function_count(source: &Source) -> usize {
    functions(source).len()
}

struct Function {
    name: String,
    first_line: usize,
    last_line: usize,
}

fn functions(source: &Source) -> Vec<Function> {
    let mut collector = Collector::default();
    collector.visit_file(&source.ast);
    collector.found
}

#[derive(Default)]
struct Collector {
    found: Vec<Function>,
}

impl Collector {
    /// From the line of `fn` to the closing brace: attributes and docs do not count.
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        self.found.push(Function {
            name: signature.ident.to_string(),
            first_line: signature.span().start().line,
            last_line: body.span().end().line,
        });
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&Source::parse("crates/a/src/b.rs", text).unwrap()).len()
    }

    fn method(above: &str, lines: usize) -> String {
        let body = "let _ = 1;\n".repeat(lines - 2);
        format!("struct S;\nimpl S {{\n/// Docs.\n{above}\nfn f() {{\n{body}}}\n}}\n")
    }

    #[test]
    fn a_method_at_the_limit_passes_and_one_line_more_does_not() {
        assert_eq!(findings(&method("", MAX_FUNCTION_LINES)), 0);
        assert_eq!(findings(&method("", MAX_FUNCTION_LINES + 1)), 1);
    }

    #[test]
    fn a_table_with_a_reason_may_be_longer() {
        assert_eq!(findings(&method("// Table: one arm per error code", 90)), 0);
        assert_eq!(findings(&method("// Table:", 90)), 1);
    }

    #[test]
    fn a_file_past_the_limit_says_why_on_line_1() {
        let long = "const A: u8 = 1;\n".repeat(MAX_FILE_LINES);
        assert_eq!(findings(&long), 0);
        assert_eq!(findings(&format!("//! A table.\n{long}")), 1);
        assert_eq!(
            findings(&format!(
                "// Long: generated from the specification\n{long}"
            )),
            0
        );
    }
}
