//! Durations with units, as in TTLs, and the dates of signatures.

/// Seconds as a plain number or with units, `1h30m`, each a number and one of `w d h m s` in any case; `None` where
/// it is something else or over 32 bits.
pub(crate) fn parse_seconds(word: &[u8]) -> Option<u32> {
    let mut total = 0u32;
    let mut number: Option<u32> = None;
    let mut has_units = false;
    for octet in word {
        if octet.is_ascii_digit() {
            let digit = u32::from(octet - b'0');
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
            continue;
        }
        let unit = match octet.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
        has_units = true;
    }
    match number {
        Some(_) if has_units => None,
        Some(plain) => Some(plain),
        None => has_units.then_some(total),
    }
}

/// `YYYYMMDDHHmmSS` in UTC, or seconds since 1970 (RFC 4034 §3.2).
pub(super) fn parse_time(word: &[u8]) -> Option<u32> {
    if word.len() != 14 {
        return super::parse::integer(word, u32::MAX);
    }
    let part = |from: usize, to: usize| super::parse::integer(&word[from..to], 9999);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let in_range = (1970..=2106).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    let years: u32 = (1970..year).map(days_in_year).sum();
    let months: u32 = (1..month).map(|earlier| days_in_month(year, earlier)).sum();
    let days = u64::from(years + months + day - 1);
    u32::try_from(days * 86_400 + u64::from(hour * 3_600 + minute * 60 + second)).ok()
}

/// The date of `seconds` since 1970 as `YYYYMMDDHHmmSS`.
pub(super) fn format_time(seconds: u32) -> String {
    let mut days = seconds / 86_400;
    let second = seconds % 86_400;
    let mut year = 1970;
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{:02}{hour:02}{minute:02}{second:02}", days + 1)
}

fn days_in_year(year: u32) -> u32 {
    if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) {
        366
    } else {
        365
    }
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 => days_in_year(year) - 337,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_take_units_in_any_case() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4294967295", Some(u32::MAX)),
            ("1h30m", Some(5_400)),
            ("1W2D3H4M5S", Some(788_645)),
            ("30M1H", Some(5_400)),
            ("", None),
            ("h", None),
            ("1h30", None),
            ("1x", None),
            ("4294967296", None),
            ("7102w", None),
            ("-1", None),
            ("1.5h", None),
        ] {
            assert_eq!(parse_seconds(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn rfc4034_3_2_dates_round_trip() {
        for (text, seconds) in [
            ("19700101000000", 0),
            ("20030322173103", 1_048_354_263),
            ("20000229000000", 951_782_400),
            ("20380119031408", 1 << 31),
            ("21060207062815", u32::MAX),
        ] {
            assert_eq!(parse_time(text.as_bytes()), Some(seconds), "{text}");
            assert_eq!(format_time(seconds), text);
        }
        assert_eq!(parse_time(b"1048354263"), Some(1_048_354_263));
        for bad in [
            "20030229000000",
            "20031301000000",
            "20030101240000",
            "21060207062816",
            "2003",
            "x",
        ] {
            let parsed = parse_time(bad.as_bytes());
            assert!(parsed.is_none() || bad == "2003", "{bad}");
        }
    }
}
