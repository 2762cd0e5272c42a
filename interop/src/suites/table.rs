//! Tables of commands with what they are to answer: `interop/suites/*.table`.
//!
//! ```text
//! case NAME            a new case; its steps follow, and end with the first that falls short
//! file NAME            a file below {dir}, made of the `|` lines that follow
//! | text
//! $ TOOL ARGUMENT...   runs a tool; `$~` again and again until it answers as it should
//! & NAME TOOL ARG...   starts one in the background
//! wait NAME            until that one has ended
//! < text               a line of standard input, of the command above, as are these:
//! exit N               its exit status, 0 unless told; `exit *` for any
//! = text               a line of its output, `*` stands for anything, `<n>` for digits
//! ! text               no line of its output
//! ```
//!
//! `{t}` is a name of the case's own, `{b}` the brokers' addresses, `{n}` how many they are, `{dir}` a
//! directory.

use anyhow::{Context, Result, bail};

/// A case of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scenario {
    /// Its name.
    pub name: String,
    /// In order.
    pub steps: Vec<Step>,
}

/// One step of a case.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes a file.
    File { name: String, text: String },
    /// Runs a tool.
    Run { command: Command, way: Way },
    /// Waits for a tool in the background.
    Wait { name: String, expected: Expected },
}

/// How a tool is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Once, to its end.
    Once,
    /// Until it answers as expected.
    Eventually,
    /// Beside the steps that follow, under a name.
    Background(String),
}

/// A command line with its input, and what is expected.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// The tool and its arguments.
    pub words: Vec<String>,
    /// Standard input.
    pub input: String,
    /// What it is to answer.
    pub expected: Expected,
}

/// What a command is to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// Exit status; `None` when any will do.
    pub exit: Option<i32>,
    /// Patterns, each of which some line fits.
    pub lines: Vec<String>,
    /// Patterns that no line fits.
    pub absent: Vec<String>,
}

/// Reads a table.
pub(super) fn parse(text: &str) -> Result<Vec<Scenario>> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        read_line(line, &mut scenarios).with_context(|| format!("line {}: {line}", number + 1))?;
    }
    Ok(scenarios)
}

fn read_line(line: &str, scenarios: &mut Vec<Scenario>) -> Result<()> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    if word == "case" {
        scenarios.push(Scenario {
            name: rest.to_owned(),
            steps: Vec::new(),
        });
        return Ok(());
    }
    let steps = &mut scenarios
        .last_mut()
        .context("a step before any case")?
        .steps;
    match word {
        "file" => steps.push(Step::File {
            name: rest.to_owned(),
            text: String::new(),
        }),
        "$" => steps.push(run(rest, Way::Once)?),
        "$~" => steps.push(run(rest, Way::Eventually)?),
        "&" => {
            let (name, rest) = rest.split_once(' ').context("a name and a tool")?;
            steps.push(run(rest, Way::Background(name.to_owned()))?);
        }
        "wait" => steps.push(Step::Wait {
            name: rest.to_owned(),
            expected: expect_success(),
        }),
        _ => {
            return amend(
                steps.last_mut().context("a detail before any step")?,
                word,
                rest,
            );
        }
    }
    Ok(())
}

fn run(line: &str, way: Way) -> Result<Step> {
    let command = Command {
        words: words(line)?,
        input: String::new(),
        expected: expect_success(),
    };
    Ok(Step::Run { command, way })
}

fn expect_success() -> Expected {
    Expected {
        exit: Some(0),
        ..Expected::default()
    }
}

