//! Synthetic secrets and identifiers, one maker for each class of the sensitive corpus.
//!
//! They are nobody's: keys and passwords are drawn by chance; phones are 555-01xx, kept free for fiction (NANPA);
//! mail domains those of RFC 2606; cards the test numbers that payment processors publish; NPIs begin with a 2, which
//! is valid and not issued so far. Social security numbers must have a valid shape to be found at all, so they are of
//! the areas 734 to 749 and 773 to 899, which were never assigned up to 2011, and the ones that the Social Security
//! Administration names as never issued or used in advertising; names go with none of them.
//!
//! The beginnings by which other people's scanners know a key are written in two pieces, so that they raise no alarm
//! over this file.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::random::{ALNUM, BASE64, BASE64_URL, HEX, Random, UPPER, is_luhn};

/// A value, with what of it must not remain: `(text, is_sensitive)` pieces in their order.
#[derive(Debug, Clone)]
pub(super) struct Value(pub(super) Vec<(String, bool)>);

impl Value {
    fn whole(text: String) -> Self {
        Self(vec![(text, true)])
    }

    /// A beginning that anyone may know, and the rest, which nobody may.
    fn prefixed(prefix: &str, rest: String) -> Self {
        Self(vec![(prefix.to_owned(), false), (rest, true)])
    }
}

/// Test numbers of card schemes and payment processors.
const CARDS: &[&str] = &[
    "4111111111111111",
    "4242424242424242",
    "4012888888881881",
    "4000056655665556",
    "5555555555554444",
    "5105105105105100",
    "5200828282828210",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "30569309025904",
    "3530111333300000",
    "3566002020360505",
];
const FIRST: &[&str] = &[
    "Jane", "John", "Maria", "Ahmed", "Wei", "Olga", "Peter", "Lucia", "Tomas", "Aisha", "Robert",
    "Emily", "Noah", "Ingrid", "Carlos",
];
const LAST: &[&str] = &[
    "Doe",
    "Public",
    "Sample",
    "Testperson",
    "Mustermann",
    "Example",
    "Roe",
    "Placeholder",
    "Fictional",
    "Nobody",
    "Specimen",
    "Demo-Patient",
];

