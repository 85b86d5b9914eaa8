//! Object Lock, as pure rules over values and a time.
//!
//! Amazon S3 User Guide, "Locking objects with Object Lock": a COMPLIANCE version can be neither
//! deleted nor overwritten nor its retention shortened or its mode changed, by anyone, until the
//! date has passed; it can be extended. GOVERNANCE yields to a caller who may and does bypass.
//! A legal hold protects for as long as it is on, whatever the retention.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// How strictly a version is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// Yields to a bypass.
    Governance,
    /// Yields to nothing.
    Compliance,
}

impl Mode {
    /// The name that S3 uses on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    /// The mode of that name, in capitals as S3 wants it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "GOVERNANCE" => Some(Self::Governance),
            "COMPLIANCE" => Some(Self::Compliance),
            _ => None,
        }
    }
}

/// A retention period on a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// How strictly.
    pub mode: Mode,
    /// Until when.
    pub until: Timestamp,
}

impl Retention {
    /// Whether it still protects at `now`.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.until > now
    }
}

/// What protects one version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The retention, active or past; `None` when none was ever set.
    pub retention: Option<Retention>,
    /// The legal hold; `None` when it was never set, which S3 tells apart from `OFF`.
    pub legal_hold: Option<bool>,
}

impl Lock {
    /// Whether S3 would delete a version under this lock. `bypass` is a permitted
    /// `x-amz-bypass-governance-retention`.
    #[must_use]
    pub fn allows_delete(&self, bypass: bool, now: Timestamp) -> bool {
        if self.legal_hold == Some(true) {
            return false;
        }
        match self.retention {
            Some(retention) if retention.is_active(now) => {
                retention.mode == Mode::Governance && bypass
            }
            _ => true,
        }
    }

    /// Whether S3 would replace this retention by `wanted` (`None` removes it).
    #[must_use]
    pub fn allows_change(&self, wanted: Option<Retention>, bypass: bool, now: Timestamp) -> bool {
        let Some(current) = self.retention.filter(|r| r.is_active(now)) else {
            return true;
        };
        let extends = wanted.is_some_and(|w| w.mode == current.mode && w.until >= current.until);
        match current.mode {
            Mode::Compliance => extends,
            Mode::Governance => extends || bypass,
        }
    }
}

/// How long a bucket's default rule retains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// That many times 24 hours.
    Days(u32),
    /// That many calendar years.
    Years(u32),
}

/// A bucket's default retention rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultRule {
    /// How strictly.
    pub mode: Mode,
    /// For how long from the creation of a version.
    pub period: Period,
}

impl DefaultRule {
    /// The retention of a version created at `created_at`.
    #[must_use]
    pub fn retention(&self, created_at: Timestamp) -> Retention {
        let span = match self.period {
            Period::Days(days) => Span::new().hours(i64::from(days) * 24),
            Period::Years(years) => Span::new().years(i64::from(years)),
        };
        let until = created_at.to_zoned(TimeZone::UTC).checked_add(span);
        // Beyond the calendar's end means for ever, as far as anyone here can tell.
        let until = until.map_or(Timestamp::MAX, |zoned| zoned.timestamp());
        Retention {
            mode: self.mode,
            until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2030-01-01T00:00:00Z";
    const LATER: &str = "2036-01-01T00:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn locked(mode: Mode, until: &str) -> Lock {
        Lock {
            retention: Some(Retention {
                mode,
                until: at(until),
            }),
            legal_hold: None,
        }
    }

    fn wanted(mode: Mode, until: &str) -> Option<Retention> {
        Some(Retention {
            mode,
            until: at(until),
        })
    }

    #[test]
    fn compliance_can_be_extended_and_nothing_else_even_with_a_bypass() {
        let lock = locked(Mode::Compliance, LATER);
        for bypass in [false, true] {
            assert!(!lock.allows_delete(bypass, at(NOW)));
            assert!(!lock.allows_change(None, bypass, at(NOW)));
            let shorter = wanted(Mode::Compliance, "2035-12-31T23:59:59Z");
            assert!(!lock.allows_change(shorter, bypass, at(NOW)));
            let weaker = wanted(Mode::Governance, "2040-01-01T00:00:00Z");
            assert!(!lock.allows_change(weaker, bypass, at(NOW)));
            assert!(lock.allows_change(wanted(Mode::Compliance, LATER), bypass, at(NOW)));
            let longer = wanted(Mode::Compliance, "2036-01-01T00:00:01Z");
            assert!(lock.allows_change(longer, bypass, at(NOW)));
        }
    }

    #[test]
    fn governance_yields_to_a_bypass_only() {
        let lock = locked(Mode::Governance, LATER);
        assert!(!lock.allows_delete(false, at(NOW)));
        assert!(lock.allows_delete(true, at(NOW)));
        assert!(!lock.allows_change(None, false, at(NOW)));
        assert!(lock.allows_change(None, true, at(NOW)));
        assert!(!lock.allows_change(wanted(Mode::Governance, NOW), false, at(NOW)));
        assert!(lock.allows_change(wanted(Mode::Governance, LATER), false, at(NOW)));
        assert!(!lock.allows_change(wanted(Mode::Compliance, LATER), false, at(NOW)));
        assert!(lock.allows_change(wanted(Mode::Compliance, LATER), true, at(NOW)));
    }

    #[test]
    fn a_lock_ends_at_its_date_but_a_legal_hold_does_not() {
        let mut lock = locked(Mode::Compliance, NOW);
        assert!(lock.allows_delete(false, at(NOW)));
        assert!(lock.allows_change(None, false, at(NOW)));
        lock.legal_hold = Some(true);
        assert!(!lock.allows_delete(true, at(LATER)));
        lock.legal_hold = Some(false);
        assert!(lock.allows_delete(false, at(NOW)));
    }

    #[test]
    fn a_default_rule_counts_days_of_24_hours_and_calendar_years() {
        let days = DefaultRule {
            mode: Mode::Compliance,
            period: Period::Days(2192),
        };
        assert_eq!(days.retention(at(NOW)).until, at("2036-01-02T00:00:00Z"));
        let years = DefaultRule {
            mode: Mode::Governance,
            period: Period::Years(6),
        };
        assert_eq!(years.retention(at(NOW)).until, at(LATER));
    }
}
