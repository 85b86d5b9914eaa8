//! Synthetic results of an audit, made from a seed as they are asked for: whatever a report must show,
//! and text that is out to break it. No incident here is anybody's.

use audit::report::{
    BodyContent, BundleContent, CheckContent, CheckResult, Content, CustodyContent, Each,
    FindingContent, IncidentContent, IncidentDetail, Proven, ReportError, Summary, VersionContent,
};
use audit::{Check, Code, Finding, Level, Subject, Tally, TrustedKey};
use evidence::bundle::{Kind, TimeSource};
use evidence::controls::{About, ControlMap};
use evidence::custody::IncidentEntry;
use evidence::digest::Sha256;
use evidence::findings::Finding as SealedFinding;
use evidence::incident::{Action, StoredFile};
use fastrand::Rng;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Number;

/// Text that would run, redirect, fetch or hide, were it not escaped.
pub const HOSTILE: &str = "</td></script><script>alert(1)</script><img src=\"https://evil.example/x\" onerror=alert(2)> \
     \u{202e}gnp.exe\u{202c} \u{200b}&lt;b&gt; {{7*7}} javascript:alert(3) \u{0}\u{1b}[31mred";

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Where all that is random begins.
    pub seed: u64,
    /// How many hosts.
    pub hosts: u64,
    /// How many hours each of them lives.
    pub hours: i64,
    /// In how many of 1,000 hours an incident happens.
    pub incidents_per_mille: u64,
    /// Whether anything is wrong with the evidence, and whether its text is hostile.
    pub damaged: bool,
}

/// The results.
#[derive(Debug)]
pub struct Synthetic {
    shape: Shape,
    summary: Summary,
    findings: Vec<FindingContent>,
}

const EVENTS: [(&str, &str, &[&str]); 5] = [
    (
        "backup_failure",
        "high",
        &["164.308(a)(7)(ii)(A)", "164.310(d)(2)(iv)"],
    ),
    ("patch_drift", "medium", &["164.308(a)(5)(ii)(B)"]),
    (
        "disk_encryption_off",
        "critical",
        &["45 CFR 164.312(a)(2)(iv)", "164.312(e)(2)(ii)"],
    ),
    (
        "audit_log_gap",
        "low",
        &["164.312(b)", "164.308(a)(1)(ii)(D)"],
    ),
    ("stale_account", "info", &["164.308(a)(3)(ii)(C)"]),
];

fn start() -> Timestamp {
    // 2026-10-01T00:00:00Z
    Timestamp::constant(1_790_812_800, 0)
}

impl Synthetic {
    /// The results of this shape.
    ///
    /// # Panics
    /// When the shape has more hours than there is time.
    pub fn new(shape: Shape) -> Self {
        let mut made = Self {
            shape,
            summary: Summary {
                tool: "msp-evidence 0.1.0".to_owned(),
                source: "s3://msp-evidence-example/evidence/v1/".to_owned(),
                scope: String::new(),
                looked_at: Some(start() + (shape.hours + 2).hours()),
                asked_from: None,
                asked_to: None,
                silent_after_secs: 4_500,
                objects: 0,
                keys: (0..shape.hosts).map(key).collect(),
                checks: Vec::new(),
            },
            findings: Vec::new(),
        };
        let mut bundles = 0;
        let mut findings = Vec::new();
        made.each(&mut |bundle| {
            bundles += 1;
            findings.extend(bundle.findings);
            Ok(())
        })
        .expect("nothing here fails");
        if shape.damaged {
            findings.push(finding(
                Check::Coverage,
                Level::Failed,
                Code::Silent,
                None,
                "No custody came for 6 hours.",
                None,
            ));
        }
        let count = |check: Check, level| {
            findings
                .iter()
                .filter(|finding| finding.found.check == check && finding.found.level == level)
                .count() as u64
        };
        made.summary.checks = Check::ALL
            .into_iter()
            .map(|check| {
                let failed = count(check, Level::Failed);
                let could_not_check = count(check, Level::CouldNotCheck);
                let of = if check == Check::Artifact { 0 } else { bundles };
                CheckContent {
                    check,
                    tally: Tally {
                        passed: u64::saturating_sub(of, failed + could_not_check),
                        failed,
                        could_not_check,
                    },
                }
            })
            .collect();
        made.summary.objects = bundles * 2;
        made.findings = findings;
        made
    }

