//! Whether a number survives being a double, digit for digit.

/// A decimal value: ±`digits` × 10^`exponent`, without trailing zeros; zero is all zeros.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: u64,
    exponent: i64,
}

/// The shortest text that gives a double back never needs more digits.
const MAX_DOUBLE_DIGITS: usize = 17;

/// Integers are exact up to here (RFC 7493 section 2.2).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// True if `token` is a JSON number that must be kept as text; see the module above. A token that
/// is no JSON number is not ours to judge.
pub(super) fn must_stay_text(token: &str) -> bool {
    let Some(parts) = Parts::of(token) else {
        return false;
    };
    let Some(written) = parts.decimal() else {
        return true;
    };
    if parts.is_integer()
        && (token.trim_start_matches('-').parse::<u64>()).is_ok_and(|n| n <= MAX_SAFE_INTEGER)
    {
        return false;
    }
    if parts.is_integer() {
        return true;
    }
    let Ok(double) = token.parse::<f64>() else {
        return true;
    };
    if !double.is_finite() {
        return true;
    }
    let shortest = format!("{double:e}");
    Parts::of(&shortest).and_then(|p| p.decimal()).as_ref() != Some(&written)
}

/// A number token by RFC 8259 section 6.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: Option<&'a str>,
    exponent: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Option<Self> {
        let (negative, rest) = match token.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (rest, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let unsigned = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
        let valid = all_digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(all_digits)
            && unsigned.is_none_or(all_digits);
        valid.then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    const fn is_integer(&self) -> bool {
        self.fraction.is_none() && self.exponent.is_none()
    }

    /// The value, or `None` if it has more digits or a greater exponent than any double.
    fn decimal(&self) -> Option<Decimal> {
        let fraction = self.fraction.unwrap_or("");
        let count = self.whole.len() + fraction.len();
        let digit = |i: usize| match i.checked_sub(self.whole.len()) {
            None => self.whole.as_bytes()[i],
            Some(i) => fraction.as_bytes()[i],
        };
        let Some(first) = (0..count).find(|i| digit(*i) != b'0') else {
            return Some(Decimal {
                negative: self.negative,
                digits: 0,
                exponent: 0,
            });
        };
        let last = (first..count)
            .rev()
            .find(|i| digit(*i) != b'0')
            .unwrap_or(first);
        if last - first >= MAX_DOUBLE_DIGITS {
            return None;
        }
        let digits = (first..=last).fold(0, |n, i| n * 10 + u64::from(digit(i) - b'0'));
        let shift = i64::try_from(self.whole.len()).ok()? - i64::try_from(last + 1).ok()?;
        let exponent = self
            .exponent
            .map_or(Ok(0), str::parse::<i64>)
            .ok()?
            .checked_add(shift)?;
        Some(Decimal {
            negative: self.negative,
            digits,
            exponent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_double_gives_back_stay_numbers() {
        for token in [
            "0",
            "-0",
            "-0.0",
            "0e5",
            "0.000",
            "0e99999999999999999999",
            "1",
            "0.1",
            "1.50",
            "1e2",
            "1E+2",
            "100e-2",
            "322.42000000000000000000",
            "9007199254740991",
            "-9007199254740991",
            "9007199254740992.0",
            "1e20",
            "1e23",
            "5e-324",
            "1.7976931348623157e308",
            "0.30000000000000004",
            "123456789.12345678",
            "0.000000000000000000001",
            "100000000000000000000000e-5",
            "0.00012345678901234567",
        ] {
            assert!(!must_stay_text(token), "{token}");
        }
    }

    #[test]
    fn numbers_that_a_double_changes_stay_text() {
        for token in [
            "9007199254740992",
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551615",
            "100000000000000000000",
            "1e400",
            "-1e400",
            "1e-400",
            "4.9e-324",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "0.1000000000000000055511",
            "322.41999999999995907274",
            "1.7976931348623159e308",
            "9007199254740993.0",
        ] {
            assert!(must_stay_text(token), "{token}");
        }
    }

    #[test]
    fn what_is_no_json_number_is_left_to_the_parser() {
        for token in [
            "",
            "-",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "--1e400",
            "1e400.5",
            "1-1",
            "1.2.3e400",
            "+1e400",
        ] {
            assert!(!must_stay_text(token), "{token}");
        }
    }

    #[test]
    fn a_decimal_is_its_digits_and_where_the_last_of_them_stands() {
        for (token, negative, digits, exponent) in [
            ("0", false, 0, 0),
            ("-0.00e7", true, 0, 0),
            ("1", false, 1, 0),
            ("-120", true, 12, 1),
            ("12.50", false, 125, -1),
            ("0.0030", false, 3, -3),
            ("1.5e3", false, 15, 2),
            ("907E-2", false, 907, -2),
            ("12345678901234567", false, 12_345_678_901_234_567, 0),
        ] {
            let decimal = Decimal {
                negative,
                digits,
                exponent,
            };
            let found = Parts::of(token).and_then(|parts| parts.decimal());
            assert_eq!(found, Some(decimal), "{token}");
        }
        for too_long in [
            "123456789012345678",
            "1e99999999999999999999",
            "1.5e-9223372036854775808",
        ] {
            let found = Parts::of(too_long).and_then(|parts| parts.decimal());
            assert_eq!(found, None, "{too_long}");
        }
    }
}