/// A value of a class.
///
/// # Panics
/// When there is no such class.
pub(super) fn value(class: &str, random: &mut Random) -> Value {
    match class {
        "aws_access_key" => Value::prefixed(
            random.one(&[concat!("AK", "IA"), concat!("AS", "IA")]),
            random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        ),
        "aws_secret_key" => Value::whole(mixed(BASE64, 40, random)),
        "github_token" => match random.between(0, 3) {
            0 => Value::prefixed(
                concat!("github_", "pat_"),
                format!(
                    "11{}_{}",
                    random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 20),
                    random.text(ALNUM, 59)
                ),
            ),
            n => Value::prefixed(
                [
                    concat!("gh", "p_"),
                    concat!("gh", "o_"),
                    concat!("gh", "s_"),
                ][usize::try_from(n).expect("small") - 1],
                mixed(ALNUM, 36, random),
            ),
        },
        "gitlab_token" => Value::prefixed(concat!("gl", "pat-"), mixed(BASE64_URL, 20, random)),
        "slack_token" => Value::prefixed(
            random.one(&[concat!("xo", "xb-"), concat!("xo", "xp-")]),
            match random.between(0, 1) {
                0 => format!(
                    "{}-{}-{}",
                    random.digits(12),
                    random.digits(13),
                    mixed(ALNUM, 24, random)
                ),
                _ => format!(
                    "{}-{}-{}-{}",
                    random.digits(12),
                    random.digits(12),
                    random.digits(13),
                    random.text(HEX, 32)
                ),
            },
        ),
        "slack_webhook" => Value::prefixed(
            concat!("https://hooks.", "slack.com/services/"),
            format!(
                "T{}/B{}/{}",
                capitals(random, 10),
                capitals(random, 10),
                mixed(ALNUM, 24, random)
            ),
        ),
        "stripe_key" => Value::prefixed(
            random.one(&[
                concat!("sk", "_live_"),
                concat!("rk", "_live_"),
                concat!("sk", "_test_"),
            ]),
            mixed(
                ALNUM,
                usize::try_from(random.between(24, 99)).expect("small"),
                random,
            ),
        ),
        "google_api_key" => Value::prefixed(concat!("AI", "za"), mixed(BASE64_URL, 35, random)),
        "openai_key" => Value::prefixed(
            concat!("sk", "-"),
            // The middle is base64 of "OpenAI", and in every key of theirs.
            format!(
                "{}T3BlbkFJ{}",
                mixed(ALNUM, 20, random),
                mixed(ALNUM, 20, random)
            ),
        ),
        "anthropic_key" => Value::prefixed(
            concat!("sk", "-ant-", "api03-"),
            format!("{}AA", mixed(BASE64_URL, 93, random)),
        ),
        "npm_token" => Value::prefixed(concat!("np", "m_"), mixed(ALNUM, 36, random)),
        "pypi_token" => Value::prefixed(
            concat!("py", "pi-AgEIcHlwaS5vcmc"),
            mixed(BASE64_URL, 100, random),
        ),
        "sendgrid_key" => Value::prefixed(
            concat!("S", "G."),
            format!(
                "{}.{}",
                mixed(BASE64_URL, 22, random),
                mixed(BASE64_URL, 43, random)
            ),
        ),
        "vault_token" => Value::prefixed(
            concat!("hv", "s."),
            format!("CAES{}", mixed(BASE64_URL, 91, random)),
        ),
        "digitalocean_token" => Value::prefixed(concat!("do", "p_v1_"), random.text(HEX, 64)),
        "azure_storage_key" => Value::whole(format!("{}==", mixed(BASE64, 86, random))),
        "azure_sas" => Value::whole(format!("{}%3D", mixed(ALNUM, 43, random))),
        "azure_client_secret" => Value::whole(format!(
            "{}8Q~{}",
            mixed(ALNUM, 3, random),
            mixed(BASE64_URL, 34, random)
        )),
        "presigned_url" => Value::whole(random.text(HEX, 64)),
        "private_key" => private_key(random),
        "wireguard_key" => Value::whole(format!("{}=", mixed(BASE64, 43, random))),
        "age_key" => Value::prefixed(
            concat!("AGE-SECRET", "-KEY-1"),
            random.text("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
        ),
        "jwt" => Value::whole(jwt(random)),
        "basic_auth" => {
            let user = random.one(&["backup", "ehr", "svc_scan"]);
            Value::whole(STANDARD.encode(format!("{user}:{}", password(random))))
        }
        "bearer_token" => Value::whole(match random.between(0, 2) {
            0 => random.text(HEX, 40),
            1 => mixed(BASE64_URL, 43, random),
            _ => format!("{}=", mixed(BASE64, 43, random)),
        }),
        "url_password" | "connection_string" | "password_assignment" | "cli_password" => {
            Value::whole(password(random))
        }
        "session_cookie" => Value::whole(match random.between(0, 2) {
            0 => random.text("0123456789ABCDEF", 32),
            1 => format!(
                "s%3A{}.{}",
                mixed(BASE64_URL, 32, random),
                mixed(ALNUM, 43, random)
            ),
            _ => mixed(ALNUM, 26, random),
        }),
        "ssn" => Value::whole(ssn(random)),
        "mrn" => Value::whole(match random.between(0, 3) {
            0 => random.digits(8),
            1 => random.digits(7),
            2 => format!("{}{}", random.text(UPPER, 1), random.digits(8)),
            _ => format!("{}-{}", random.digits(3), random.digits(6)),
        }),
        "dob" => Value::whole(birth_date(random)),
        "phone" => Value::whole(phone(random)),
        "email" => Value::whole(email(random)),
        "card" => Value::whole(card(random)),
        "npi" => Value::whole(npi(random)),
        "dea" => Value::whole(dea(random)),
        "insurance_id" => Value::whole(match random.between(0, 2) {
            0 => format!("{}{}", random.text(UPPER, 3), random.digits(9)),
            1 => random.digits(11),
            _ => format!("W{}-{}", random.digits(8), random.digits(2)),
        }),
        "mbi" => Value::whole(mbi(random)),
        "patient_name" => Value::whole(name(
            random,
            &["{l}, {f}", "{f} {l}", "{f} Q. {l}", "{L}, {F} M", "{L}^{F}"],
        )),
        "hl7_pid" => Value(vec![
            (random.digits(8), true),
            ("^^^CLINIC^MR||".to_owned(), false),
            (name(random, &["{L}^{F}^Q"]), true),
            ("||".to_owned(), false),
            (
                format!(
                    "19{:02}{:02}{:02}",
                    random.between(30, 99),
                    random.between(1, 12),
                    random.between(1, 28)
                ),
                true,
            ),
        ]),
        "dicom_patient" => Value::whole(name(random, &["{L}^{F}", "{L}^{F}^Q", "{l}^{f}"])),
        _ => panic!("no values for class {class}"),
    }
}