    fn each(&self, each: Each<'_, BundleContent>) -> Result<(), ReportError> {
        let mut number = 0;
        for host in 0..self.shape.hosts {
            let mut rng = Rng::with_seed(self.shape.seed ^ (host << 32));
            let mut sequence = 0;
            for hour in 0..self.shape.hours {
                let at = start() + hour.hours();
                if rng.u64(0..1_000) < self.shape.incidents_per_mille {
                    for _ in 0..rng.u64(1..4) {
                        number += 1;
                        sequence += 1;
                        let sealed = at + rng.i64(0..3_000).seconds();
                        each(self.incident(&mut rng, host, number, sequence, sealed))?;
                    }
                }
                let stopped = self.shape.damaged && (20..24).contains(&hour);
                let silent = stopped
                    || self.shape.damaged && (hour % 59 > 52 || (host == 1 && hour % 97 > 62));
                if !silent {
                    number += 1;
                    sequence += 1;
                    each(self.custody(host, number, sequence, at + 3_590.seconds()))?;
                }
            }
        }
        if self.shape.damaged && self.shape.hosts > 0 {
            each(unproven(number + 1))?;
        }
        Ok(())
    }

    /// The agents of damaged hosts stop once.
    fn is_stop(&self, at: Timestamp) -> bool {
        self.shape.damaged && at == start() + 19.hours() + 3_590.seconds()
    }

    fn incident(
        &self,
        rng: &mut Rng,
        host: u64,
        number: u64,
        sequence: u64,
        at: Timestamp,
    ) -> BundleContent {
        let (event, severity, controls) = EVENTS[rng.usize(0..EVENTS.len())];
        let hostile = self.shape.damaged && number % 23 == 7;
        let mttr_secs = f64::from(rng.u32(20..400)) * if rng.u32(0..9) == 0 { 60.0 } else { 1.0 };
        let text = |plain: &str| {
            if hostile {
                format!("{plain} {HOSTILE}")
            } else {
                plain.to_owned()
            }
        };
        let mut hipaa_controls: Vec<String> = controls.iter().map(|c| (*c).to_owned()).collect();
        if hostile {
            hipaa_controls.push(HOSTILE.to_owned());
        }
        let steps = rng.u64(1..4);
        let sealed_findings = if hostile {
            vec![SealedFinding::new(
                "sla_mismatch",
                "/execution/sla_met",
                "sla_met does not follow from the times",
            )]
        } else {
            Vec::new()
        };
        let entry = IncidentEntry {
            incident_id: text(&format!("INC-{number:05}")),
            event_type: if hostile {
                HOSTILE.to_owned()
            } else {
                event.to_owned()
            },
            severity: severity.to_owned(),
            detected_at: (at - 600.seconds()).to_string().parse().expect("a time"),
            hostname: text(&format!("srv-{host}")),
            hipaa_controls,
            resolution_type: if rng.u32(0..6) == 0 {
                "escalated"
            } else {
                "auto"
            }
            .to_owned(),
            sla_met: mttr_secs <= 900.0,
            mttr_seconds: Number::from_f64(mttr_secs).expect("a number"),
            sla_target_seconds: Number::from(900),
            soc2: ControlMap::built_in()
                .map(
                    &[],
                    About {
                        event_type: event,
                        runbook_id: "rb",
                        acted: true,
                    },
                )
                .soc2,
            findings: sealed_findings
                .iter()
                .map(|finding| finding.code.to_string())
                .collect(),
        };
        let detail = IncidentDetail {
            runbook_id: format!("rb-{event}"),
            runbook_version: "3.1".to_owned(),
            runbook_hash: Sha256::of(event.as_bytes()).prefixed(),
            steps_total: 3,
            steps_executed: steps,
            started: (at - 500.seconds()).to_string(),
            ended: at.to_string(),
            operator: text("remediation-bot"),
            dry_run: false,
            resolution_status: "success".to_owned(),
            actions: (1..=steps).map(|step| action(step, at, hostile)).collect(),
            artifacts: if rng.u32(0..3) == 0 {
                vec![artifact(number)]
            } else {
                Vec::new()
            },
            clock: Some(TimeSource::unknown()),
            sealed_findings,
        };
        let body = BodyContent::Incident(Box::new(IncidentContent {
            entry,
            detail: Some(detail),
        }));
        self.bundle(host, number, sequence, at, Kind::Incident, body)
    }

