//! Our own rules: identifiers of patients, and secrets in the forms that logs have them in.
//!
//! Several follow the recognisers of Microsoft Presidio (MIT, `rules/LICENSE.presidio`), made narrower:
//! what Presidio scores by words near by, is here found only after such a word. A log is full of
//! numbers, and a rule that takes them for patients' makes evidence useless.

use crate::check;
use crate::rule::{Action, Check, Normal, Origin, Pattern, Rule};

/// From a label to its value: quotes, a sign, at most one line break.
const TO_VALUE: &str = r#"["'\x60\])*\\]{0,3}[ \t]*(?:[:=#|>]{1,2}|:=|=>|->|\bis\b|\bwas\b)?[ \t]*(?:\\?\r?\n[ \t]*)?["'\x60(\[<\\]{0,3}"#;
/// The same with a sign that must be there.
const TO_SIGNED: &str = r#"["'\x60\])*\\]{0,3}[ \t]*(?:[:=|>]{1,2}|:=|=>|->)[ \t]*(?:\\?\r?\n[ \t]*)?["'\x60(\[<\\]{0,3}"#;
/// After a label: `number`, `no.`, `#`.
const NUMBER: &str = r"(?:[ _.-]{0,2}(?:number|numbers|num|nbr|no|id|value|#)\b\.?)?";

struct Own {
    id: &'static str,
    description: &'static str,
    keywords: &'static [&'static str],
    /// `LABEL`, `SIGNED` and `NUMBER` stand for the texts above.
    pattern: &'static str,
    check: Option<Check>,
    normal: Normal,
    splits: bool,
}