/// Random characters with at least one digit, capital and small letter, and letters or digits at both ends:
/// a `-` there would be taken for the text around.
fn mixed(alphabet: &str, count: usize, random: &mut Random) -> String {
    loop {
        let text = random.text(alphabet, count);
        let has = |is: fn(&u8) -> bool| text.bytes().any(|b| is(&b));
        let is_framed = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric());
        if is_framed
            && (count < 8
                || has(u8::is_ascii_digit)
                    && has(u8::is_ascii_uppercase)
                    && has(u8::is_ascii_lowercase))
        {
            return text;
        }
    }
}

fn capitals(random: &mut Random, count: usize) -> String {
    random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", count)
}

/// What people choose, and what generators make.
fn password(random: &mut Random) -> String {
    let word = random.one(&[
        "Winter",
        "correct-horse",
        "Clinic",
        "hunter",
        "Tr0ub4dor",
        "letmein",
        "Backup",
        "sommer",
    ]);
    match random.between(0, 3) {
        0 => format!("{word}{}!", random.between(1990, 2030)),
        1 => format!("{word}_{}", random.text(ALNUM, 6)),
        2 => mixed(ALNUM, 20, random),
        _ => format!(
            "{}.{}-{}",
            random.text(ALNUM, 5),
            random.text(ALNUM, 5),
            random.text(ALNUM, 5)
        ),
    }
}

fn private_key(random: &mut Random) -> Value {
    let kind = random.one(&["RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED ", "DSA "]);
    let mut lines: Vec<String> = (0..random.between(4, 12))
        .map(|_| random.text(BASE64, 64))
        .collect();
    lines.push(format!("{}==", random.text(BASE64, 38)));
    let rule = "-----";
    Value(vec![
        (format!("{rule}BEGIN {kind}PRIVATE KEY{rule}\n"), false),
        (lines.join("\n"), true),
        (format!("\n{rule}END {kind}PRIVATE KEY{rule}"), false),
    ])
}

fn jwt(random: &mut Random) -> String {
    let header = URL_SAFE_NO_PAD.encode(random.one(&[
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"RS256","typ":"JWT","kid":"k1"}"#,
    ]));
    let claims = format!(
        r#"{{"sub":"svc-{}","exp":{}}}"#,
        random.digits(6),
        random.between(1_760_000_000, 1_800_000_000)
    );
    format!(
        "{header}.{}.{}",
        URL_SAFE_NO_PAD.encode(claims),
        mixed(BASE64_URL, 43, random)
    )
}

fn ssn(random: &mut Random) -> String {
    let published = [
        "078051120",
        "219099999",
        "042103580",
        "062360749",
        "165167999",
        "212097694",
    ];
    let digits = match random.between(0, 9) {
        0 => random.one(&published).to_owned(),
        n => format!(
            "{}{:02}{:04}",
            if n < 3 {
                random.between(734, 749)
            } else {
                random.between(773, 899)
            },
            random.between(1, 99),
            random.between(1, 9999)
        ),
    };
    let (area, group, serial) = (&digits[..3], &digits[3..5], &digits[5..]);
    match random.between(0, 5) {
        0 => format!("{area} {group} {serial}"),
        _ => format!("{area}-{group}-{serial}"),
    }
}

