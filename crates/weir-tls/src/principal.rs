//! Rules that turn a certificate's subject into a principal's name (Kafka's
//! `ssl.principal.mapping.rules`): `RULE:pattern/replacement/[LU]` or `DEFAULT`, the first that
//! fits counts. Patterns run on an engine without backtracking, so look-around and references back
//! inside of a pattern are refused.

use std::fmt;

use regex::{Captures, Regex, RegexBuilder};

use crate::limits::{MAX_MAPPED_NAME_BYTES, MAX_PRINCIPAL_RULES_COUNT, MAX_RULE_COMPILED_BYTES};

/// One rule, without the comma.
const RULE: &str = r"(DEFAULT)|RULE:((?:\\.|[^\\/])*)/((?:\\.|[^\\/])*)/([LU]?).*?|.*?";

/// Why there are no rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// A rule has another form.
    #[error("`{0}` is neither DEFAULT nor RULE:pattern/replacement/, with L or U behind it")]
    Form(String),
    /// A pattern is none.
    #[error("the pattern of rule {number}: {what}")]
    Pattern {
        /// From 1.
        number: usize,
        /// What is wrong.
        what: String,
    },
    /// A replacement refers to what is not there.
    #[error("the replacement `{0}` has a $ without a group, or ends with a backslash")]
    Replacement(String),
    /// There are too many.
    #[error("more than {MAX_PRINCIPAL_RULES_COUNT} rules")]
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Kept,
    Lower,
    Upper,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

#[derive(Clone, Debug)]
enum Rule {
    Default,
    Pattern {
        whole: Regex,
        pattern: Regex,
        replacement: Vec<Part>,
        case: Case,
    },
}

/// All rules, in their order.
#[derive(Clone, Debug)]
pub struct PrincipalRules {
    rules: Vec<Rule>,
    text: String,
}

impl Default for PrincipalRules {
    /// The subject as it is.
    fn default() -> Self {
        Self {
            rules: vec![Rule::Default],
            text: "DEFAULT".to_owned(),
        }
    }
}

impl fmt::Display for PrincipalRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PrincipalRules {
    /// Reads rules with commas between them. Empty ones are left out.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let splitter = compiled(&format!(r"\s*({RULE})\s*(?:,\s*|$)"), 0)?;
        let parser = compiled(&format!("^(?:{RULE})"), 0)?;
        let mut rules = Vec::new();
        for found in splitter.captures_iter(text.trim()) {
            let rule = found.get(1).map_or("", |it| it.as_str());
            let form = || RulesError::Form(rule.to_owned());
            let parsed = parser.captures(rule).ok_or_else(form)?;
            if parsed.get(0).map_or(0, |it| it.end()) != rule.len() {
                return Err(form());
            }
            let number = rules.len() + 1;
            match (parsed.get(1), parsed.get(2), parsed.get(3)) {
                (Some(_), _, _) => rules.push(Rule::Default),
                (None, Some(pattern), Some(replacement)) => {
                    let case = match parsed.get(4).map_or("", |it| it.as_str()) {
                        "L" => Case::Lower,
                        "U" => Case::Upper,
                        _ => Case::Kept,
                    };
                    let texts = (pattern.as_str(), replacement.as_str());
                    rules.push(Rule::read(texts, case, number)?);
                }
                (None, _, _) => {}
            }
            if rules.len() > MAX_PRINCIPAL_RULES_COUNT {
                return Err(RulesError::TooMany);
            }
        }
        Ok(Self {
            rules,
            text: text.to_owned(),
        })
    }

    /// The principal's name; `None`: no rule fits, or the name is too long, and nobody is let in.
    pub fn name(&self, subject: &str) -> Option<String> {
        if subject.len() > MAX_MAPPED_NAME_BYTES {
            return None;
        }
        self.rules.iter().find_map(|rule| rule.apply(subject))
    }
}

impl Rule {
    fn read(
        (pattern, replacement): (&str, &str),
        case: Case,
        number: usize,
    ) -> Result<Self, RulesError> {
        let found = compiled(pattern, number)?;
        Ok(Self::Pattern {
            replacement: parts(replacement, found.captures_len() - 1)?,
            whole: compiled(&format!("^(?:{pattern})$"), number)?,
            pattern: found,
            case,
        })
    }

    fn apply(&self, subject: &str) -> Option<String> {
        let Self::Pattern {
            whole,
            pattern,
            replacement,
            case,
        } = self
        else {
            return Some(subject.to_owned());
        };
        if !whole.is_match(subject) {
            return None;
        }
        let name = replaced(pattern, replacement, subject);
        Some(match case {
            Case::Kept => name,
            Case::Lower => name.to_lowercase(),
            Case::Upper => name.to_uppercase(),
        })
    }
}

fn compiled(pattern: &str, number: usize) -> Result<Regex, RulesError> {
    let mut builder = RegexBuilder::new(pattern);
    let built = builder.size_limit(MAX_RULE_COMPILED_BYTES).build();
    built.map_err(|error| RulesError::Pattern {
        number,
        what: error.to_string(),
    })
}

/// Every place that the pattern fits, as Java's `replaceAll` does it: an empty place right behind
/// the one before counts there.
fn replaced(pattern: &Regex, replacement: &[Part], subject: &str) -> String {
    let mut out = String::new();
    let (mut copied, mut from) = (0, 0);
    while let Some(found) = (from <= subject.len())
        .then(|| pattern.captures_at(subject, from))
        .flatten()
        && let Some(place) = found.get(0)
        && out.len() <= MAX_MAPPED_NAME_BYTES
    {
        out.push_str(&subject[copied..place.start()]);
        expand(&found, replacement, &mut out);
        copied = place.end();
        let step = subject[copied..].chars().next().map_or(1, char::len_utf8);
        from = if place.is_empty() {
            copied + step
        } else {
            copied
        };
    }
    out.push_str(&subject[copied..]);
    out
}

