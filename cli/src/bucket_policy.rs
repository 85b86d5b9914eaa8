//! The policy of a bucket for evidence: that of the templates below `packaging/bucket`, where each
//! statement is explained. A test compares them.

use serde_json::{Value, json};

/// What the policy depends on.
#[derive(Debug, Clone)]
pub(crate) struct Inputs<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) retention_days: u32,
    pub(crate) abort_incomplete_upload_days: u32,
    /// Roles that may change the bucket. At least one.
    pub(crate) admins: &'a [String],
    /// Roles that may put and take off legal holds.
    pub(crate) operators: &'a [String],
    /// ARN of the bucket's KMS key.
    pub(crate) kms_key_arn: Option<&'a str>,
}

/// No lock may be lengthened to more days than ten years, or than a put may have.
const LONGEST_EXTENSION_DAYS: u32 = 3653;
/// Above the retention, for the uploader's margin.
const ROOM_DAYS: u32 = 31;

/// The partition of an ARN, such as `aws` or `aws-us-gov`.
fn partition(arn: &str) -> &str {
    arn.split(':').nth(1).unwrap_or("aws")
}

/// The policy. It only denies.
pub(crate) fn policy(inputs: &Inputs<'_>) -> Value {
    let partition = inputs.admins.first().map_or("aws", |arn| partition(arn));
    let bucket = format!("arn:{partition}:s3:::{}", inputs.bucket);
    let objects = format!("{bucket}/*");
    let shortest = inputs
        .retention_days
        .saturating_sub(1)
        .saturating_sub(inputs.abort_incomplete_upload_days);
    let longest = inputs.retention_days.saturating_add(ROOM_DAYS);
    let extension = LONGEST_EXTENSION_DAYS.max(longest);
    let days = |operator: &str, days: u32| json!({operator: {"s3:object-lock-remaining-retention-days": days.to_string()}});
    let not_admin = json!({"ArnNotLike": {"aws:PrincipalArn": inputs.admins}});
    let either: Vec<&String> = inputs.admins.iter().chain(inputs.operators).collect();
    let put = "s3:PutObject";
    let retention = "s3:PutObjectRetention";
    let mut statements = vec![
        denied("DenyPlaintext", json!("s3:*"), json!([bucket, objects]))
            .when(&json!({"Bool": {"aws:SecureTransport": "false"}})),
        denied("DenyOldTls", json!("s3:*"), json!([bucket, objects]))
            .when(&json!({"NumericLessThan": {"s3:TlsVersion": "1.2"}})),
        denied(
            "DenyDeletes",
            json!([
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:DeleteBucket"
            ]),
            json!([bucket, objects]),
        )
        .when(&not_admin),
        denied(
            "DenyBypass",
            json!("s3:BypassGovernanceRetention"),
            json!(objects),
        ),
        denied(
            "DenyLoosening",
            json!([
                "s3:DeleteBucketPolicy",
                "s3:PutBucketAcl",
                "s3:PutBucketObjectLockConfiguration",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:PutReplicationConfiguration",
            ]),
            json!(bucket),
        )
        .when(&not_admin),
        denied("DenyUnconditionalPuts", json!(put), json!(objects)).when(&json!({
            "Null": {"s3:if-none-match": "true"},
            "Bool": {"s3:ObjectCreationOperation": "true"},
        })),
        Statement(json!({
            "Sid": "DenyUnlockedBundles", "Effect": "Deny", "Principal": "*", "Action": put,
            "NotResource": format!("{bucket}/*/artifacts/*"),
        }))
        .when(&json!({
            "Null": {"s3:object-lock-mode": "true"},
            "Bool": {"s3:ObjectCreationOperation": "true"},
        })),
        denied("DenyOtherModes", json!([put, retention]), json!(objects))
            .when(&other_than("s3:object-lock-mode", "COMPLIANCE")),
        denied("DenyShortPuts", json!(put), json!(objects))
            .when(&days("NumericLessThan", shortest)),
        denied("DenyLongPuts", json!(put), json!(objects))
            .when(&days("NumericGreaterThan", longest)),
        denied("DenyLongExtensions", json!(retention), json!(objects))
            .when(&days("NumericGreaterThan", extension)),
        denied("DenyHolds", json!("s3:PutObjectLegalHold"), json!(objects))
            .when(&json!({"ArnNotLike": {"aws:PrincipalArn": either}})),
        denied("DenyPutsUnderHold", json!(put), json!(objects))
            .when(&json!({"StringEquals": {"s3:object-lock-legal-hold": "ON"}})),
        denied("DenyCustomersKeys", json!(put), json!(objects)).when(&json!({
            "Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"},
        })),
    ];
    // A policy that names an action which the partition does not know is refused.
    if partition == "aws" {
        let action = json!("s3:UpdateObjectEncryption");
        statements.push(denied("DenyReencryption", action, json!(objects)).when(&not_admin));
    }
    if let Some(key) = inputs.kms_key_arn {
        statements.push(
            denied("DenyOtherKeys", json!(put), json!(objects)).when(&other_than(
                "s3:x-amz-server-side-encryption-aws-kms-key-id",
                key,
            )),
        );
        statements.push(
            denied("DenyOtherEncryption", json!(put), json!(objects))
                .when(&other_than("s3:x-amz-server-side-encryption", "aws:kms")),
        );
    }
    let statements: Vec<Value> = statements
        .into_iter()
        .map(|statement| statement.0)
        .collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