    fn custody(&self, host: u64, number: u64, sequence: u64, at: Timestamp) -> BundleContent {
        let body = BodyContent::Custody(CustodyContent {
            because: if self.is_stop(at) { "stop" } else { "interval" }.to_owned(),
            from_sequence: (sequence > 1).then(|| sequence - 1),
            to_sequence: (sequence > 1).then(|| sequence - 1),
            sealed: u64::from(sequence > 1),
            confirmed: 2,
            quarantined: 0,
            duplicates: 0,
            clock_jumps: 0,
        });
        self.bundle(host, number, sequence, at, Kind::Custody, body)
    }

    fn bundle(
        &self,
        host: u64,
        number: u64,
        sequence: u64,
        at: Timestamp,
        kind: Kind,
        body: BodyContent,
    ) -> BundleContent {
        let name = format!("EB-{}-{:04}", at.strftime("%Y%m%d"), sequence % 9_999 + 1);
        let object = format!(
            "clinic-{host}/{}/CHAIN/{}/{name}.json",
            host_id(host),
            at.strftime("%Y/%m/%d")
        );
        let proven = Proven {
            kind,
            client_id: format!("clinic-{host}"),
            host_id: host_id(host),
            chain_id: format!("01K8XAMP1E00000000000000{host:02}"),
            sequence,
            previous_sha256: (sequence > 1).then(|| Sha256::of(&(number - 1).to_be_bytes())),
            evidence_bundle_hash: Sha256::of(name.as_bytes()).prefixed(),
            key_id: key(host).fingerprint,
            generated_at: at,
            body,
        };
        let findings = if self.shape.damaged {
            wrong(number, &object)
        } else {
            Vec::new()
        };
        let versions = ["", ".bundle"]
            .iter()
            .map(|suffix| version(format!("{object}{suffix}"), number, at))
            .collect();
        BundleContent {
            number,
            name,
            object,
            sha256: Some(Sha256::of(&number.to_be_bytes())),
            signature: CheckResult::Passed,
            proven: Some(proven),
            problem: None,
            covered_by: number
                .is_multiple_of(2)
                .then(|| "EB-20261001-0002".to_owned()),
            findings,
            versions,
        }
    }
}

fn host_id(host: u64) -> String {
    ["srv-front-desk", "srv-imaging", "nas-records"]
        .get(usize::try_from(host).unwrap_or(usize::MAX))
        .map_or_else(|| format!("srv-{host}"), |name| (*name).to_owned())
}

fn key(host: u64) -> TrustedKey {
    TrustedKey {
        fingerprint: Sha256::of(host_id(host).as_bytes()).prefixed(),
        trusted_because: format!("given: clinic-{host}.pub"),
        client_id: Some(format!("clinic-{host}")),
        host_id: Some(host_id(host)),
        not_before: None,
        not_after: None,
        revoked_at: (host == 2).then(|| start() + 900.hours()),
        revoked_reason: (host == 2).then(|| "the host was replaced".to_owned()),
    }
}

