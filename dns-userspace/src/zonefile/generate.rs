//! `$GENERATE START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE DATA`, as BIND reads it.
//!
//! In OWNER and DATA, `$` is the number; `${OFFSET[,WIDTH[,BASE]]}` the number plus OFFSET, with leading zeros to WIDTH
//! digits, in base d, o, x, X, n or N (n and N: hexadecimal digits from the last one on, with dots between, as in
//! `ip6.arpa`). `$$` and `\$` are the character itself. DATA that is a single quoted string is taken without its
//! quotes.

use super::problem::ZoneFileProblem;
use crate::model::rdata::integer;

/// As many as addresses in an IPv4 /8.
const MAX_RECORDS: u64 = 1 << 24;

/// The numbers of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    start: u32,
    stop: u32,
    step: u32,
}

impl Range {
    pub(super) fn parse(word: &[u8]) -> Result<Self, ZoneFileProblem> {
        let range = Self::split(word).ok_or(ZoneFileProblem::GenerateRange)?;
        let count = range.count();
        if count > MAX_RECORDS {
            return Err(ZoneFileProblem::GenerateCount {
                count,
                limit: MAX_RECORDS,
            });
        }
        Ok(range)
    }

    fn split(word: &[u8]) -> Option<Self> {
        let (bounds, step) = match word.iter().position(|&octet| octet == b'/') {
            Some(slash) => (&word[..slash], integer(&word[slash + 1..], i32::MAX as u32)?),
            None => (word, 1),
        };
        let dash = bounds.iter().position(|&octet| octet == b'-')?;
        let start = integer(&bounds[..dash], i32::MAX as u32)?;
        let stop = integer(&bounds[dash + 1..], i32::MAX as u32)?;
        (start <= stop && step > 0).then_some(Self { start, stop, step })
    }

    /// How many there are.
    pub(super) fn count(self) -> u64 {
        u64::from((self.stop - self.start) / self.step) + 1
    }

    pub(super) fn numbers(self) -> impl Iterator<Item = u32> {
        (self.start..=self.stop).step_by(self.step as usize)
    }
}

/// Appends `template` with its `$` replaced.
pub(super) fn expand(template: &[u8], value: u32, out: &mut Vec<u8>) -> Result<(), ZoneFileProblem> {
    let mut rest = template;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        match (octet, tail) {
            (b'\\', [escaped, behind @ ..]) => {
                out.extend_from_slice(&[b'\\', *escaped]);
                rest = behind;
            }
            (b'$', [b'$', behind @ ..]) => {
                out.push(b'$');
                rest = behind;
            }
            (b'$', [b'{', behind @ ..]) => {
                let end = behind
                    .iter()
                    .position(|&octet| octet == b'}')
                    .ok_or(ZoneFileProblem::GenerateModifier)?;
                modified(&behind[..end], value, out)?;
                rest = &behind[end + 1..];
            }
            (b'$', _) => out.extend_from_slice(value.to_string().as_bytes()),
            (other, _) => out.push(other),
        }
    }
    Ok(())
}

fn modified(modifier: &[u8], value: u32, out: &mut Vec<u8>) -> Result<(), ZoneFileProblem> {
    let mut parts = modifier.split(|&octet| octet == b',');
    let offset = parts.next().and_then(signed).ok_or(ZoneFileProblem::GenerateModifier)?;
    let width = parts
        .next()
        .map_or(Some(0), |word| integer(word, 255))
        .ok_or(ZoneFileProblem::GenerateModifier)? as usize;
    let base = parts.next().unwrap_or(b"d");
    if parts.next().is_some() {
        return Err(ZoneFileProblem::GenerateModifier);
    }
    let number = i64::from(value) + offset;
    if number < 0 && base != b"d" {
        return Err(ZoneFileProblem::GenerateNegative { value });
    }
    let shown = match base {
        b"d" => format!("{number:0width$}"),
        b"o" => format!("{number:0width$o}"),
        b"x" => format!("{number:0width$x}"),
        b"X" => format!("{number:0width$X}"),
        b"n" => nibbles(number, width, b"0123456789abcdef"),
        b"N" => nibbles(number, width, b"0123456789ABCDEF"),
        _ => return Err(ZoneFileProblem::GenerateModifier),
    };
    out.extend_from_slice(shown.as_bytes());
    Ok(())
}

fn signed(word: &[u8]) -> Option<i64> {
    let (sign, digits) = match word {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    Some(sign * i64::from(integer(digits, i32::MAX as u32)?))
}

/// Digits from the last one on, with dots between; `width` counts digits and dots, as in BIND.
fn nibbles(number: i64, mut width: usize, digits: &[u8; 16]) -> String {
    let mut shown = String::new();
    let mut rest = number;
    loop {
        shown.push(char::from(digits[(rest & 15) as usize]));
        rest >>= 4;
        width = width.saturating_sub(1);
        if width == 0 && rest == 0 {
            return shown;
        }
        shown.push('.');
        width = width.saturating_sub(1);
        if width == 0 && rest == 0 {
            return shown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(template: &str, value: u32) -> Result<String, String> {
        let mut out = Vec::new();
        expand(template.as_bytes(), value, &mut out).map_err(|problem| problem.to_string())?;
        Ok(String::from_utf8(out).expect("ASCII"))
    }

    #[test]
    fn modifiers_are_those_of_bind() {
        // Expected as `named-checkzone -D` of BIND 9.18 gives them.
        for (template, value, expected) in [
            ("a$b", 7, "a7b"),
            ("$-$", 12, "12-12"),
            ("$$", 1, "$"),
            ("l\\$$", 1, "l\\$1"),
            ("h${0,3,x}", 26, "h01a"),
            ("h${0,3,X}", 26, "h01A"),
            ("h${0,0,o}", 8, "h10"),
            ("h${-1}", 5, "h4"),
            ("h${+2,2}", 5, "h07"),
            ("h${-9,3,d}", 5, "h-04"),
            ("x${0,7,n}.", 18, "x2.1.0.0."),
            ("q${0,3,N}", 26, "qA.1"),
            ("q${0,8,n}x", 18, "q2.1.0.0.x"),
        ] {
            assert_eq!(expanded(template, value).as_deref(), Ok(expected), "{template}");
        }
        for bad in ["${", "${}", "${x}", "${0,256}", "${0,1,z}", "${0,1,d,1}"] {
            assert!(expanded(bad, 1).is_err(), "{bad}");
        }
        assert!(expanded("${-2,1,x}", 1).is_err_and(|error| error.contains("negative")));
    }

    #[test]
    fn ranges_have_bounds_and_steps() {
        let numbers = |word: &str| Range::parse(word.as_bytes()).map(|range| range.numbers().collect::<Vec<_>>());
        assert_eq!(numbers("1-3").expect("a range"), [1, 2, 3]);
        assert_eq!(numbers("1-10/4").expect("a range"), [1, 5, 9]);
        assert_eq!(numbers("0-0").expect("a range"), [0]);
        for bad in ["", "1", "3-1", "1-2/0", "a-b", "-1-2", "1-2147483648"] {
            assert!(matches!(numbers(bad), Err(ZoneFileProblem::GenerateRange)), "{bad}");
        }
        assert!(matches!(
            numbers("0-2147483647"),
            Err(ZoneFileProblem::GenerateCount {
                count: 2_147_483_648,
                ..
            })
        ));
    }
}
