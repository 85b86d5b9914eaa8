//! Checksums, and looks at what surrounds a value, which a regular expression without look-around
//! cannot do.

use std::ops::Range;

fn digits(text: &[u8]) -> Vec<u8> {
    text.iter()
        .filter(|b| b.is_ascii_digit())
        .map(|b| b - b'0')
        .collect()
}

fn before(text: &[u8], value: &Range<usize>) -> Option<u8> {
    value.start.checked_sub(1).map(|at| text[at])
}

fn after(text: &[u8], value: &Range<usize>) -> Option<u8> {
    text.get(value.end).copied()
}

/// ISO/IEC 7812-1 annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(*digit);
            match at % 2 {
                0 => digit,
                _ => digit * 2 / 10 + digit * 2 % 10,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Nothing that a longer number, word, version or path is made of is beside the value.
fn stands_alone(text: &[u8], value: &Range<usize>) -> bool {
    let joins = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    if before(text, value).is_some_and(|b| joins(b) || matches!(b, b'.' | b'-' | b'+')) {
        return false;
    }
    match after(text, value) {
        Some(b) if joins(b) || b == b'-' => false,
        // A sentence may end here; a version goes on.
        Some(b'.') => !text
            .get(value.end + 1)
            .is_some_and(|b| b.is_ascii_alphanumeric()),
        _ => true,
    }
}

/// A social security number that can have been issued (SSA, "Social Security Number Randomization";
/// 20 CFR 422.103): no area 000, 666 or 9xx, no group 00, no serial 0000.
pub(crate) fn ssn(text: &[u8], value: Range<usize>) -> bool {
    let digits = digits(&text[value.clone()]);
    let number = |range: Range<usize>| {
        digits[range]
            .iter()
            .fold(0_u32, |n, digit| n * 10 + u32::from(*digit))
    };
    digits.len() == 9
        && stands_alone(text, &value)
        && !matches!(number(0..3), 0 | 666 | 900..)
        && number(3..5) != 0
        && number(5..9) != 0
}

/// An individual taxpayer number: area 9xx, groups 50-65, 70-88, 90-92, 94-99 (IRS, IRM 3.21.263).
pub(crate) fn itin(text: &[u8], value: Range<usize>) -> bool {
    let digits = digits(&text[value.clone()]);
    digits.len() == 9
        && stands_alone(text, &value)
        && digits[0] == 9
        && matches!(digits[3] * 10 + digits[4], 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// A payment card: a range that is issued, of its length, with the check digit.
pub(crate) fn card(text: &[u8], value: Range<usize>) -> bool {
    let digits = digits(&text[value.clone()]);
    let head = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0_u32, |n, digit| n * 10 + u32::from(*digit))
    };
    let is_issued = match digits.len() {
        14 => matches!(head(2), 36 | 38 | 39) || matches!(head(3), 300..=305),
        15 => matches!(head(2), 34 | 37),
        16 => {
            digits[0] == 4
                || matches!(head(2), 51..=55 | 65)
                || matches!(head(4), 2221..=2720 | 3528..=3589 | 6011)
                || matches!(head(3), 644..=649)
                || matches!(head(6), 622_126..=622_925)
        }
        19 => digits[0] == 4 || matches!(head(2), 62 | 65) || head(4) == 6011,
        _ => false,
    };
    is_issued && stands_alone(text, &value) && luhn(&digits)
}

/// A national provider identifier: ten digits, Luhn over them after the prefix 80840 (45 CFR
/// 162.406, CMS "NPI check digit").
pub(crate) fn npi(text: &[u8], value: Range<usize>) -> bool {
    let mut all = vec![8, 0, 8, 4, 0];
    all.extend(digits(&text[value]));
    all.len() == 15 && matches!(all[5], 1 | 2) && luhn(&all)
}

/// A DEA registration number: the sum of the 1st, 3rd and 5th digit and twice that of the 2nd, 4th
/// and 6th ends in the 7th.
pub(crate) fn dea(text: &[u8], value: Range<usize>) -> bool {
    let digits = digits(&text[value.start + 2..value.end]);
    digits.len() == 7 && {
        let odd = digits[0] + digits[2] + digits[4];
        let even = digits[1] + digits[3] + digits[5];
        (odd + 2 * even) % 10 == digits[6]
    }
}

/// A phone number in the form of the North American Numbering Plan.
pub(crate) fn phone(text: &[u8], value: Range<usize>) -> bool {
    let digits = digits(&text[value.clone()]);
    let national = match digits.len() {
        11 if digits[0] == 1 => &digits[1..],
        10 => &digits[..],
        _ => return false,
    };
    // An area code's second digit is never 9, and N11 is a service, in either part.
    national[0] >= 2
        && national[1] != 9
        && national[3] >= 2
        && national[1..3] != [1, 1]
        && national[4..6] != [1, 1]
        && stands_alone(text, &value)
}

/// A number with a country's code: 8 to 15 digits (ITU-T E.164), and no offset of a time zone.
pub(crate) fn international(text: &[u8], value: Range<usize>) -> bool {
    let number = &text[value.clone()];
    let digits = digits(number).len();
    // One point and nothing else is a decimal number, such as the monotonic part of Go's times.
    let others = number[1..].iter().filter(|b| !b.is_ascii_digit());
    let is_decimal = others.eq([&b'.']);
    (9..=15).contains(&digits) && !is_decimal && stands_alone(text, &value)
}

/// Something that stands alone.
pub(crate) fn alone(text: &[u8], value: Range<usize>) -> bool {
    stands_alone(text, &value)
}

/// Words that name what runs or is sent as a user: addresses of these are of machines.
const MACHINE_USERS: [&str; 12] = [
    "root",
    "git",
    "daemon",
    "nobody",
    "www-data",
    "mailer-daemon",
    "postmaster",
    "hostmaster",
    "noreply",
    "no-reply",
    "do-not-reply",
    "donotreply",
];
/// What systemd calls instances of templates: `getty@tty1.service`.
const UNIT_SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];
/// What files are called that have an @ in their names: `logo@2x.png`.
const FILE_SUFFIXES: [&str; 10] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "json", "yaml", "yml", "conf",
];