fn birth_date(random: &mut Random) -> String {
    let (year, month, day) = (
        random.between(1925, 2024),
        random.between(1, 12),
        random.between(1, 28),
    );
    let name = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ][usize::try_from(month).expect("small") - 1];
    match random.between(0, 6) {
        0 | 1 => format!("{year}-{month:02}-{day:02}"),
        2 | 3 => format!("{month:02}/{day:02}/{year}"),
        4 => format!("{month}/{day}/{:02}", year % 100),
        5 => format!("{name} {day}, {year}"),
        _ => format!("{day:02}-{name}-{year}"),
    }
}

/// 555-0100 to 555-0199.
fn phone(random: &mut Random) -> String {
    let area = random.one(&[
        "202", "303", "312", "415", "512", "617", "702", "808", "917",
    ]);
    let line = format!("01{:02}", random.between(0, 99));
    match random.between(0, 5) {
        0 => format!("({area}) 555-{line}"),
        1 => format!("{area}-555-{line}"),
        2 => format!("+1 {area} 555 {line}"),
        3 => format!("{area}.555.{line}"),
        4 => format!("1-{area}-555-{line}"),
        _ => format!("+1{area}555{line}"),
    }
}

fn email(random: &mut Random) -> String {
    let (first, last) = (
        random.one(FIRST).to_lowercase(),
        random.one(LAST).to_lowercase(),
    );
    let domain = random.one(&[
        "example.com",
        "mail.example.org",
        "example.net",
        "clinic.example.com",
    ]);
    match random.between(0, 3) {
        0 => format!("{first}.{last}@{domain}"),
        1 => format!("{first}{}@{domain}", random.between(1, 999)),
        2 => format!("{}_{last}+portal@{domain}", &first[..1]),
        _ => format!("{last}@{domain}"),
    }
}

fn card(random: &mut Random) -> String {
    let digits = random.one(CARDS);
    assert!(is_luhn(digits));
    let groups: &[usize] = match digits.len() {
        16 => &[4, 4, 4, 4],
        15 => &[4, 6, 5],
        _ => &[4, 6, 4],
    };
    let mut rest = digits;
    let parts: Vec<&str> = groups
        .iter()
        .map(|&count| {
            let (part, after) = rest.split_at(count);
            rest = after;
            part
        })
        .collect();
    match random.between(0, 2) {
        0 => digits.to_owned(),
        1 => parts.join(" "),
        _ => parts.join("-"),
    }
}

/// Ten digits that pass the check behind 80840 (45 CFR 162.406).
fn npi(random: &mut Random) -> String {
    let nine = format!("2{}", random.text("0123456789", 8));
    (0..10)
        .map(|check| format!("{nine}{check}"))
        .find(|digits| is_luhn(&format!("80840{digits}")))
        .expect("one of ten digits fits")
}

/// Two letters and seven digits; the last digit is that of (1st + 3rd + 5th) + 2 (2nd + 4th + 6th).
fn dea(random: &mut Random) -> String {
    let digits = random.text("0123456789", 6);
    let at = |index: usize| u32::from(digits.as_bytes()[index] - b'0');
    let sum = at(0) + at(2) + at(4) + 2 * (at(1) + at(3) + at(5));
    format!(
        "{}{}{digits}{}",
        random.text("ABFGM", 1),
        random.text(UPPER, 1),
        sum % 10
    )
}

/// The format that CMS published in "Understanding the Medicare Beneficiary Identifier".
fn mbi(random: &mut Random) -> String {
    let letters = "ACDEFGHJKMNPQRTUVWXY";
    let both = "0123456789ACDEFGHJKMNPQRTUVWXY";
    let mut pick = |alphabet: &str| random.text(alphabet, 1);
    let digit = "0123456789";
    let parts = [
        [pick("123456789"), pick(letters), pick(both), pick(digit)].concat(),
        [pick(letters), pick(both), pick(digit)].concat(),
        [pick(letters), pick(letters), pick(digit), pick(digit)].concat(),
    ];
    match random.between(0, 1) {
        0 => parts.join("-"),
        _ => parts.concat(),
    }
}

fn name(random: &mut Random, forms: &[&str]) -> String {
    let (first, last) = (random.one(FIRST), random.one(LAST));
    random
        .one(forms)
        .replace("{f}", first)
        .replace("{l}", last)
        .replace("{F}", &first.to_uppercase())
        .replace("{L}", &last.to_uppercase())
}
