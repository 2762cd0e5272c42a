//! Bindings that ask for headers.

use weir_model::fields::{FieldTable, FieldValue, ShortString};

use super::record::text;

/// What a binding of a headers exchange asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderMatch {
    /// One that matches is enough.
    is_any: bool,
    /// By name.
    wanted: Vec<(ShortString, FieldValue)>,
}

impl HeaderMatch {
    /// From a binding's arguments. `x-match` says whether all or any are asked for, and whether
    /// those count whose names begin with `x-`.
    pub(super) fn new(arguments: &FieldTable) -> Self {
        let mode = arguments.get("x-match").and_then(text).unwrap_or("all");
        let with_x = mode.ends_with("-with-x");
        let counts = |name: &str| match with_x {
            true => name != "x-match",
            false => !name.starts_with("x-"),
        };
        let wanted = arguments.0.iter();
        let wanted = wanted.filter(|(name, _)| counts(name.as_str()));
        Self {
            is_any: mode.starts_with("any"),
            wanted: wanted.cloned().collect(),
        }
    }

    pub(super) fn matches(&self, headers: Option<&FieldTable>) -> bool {
        let mut wanted = self.wanted.iter();
        let has = |(name, value): &(ShortString, FieldValue)| {
            let header = headers.and_then(|headers| headers.get(name.as_str()));
            header.is_some_and(|header| *value == FieldValue::Void || are_same(header, value))
        };
        match self.is_any {
            true => wanted.any(has),
            false => wanted.all(has),
        }
    }
}

/// Whether values are equal, whatever the width of numbers.
pub(super) fn are_same(a: &FieldValue, b: &FieldValue) -> bool {
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => a == b,
        (None, None) => match (float(a), float(b)) {
            (Some(a), Some(b)) => a.to_bits() == b.to_bits(),
            (None, None) => a == b,
            (Some(_), None) | (None, Some(_)) => false,
        },
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn float(value: &FieldValue) -> Option<f64> {
    if let FieldValue::Float32(bits) = value {
        return Some(f64::from(f32::from_bits(*bits)));
    }
    let FieldValue::Float64(bits) = value else {
        return None;
    };
    Some(f64::from_bits(*bits))
}

/// Why arguments of a binding cannot be used to match headers.
pub(super) fn fault(arguments: &FieldTable) -> Option<String> {
    let value = arguments.get("x-match")?;
    let Some(mode) = text(value) else {
        return Some("Invalid x-match field type; expected longstr".to_owned());
    };
    let is_known = ["all", "any", "all-with-x", "any-with-x"].contains(&mode);
    (!is_known).then(|| {
        format!(
            "Invalid x-match field value '{mode}'; expected all, any, all-with-x, or any-with-x"
        )
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn table(fields: &[(&str, FieldValue)]) -> FieldTable {
        let named = |(name, value): &(&str, FieldValue)| {
            let name = ShortString::new(name).unwrap();
            (name, value.clone())
        };
        FieldTable(fields.iter().map(named).collect())
    }

    fn string(value: &'static str) -> FieldValue {
        FieldValue::LongString(Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn all_any_and_names_with_x_count_as_the_binding_says() {
        let headers = table(&[
            ("a", FieldValue::Int64(1)),
            ("b", string("two")),
            ("x-c", FieldValue::Boolean(true)),
        ]);
        let cases = [
            (
                "all",
                vec![("a", FieldValue::Int8(1)), ("b", string("two"))],
                true,
            ),
            (
                "all",
                vec![("a", FieldValue::Int8(1)), ("b", string("no"))],
                false,
            ),
            (
                "any",
                vec![("a", FieldValue::Int8(7)), ("b", string("two"))],
                true,
            ),
            ("any", vec![("a", FieldValue::Int8(7))], false),
            ("any", vec![], false),
            ("all", vec![], true),
            ("all", vec![("x-c", FieldValue::Boolean(false))], true),
            (
                "all-with-x",
                vec![("x-c", FieldValue::Boolean(false))],
                false,
            ),
            ("any", vec![("x-c", FieldValue::Boolean(true))], false),
            ("any-with-x", vec![("x-c", FieldValue::Boolean(true))], true),
            ("all", vec![("b", FieldValue::Void)], true),
            ("all", vec![("d", FieldValue::Void)], false),
            (
                "all",
                vec![("b", FieldValue::Bytes(Bytes::from_static(b"two")))],
                false,
            ),
        ];
        for (mode, mut wanted, is_match) in cases {
            wanted.push(("x-match", string(mode)));
            let found = HeaderMatch::new(&table(&wanted)).matches(Some(&headers));
            assert_eq!(found, is_match, "{wanted:?}");
        }
        assert!(HeaderMatch::new(&table(&[])).matches(None));
    }

    #[test]
    fn a_match_of_another_word_or_type_is_refused() {
        assert_eq!(fault(&table(&[("x-match", string("any"))])), None);
        assert!(fault(&table(&[("x-match", string("some"))])).is_some());
        assert!(fault(&table(&[("x-match", FieldValue::Int8(1))])).is_some());
    }
}