/// An address of a person: no template unit, no machine's own, no place of scp.
pub(crate) fn email(text: &[u8], value: Range<usize>) -> bool {
    let address = String::from_utf8_lossy(&text[value.clone()]).to_lowercase();
    let Some((user, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let suffix = domain.rsplit('.').next().unwrap_or(domain);
    let is_place = text[value.end..].starts_with(b":/") || text[value.end..].starts_with(b":~");
    !MACHINE_USERS.contains(&user)
        && !UNIT_SUFFIXES.contains(&suffix)
        && !FILE_SUFFIXES.contains(&suffix)
        && !is_place
        && !user.contains("..")
        && !["ssh://", "sftp://", "rsync://"]
            .iter()
            .any(|scheme| ends_with_ignoring_case(&text[..value.start], scheme.as_bytes()))
        // A message's id is made by a machine (RFC 5322 section 3.6.4).
        && !ends_with_ignoring_case(&text[..value.start], b"message-id=<")
        && !ends_with_ignoring_case(&text[..value.start], b"message-id: <")
}

fn ends_with_ignoring_case(text: &[u8], end: &[u8]) -> bool {
    text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end)
}

/// Words that stand where a secret would, and are none.
const NO_SECRETS: [&str; 62] = [
    "absent",
    "accepted",
    "allowed",
    "ask",
    "bad",
    "basic",
    "bearer",
    "blank",
    "changed",
    "correct",
    "credential",
    "default",
    "denied",
    "digest",
    "disabled",
    "empty",
    "enabled",
    "encrypted",
    "env",
    "error",
    "expired",
    "expires",
    "fail",
    "failed",
    "failure",
    "false",
    "file",
    "for",
    "found",
    "from",
    "hidden",
    "incorrect",
    "invalid",
    "is",
    "locked",
    "masked",
    "md5",
    "missing",
    "mismatch",
    "must",
    "negotiate",
    "never",
    "new",
    "no",
    "none",
    "not",
    "null",
    "off",
    "ok",
    "on",
    "plain",
    "prompt",
    "redacted",
    "rejected",
    "required",
    "reset",
    "success",
    "true",
    "undefined",
    "unchanged",
    "unknown",
    "yes",
];

/// How programs name a secret without saying it.
const VARIABLES: [&str; 8] = [
    "[redacted",
    "os.environ",
    "process.env",
    "getenv",
    "env.",
    "env[",
    "vault:",
    "secretsmanager",
];

/// Not a place-holder, a variable, or what happened to a password.
pub(crate) fn secret(text: &[u8], value: Range<usize>) -> bool {
    let before = &text[..value.start];
    // nslcd names the request that it serves, and the user: `<passwd="backup">`.
    if before.ends_with(b"<passwd=\"") || before.ends_with(b"<passwd=\\\"") {
        return false;
    }
    let secret = &text[value];
    let lower = String::from_utf8_lossy(secret).to_lowercase();
    let trimmed = lower.trim_matches(|c: char| !c.is_alphanumeric());
    let all_same = secret.iter().all(|b| *b == secret[0]);
    let is_variable = lower.ends_with(':')
        || lower.starts_with(['$', '<', '{', '%', '/', '~'])
        || VARIABLES.iter().any(|start| lower.starts_with(start))
        || (lower.contains("no_log") && lower.starts_with("value_specified"));
    !(NO_SECRETS.contains(&trimmed) || trimmed.is_empty() || all_same || is_variable)
}

/// Also not a word of prose: what follows a colon in a sentence is mostly not a secret, unless it is
/// quoted.
pub(crate) fn secret_in_prose(text: &[u8], value: Range<usize>) -> bool {
    if matches!(before(text, &value), Some(b'"' | b'\'')) {
        return secret(text, value);
    }
    let is_word = text[value.clone()]
        .iter()
        .all(|b| b.is_ascii_lowercase() || matches!(b, b'.' | b',' | b'-' | b'_'));
    secret(text, value) && !is_word
}

/// Has at least three digits, and is no date and time.
pub(crate) fn record_number(text: &[u8], value: Range<usize>) -> bool {
    let value = &text[value];
    digits(value).len() >= 3 && !is_time(value)
}

fn is_time(text: &[u8]) -> bool {
    let shape: Vec<u8> = text
        .iter()
        .take(10)
        .map(|b| if b.is_ascii_digit() { b'9' } else { *b })
        .collect();
    shape == b"9999-99-99"
}

/// An id of a person with an insurer; of a cluster's member it would be 16 hexadecimal digits.
pub(crate) fn member_id(text: &[u8], value: Range<usize>) -> bool {
    let id = &text[value.clone()];
    let is_hex = id.len() == 16 && id.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    digits(id).len() >= 4 && !is_hex && !is_time(id)
}

/// Words that follow `patient` or `name` and are no names.
const NO_NAMES: [&str; 50] = [
    "access",
    "admin",
    "api",
    "app",
    "archive",
    "backup",
    "billing",
    "cache",
    "care",
    "chart",
    "count",
    "data",
    "database",
    "db",
    "document",
    "documents",
    "empty",
    "export",
    "false",
    "file",
    "files",
    "id",
    "import",
    "index",
    "invalid",
    "lookup",
    "management",
    "missing",
    "monitor",
    "monitoring",
    "na",
    "none",
    "null",
    "portal",
    "record",
    "records",
    "redacted",
    "registration",
    "required",
    "scheduling",
    "search",
    "server",
    "service",
    "string",
    "system",
    "table",
    "text",
    "true",
    "unknown",
    "varchar",
];

/// A name of a person: letters only, and no word of systems.
pub(crate) fn name(text: &[u8], value: Range<usize>) -> bool {
    let name = String::from_utf8_lossy(&text[value.clone()]).to_lowercase();
    let mut words = name
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .peekable();
    // `name: backup.service` and `name=db_main` go on with what no name does.
    let goes_on = matches!(after(text, &value), Some(b'_' | b'(' | b'=' | b'0'..=b'9'));
    words.peek().is_some() && !goes_on && !words.any(|word| NO_NAMES.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(check: fn(&[u8], Range<usize>) -> bool, text: &str) -> bool {
        check(text.as_bytes(), 0..text.len())
    }

    #[test]
    fn numbers_that_cannot_be_issued_are_no_social_security_numbers() {
        assert!(whole(ssn, "123-45-6789"));
        for bad in [
            "000-45-6789",
            "666-45-6789",
            "923-45-6789",
            "123-00-6789",
            "123-45-0000",
        ] {
            assert!(!whole(ssn, bad), "{bad}");
        }
        assert!(whole(itin, "912-70-1234") && !whole(itin, "912-66-1234"));
    }

    #[test]
    fn check_digits_are_those_of_the_published_examples() {
        // The networks' test numbers, CMS's example, and the DEA's scheme by hand.
        for good in ["4111111111111111", "5555 5555 5555 4444", "378282246310005"] {
            assert!(whole(card, good), "{good}");
        }
        assert!(!whole(card, "4111111111111112") && !whole(card, "9111111111111111"));
        assert!(whole(npi, "1234567893") && !whole(npi, "1234567890"));
        assert!(whole(dea, "AB1234563") && !whole(dea, "AB1234567"));
    }

    #[test]
    fn what_is_part_of_something_longer_is_not_a_value() {
        for text in [
            "1.123-45-6789",
            "123-45-6789-0",
            "x123-45-6789",
            "123-45-6789.5",
        ] {
            let at = text.find("123").unwrap();
            assert!(!ssn(text.as_bytes(), at..at + 11), "{text}");
        }
        assert!(ssn(b"(123-45-6789).", 1..12));
    }
}
