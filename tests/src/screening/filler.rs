//! What stands in log lines and identifies nobody: times, hashes, addresses, sizes, codes. Templates name it in braces.

use super::random::{BASE64, BASE64_URL, HEX, Random, UPPER, is_luhn};

/// Fills the placeholders of a template. `⏎` becomes a line break, `⦃` a brace; a brace that begins no
/// placeholder stays as it is.
#[must_use]
pub(super) fn fill(template: &str, random: &mut Random) -> String {
    let moment = Moment::at(random);
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '⏎', '⦃']) {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let sign = [('⏎', '\n'), ('⦃', '{')]
            .into_iter()
            .find_map(|(sign, means)| rest.strip_prefix(sign).map(|after| (means, after)));
        if let Some((means, after)) = sign {
            filled.push(means);
            rest = after;
            continue;
        }
        let name = rest[1..].split_once('}').map_or("", |(name, _)| name);
        if let Some(value) = moment.format(name).or_else(|| value(name, random)) {
            filled.push_str(&value);
            rest = &rest[name.len() + 2..];
            continue;
        }
        filled.push('{');
        rest = &rest[1..];
    }
    filled.push_str(rest);
    filled
}

/// A moment of the years 2025 to 2027; within a line it is one and the same.
struct Moment {
    second: i64,
    nanosecond: u64,
}

impl Moment {
    fn at(random: &mut Random) -> Self {
        let second = random.between(1_740_000_000, 1_820_000_000);
        Self {
            second: i64::try_from(second).expect("a second"),
            nanosecond: random.between(0, 999_999_999),
        }
    }

    fn format(&self, name: &str) -> Option<String> {
        let (s, ns) = (self.second, self.nanosecond);
        let time = jiff::Timestamp::from_second(s)
            .expect("a time")
            .to_zoned(jiff::tz::TimeZone::UTC);
        let by = |format: &str| time.strftime(format).to_string();
        Some(match name {
            // The offset is one of a few, as hosts differ.
            "iso" => match s % 4 {
                0 => by("%Y-%m-%dT%H:%M:%SZ"),
                1 => format!("{}.{:06}Z", by("%Y-%m-%dT%H:%M:%S"), ns / 1000),
                2 => format!("{}.{:03}-05:00", by("%Y-%m-%dT%H:%M:%S"), ns / 1_000_000),
                _ => by("%Y-%m-%dT%H:%M:%S+00:00"),
            },
            "iso100" => format!("{}.{:07}Z", by("%Y-%m-%dT%H:%M:%S"), ns / 100),
            "isodate" => by("%Y-%m-%d"),
            "isospace" => by("%Y-%m-%d %H:%M:%S"),
            "ms" => format!("{:03}", ns / 1_000_000),
            "hms" => by("%H:%M:%S"),
            "hms12" => by("%-I:%M:%S %p"),
            "hm" => by("%H:%M"),
            "hm2" => by("%H.%M"),
            "n2m" => by("%M"),
            "md" => by("%m/%d"),
            "syslog" => by("%b %e %H:%M:%S"),
            "nginx" => by("%d/%b/%Y:%H:%M:%S +0000"),
            "nginxerr" | "slashtime" => by("%Y/%m/%d %H:%M:%S"),
            "apache" => format!("{}.{:06} {}", by("%a %b %d %H:%M:%S"), ns / 1000, by("%Y")),
            "redis" => format!("{}.{:03}", by("%d %b %Y %H:%M:%S"), ns / 1_000_000),
            "ctime" => by("%a %b %e %H:%M:%S %Y"),
            "certdate" => by("%b %e %H:%M:%S %Y GMT"),
            "rfc2822" => by("%a, %d %b %Y %H:%M:%S GMT"),
            "klog" => format!("{}.{:06}", by("%m%d %H:%M:%S"), ns / 1000),
            "usdate" => by("%-m/%-d/%Y"),
            "dmy" => by("%d.%m.%Y"),
            "dmy2" => by("%d-%b"),
            "compact8" => by("%Y%m%d"),
            "compact14" => by("%Y%m%d%H%M%S"),
            "epoch" => s.to_string(),
            "epoch_ms" => format!("{s}{:03}", ns / 1_000_000),
            "epoch_us" => format!("{s}{:06}", ns / 1000),
            "epoch_ns" => format!("{s}{ns:09}"),
            _ => return None,
        })
    }
}

