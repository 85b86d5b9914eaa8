# The bucket's own policy. It only denies: what is allowed comes from the roles. A denial binds every
# principal of every account, so it holds for roles that others make later.
#
# On conditions in a denial: a key that is absent makes StringNotEquals and ArnNotLike true and the
# numeric operators false (IAM User Guide, "IAM JSON policy elements: Condition operators"); IfExists
# would make it true, so a statement that is to pass over what is absent says so with Null = false.

locals {
  bucket_arn  = "arn:${var.partition}:s3:::${var.bucket}"
  objects_arn = "${local.bucket_arn}/*"

  shortest_put_days = coalesce(var.shortest_put_days, max(0, var.retention_days - 1 - var.abort_incomplete_upload_days))
  longest_put_days  = coalesce(var.longest_put_days, var.retention_days + 31)

  # S3's own services (lifecycle) are not subject to it; a principal without an ARN counts as not admin.
  not_admin              = { "aws:PrincipalArn" = var.admin_role_arns }
  not_admin_nor_operator = { "aws:PrincipalArn" = concat(var.admin_role_arns, var.operations_role_arns) }

  bucket_statements = [
    {
      Sid       = "DenyPlaintext"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.bucket_arn, local.objects_arn]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    },
    {
      Sid       = "DenyOldTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.bucket_arn, local.objects_arn]
      Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
    },
    {
      # DeleteObject lays a delete marker, which hides; DeleteObjectVersion removes what is not locked.
      Sid       = "DenyDeletes"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:DeleteBucket"]
      Resource  = [local.bucket_arn, local.objects_arn]
      Condition = { ArnNotLike = local.not_admin }
    },
    {
      # Moot for COMPLIANCE; it keeps GOVERNANCE, if ever somebody finds a way to it, from being less.
      Sid       = "DenyBypass"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:BypassGovernanceRetention"
      Resource  = local.objects_arn
    },
    {
      Sid       = "DenyLoosening"
      Effect    = "Deny"
      Principal = "*"
      Action = [
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
      ]
      Resource  = local.bucket_arn
      Condition = { ArnNotLike = local.not_admin }
    },
    {
      # S3 User Guide, "Enforce conditional writes on Amazon S3 buckets": CreateMultipartUpload,
      # UploadPart and UploadPartCopy take no If-None-Match and are exempted by
      # s3:ObjectCreationOperation; CompleteMultipartUpload takes it. CopyObject cannot comply, so no
      # copy is made into this bucket.
      Sid       = "DenyUnconditionalPuts"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = local.objects_arn
      Condition = {
        Null = { "s3:if-none-match" = "true" }
        Bool = { "s3:ObjectCreationOperation" = "true" }
      }
    },
    {
      # A bundle and its signature are one PutObject each, which must ask for the lock itself.
      # Artifacts may come in parts, and CompleteMultipartUpload, which creates the object, has no
      # lock headers: they were in CreateMultipartUpload. So below artifacts/ the default rule locks
      # what does not ask, and the next statements judge what does.
      Sid         = "DenyUnlockedBundles"
      Effect      = "Deny"
      Principal   = "*"
      Action      = "s3:PutObject"
      NotResource = "${local.bucket_arn}/*/artifacts/*"
      Condition = {
        Null = { "s3:object-lock-mode" = "true" }
        Bool = { "s3:ObjectCreationOperation" = "true" }
      }
    },
    {
      Sid       = "DenyOtherModes"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["s3:PutObject", "s3:PutObjectRetention"]
      Resource  = local.objects_arn
      Condition = {
        StringNotEquals = { "s3:object-lock-mode" = "COMPLIANCE" }
        Null            = { "s3:object-lock-mode" = "false" }
      }
    },
    {
      # Not for PutObjectRetention: an old lock may be lengthened by a month, and COMPLIANCE itself
      # refuses to shorten one.
      Sid       = "DenyShortPuts"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = local.objects_arn
      Condition = { NumericLessThan = { "s3:object-lock-remaining-retention-days" = tostring(local.shortest_put_days) } }
    },
    {
      Sid       = "DenyLongPuts"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = local.objects_arn
      Condition = { NumericGreaterThan = { "s3:object-lock-remaining-retention-days" = tostring(local.longest_put_days) } }
    },
    {
      # S3 User Guide, "Object Lock considerations", on limits of retention periods.
      Sid       = "DenyLongExtensions"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObjectRetention"
      Resource  = local.objects_arn
      Condition = { NumericGreaterThan = { "s3:object-lock-remaining-retention-days" = tostring(var.longest_extension_days) } }
    },
    {
      Sid       = "DenyHolds"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObjectLegalHold"
      Resource  = local.objects_arn
      Condition = { ArnNotLike = local.not_admin_nor_operator }
    },
    {
      # A put under hold could be removed by nobody but the operators, for ever.
      Sid       = "DenyPutsUnderHold"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = local.objects_arn
      Condition = { StringEquals = { "s3:object-lock-legal-hold" = "ON" } }
    },
    {
      # With a key that only the sender has, nobody else could read the evidence.
      Sid       = "DenyCustomersKeys"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = local.objects_arn
      Condition = { Null = { "s3:x-amz-server-side-encryption-customer-algorithm" = "false" } }
    },
  ]

  # Under another key the evidence could be made unreadable, locked as it is. Only where the action is
  # known: a policy that names an unknown one is refused.
  reencryption_statements = [for partition in [var.partition] : {
    Sid       = "DenyReencryption"
    Effect    = "Deny"
    Principal = "*"
    Action    = "s3:UpdateObjectEncryption"
    Resource  = local.objects_arn
    Condition = { ArnNotLike = local.not_admin }
    } if partition == "aws"
  ]

  # A put that names no key is encrypted as the bucket says, so only another name is refused.
  encryption_statements = [for key in compact([var.kms_key_arn]) : {
    Sid       = "DenyOtherKeys"
    Effect    = "Deny"
    Principal = "*"
    Action    = "s3:PutObject"
    Resource  = local.objects_arn
    Condition = {
      StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = key }
      Null            = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" }
    }
    }
  ]
  algorithm_statements = [for key in compact([var.kms_key_arn]) : {
    Sid       = "DenyOtherEncryption"
    Effect    = "Deny"
    Principal = "*"
    Action    = "s3:PutObject"
    Resource  = local.objects_arn
    Condition = {
      StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" }
      Null            = { "s3:x-amz-server-side-encryption" = "false" }
    }
    }
  ]
}
