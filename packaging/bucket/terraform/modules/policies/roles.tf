# What each role may do: exactly the calls that our programs make (destination/src/s3). HeadBucket,
# which needs s3:ListBucket without a prefix and so would show every client's keys, is not allowed to
# writers; the uploader does without.

locals {
  through_s3 = ["s3.*.amazonaws.com", "s3.*.amazonaws.com.cn"]

  # Everything below s3:PutObject* is limited once more by the bucket's policy. The denials here are
  # for stores that have no such policy (MinIO), and for a bucket whose policy was lost.
  writer_policies = { for name, writer in var.writers : name => {
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "ReadBucketSettings"
        Effect   = "Allow"
        Action   = ["s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning"]
        Resource = local.bucket_arn
      },
      {
        Sid       = "ListVersionsOfThisHost"
        Effect    = "Allow"
        Action    = "s3:ListBucketVersions"
        Resource  = local.bucket_arn
        Condition = { StringLike = { "s3:prefix" = "${var.prefix}${writer.client_id}/${writer.host_id}/*" } }
      },
      {
        # HeadObject and GetObject by version prove what was stored; the parts and the abort are those
        # of large artifacts; PutObjectRetention is asked for by puts with lock headers, and locks what
        # a store forgot to lock.
        Sid    = "WriteAndProveEvidenceOfThisHost"
        Effect = "Allow"
        Action = [
          "s3:AbortMultipartUpload",
          "s3:GetObject",
          "s3:GetObjectRetention",
          "s3:GetObjectVersion",
          "s3:ListMultipartUploadParts",
          "s3:PutObject",
          "s3:PutObjectRetention",
        ]
        Resource = "${local.bucket_arn}/${var.prefix}${writer.client_id}/${writer.host_id}/*"
      },
      {
        Sid      = "DenyOtherModes"
        Effect   = "Deny"
        Action   = "s3:PutObjectRetention"
        Resource = local.objects_arn
        Condition = {
          StringNotEquals = { "s3:object-lock-mode" = "COMPLIANCE" }
          Null            = { "s3:object-lock-mode" = "false" }
        }
      },
      {
        Sid       = "DenyShortRetention"
        Effect    = "Deny"
        Action    = "s3:PutObjectRetention"
        Resource  = local.objects_arn
        Condition = { NumericLessThan = { "s3:object-lock-remaining-retention-days" = tostring(local.shortest_put_days) } }
      },
      {
        Sid       = "DenyLongRetention"
        Effect    = "Deny"
        Action    = "s3:PutObjectRetention"
        Resource  = local.objects_arn
        Condition = { NumericGreaterThan = { "s3:object-lock-remaining-retention-days" = tostring(local.longest_put_days) } }
      },
      ], [for key in compact([var.kms_key_arn]) : {
        # Decrypt is needed to complete an upload in parts, and to read back.
        Sid       = "UseTheKeyThroughTheBucket"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = key
        Condition = { StringLike = { "kms:ViaService" = local.through_s3 } }
    }])
  } }

  auditor_policies = { for name, auditor in var.auditors : name => {
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid    = "ReadBucketSettings"
        Effect = "Allow"
        Action = [
          "s3:GetBucketLocation",
          "s3:GetBucketObjectLockConfiguration",
          "s3:GetBucketOwnershipControls",
          "s3:GetBucketPolicy",
          "s3:GetBucketPublicAccessBlock",
          "s3:GetBucketVersioning",
          "s3:GetEncryptionConfiguration",
          "s3:GetLifecycleConfiguration",
        ]
        Resource = local.bucket_arn
      },
      ], length(auditor.client_ids) > 0 ? [] : [{
        Sid      = "ListEverything"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:ListBucketVersions"]
        Resource = local.bucket_arn
        }], length(auditor.client_ids) > 0 ? [{
        Sid       = "ListTheseClients"
        Effect    = "Allow"
        Action    = ["s3:ListBucket", "s3:ListBucketVersions"]
        Resource  = local.bucket_arn
        Condition = { StringLike = { "s3:prefix" = [for id in auditor.client_ids : "${var.prefix}${id}/*"] } }
        }] : [], [{
        Sid    = "ReadEvidenceAndItsLocks"
        Effect = "Allow"
        Action = [
          "s3:GetObject",
          "s3:GetObjectLegalHold",
          "s3:GetObjectRetention",
          "s3:GetObjectVersion",
        ]
        Resource = length(auditor.client_ids) > 0 ? [for id in auditor.client_ids : "${local.bucket_arn}/${var.prefix}${id}/*"] : ["${local.bucket_arn}/${var.prefix}*"]
        }], [for key in compact([var.kms_key_arn]) : {
        Sid       = "ReadThroughTheKey"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = key
        Condition = { StringLike = { "kms:ViaService" = local.through_s3 } }
    }])
  } }

  # Holds and extensions, for the whole bucket, and the signed records of them; no evidence.
  operations_policy = {
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid    = "FindEvidence"
        Effect = "Allow"
        Action = [
          "s3:GetBucketObjectLockConfiguration",
          "s3:GetBucketVersioning",
          "s3:ListBucket",
          "s3:ListBucketVersions",
        ]
        Resource = local.bucket_arn
      },
      {
        Sid    = "HoldAndExtend"
        Effect = "Allow"
        Action = [
          "s3:GetObject",
          "s3:GetObjectLegalHold",
          "s3:GetObjectRetention",
          "s3:GetObjectVersion",
          "s3:PutObjectLegalHold",
          "s3:PutObjectRetention",
        ]
        Resource = "${local.bucket_arn}/${var.prefix}*"
      },
      {
        Sid      = "KeepRecords"
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = "${local.bucket_arn}/${var.prefix}records/*"
      },
      ], [for key in compact([var.kms_key_arn]) : {
        Sid       = "ReadThroughTheKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = key
        Condition = { StringLike = { "kms:ViaService" = local.through_s3 } }
    }])
  }
}
