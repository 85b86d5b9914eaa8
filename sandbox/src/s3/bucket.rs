//! Operations on buckets.

use s3s::dto::{
    Bucket, BucketVersioningStatus, CreateBucketInput, CreateBucketOutput, DefaultRetention,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput,
    HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
    PutBucketVersioningInput, PutBucketVersioningOutput, PutObjectLockConfigurationInput,
    PutObjectLockConfigurationOutput,
};
use s3s::{S3Request, S3Result};

use super::claim::check_xml;
use super::lock::malformed;
use super::{Operations, exchange, refuse, values};
use crate::faults::Action;
use crate::store::{DefaultRule, Mode, Period, Versioning};

/// The only region here.
const REGION: &str = "us-east-1";
/// The longest default retention (Amazon S3 User Guide, "Object Lock considerations").
const MAX_YEARS: i32 = 100;
const MAX_DAYS: i32 = 36_500;

pub(super) async fn create(
    operations: &Operations,
    request: S3Request<CreateBucketInput>,
) -> S3Result<CreateBucketOutput> {
    let name = request.input.bucket;
    let location = Some(format!("/{name}"));
    let object_lock = request.input.object_lock_enabled_for_bucket == Some(true);
    operations
        .blocking(move |store| store.create_bucket(&name, object_lock))
        .await?;
    Ok(CreateBucketOutput { location })
}

pub(super) async fn head(
    operations: &Operations,
    request: S3Request<HeadBucketInput>,
) -> S3Result<HeadBucketOutput> {
    operations
        .store
        .settings(&request.input.bucket)
        .map_err(refuse::error)?;
    let bucket_region = Some(REGION.to_owned());
    Ok(HeadBucketOutput {
        bucket_region,
        ..HeadBucketOutput::default()
    })
}

pub(super) async fn list(
    operations: &Operations,
    _request: S3Request<ListBucketsInput>,
) -> S3Result<ListBucketsOutput> {
    let buckets = operations
        .store
        .buckets()
        .into_iter()
        .map(|(name, settings)| Bucket {
            creation_date: Some(values::to_dto(settings.created_at)),
            name: Some(name),
            ..Bucket::default()
        });
    Ok(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        ..ListBucketsOutput::default()
    })
}

pub(super) async fn location(
    operations: &Operations,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<GetBucketLocationOutput> {
    operations
        .store
        .settings(&request.input.bucket)
        .map_err(refuse::error)?;
    // us-east-1 is told by an empty element.
    Ok(GetBucketLocationOutput::default())
}

pub(super) async fn get_versioning(
    operations: &Operations,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<GetBucketVersioningOutput> {
    let settings = operations
        .store
        .settings(&request.input.bucket)
        .map_err(refuse::error)?;
    let mut versioning = settings.versioning;
    if exchange(&request).is_struck_by(&Action::ReportSuspended) {
        versioning = Versioning::Suspended;
    }
    let status = match versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    let status = status.map(BucketVersioningStatus::from_static);
    Ok(GetBucketVersioningOutput {
        status,
        ..GetBucketVersioningOutput::default()
    })
}

pub(super) async fn put_versioning(
    operations: &Operations,
    request: S3Request<PutBucketVersioningInput>,
) -> S3Result<PutBucketVersioningOutput> {
    let input = request.input;
    let status = input.versioning_configuration.status;
    let to = match status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => return Err(malformed()),
    };
    operations
        .blocking(move |store| store.set_versioning(&input.bucket, to))
        .await?;
    Ok(PutBucketVersioningOutput::default())
}

pub(super) async fn get_lock_configuration(
    operations: &Operations,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> S3Result<GetObjectLockConfigurationOutput> {
    let settings = operations
        .store
        .settings(&request.input.bucket)
        .map_err(refuse::error)?;
    if !settings.object_lock {
        return Err(refuse::with(
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
        ));
    }
    let rule = settings.default_rule.map(|rule| {
        let mut retention = DefaultRetention {
            mode: Some(ObjectLockRetentionMode::from_static(rule.mode.as_str())),
            ..DefaultRetention::default()
        };
        match rule.period {
            Period::Days(days) => retention.days = i32::try_from(days).ok(),
            Period::Years(years) => retention.years = i32::try_from(years).ok(),
        }
        ObjectLockRule {
            default_retention: Some(retention),
        }
    });
    let object_lock_enabled = Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED));
    let configuration = ObjectLockConfiguration {
        object_lock_enabled,
        rule,
    };
    Ok(GetObjectLockConfigurationOutput {
        object_lock_configuration: Some(configuration),
    })
}

pub(super) async fn put_lock_configuration(
    operations: &Operations,
    request: S3Request<PutObjectLockConfigurationInput>,
) -> S3Result<PutObjectLockConfigurationOutput> {
    check_xml(&exchange(&request), &request.headers)?;
    let input = request.input;
    operations
        .store
        .settings(&input.bucket)
        .map_err(refuse::error)?;
    let configuration = input.object_lock_configuration.ok_or_else(malformed)?;
    let enabled = configuration.object_lock_enabled;
    if enabled.is_none_or(|enabled| enabled.as_str() != ObjectLockEnabled::ENABLED) {
        return Err(malformed());
    }
    let rule = match configuration.rule {
        None => None,
        Some(rule) => Some(default_rule(
            &rule.default_retention.ok_or_else(malformed)?,
        )?),
    };
    operations
        .blocking(move |store| store.set_default_rule(&input.bucket, rule))
        .await?;
    Ok(PutObjectLockConfigurationOutput::default())
}

fn default_rule(retention: &DefaultRetention) -> S3Result<DefaultRule> {
    let mode = retention
        .mode
        .as_ref()
        .and_then(|mode| Mode::parse(mode.as_str()));
    let mode = mode.ok_or_else(malformed)?;
    let (count, max) = match (retention.days, retention.years) {
        (Some(days), None) => (days, MAX_DAYS),
        (None, Some(years)) => (years, MAX_YEARS),
        _ => return Err(malformed()),
    };
    let count = match u32::try_from(count) {
        Ok(count) if count > 0 && count <= max.unsigned_abs() => count,
        Ok(count) if count > 0 => {
            return Err(refuse::with(
                "InvalidArgument",
                "Default retention period too large.",
            ));
        }
        _ => {
            return Err(refuse::with(
                "InvalidArgument",
                "Default retention period must be a positive integer value.",
            ));
        }
    };
    let period = match retention.days {
        Some(_) => Period::Days(count),
        None => Period::Years(count),
    };
    Ok(DefaultRule { mode, period })
}