/// A value that stands for one placeholder, or `None` if there is none of that name.
fn value(name: &str, random: &mut Random) -> Option<String> {
    if let Some(count) = name.strip_prefix("hex") {
        let upper = count.strip_suffix("upper");
        let count = upper.unwrap_or(count).parse().ok()?;
        let digits = random.text(HEX, count);
        return Some(if upper.is_some() {
            digits.to_uppercase()
        } else {
            digits
        });
    }
    if let Some(count) = name.strip_prefix('n').and_then(|n| n.parse().ok()) {
        return Some(number(count, random));
    }
    for (prefix, alphabet) in [("b64_", BASE64), ("b64url_", BASE64_URL), ("pem", BASE64)] {
        if let Some(count) = name.strip_prefix(prefix).and_then(|n| n.parse().ok()) {
            return Some(base64_text(alphabet, count, random));
        }
    }
    Some(match name {
        "host" => format!(
            "{}-{:02}",
            random.one(&[
                "srv",
                "db",
                "web",
                "clinic-a-ehr",
                "pacs",
                "backup",
                "node",
                "vm",
                "dc",
                "nas"
            ]),
            random.between(1, 24)
        ),
        "user" => random
            .one(&[
                "backup",
                "ansible",
                "svc_backup",
                "postgres",
                "deploy",
                "root",
                "nagios",
                "ehr",
                "www-data",
                "operator",
            ])
            .to_owned(),
        "pkg" => random
            .one(&[
                "restic",
                "nginx",
                "libssl3",
                "openssh-server",
                "curl",
                "postgresql-15",
                "serde",
                "tokio",
                "express",
                "lodash",
                "requests",
                "zlib1g",
            ])
            .to_owned(),
        "ip" => ipv4(random),
        "ip6" => {
            let group = |random: &mut Random| random.text(HEX, 4);
            match random.between(0, 2) {
                0 => format!(
                    "fe80::{}:{}ff:fe{}:{}",
                    group(random),
                    random.text(HEX, 2),
                    random.text(HEX, 2),
                    group(random)
                ),
                1 => format!("2001:db8::{}", group(random)),
                _ => format!(
                    "2001:db8:{}:{}::{}:{}",
                    group(random),
                    group(random),
                    group(random),
                    group(random)
                ),
            }
        }
        "mac" => colons(random, 6, false),
        "wwpn" => colons(random, 8, false),
        "colonmd5" => colons(random, 16, false),
        "colonsha1" => colons(random, 20, true),
        "uuid" => uuid(random),
        "guid" => format!("{{{}}}", uuid(random).to_uppercase()),
        "md5" => random.text(HEX, 32),
        "sha1" => random.text(HEX, 40),
        "sha1upper" => random.text(HEX, 40).to_uppercase(),
        "sha256" => random.text(HEX, 64),
        "sha512" => random.text(HEX, 128),
        "commit7" => random.text(HEX, 7),
        "etag" => format!("{}-{}", random.text(HEX, 32), random.between(1, 40)),
        "ulid" => format!("01J{}", random.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 23)),
        "ver" => format!(
            "{}.{}.{}",
            random.between(0, 24),
            random.between(0, 30),
            random.between(0, 40)
        ),
        "ver4" => format!(
            "{}.{}.{}.{}",
            random.between(1, 20),
            random.between(0, 9),
            random.between(1000, 30000),
            random.between(0, 999)
        ),
        "pid" => random.between(2, 4_194_303).to_string(),
        "port" => random
            .one(&[
                "22", "443", "5432", "8080", "8443", "9000", "9090", "33060", "49152", "51820",
                "61234",
            ])
            .to_owned(),
        "bytes" => {
            let count = usize::try_from(random.between(3, 12)).expect("a count");
            number(count, random)
        }
        "size" => format!(
            "{}.{} {}",
            random.between(1, 999),
            random.between(0, 9),
            random.one(&["KiB", "MiB", "GiB", "TiB", "GB", "M", "G"])
        ),
        "float" => format!("{}.{:03}", random.between(0, 90), random.between(0, 999)),
        "float6" => format!(
            "{}.{:06}",
            random.between(0, 99_999),
            random.between(0, 999_999)
        ),
        "frac" => format!("0.{}", random.digits(6)),
        "q" => random.between(1, 4).to_string(),
        "icd" => format!(
            "{}{:02}.{}",
            random.text("ABCDEFGHIJKLMNRSTZ", 1),
            random.between(0, 99),
            random.between(0, 99)
        ),
        "cpt" => format!("{}", random.between(10_021, 99_607)),
        "hcpcs" => format!("{}{}", random.text("AEGJQ", 1), random.digits(4)),
        "loinc" => format!("{}-{}", random.between(1000, 99_999), random.between(0, 9)),
        "snomed" => number(8, random),
        "ndc" => format!(
            "{}-{}-{}",
            random.digits(5),
            random.digits(3),
            random.digits(2)
        ),
        "gtin" => format!("0{}", random.digits(13)),
        "lot" => format!("{}{}", random.text(UPPER, 2), random.digits(5)),
        "serial" => format!(
            "{}{}{}",
            random.text(UPPER, 3),
            random.text("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ", 6),
            random.digits(4)
        ),
        "tape" => format!("{}L8", random.text("0123456789ABCDEF", 6)),
        "fw" => format!("{}{}", random.text(UPPER, 2), random.digits(4)),
        "wwn" => format!("5 {} {}", random.text(HEX, 6), random.text(HEX, 9)),
        "asset" => format!("A-{}", random.digits(6)),
        "tag" => random.text("0123456789BCDFGHJKLMNPQRSTVWXYZ", 7),
        "partno" => format!(
            "{}-0{}-{}",
            random.digits(3),
            random.digits(2),
            random.digits(4)
        ),
        "po" => format!("45{}", random.digits(8)),
        "ticket" => format!("INC00{}", random.digits(5)),
        "chg" => format!("CHG00{}", random.digits(5)),
        "ghsa" => ghsa(random),
        "perm" => random
            .one(&["-rw-------", "drwxr-x---", "-rwxr-xr-x", "lrwxrwxrwx"])
            .to_owned(),
        "walfile" => {
            random.text("0123456789ABCDEF", 8)
                + "00000000000000"
                + &random.text("0123456789ABCDEF", 2)
        }
        "sid" => format!(
            "S-1-5-21-{}-{}-{}-{}",
            random.digits(10),
            random.digits(10),
            random.digits(9),
            random.between(500, 9999)
        ),
        // AWS's documentation uses this account.
        "arn" => random
            .one(&[
                "arn:aws:iam::111122223333:role/msp-evidence-writer",
                "arn:aws:s3:::msp-evidence-prod",
                "arn:aws:sns:us-east-1:111122223333:alarms",
                "arn:aws:logs:us-west-2:444455556666:log-group:/ecs/ehr:*",
                "arn:aws:ec2:us-east-1:111122223333:volume/vol-0123456789abcdef0",
            ])
            .to_owned(),
        "arnkms" => format!("arn:aws:kms:us-east-1:111122223333:key/{}", uuid(random)),
        "s3key" => format!(
            "p/clinic-a/srv-{}/01J{}/2026/{:02}/{:02}/EB-2026{:02}{:02}-{:04}.json",
            random.between(1, 9),
            random.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 23),
            random.between(1, 12),
            random.between(1, 28),
            random.between(1, 12),
            random.between(1, 28),
            random.between(1, 9999)
        ),
        "dicomuid" => format!(
            "1.2.840.113619.2.{}.{}.{}.{}.{}",
            random.between(1, 400),
            random.digits(4),
            random.digits(10),
            random.digits(6),
            random.between(1, 999)
        ),
        "oid" => format!(
            "2.16.840.1.113883.3.{}.{}",
            random.between(1, 9999),
            random.between(1, 99)
        ),
        "pod" => format!(
            "{}-{}-{}",
            random.one(&["ehr-api", "backup", "interface-engine", "pacs-sync"]),
            random.text("0123456789bcdf", 10),
            random.text("bcdfghjklmnpqrstvwxz2456789", 5)
        ),
        "b64text" => {
            use base64::Engine as _;
            let text = format!(
                "{} finished on {} with exit code {} after {} seconds",
                random.one(&[
                    "backup",
                    "restore test",
                    "index rebuild",
                    "log rotation",
                    "snapshot"
                ]),
                random.one(&["srv-01", "db-02", "nas-03"]),
                random.between(0, 9),
                random.between(1, 90_000)
            );
            base64::engine::general_purpose::STANDARD.encode(text)
        }
        _ => return None,
    })
}

