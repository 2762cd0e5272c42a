//! Points in time as people write them.

use std::time::{SystemTime, UNIX_EPOCH};

const MS_PER_DAY: i64 = 24 * 3_600_000;

/// Now, in ms since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Ms since 1970 of `2026-11-24T04:05:06.789Z`, with an offset such as `+01:00` in place of `Z`;
/// of `2026-11-24`, which is its first moment in UTC; of a number of ms itself; and of `15m`,
/// which is that long before `now_ms` (s, m, h, d).
pub(crate) fn parse(text: &str, now_ms: i64) -> Result<i64, String> {
    let parsed = if let Ok(ms) = text.parse::<i64>() {
        (ms >= 0).then_some(ms)
    } else if text.contains('-') {
        absolute(text)
    } else {
        ago(text).and_then(|ms| now_ms.checked_sub(ms))
    };
    parsed.ok_or_else(|| {
        format!("`{text}` is no time: write 2026-11-24T04:05:06Z, 2026-11-24, 15m (ago), or ms since 1970")
    })
}

fn ago(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => MS_PER_DAY,
        _ => return None,
    };
    let count: u32 = text.strip_suffix(unit)?.parse().ok()?;
    i64::from(count).checked_mul(unit_ms)
}

fn absolute(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let date = digits::<3>(date, '-')?;
    let [year, month, day] = date;
    let is_date = (1970..=9999).contains(&year) && (1..=12).contains(&month);
    if !is_date || day < 1 || day > days_of(year, month) {
        return None;
    }
    let day_ms = days_since_1970(year, month, day) * MS_PER_DAY;
    match time {
        None => Some(day_ms),
        Some(time) => Some(day_ms + time_ms(time)?),
    }
}

fn time_ms(text: &str) -> Option<i64> {
    let (clock, offset_ms) = match text.strip_suffix('Z') {
        Some(clock) => (clock, 0),
        None => {
            let at = text.rfind(['+', '-'])?;
            let [hours, minutes] = digits::<2>(text.get(at + 1..)?, ':')?;
            let ms = (hours * 60 + minutes) * 60_000;
            let is_behind = text.get(at..=at)? == "-";
            (text.get(..at)?, if is_behind { -ms } else { ms })
        }
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = digits::<3>(clock, ':')?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    if !is_time || fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    let ms: i64 = thousandths.parse().ok()?;
    Some(((hour * 60 + minute) * 60 + second) * 1_000 + ms - offset_ms)
}

fn digits<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for number in &mut numbers {
        let part = parts.next()?;
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = is_number.then(|| part.parse().ok()).flatten()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let of_years = (year - 1970) * 365 + leap_days(before) - leap_days(1969);
    let of_months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    of_years + of_months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        for (text, ms) in [
            ("0", 0),
            ("1970-01-01", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-24T04:05:06.7Z", 1_795_493_106_700),
            ("2026-11-24T05:05:06.700+01:00", 1_795_493_106_700),
            ("2026-11-23 23:05:06.7001-05:00", 1_795_493_106_700),
        ] {
            assert_eq!(parse(text, 0), Ok(ms), "{text}");
        }
        assert_eq!(parse("15m", 1_000_000), Ok(100_000));
        assert_eq!(parse("1d", MS_PER_DAY), Ok(0));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "x",
            "-5",
            "5x",
            "2026-13-01",
            "2026-02-29",
            "1969-12-31",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-1-1-1",
            "2026-01-01Té:00:00Z",
            "99999999999d",
        ] {
            assert!(parse(text, 0).is_err(), "{text}");
        }
    }
}