const RULES: &[Own] = &[
    Own {
        id: "private-key-block",
        description: "a private key in PEM, PGP or OpenSSH form, also when its end is cut off",
        keywords: &["private key"],
        pattern: r#"-----BEGIN[ A-Z0-9_-]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?:Proc-Type|DEK-Info|Version|Comment|Hash):[^\r\n]*|[A-Za-z0-9+/=]{24,}|[\s"',+>|\[\]]|\\[nr])*(?:[A-Za-z0-9+/=]{1,23}(?:[\s"',+>|\[\]]|\\[nr])*)?(?:-----END[ A-Z0-9_-]{0,40}KEY(?: BLOCK)?-----)?"#,
        check: None,
        normal: Normal::Exact,
        splits: false,
    },
    Own {
        id: "url-password",
        description: "the password in a URL",
        keywords: &["://"],
        pattern: r#"(?i)\b[a-z][a-z0-9+.-]{1,30}://[^\s/:@"'<>]{0,100}:([^\s/"'<>]{1,256})@"#,
        check: Some(check::secret),
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "password",
        description: "what is assigned to a password, also as an option, in an environment or in a \
                      connection string",
        keywords: &[
            "passw",
            "passphrase",
            "passwd",
            "pwd",
            "secret",
            "apikey",
            "api_key",
            "api-key",
            "token",
            "accountkey",
            "accesskey",
            "access_key",
            "access-key",
            "sharedaccess",
            "credential",
            "pass=",
        ],
        pattern: r#"(?i)(?:pass(?:word|wd|phrase|code)?|pwd|secret(?:[ _-]?(?:access)?[ _-]?key)?|api[_-]?key|access[_-]?key|account[_-]?key|shared[_-]?access[_-]?(?:key|signature)|auth[_-]?token|access[_-]?token|refresh[_-]?token|session[_-]?token)["'\]\\]{0,3}[ \t]?(?:=|:=|=>)[ \t]?(?:\\?["']([^"'\r\n\\]{1,256})\\?["']|([^\s"'&;,<>()\[\]{}]{3,256}))"#,
        check: Some(check::secret),
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "password-label",
        description: "what follows a password's label and a colon",
        keywords: &[
            "_pass",
            "passcode",
            "access",
            "passw",
            "passphrase",
            "passwd",
            "pwd",
            "secret",
            "apikey",
            "api_key",
            "api-key",
            "token",
        ],
        pattern: r#"(?i)(?:pass(?:word|wd|phrase|code)|_pass|pwd|secret(?:[ _-]?(?:access)?[ _-]?key)?|api[_-]?key|access[_-]?key|(?:auth|access|refresh|session)[_-]?token)["'\]\\]{0,3}[ \t]?:[ \t]{0,3}(?:\\?\r?\n[ \t]+)?(?:\\?["']([^"'\r\n\\]{3,256})\\?["']|([^\s"'&;,<>()\[\]{}]{4,256}))"#,
        check: Some(check::secret_in_prose),
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "password-option",
        description: "a password given as an option on a command line",
        keywords: &[
            "--account",
            "--pass",
            "--pwd",
            "--secret",
            "--token",
            "--api",
            "--access",
            "sshpass",
            "mysql",
            "-p",
        ],
        pattern: r#"(?i)(?:--(?:password|passwd|passphrase|pass|pwd|secret|token|api-?key|access-?key|account-?key|auth-?token)[ =]|\bsshpass[ ]+-p[ ]*|\b(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump)\b[^\r\n|;&]{0,200}?[ ]-p)(?:"([^"\r\n]{1,256})"|'([^'\r\n]{1,256})'|([^\s"'-][^\s"']{2,256}))"#,
        check: Some(check::secret),
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "command-password",
        description: "a password in the arguments of a command that is known to take it",
        keywords: &[
            "smbclient",
            "/user:",
            "psexec",
            "htpasswd",
            "ldap",
            "sudo",
            "pass:",
            "aws_secret",
            "curl",
            "private-key",
        ],
        pattern: r#"(?i)(?:[ ]-pass(?:in|out)?[ ]+pass:([^\s"']+)|\bsmbclient\b[^\r\n|;&]{0,200}?[ ]-U[ ]*[^\s%]{1,64}%([^\s"']+)|[ ]/user:[^\s]{1,64}[ ]+([^\s/*][^\s]*)|\bpsexec\b[^\r\n|;&]{0,200}?[ ]-p[ ]+([^\s]+)|\bhtpasswd[ ]+-[a-z]*b[a-z]*[ ]+[^\s]+[ ]+[^\s]+[ ]+([^\s]+)|\bldap[a-z]{2,8}[ ][^\r\n|;&]{0,200}?-w[ ]*["']?([^\s"']+)|\becho[ ]+["']?([^\s"'|]+)["']?[ ]*\|[ ]*sudo[ ]+-S|\baws_secret_access_key[ ]+([^\s"']{16,})|\bcurl\b[^\r\n|;&]{0,400}?[ ](?:-u|--user)[ =]["']?[^\s"':]{1,128}:([^\s"']{1,256})|\bprivate-key[ ]+<\(echo[ ]+([A-Za-z0-9+/=]{16,}))"#,
        check: Some(check::secret),
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "url-signature",
        description: "the signature of a URL that gives access by itself (AWS, Azure, Google)",
        keywords: &["sig=", "-signature=", "security-token="],
        pattern: r#"(?i)(?:[?&;]sig|\bx-(?:amz|goog)-(?:signature|security-token))=([A-Za-z0-9%+/=_-]{16,2048})"#,
        check: None,
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "session-cookie",
        description: "the cookie of a session",
        keywords: &[
            "cookie",
            "jsessionid=",
            "phpsessid=",
            "sessionid=",
            "connect.sid=",
        ],
        pattern: r#"(?i)(?:\b(?:jsessionid|phpsessid|asp\.net_sessionid|connect\.sid)=|\bcookies?\\?["']?[ \t]*[:=][ \t]*\\?["']?(?:[^\r\n"']{0,400}?[; ])??[\w.-]{0,32}(?:sess(?:ion)?(?:[_-]?id)?|sid|auth|token|remember[\w-]{0,16})=)([^;\s"',\\]{8,4096})"#,
        check: Some(check::secret),
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "stripe-key",
        description: "a key of Stripe's, also before a colon",
        keywords: &[
            "sk_live_", "rk_live_", "sk_test_", "rk_test_", "sk_prod_", "rk_prod_",
        ],
        pattern: r"\b((?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,247})\b",
        check: None,
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "slack-token",
        description: "a token of Slack's, of any kind",
        keywords: &["xox"],
        pattern: r"\b(xox[abeoprs](?:\.xox[abp])?-[A-Za-z0-9-]{10,250})",
        check: None,
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "wireguard-key",
        description: "a private or preshared key of WireGuard's",
        keywords: &[
            "privatekey",
            "presharedkey",
            "private-key",
            "private_key",
            "preshared",
            "private key",
        ],
        pattern: r#"(?i)(?:private|preshared)[ _-]?key["']?[^\r\n]{0,30}?[^A-Za-z0-9+/]([A-Za-z0-9+/]{43}=)"#,
        check: None,
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "http-authorization",
        description: "the credentials of an HTTP request (RFC 7235)",
        keywords: &["authorization", "x-api-key", "x-auth-token"],
        pattern: r#"(?i)(?:\b(?:proxy-)?authorization["'\\]{0,3}[ \t]*[:=][ \t]*["'\\]{0,3}(?:basic|bearer|token|apikey|negotiate|digest)[ \t]+|\bx-(?:api-key|auth-token)["'\\]{0,3}[ \t]*[:=][ \t]*["'\\]{0,3})([\w.~+/=-]{6,4096})"#,
        check: Some(check::secret),
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "json-web-token",
        description: "a JSON web token (RFC 7519)",
        keywords: &["eyj"],
        pattern: r"\b(eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)",
        check: None,
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "us-ssn",
        description: "a US social security number, as 123-45-6789",
        keywords: &[],
        pattern: r"\b(\d{3}-\d{2}-\d{4})\b",
        check: Some(check::ssn),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "us-ssn-label",
        description: "a US social security number after its label, in any form",
        keywords: &["ssn", "social", "soc sec"],
        pattern: r"(?i)(?:(?:\b|_)ssn|(?-i:[a-z]SSN|[a-z]Ssn)|\bsocial[ _-]?security|\bsoc\.? sec\.?)NUMBERVALUE(\d{3}[ .-]?\d{2}[ .-]?\d{4})\b",
        check: Some(check::ssn),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "us-itin",
        description: "a US individual taxpayer number",
        keywords: &[],
        pattern: r"\b(9\d{2}-\d{2}-\d{4})\b",
        check: Some(check::itin),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "mrn",
        description: "a medical record number after its label",
        keywords: &[
            "med rec",
            "medrec",
            "med_rec",
            "mrn",
            "record",
            "patient",
            "pat_id",
            "patid",
            "pat id",
            "chart",
            "empi",
            "encounter",
        ],
        pattern: r"(?i)(?:(?:\b|_)mrn|(?-i:[a-z]MRN|[a-z]Mrn)|\bmed(?:ical)?[ _.-]?rec(?:ord)?s?[ _.-]?(?:number|num|nbr|no\b\.?|id|#)|\bpatient[ _.-]?(?:identifier|number|num|nbr|no\b\.?|id|#|acct|account)|\bpat[ _-]?id|\bchart[ _.-]?(?:number|num|no\b\.?|id|#)|\b(?:e|enterprise[ _-]?)mpi[ _-]?(?:id)?|\bencounter[ _.-]?(?:number|num|no\b\.?|id|#))NUMBER(?:SIGNED([A-Z0-9][\w.-]{2,63})|[ \t_-]{0,3}#?((?:[A-Z]{1,4}-?)?\d{4,14}|\d{2,4}-\d{3,8}(?:-\d{1,6})?)(?:\b|_))|(?i)\bpatient[ _-]#?(\d{5,14})(?:\b|_)",
        check: Some(check::record_number),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "hl7-segment",
        description: "a segment of an HL7 version 2 message that holds a person",
        keywords: &["pid|", "nk1|", "gt1|", "in1|", "in2|", "pd1|"],
        pattern: r"\b(?:PID|NK1|GT1|IN1|IN2|PD1)\|([^\r\n]{1,8192})",
        check: None,
        normal: Normal::Exact,
        splits: false,
    },
    Own {
        id: "date-of-birth",
        description: "a date of birth after its label",
        keywords: &["dob", "d.o.b", "birth", "born"],
        pattern: r"(?i)(?:(?:\b|_)dob|(?-i:[a-z]DOB|[a-z]Dob)|\bd\.o\.b\.?|\bdate[ _-]?of[ _-]?birth|(?:\b|_)birth[ _-]?(?:date|day)|(?-i:[a-z]Birth(?:Date|Day|date|day))|\bborn(?:[ _-]?on)?)(?:[ ]?\([^)\r\n]{1,20}\))?VALUE(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})|\d{8}|(?:\d{1,2}(?:st|nd|rd|th)?[ -])?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?(?:[ -]\d{1,2}(?:st|nd|rd|th)?,?)?[ -]\d{4})\b",
        check: None,
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "phone",
        description: "a phone number of the North American plan, in its usual forms",
        keywords: &[],
        pattern: r"((?:\+?1[ .-]?)?\([2-9]\d{2}\)[ .-]?[2-9]\d{2}[ .-]?\d{4}|\+1[ .-]?[2-9]\d{2}[ .-]?[2-9]\d{2}[ .-]?\d{4}|(?:1[.-])?\b[2-9]\d{2}-[2-9]\d{2}-\d{4}|\b[2-9]\d{2}\.[2-9]\d{2}\.\d{4})\b",
        check: Some(check::phone),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "phone-label",
        description: "a phone number after its label",
        keywords: &[
            "phone", "tel", "mobile", "cell", "fax", "sms", "call", "contact",
        ],
        pattern: r"(?i)(?:phone|(?:\b|_)(?:tel|telephone|mobile|cell|fax|sms|call|contact)(?:[ _-]?(?:at|on|to))?)NUMBERVALUE((?:\+?1[ .-]?)?\(?[2-9]\d{2}\)?[ .-]?[2-9]\d{2}[ .-]?\d{4})\b",
        check: Some(check::phone),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "phone-international",
        description: "a phone number with its country's code (ITU-T E.164)",
        keywords: &["+"],
        pattern: r"(\+(?:[2-9]\d{0,2})(?:[ .-]?\(?\d{1,5}\)?){2,5})\b",
        check: Some(check::international),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "email",
        description: "an e-mail address of a person",
        keywords: &["@"],
        pattern: r"(?i)\b([a-z0-9][a-z0-9.!#$&'*+/=?^_{|}~-]{0,63}@(?:[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\.){1,8}[a-z]{2,24})\b",
        check: Some(check::email),
        normal: Normal::Exact,
        splits: true,
    },
    Own {
        id: "payment-card",
        description: "the number of a payment card, with its check digit",
        keywords: &[],
        pattern: r"\b(\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}(?:\d{3})?|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}|3[0689]\d{2}[ -]?\d{6}[ -]?\d{4})\b",
        check: Some(check::card),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "npi",
        description: "a national provider identifier after its label",
        keywords: &["npi", "national provider"],
        pattern: r"(?i)(?:(?:\b|_)npi|(?-i:[a-z]NPI|[a-z]Npi)|\bnational[ _-]provider[ _-](?:identifier|id))NUMBERVALUE([12]\d{3}[ -]?\d{3}[ -]?\d{3})\b",
        check: Some(check::npi),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "dea",
        description: "a DEA registration number after its label",
        keywords: &["dea"],
        pattern: r"(?i)(?:(?:\b|_)dea|(?-i:[a-z]DEA|[a-z]Dea))(?:[ _-]?reg(?:istration)?)?NUMBERVALUE([abcdefghjklmprstux][a-z9]\d{7})\b",
        check: Some(check::dea),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "medicare-mbi",
        description: "a Medicare beneficiary identifier (CMS, MBI format)",
        keywords: &[],
        pattern: r"\b([1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y]\d-?[AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y]\d-?[AC-HJKMNP-RT-Y]{2}\d{2})\b",
        check: Some(check::alone),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "insurance-id",
        description: "the number of an insured person after its label",
        keywords: &[
            "member",
            "subscriber",
            "beneficiary",
            "insured",
            "insurance",
            "enrollee",
            "medicaid",
            "medicare",
            "health_plan",
            "health plan",
            "healthplan",
        ],
        pattern: r"(?i)\b(?:(?:member|subscriber|beneficiary|insured|enrollee|medicaid|medicare|health[ _-]?plan|insurance(?:[ _-]?(?:policy|member|card|plan))?)[ _.-]?(?:identifier|number|num|nbr|no\b\.?|id|#))VALUE((?:[A-Z]{1,5}-?)?\d[A-Z0-9-]{4,18}[A-Z0-9]|[A-Z]{1,5}-?[A-Z0-9]{5,14})\b",
        check: Some(check::member_id),
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "care-reference",
        description: "the number of a claim, a prescription, a referral or an authorisation for care",
        keywords: &[
            "claim",
            "prescription",
            "rx",
            "referral",
            "prior auth",
            "priorauth",
            "prior_auth",
            "preauth",
        ],
        pattern: r"(?i)\b(?:claim|prescription|rx|referral|prior[ _-]?auth(?:orization)?|pre-?auth(?:orization)?)[ _.-]?(?:number|num|nbr|no\b\.?|id|#)VALUE((?:(?:CLM|RX|REF|INF|PA)-?)?\d{6,15})\b",
        check: None,
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "policy-number",
        description: "the number of an insurance policy after its label",
        keywords: &["policy"],
        pattern: r"(?i)\bpolicy[ _-]?(?:number|no\b\.?|nbr|#)VALUE((?:[A-Z]{1,5}-?)?\d{6,14}(?:-\d{1,4})?)\b",
        check: None,
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "dicom-name",
        description: "a person's name as DICOM writes it (PS3.5, value representation PN)",
        keywords: &["0010,0010", "00100010", "patientname", "patient's name"],
        pattern: r#"(?i)(?:0010,?0010|Patient(?:'s )?Name)[^\r\n]{0,80}?[^A-Za-z\x80-\xff'.^-]([A-Za-z\x80-\xff'.-]+(?:\^[A-Za-z\x80-\xff'.-]*)+)"#,
        check: None,
        normal: Normal::Alphanumeric,
        splits: true,
    },
    Own {
        id: "person-name",
        description: "a person's name after its label",
        keywords: &[
            "pt:",
            "patient",
            "name",
            "guarantor",
            "subscriber",
            "insured",
            "next of kin",
            "emergency contact",
        ],
        pattern: r"(?i)(?:\bpatient(?:'s)?(?:[ _.-]?(?:full[ _-]?)?name)?|\b(?-i:Pt|PT)|\bpt[ _.-]?name|(?:\b|_)(?:first|last|middle|given|family|full|maiden)[ _-]?name|(?-i:[a-z](?:First|Last|Middle|Given|Family|Full|Maiden)Name)|\bsurname|\b(?:guarantor|subscriber|insured|member|beneficiary|next of kin|emergency contact)(?:[ _.-]?(?:full[ _-]?)?name)?)SIGNED([A-Za-z\x80-\xff][A-Za-z\x80-\xff'.-]*(?-i:(?:(?:, ?|\^| )[A-Z\x80-\xff][A-Za-z\x80-\xff'.-]*){0,4}))",
        check: Some(check::name),
        normal: Normal::Alphanumeric,
        splits: true,
    },
];

/// The rules, all of them to redact.
pub(crate) fn rules() -> Vec<Rule> {
    RULES
        .iter()
        .enumerate()
        .map(|(rank, own)| Rule {
            id: own.id.to_owned(),
            description: own.description.to_owned(),
            origin: Origin::Own,
            action: Action::Redact,
            pattern: Pattern::new(
                own.pattern
                    .replace("NUMBER", NUMBER)
                    .replace("SIGNED", TO_SIGNED)
                    .replace("VALUE", TO_VALUE),
            ),
            keywords: own.keywords.iter().map(|&k| k.to_owned()).collect(),
            secret_group: 0,
            entropy: 0.0,
            check: own.check,
            exceptions: Vec::new(),
            normal: own.normal,
            splits: own.splits,
            // There are few of them.
            rank: u8::try_from(rank).unwrap_or(u8::MAX).min(40),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_every_name_can_be_in_a_marker() {
        for rule in rules() {
            if let Err(error) = Pattern::compiled(rule.pattern.source()) {
                panic!("{}: {error}", rule.id);
            }
            assert!(crate::marker::is_rule_name(&rule.id), "{}", rule.id);
            assert!(rule.keywords.iter().all(|k| *k == k.to_lowercase()));
        }
    }
}