fn action(step: u64, at: Timestamp, hostile: bool) -> Action {
    let text = |plain: &str| {
        if hostile {
            HOSTILE.to_owned()
        } else {
            plain.to_owned()
        }
    };
    Action {
        step,
        action: text(["look", "repair", "verify"][usize::try_from(step - 1).unwrap_or(0) % 3]),
        script_hash: Sha256::of(&step.to_be_bytes()).prefixed(),
        result: "ok".to_owned(),
        exit_code: Some(0),
        timestamp: at.to_string().parse().expect("a time"),
        stdout_excerpt: (step == 2).then(|| text("service restarted\n2 of 2 volumes healthy")),
        stderr_excerpt: None,
        error_message: None,
        other: serde_json::Map::new(),
    }
}

fn artifact(number: u64) -> StoredFile {
    StoredFile {
        name: "backup.log".to_owned(),
        size_bytes: number * 1_013,
        sha256: Sha256::of(&number.to_le_bytes()),
    }
}

fn version(object: String, number: u64, at: Timestamp) -> VersionContent {
    VersionContent {
        object,
        version_id: Some(format!(
            "v{}",
            &Sha256::of(&number.to_be_bytes()).to_string()[..24]
        )),
        lock_mode: Some("COMPLIANCE".to_owned()),
        retain_until: Some(at + (2_192 * 24).hours()),
        last_modified: Some(at + 4.seconds()),
        size_bytes: Some(4_096 + number % 900),
        is_latest: Some(true),
        is_delete_marker: false,
    }
}

fn finding(
    check: Check,
    level: Level,
    code: Code,
    path: Option<&str>,
    message: &str,
    bundle: Option<u64>,
) -> FindingContent {
    FindingContent {
        about: path.unwrap_or("the whole").to_owned(),
        found: Finding {
            check,
            level,
            code,
            subject: Subject {
                path: path.map(str::to_owned),
                ..Subject::default()
            },
            message: message.to_owned(),
        },
        bundle,
    }
}

/// What is wrong with a bundle, going by its number.
fn wrong(number: u64, object: &str) -> Vec<FindingContent> {
    let (check, level, code, message) = match number % 97 {
        11 => (
            Check::Retention,
            Level::Failed,
            Code::LockTooShort,
            "Locked until 2027-01-01; the plan asks for 2192 days.",
        ),
        30 => (
            Check::Lock,
            Level::CouldNotCheck,
            Code::LockUnknown,
            "The store would not say whether it is locked: access denied.",
        ),
        53 => (
            Check::Chain,
            Level::Note,
            Code::Restarted,
            "The machine was started again.",
        ),
        71 => {
            return vec![finding(
                Check::Unexpected,
                Level::Failed,
                Code::UnexpectedObject,
                Some(&format!("{object} {HOSTILE}")),
                &format!("It belongs to no bundle: {HOSTILE}"),
                Some(number),
            )];
        }
        _ => return Vec::new(),
    };
    vec![finding(
        check,
        level,
        code,
        Some(object),
        message,
        Some(number),
    )]
}

/// What was found, and is not what anybody sealed.
fn unproven(number: u64) -> BundleContent {
    let object = format!(
        "clinic-0/{}/CHAIN/2026/10/02/EB-20261002-0099.json",
        host_id(0)
    );
    BundleContent {
        number,
        name: "EB-20261002-0099".to_owned(),
        object: object.clone(),
        sha256: Some(Sha256::of(b"forged")),
        signature: CheckResult::Failed,
        proven: None,
        problem: Some("the signature is for other bytes".to_owned()),
        covered_by: None,
        findings: vec![finding(
            Check::Signature,
            Level::Failed,
            Code::BytesChanged,
            Some(&object),
            "The signature is for other bytes than these.",
            Some(number),
        )],
        versions: Vec::new(),
    }
}

impl Content for Synthetic {
    fn summary(&self) -> &Summary {
        &self.summary
    }

    fn bundles(&self, each: Each<'_, BundleContent>) -> Result<(), ReportError> {
        self.each(each)
    }

    fn findings(
        &self,
        check: Check,
        level: Level,
        each: Each<'_, FindingContent>,
    ) -> Result<(), ReportError> {
        self.findings
            .iter()
            .filter(|finding| finding.found.check == check && finding.found.level == level)
            .try_for_each(|finding| each(finding.clone()))
    }
}
