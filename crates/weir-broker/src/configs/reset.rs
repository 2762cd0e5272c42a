//! Where a group begins in a partition of which it has nothing yet.

/// By name, or by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the log's start.
    Earliest,
    /// At its end.
    Latest,
    /// At the first record that is no older, in ms.
    ByDuration(u64),
}

impl OffsetReset {
    /// `earliest`, `latest` or `by_duration:` and a duration of ISO 8601; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("earliest") {
            return Some(Self::Earliest);
        }
        if text.eq_ignore_ascii_case("latest") {
            return Some(Self::Latest);
        }
        let (name, duration) = text.split_once(':')?;
        let is_named = name.eq_ignore_ascii_case("by_duration");
        is_named
            .then(|| duration_ms(duration))
            .flatten()
            .map(Self::ByDuration)
    }
}

/// `PnDTnHnMnS`, as Java's `Duration` takes it, but for negative ones.
fn duration_ms(text: &str) -> Option<u64> {
    let rest = text.strip_prefix(['P', 'p'])?;
    let (days, time) = match rest.split_once(['T', 't']) {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    let mut total_ms = 0_u64;
    let mut seen_any = false;
    for (part, units) in [
        (days, &[('D', 86_400_000)][..]),
        (time, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)][..]),
    ] {
        let mut rest = part;
        let mut units = units.iter();
        while !rest.is_empty() {
            let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let unit = rest[at..].chars().next()?.to_ascii_uppercase();
            let (_, unit_ms) = units.find(|(name, _)| *name == unit)?;
            let ms = number_ms(&rest[..at], *unit_ms, unit == 'S')?;
            total_ms = total_ms.checked_add(ms)?;
            seen_any = true;
            rest = &rest[at + 1..];
        }
    }
    seen_any.then_some(total_ms)
}

/// Seconds alone may have a fraction.
fn number_ms(text: &str, unit_ms: u64, may_have_fraction: bool) -> Option<u64> {
    let (whole, fraction) = match text.split_once(['.', ',']) {
        Some((whole, fraction)) if may_have_fraction => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let thousandths: u64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    whole.checked_mul(unit_ms)?.checked_add(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_iso_8601() {
        for (text, ms) in [
            ("by_duration:PT1H", 3_600_000),
            ("by_duration:P1D", 86_400_000),
            ("BY_DURATION:p1dt1h1m1.5s", 90_061_500),
            ("by_duration:PT0.001S", 1),
            ("by_duration:PT0S", 0),
        ] {
            assert_eq!(
                OffsetReset::parse(text),
                Some(OffsetReset::ByDuration(ms)),
                "{text}"
            );
        }
        for text in [
            "",
            "none",
            "by_duration",
            "by_duration:",
            "by_duration:P",
            "by_duration:PT",
            "by_duration:1H",
            "by_duration:P1H",
            "by_duration:PT1M1H",
            "by_duration:PT-1H",
            "by_duration:PT1",
            "by_duration:PT1.5H",
            "by_duration:P99999999999999999999D",
            "earliest:PT1H",
        ] {
            assert_eq!(OffsetReset::parse(text), None, "{text}");
        }
        assert_eq!(OffsetReset::parse("Earliest"), Some(OffsetReset::Earliest));
        assert_eq!(OffsetReset::parse(" latest"), Some(OffsetReset::Latest));
    }
}