/// A detail of the step above.
fn amend(step: &mut Step, word: &str, rest: &str) -> Result<()> {
    let expected = match (step, word) {
        (Step::File { text, .. }, "|") => {
            text.push_str(rest);
            text.push('\n');
            return Ok(());
        }
        (Step::Run { command, .. }, "<") => {
            command.input.push_str(rest);
            command.input.push('\n');
            return Ok(());
        }
        (Step::Run { command, .. }, _) => &mut command.expected,
        (Step::Wait { expected, .. }, _) => expected,
        (Step::File { .. }, _) => bail!("a file has only `|` lines"),
    };
    match word {
        "exit" if rest == "*" => expected.exit = None,
        "exit" => expected.exit = Some(rest.parse()?),
        "=" => expected.lines.push(rest.to_owned()),
        "!" => expected.absent.push(rest.to_owned()),
        _ => bail!("no such word"),
    }
    Ok(())
}

/// Splits at spaces; quotes of either kind keep spaces and the other kind.
pub(super) fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    anyhow::ensure!(quote.is_none(), "an open quote");
    words.extend(word);
    Ok(words)
}

/// Whether a line fits a pattern: `*` stands for anything, `<n>` for digits, the rest for itself.
pub(super) fn fits(pattern: &str, line: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix('*') {
        let mut starts = line.char_indices().map(|(at, _)| at).chain([line.len()]);
        return starts.any(|at| fits(rest, &line[at..]));
    }
    if let Some(rest) = pattern.strip_prefix("<n>") {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        return digits > 0 && fits(rest, &line[digits..]);
    }
    let (mut letters, mut others) = (pattern.chars(), line.chars());
    match (letters.next(), others.next()) {
        (None, None) => true,
        (Some(one), Some(other)) => one == other && fits(letters.as_str(), others.as_str()),
        _ => false,
    }
}

impl Expected {
    /// What falls short, if anything.
    pub(super) fn lack(&self, exit: i32, output: &str) -> Option<String> {
        if self.exit.is_some_and(|expected| expected != exit) {
            return Some(format!("exit {exit}"));
        }
        let some = |pattern: &String| output.lines().any(|line| fits(pattern, line.trim_end()));
        if let Some(pattern) = self.lines.iter().find(|pattern| !some(pattern)) {
            return Some(format!("no line is `{pattern}`"));
        }
        let found = self.absent.iter().find(|pattern| some(pattern))?;
        Some(format!("a line is `{found}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let text = "# all\ncase one two\nfile f.json\n| {\n| }\n$~ tool 'a b' --x \"\"\n< in\nexit 1\n= ok *\n& bg tool\nwait bg\n! bad\n";
        let scenarios = parse(text).unwrap();
        assert_eq!(scenarios[0].name, "one two");
        let [file, run, start, wait] = &scenarios[0].steps[..] else {
            panic!("{scenarios:?}");
        };
        assert!(matches!(file, Step::File { text, .. } if text == "{\n}\n"));
        let Step::Run { command, way } = run else {
            panic!("{run:?}");
        };
        assert_eq!(*way, Way::Eventually);
        assert_eq!(command.words, ["tool", "a b", "--x", ""]);
        assert_eq!(command.input, "in\n");
        assert_eq!(command.expected.exit, Some(1));
        assert!(matches!(start, Step::Run { way: Way::Background(name), .. } if name == "bg"));
        assert!(matches!(wait, Step::Wait { expected, .. } if expected.absent == ["bad"]));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        for text in [
            "$ tool",
            "case a\n= x",
            "case a\n$ tool 'x",
            "case a\n$ tool\nexit x",
            "case a\nfile f\n= x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_fit_whole_lines() {
        assert!(fits("a*c <n>", "abbc 12"));
        assert!(fits("*", ""));
        assert!(!fits("a", "ab"));
        assert!(!fits("<n>", "x"));
        assert!(fits("*b", "abab"));
    }

    #[test]
    fn the_first_lack_is_told() {
        let mut expected = expect_success();
        expected.lines.push("yes*".into());
        expected.absent.push("*no*".into());
        assert_eq!(expected.lack(0, "yes, sir\n"), None);
        assert_eq!(expected.lack(1, "yes"), Some("exit 1".into()));
        assert!(expected.lack(0, "maybe").is_some());
        assert!(expected.lack(0, "yes\nno").is_some());
    }
}