struct Statement(Value);

impl Statement {
    fn when(mut self, condition: &Value) -> Self {
        self.0["Condition"] = condition.clone();
        self
    }
}

fn denied(sid: &str, action: Value, resource: Value) -> Statement {
    Statement(json!({
        "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource,
    }))
}

/// Present, and another value: what is absent is judged by other statements.
fn other_than(key: &str, value: &str) -> Value {
    json!({"StringNotEquals": {key: value}, "Null": {key: "false"}})
}

/// What is wrong with the ARN of a role that is to be named in the policy, if anything.
pub(crate) fn complaint(arn: &str) -> Option<&'static str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [prefix, partition, service, region, account, name] = parts[..] else {
        return Some("is no ARN");
    };
    let name = name
        .strip_prefix("role/")
        .or_else(|| name.strip_prefix("user/"));
    let is_principal = prefix == "arn"
        && partition.starts_with("aws")
        && (service, region) == ("iam", "")
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit());
    match name {
        Some(name) if is_principal && !name.is_empty() => {
            // Everybody would be an admin.
            name.starts_with(['*', '?'])
                .then_some("begins with a wildcard")
        }
        _ => Some("is not the ARN of an IAM role or user"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(admins: &[String]) -> Inputs<'_> {
        Inputs {
            bucket: "example-evidence",
            retention_days: 2192,
            abort_incomplete_upload_days: 7,
            admins,
            operators: &[],
            kms_key_arn: None,
        }
    }

    #[test]
    fn the_policy_only_denies_and_fits_into_what_s3_takes() {
        let admins = vec!["arn:aws:iam::111122223333:role/evidence-admin".to_owned()];
        let policy = policy(&inputs(&admins));
        let statements = policy["Statement"].as_array().unwrap();
        assert!(
            statements
                .iter()
                .all(|s| s["Effect"] == "Deny" && s["Principal"] == "*")
        );
        // 20 KB (S3 User Guide, "Bucket policies").
        assert!(policy.to_string().len() < 20_000);
    }

    #[test]
    fn another_partition_is_not_asked_what_it_may_not_know() {
        let admins = vec!["arn:aws-us-gov:iam::111122223333:role/evidence-admin".to_owned()];
        let text = policy(&inputs(&admins)).to_string();
        assert!(text.contains("arn:aws-us-gov:s3:::example-evidence"));
        assert!(!text.contains("UpdateObjectEncryption"));
    }

    #[test]
    fn a_retention_of_more_than_ten_years_may_be_put_and_extended() {
        let admins = vec!["arn:aws:iam::111122223333:role/evidence-admin".to_owned()];
        let longer = Inputs {
            retention_days: 7000,
            ..inputs(&admins)
        };
        let policy = policy(&longer);
        let of = |sid: &str| {
            let statements = policy["Statement"].as_array().unwrap();
            let statement = statements.iter().find(|s| s["Sid"] == sid).unwrap();
            statement["Condition"]["NumericGreaterThan"]["s3:object-lock-remaining-retention-days"]
                .clone()
        };
        assert_eq!(
            (of("DenyLongPuts"), of("DenyLongExtensions")),
            ("7031".into(), "7031".into())
        );
    }

    #[test]
    fn only_a_role_or_user_that_is_named_is_an_admin() {
        for good in [
            "arn:aws:iam::111122223333:role/evidence-admin",
            "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Admin_*",
            "arn:aws-cn:iam::111122223333:user/break-glass",
        ] {
            assert_eq!(complaint(good), None, "{good}");
        }
        for bad in [
            "*",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:root",
            "arn:aws:iam::*:role/admin",
            "arn:aws:s3:::bucket",
            "evidence-admin",
        ] {
            assert!(complaint(bad).is_some(), "{bad}");
        }
    }
}
