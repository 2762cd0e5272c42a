//! Paths: literal words and parameters between slashes. Each part is decoded by itself, so that a name
//! may have slashes, dots and anything else in it.

use super::problem::Problem;

/// Where the API stands.
pub(crate) const ROOT: &str = "/api/v1";

/// Parameters of a path by name, as they are decoded.
pub(crate) type Parameters = Vec<(&'static str, String)>;

/// What a pattern such as `/topics/{topic}` finds in a path; `None`: it is none of that pattern.
pub(crate) fn matched(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    let mut parts = path.split('/');
    for word in pattern.split('/') {
        let part = parts.next()?;
        match parameter(word) {
            None if word == part => {}
            None => return None,
            Some(_) if part.is_empty() => return None,
            Some(name) => found.push((name, part.to_owned())),
        }
    }
    parts.next().is_none().then_some(found)
}

/// The name between braces.
pub(crate) fn parameter(word: &'static str) -> Option<&'static str> {
    word.strip_prefix('{')?.strip_suffix('}')
}

/// The names of a pattern's parameters.
pub(crate) fn parameters(pattern: &'static str) -> impl Iterator<Item = &'static str> {
    pattern.split('/').filter_map(parameter)
}

/// Decodes what a pattern has found.
pub(crate) fn decoded(found: Parameters) -> Result<Parameters, Problem> {
    let each = found.into_iter();
    let each = each.map(|(name, part)| Ok((name, decode(&part)?)));
    each.collect()
}

/// Takes `%` escapes away.
pub(crate) fn decode(part: &str) -> Result<String, Problem> {
    let bad = || Problem::invalid("an escape in the address is none");
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(bad());
        };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &'static str, path: &str) -> Option<Vec<String>> {
        let found = decoded(matched(pattern, path)?).ok()?;
        Some(found.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn a_name_is_one_part_whatever_is_in_it() {
        let pattern = "/vhosts/{vhost}/queues/{name}";
        for (path, expected) in [
            ("/vhosts/%2F/queues/a%2Fb", Some(vec!["/", "a/b"])),
            ("/vhosts/%2f/queues/..", Some(vec!["/", ".."])),
            (
                "/vhosts/v/queues/%2e%2e%2fsecret",
                Some(vec!["v", "../secret"]),
            ),
            ("/vhosts/v/queues/a+b%20c", Some(vec!["v", "a+b c"])),
            ("/vhosts/v/queues/", None),
            ("/vhosts//queues/q", None),
            ("/vhosts/v/queues/q/", None),
            ("/vhosts/v/../queues/q", None),
            ("/vhosts/v/queues", None),
        ] {
            let found = of(pattern, path);
            let expected: Option<Vec<String>> =
                expected.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn escapes_that_are_none_and_bytes_that_are_no_text_are_refused() {
        for bad in ["%", "%2", "%zz", "a%2", "%ff", "%c3%28", "%+1"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
        assert_eq!(decode("%00").unwrap(), "\0");
    }
}
