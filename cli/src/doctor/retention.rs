//! How long evidence is locked: what is configured, what the bucket's default rule says, and the
//! six years of 45 CFR 164.316(b)(2)(i).

use host::config::{DestinationSettings, SIX_YEARS_DAYS};

use super::check::{Check, Family};

const FAMILY: Family = Family("retention");

/// What is configured.
pub(crate) fn configured(destination: &DestinationSettings) -> Check {
    let (id, days) = (&destination.destination_id, destination.retention_days);
    if days < SIX_YEARS_DAYS {
        return FAMILY.warning(
            "configured",
            id,
            format!(
                "{days} days, less than six years ({SIX_YEARS_DAYS} days), which 45 CFR \
                 164.316(b)(2)(i) asks of required documentation"
            ),
            format!("raise it: retention.days = {SIX_YEARS_DAYS} in evidence.toml, then restart"),
        );
    }
    FAMILY.ok("configured", id, format!("{days} days"))
}

/// The bucket's rule in words, as preflight tells it; `None` without one.
pub(crate) fn default_rule(destination: &DestinationSettings, rule: Option<&str>) -> Check {
    let id = &destination.destination_id;
    let remedy = format!(
        "give the bucket a default rule of COMPLIANCE and {} days: msp-evidence bucket create makes \
         one so, and docs/operations.md says how to change one",
        destination.retention_days
    );
    let Some(rule) = rule else {
        return FAMILY.warning(
            "default_rule",
            id,
            "the bucket has no default rule; our objects carry their own locks, but what anybody else \
             puts there is not locked",
            remedy,
        );
    };
    let Some((mode, days)) = parse(rule) else {
        return FAMILY.unchecked(
            "default_rule",
            id,
            format!("{rule:?} is not understood"),
            remedy,
        );
    };
    if mode != "COMPLIANCE" {
        return FAMILY.warning(
            "default_rule",
            id,
            format!("{rule}: what is put there without a lock of its own can be unlocked"),
            remedy,
        );
    }
    if days < SIX_YEARS_DAYS.min(destination.retention_days) {
        return FAMILY.warning(
            "default_rule",
            id,
            format!(
                "{rule}, less than the configured {} days",
                destination.retention_days
            ),
            remedy,
        );
    }
    if days > destination.retention_days {
        return FAMILY.warning(
            "default_rule",
            id,
            format!(
                "{rule}, more than the configured {} days: whoever set the bucket up meant evidence \
                 to stay longer",
                destination.retention_days
            ),
            format!("agree on one: retention_days = {days} in the [[destination]], or lower the rule"),
        );
    }
    FAMILY.ok("default_rule", id, rule)
}

/// `COMPLIANCE 2192 days` or `… 6 years`, a year being 365 days at least.
fn parse(rule: &str) -> Option<(&str, u32)> {
    let mut words = rule.split(' ');
    let (mode, number, unit) = (words.next()?, words.next()?, words.next()?);
    let number: u32 = number.parse().ok()?;
    match (unit, words.next()) {
        ("days", None) => Some((mode, number)),
        // Six years are the six years that are asked for, leap days and all.
        ("years", None) => Some((mode, number.checked_mul(SIX_YEARS_DAYS)?.div_ceil(6))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use host::config::Settings;

    use super::super::check::Verdict;
    use super::*;

    fn destination(days: u32) -> DestinationSettings {
        let text = format!(
            "client_id = \"c\"\nhost_id = \"h\"\n[retention]\ndays = {days}\n\
             acknowledge_shorter_than_six_years = true\n[[destination]]\nid = \"d\"\n\
             bucket = \"bucket\"\nregion = \"r\"\n"
        );
        let mut settings =
            Settings::parse(&text, Path::new("/e.toml"), std::iter::empty()).unwrap();
        settings.destinations.remove(0)
    }

    #[test]
    fn less_than_six_years_is_told() {
        assert_eq!(configured(&destination(2192)).verdict, Verdict::Ok);
        let short = configured(&destination(2191));
        assert_eq!(short.verdict, Verdict::Warning);
        assert!(short.found.contains("164.316(b)(2)(i)"), "{}", short.found);
    }

    #[test]
    fn the_buckets_rule_is_compared_with_what_is_configured() {
        let verdict = |days, rule| default_rule(&destination(days), rule).verdict;
        for good in ["COMPLIANCE 2192 days", "COMPLIANCE 6 years"] {
            assert_eq!(verdict(2192, Some(good)), Verdict::Ok, "{good}");
        }
        for (days, rule) in [
            (2192, None),
            (2192, Some("GOVERNANCE 2192 days")),
            (2192, Some("COMPLIANCE 30 days")),
            (2192, Some("COMPLIANCE 10 years")),
            (30, Some("COMPLIANCE 6 years")),
        ] {
            assert_eq!(verdict(days, rule), Verdict::Warning, "{days} {rule:?}");
        }
        for strange in [
            "COMPLIANCE",
            "COMPLIANCE x days",
            "COMPLIANCE 1 fortnight",
            "A 1 days x",
        ] {
            assert_eq!(
                verdict(2192, Some(strange)),
                Verdict::CouldNotCheck,
                "{strange}"
            );
        }
    }
}