/// A number of exactly so many digits. With a card's beginning and length it does not pass the cards' check: one that
/// did could be told from a card by nobody.
fn number(count: usize, random: &mut Random) -> String {
    loop {
        let digits = random.digits(count);
        let may_be_card =
            (13..=19).contains(&count) && digits.starts_with(['2', '3', '4', '5', '6']);
        if !(may_be_card && is_luhn(&digits)) {
            return digits;
        }
    }
}

fn base64_text(alphabet: &str, count: usize, random: &mut Random) -> String {
    let padding = match count {
        44 => "=",
        88 => "==",
        _ => "",
    };
    random.text(alphabet, count - padding.len()) + padding
}

/// Private ranges (RFC 1918) and those of documentation (RFC 5737).
fn ipv4(random: &mut Random) -> String {
    let last = random.between(1, 254);
    match random.between(0, 4) {
        0 => format!(
            "10.{}.{}.{last}",
            random.between(0, 255),
            random.between(0, 255)
        ),
        1 => format!("192.168.{}.{last}", random.between(0, 255)),
        2 => format!("172.16.{}.{last}", random.between(0, 255)),
        3 => format!("203.0.113.{last}"),
        _ => format!("198.51.100.{last}"),
    }
}

fn uuid(random: &mut Random) -> String {
    format!(
        "{}-{}-4{}-{}{}-{}",
        random.text(HEX, 8),
        random.text(HEX, 4),
        random.text(HEX, 3),
        random.text("89ab", 1),
        random.text(HEX, 3),
        random.text(HEX, 12)
    )
}

fn ghsa(random: &mut Random) -> String {
    let groups: Vec<String> = (0..3)
        .map(|_| random.text("23456789cfghjmpqrvwx", 4))
        .collect();
    groups.join("-")
}

fn colons(random: &mut Random, count: usize, is_upper: bool) -> String {
    let pairs: Vec<String> = (0..count).map(|_| random.text(HEX, 2)).collect();
    let joined = pairs.join(":");
    if is_upper {
        joined.to_uppercase()
    } else {
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        let mut random = Random::new(1, "a test");
        let filled = fill("{n3} ⦃n3} {3} {{ x }} {nosuch}⏎{md5}", &mut random);
        let (first, second) = filled.split_once('\n').unwrap();
        assert_eq!(&first[3..], " {n3} {3} {{ x }} {nosuch}");
        assert_eq!(second.len(), 32);
        assert_eq!(
            fill("{uuid}{iso}", &mut Random::new(7, "x")),
            fill("{uuid}{iso}", &mut Random::new(7, "x"))
        );
    }

    #[test]
    fn the_check_digit_is_that_of_cards() {
        assert!(is_luhn("4111111111111111"));
        assert!(!is_luhn("4111111111111112"));
    }
}
