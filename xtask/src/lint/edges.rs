//! Edges between the workspace's crates, against the table in ARCHITECTURE.md.
//!
//! The table stands between `<!-- edges:begin -->` and `<!-- edges:end -->`; a row is
//! `| crate | crates it uses | crates its tests use besides |`, a dash for none.

use super::finding::Finding;
use crate::process;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};

const TABLE: &str = "ARCHITECTURE.md";
const HABIT: &str = "edges stand in the table";
const BEGIN: &str = "<!-- edges:begin -->";
const END: &str = "<!-- edges:end -->";

/// What a crate uses, in its code and in its tests besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Uses {
    code: BTreeSet<String>,
    tests: BTreeSet<String>,
}

type Edges = BTreeMap<String, Uses>;

/// Compares the workspace as cargo sees it with the table.
pub(super) fn check_workspace() -> Result<Vec<Finding>> {
    let text = std::fs::read_to_string(process::root().join(TABLE)).context(TABLE)?;
    let output = process::cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let built = built(&serde_json::from_slice(&output.stdout)?)?;
    Ok(compare(&text, &built))
}

fn compare(text: &str, built: &Edges) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line: usize, what: String| {
        findings.push(Finding {
            path: TABLE.to_owned(),
            line,
            what,
            habit: HABIT,
        });
    };
    let listed = listed(text);
    if listed.is_empty() {
        add(1, format!("no table between {BEGIN} and {END}"));
    }
    for (name, uses) in built {
        let Some((line, row)) = listed.get(name) else {
            add(1, format!("{name} is not in the table"));
            continue;
        };
        for (kind, built, listed) in [
            ("", &uses.code, &row.code),
            (" (tests)", &uses.tests, &row.tests),
        ] {
            for missing in built.difference(listed) {
                add(
                    *line,
                    format!("{name} uses {missing}{kind}, the table does not say so"),
                );
            }
            for surplus in listed.difference(built) {
                add(
                    *line,
                    format!("the table says {name} uses {surplus}{kind}, it does not"),
                );
            }
        }
    }
    for (name, (line, _)) in &listed {
        if !built.contains_key(name) {
            add(*line, format!("{name} is no crate of this workspace"));
        }
    }
    findings
}

fn listed(text: &str) -> BTreeMap<String, (usize, Uses)> {
    let mut rows = BTreeMap::new();
    let lines = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| line.trim() != BEGIN)
        .take_while(|(_, line)| line.trim() != END);
    for (index, line) in lines {
        let cells: Vec<_> = line
            .trim()
            .trim_matches('|')
            .split('|')
            .map(names)
            .collect();
        if let [first, code, tests] = cells.as_slice()
            && let [name] = first.iter().collect::<Vec<_>>().as_slice()
        {
            let uses = Uses {
                code: code.clone(),
                tests: tests.clone(),
            };
            rows.insert((*name).clone(), (index + 1, uses));
        }
    }
    rows
}

/// The crates a cell names in back-quotes.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn built(metadata: &serde_json::Value) -> Result<Edges> {
    let packages = metadata["packages"]
        .as_array()
        .context("metadata without packages")?;
    let name_of = |value: &serde_json::Value| value["name"].as_str().map(str::to_owned);
    let members: BTreeSet<String> = packages.iter().filter_map(name_of).collect();
    let mut edges = Edges::new();
    for package in packages {
        let name = name_of(package).context("package without a name")?;
        let uses = edges.entry(name).or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(on) = name_of(dependency).filter(|on| members.contains(on)) else {
                continue;
            };
            if dependency["kind"].as_str() == Some("dev") {
                uses.tests.insert(on);
            } else {
                uses.code.insert(on);
            }
        }
        uses.tests = uses.tests.difference(&uses.code).cloned().collect();
    }
    Ok(edges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workspace(kind: &serde_json::Value) -> Edges {
        let dependencies = json!([{"name": "low", "kind": kind}, {"name": "serde", "kind": null}]);
        let metadata = json!({"packages": [
            {"name": "high", "dependencies": dependencies},
            {"name": "low", "dependencies": []},
        ]});
        built(&metadata).unwrap()
    }

    fn table(rows: &str) -> String {
        format!(
            "# A\n{BEGIN}\n| Crate | Uses | Tests |\n|---|---|---|\n{rows}\n{END}\n| `x` | - | - |"
        )
    }

    #[test]
    fn a_table_that_agrees_passes() {
        let text = table("| `high` | `low` | - |\n| `low` | - | - |");
        assert_eq!(compare(&text, &workspace(&json!(null))), []);
        let text = table("| `high` | - | `low` |\n| `low` | - | - |");
        assert_eq!(compare(&text, &workspace(&json!("dev"))), []);
    }

    #[test]
    fn a_missing_edge_a_surplus_edge_and_a_missing_crate_are_found() {
        let built = workspace(&json!(null));
        let missing = compare(&table("| `high` | - | - |\n| `low` | - | - |"), &built);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].line, 5);
        let surplus = compare(
            &table("| `high` | `low` | - |\n| `low` | `high` | - |"),
            &built,
        );
        assert_eq!(surplus.len(), 1);
        let absent = compare(&table("| `high` | `low` | - |"), &built);
        assert_eq!(absent.len(), 1);
        let stranger = compare(
            &table("| `high` | `low` | - |\n| `low` | - | - |\n| `x` | - | - |"),
            &built,
        );
        assert_eq!(stranger.len(), 1);
    }

    #[test]
    fn an_edge_of_tests_is_told_from_one_of_code() {
        let text = table("| `high` | `low` | - |\n| `low` | - | - |");
        assert_eq!(compare(&text, &workspace(&json!("dev"))).len(), 2);
    }

    #[test]
    fn a_missing_table_is_found() {
        assert!(!compare("# A", &Edges::new()).is_empty());
    }
}