fn expand(found: &Captures<'_>, replacement: &[Part], out: &mut String) {
    for part in replacement {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Group(number) => out.push_str(found.get(*number).map_or("", |it| it.as_str())),
        }
    }
}

/// A replacement in Java's form: `$1` is a group, a backslash takes the next character as it is. A
/// number past the last group is shortened, and taken as text where that does not help.
fn parts(text: &str, groups_count: usize) -> Result<Vec<Part>, RulesError> {
    let refused = || RulesError::Replacement(text.to_owned());
    let (mut parts, mut literal) = (Vec::new(), String::new());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => literal.push(rest.next().ok_or_else(refused)?),
            '$' => {
                let first = rest.peek().and_then(|it| it.to_digit(10));
                let mut number =
                    usize::try_from(first.ok_or_else(refused)?).map_err(|_| refused())?;
                if number > groups_count {
                    if groups_count == 0 {
                        return Err(refused());
                    }
                    literal.push('$');
                    continue;
                }
                rest.next();
                while let Some(digit) = rest.peek().and_then(|it| it.to_digit(10))
                    && let Ok(digit) = usize::try_from(digit)
                    && number * 10 + digit <= groups_count
                {
                    number = number * 10 + digit;
                    rest.next();
                }
                parts.push(Part::Text(std::mem::take(&mut literal)));
                parts.push(Part::Group(number));
            }
            other => literal.push(other),
        }
    }
    parts.push(Part::Text(literal));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_kafkas_form_are_taken_and_others_refused() {
        for good in [
            "DEFAULT",
            "",
            ",, RULE://,,,DEFAULT,,",
            "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L, DEFAULT",
            "RULE:^cn=(.?),ou=(.?),dc=(.?),dc=(.?)$/$1@$2/U",
            "RULE:^CN=([^,DEFAULT,]+)(,.*|$)/$1/",
        ] {
            assert!(PrincipalRules::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "default",
            "DEFAUL",
            "DEFAULT/L",
            "RULE:CN=(.*?),OU=ServiceUsers.*/$1",
            "rule:^CN=(.*?),OU=ServiceUsers.*$/$1/",
            "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L/U",
            "RULE:^CN=(.*?),OU=ServiceUsers.*$/LU",
            "RULE:(?=x)/$0/",
            "RULE:x/$1/",
            "RULE:(x)/$/",
        ] {
            assert!(PrincipalRules::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_makes_the_name() {
        let rules = "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L, \
                     RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L, \
                     RULE:^cn=(.*?),ou=(.*?),dc=(.*?),dc=(.*?)$/$1@$2/U, \
                     RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U, DEFAULT";
        let rules = PrincipalRules::parse(rules).unwrap();
        for (subject, name) in [
            ("CN=Duke,OU=ServiceUsers,O=Org,C=US", "duke"),
            ("CN=Duke,OU=SME,O=mycp,L=Fulton,ST=MD,C=US", "duke@sme"),
            ("cn=duke,ou=sme,dc=mycp,dc=com", "DUKE@SME"),
            ("cN=duke,OU=JavaSoft,O=Sun Microsystems", "DUKE"),
            ("OU=JavaSoft,O=Sun,C=US", "OU=JavaSoft,O=Sun,C=US"),
        ] {
            assert_eq!(rules.name(subject).as_deref(), Some(name), "{subject}");
        }
    }

    #[test]
    fn nobody_has_a_name_where_no_rule_fits() {
        let rules = PrincipalRules::parse("RULE:^CN=(.*)$/$1/").unwrap();
        assert_eq!(rules.name("OU=a"), None);
        let long = format!("CN={}", "x".repeat(MAX_MAPPED_NAME_BYTES - 3));
        assert!(rules.name(&long).is_some());
        assert_eq!(rules.name(&format!("{long}x")), None);
    }

    #[test]
    fn escapes_groups_and_repeats_are_those_of_java() {
        let name = |rules: &str, subject: &str| PrincipalRules::parse(rules).unwrap().name(subject);
        let comma = r"RULE:^CN=((\\, *|\w)+)(,.*|$)/$1/,DEFAULT";
        let subject = r"CN=Tkac\, Adam,OU=ITZ,DC=geodis,DC=cz";
        assert_eq!(name(comma, subject).as_deref(), Some(r"Tkac\, Adam"));
        let past = "RULE:^(.)(.)$/$2$1$4\\$x/";
        assert_eq!(name(past, "ab").as_deref(), Some("ba$4$x"));
        assert_eq!(name("RULE:.*/x/", "abc").as_deref(), Some("xx"));
        assert_eq!(name("RULE:(.)+/$12/", "abc").as_deref(), Some("c2"));
    }

    #[test]
    fn as_many_rules_as_allowed_and_not_one_more() {
        let most = vec!["DEFAULT"; MAX_PRINCIPAL_RULES_COUNT].join(",");
        assert!(PrincipalRules::parse(&most).is_ok());
        let error = PrincipalRules::parse(&format!("{most},DEFAULT")).unwrap_err();
        assert_eq!(error, RulesError::TooMany);
    }
}
