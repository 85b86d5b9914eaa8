//! `bucket create`: a bucket for evidence through the API, with the settings of the templates.
//!
//! Only a bucket that does not exist yet, or holds nothing, is touched: what is in use is changed by
//! templates or by hand, never in passing. The policy comes last, since it forbids the rest. Everything
//! is read back, and only what was read counts as done.

use std::path::Path;

use anyhow::{Context as _, Result};
use destination::{Failure, S3Destination, S3Options, Setting, Standing};
use host::config::Settings;
use host::exit::ExitCode;
use serde::Serialize;
use serde_json::Value;

use crate::arguments::BucketCreateOptions;
use crate::bucket_policy::{self, Inputs};
use crate::conformance::chosen;
use crate::output::{self, Misuse, agreed, plain};

/// The documented form of `bucket create --json`.
#[derive(Serialize)]
pub(crate) struct Report {
    bucket: String,
    /// `would_create`, `created`, `completed` (it existed and was empty), `in_use` or `unlockable`.
    pub(crate) outcome: &'static str,
    settings: Vec<Told>,
    /// The policy that is or would be attached.
    policy: Option<Value>,
}

#[derive(Serialize)]
struct Told {
    name: &'static str,
    wanted: Value,
    /// `would_set`, `as_wanted`, `different`, `not_offered` or `could_not_read`.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

pub(crate) fn run(options: &BucketCreateOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let chosen = chosen(options.destination.as_deref(), &settings)?;
    let store = uploader::store_options(chosen, &settings)?;
    let Some((report, code)) = make(options, &settings, store)? else {
        eprintln!("msp-evidence: not agreed, so nothing was sent");
        return Ok(ExitCode::Usage);
    };
    if options.json {
        output::json(&report)?;
    } else {
        print(&report);
    }
    Ok(code)
}

/// Says what it is going to do, asks, and does it; `None` when it was not agreed.
pub(crate) fn make(
    options: &BucketCreateOptions,
    settings: &Settings,
    store: S3Options,
) -> Result<Option<(Report, ExitCode)>> {
    let days = settings.retention.days;
    let policy = policy_for(options, &store, days)?;
    let wanted = wanted(options, &store, days, policy.as_ref());

    explain(&store, &wanted, policy.is_some());
    let asks = !options.dry_run && !options.yes;
    if asks && !agreed()? {
        return Ok(None);
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(create(options, store, &wanted, policy))
        .map(Some)
}

/// The policy, where it binds those who have permissions: on AWS.
fn policy_for(
    options: &BucketCreateOptions,
    store: &S3Options,
    retention_days: u32,
) -> Result<Option<Value>> {
    let named = options.admin_roles.iter().chain(&options.operations_roles);
    for arn in named {
        if let Some(complaint) = bucket_policy::complaint(arn) {
            return Err(Misuse(format!("{arn:?} {complaint}")).into());
        }
    }
    if options.admin_roles.is_empty() {
        if store.endpoint.is_none() && !options.no_policy {
            return Err(Misuse(
                "name the roles that alone may change the bucket afterwards by --admin-role, the one \
                 that you are now among them; or leave the policy away with --no-policy"
                    .to_owned(),
            )
            .into());
        }
        return Ok(None);
    }
    let kms_key_arn = store.sse_kms_key_id.as_deref();
    if let Some(key) = kms_key_arn.filter(|key| !key.starts_with("arn:")) {
        return Err(Misuse(format!(
            "sse_kms_key_id is {key:?}, but the policy compares the key's ARN: name that"
        ))
        .into());
    }
    Ok(Some(bucket_policy::policy(&Inputs {
        bucket: &store.bucket,
        retention_days,
        abort_incomplete_upload_days: options.abort_incomplete_upload_days,
        admins: &options.admin_roles,
        operators: &options.operations_roles,
        kms_key_arn,
    })))
}

fn wanted(
    options: &BucketCreateOptions,
    store: &S3Options,
    retention_days: u32,
    policy: Option<&Value>,
) -> Vec<Setting> {
    let mut settings = vec![
        Setting::PublicAccess,
        Setting::Ownership,
        Setting::Encryption {
            kms_key_id: store.sse_kms_key_id.clone(),
        },
        Setting::IncompleteUploads {
            days: options.abort_incomplete_upload_days,
        },
        Setting::DefaultRule {
            days: retention_days,
        },
    ];
    settings.extend(policy.map(|policy| Setting::Policy {
        json: policy.to_string(),
    }));
    settings
}

fn explain(store: &S3Options, wanted: &[Setting], with_policy: bool) {
    let place = match &store.endpoint {
        Some(endpoint) => format!("at {}", plain(endpoint)),
        None => format!(
            "in {}, of the account whose credentials are used",
            store.region
        ),
    };
    eprintln!("This creates the bucket {}, {place},", plain(&store.bucket));
    eprintln!("with Object Lock and versioning, which cannot be turned off again, and");
    for setting in wanted {
        let what = match setting {
            Setting::Policy { .. } => "that of docs/buckets.md".to_owned(),
            other => plain(&other.wanted()),
        };
        eprintln!("  {:<18} {what}", setting.name());
    }
    eprintln!(
        "From then on whatever is put into it is locked for that time: nobody can delete it before, \
         not even the account's root, and the bucket not as long as it holds anything."
    );
    if with_policy {
        eprintln!(
            "Only the admin roles can change it afterwards. If you are none of them, you cannot \
             either."
        );
    } else {
        eprintln!(
            "It gets NO policy: whoever has permission may put what is not locked for long enough, \
             and lay delete markers. docs/buckets.md says how to limit that."
        );
    }
}

async fn create(
    options: &BucketCreateOptions,
    store: S3Options,
    wanted: &[Setting],
    policy: Option<Value>,
) -> Result<(Report, ExitCode)> {
    let bucket = store.bucket.clone();
    // Amazon S3 knows every setting; others may lack what does not touch the lock.
    let may_lack = store.endpoint.is_some();
    let store = S3Destination::connect(store).await;
    let report = |outcome, settings| Report {
        bucket,
        outcome,
        settings,
        policy,
    };
    let standing = standing(&store).await?;
    match standing {
        Standing::InUse => return Ok((report("in_use", vec![]), ExitCode::Usage)),
        Standing::Unlockable => return Ok((report("unlockable", vec![]), ExitCode::EvidenceBad)),
        Standing::Absent | Standing::Empty => {}
    }
    if options.dry_run {
        let would = |setting: &Setting| told(setting, "would_set", None);
        let settings = wanted.iter().map(would).collect();
        return Ok((report("would_create", settings), ExitCode::Ok));
    }
    let outcome = if standing == Standing::Absent {
        store
            .create_bucket()
            .await
            .context("the bucket could not be created")?;
        "created"
    } else {
        "completed"
    };
    let mut lacking = Vec::new();
    for setting in wanted {
        match store.apply(setting).await {
            Ok(()) => {}
            Err(failure) if may_lack && is_dispensable(setting) && failure.status.is_some() => {
                lacking.push((setting.name(), failure.code));
            }
            Err(failure) => {
                return Err(anyhow::Error::new(failure).context(format!(
                    "the bucket exists, and {} could not be set; once the cause is gone, the same \
                     command completes it as long as it is empty",
                    setting.name()
                )));
            }
        }
    }
    let mut settings = Vec::new();
    for setting in wanted {
        let lack = lacking.iter().find(|(name, _)| *name == setting.name());
        settings.push(match lack {
            Some((_, code)) => told(setting, "not_offered", Some(code.clone())),
            None => judge(setting, store.read_setting(setting).await),
        });
    }
    let any = |result: &str| settings.iter().any(|told| told.result == result);
    let code = if any("different") {
        ExitCode::EvidenceBad
    } else if any("could_not_read") {
        ExitCode::CouldNotCheck
    } else {
        ExitCode::Ok
    };
    Ok((report(outcome, settings), code))
}

async fn standing(store: &S3Destination) -> Result<Standing, Failure> {
    match store.standing().await {
        // The refusal told the store's date, and with that the same question may be answered.
        Err(failure) if failure.class == destination::Class::Clock => store.standing().await,
        other => other,
    }
}

/// What keeps nobody from deleting or altering when it is missing.
const fn is_dispensable(setting: &Setting) -> bool {
    matches!(
        setting,
        Setting::PublicAccess
            | Setting::Ownership
            | Setting::Encryption { .. }
            | Setting::IncompleteUploads { .. }
    )
}

fn judge(setting: &Setting, found: Result<Option<String>, Failure>) -> Told {
    match found {
        Ok(Some(found)) if is_as_wanted(setting, &found) => told(setting, "as_wanted", None),
        Ok(found) => {
            let found = found.unwrap_or_else(|| "not set".to_owned());
            told(setting, "different", Some(found))
        }
        Err(failure) => told(setting, "could_not_read", Some(failure.to_string())),
    }
}

fn is_as_wanted(setting: &Setting, found: &str) -> bool {
    let wanted = setting.wanted();
    if !matches!(setting, Setting::Policy { .. }) {
        return found == wanted;
    }
    // A store may write the same policy otherwise.
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    parsed(found).is_some_and(|found| Some(found) == parsed(&wanted))
}

fn told(setting: &Setting, result: &'static str, found: Option<String>) -> Told {
    let wanted = match setting {
        // It is told whole, once.
        Setting::Policy { .. } => Value::from("policy"),
        other => Value::from(other.wanted()),
    };
    Told {
        name: setting.name(),
        wanted,
        result,
        found,
    }
}

fn print(report: &Report) {
    let bucket = plain(&report.bucket);
    for told in &report.settings {
        let found = told
            .found
            .as_ref()
            .map_or_else(String::new, |found| format!(": {}", plain(found)));
        let wanted = told.wanted.as_str().unwrap_or_default();
        let result = told.result.replace('_', " ");
        println!("{result:<14} {:<18} {}{found}", told.name, plain(wanted));
    }
    match report.outcome {
        "would_create" => {
            if let Some(policy) = &report.policy {
                println!("policy:\n{policy:#}");
            }
            println!("{bucket}: nothing was changed (--dry-run)");
        }
        "in_use" => println!(
            "{bucket}: it exists and is not empty, so it was not touched; look at it with \
             `msp-evidence bucket check`"
        ),
        "unlockable" => println!(
            "{bucket}: it exists without Object Lock, so it was not touched; use another name"
        ),
        _ => println!(
            "{bucket}: created; look at it as the uploader with `msp-evidence bucket check`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_compared_by_its_meaning_and_everything_else_by_its_words() {
        let policy = Setting::Policy {
            json: r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned(),
        };
        assert!(is_as_wanted(
            &policy,
            r#"{ "Statement": [], "Version": "2012-10-17" }"#
        ));
        assert!(!is_as_wanted(&policy, r#"{"Version":"2012-10-17"}"#));
        assert!(!is_as_wanted(&policy, "nothing"));
        let rule = Setting::DefaultRule { days: 2192 };
        assert!(is_as_wanted(&rule, "COMPLIANCE 2192 days"));
        assert!(!is_as_wanted(&rule, "GOVERNANCE 2192 days"));
    }

    #[test]
    fn nothing_that_was_not_read_counts_as_done() {
        let rule = Setting::DefaultRule { days: 2192 };
        assert_eq!(judge(&rule, Ok(None)).result, "different");
        assert_eq!(
            judge(&rule, Ok(Some("COMPLIANCE 1 days".to_owned()))).result,
            "different"
        );
    }
}
