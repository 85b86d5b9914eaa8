# An S3 bucket for evidence that nobody can delete or alter until its lock ends, and roles that may do
# what the programs do and no more. See README.md.

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

module "policies" {
  source = "./modules/policies"

  partition                    = data.aws_partition.this.partition
  account_id                   = data.aws_caller_identity.this.account_id
  bucket                       = var.bucket
  prefix                       = var.prefix
  admin_role_arns              = var.admin_role_arns
  operations_role_arns         = [for role in aws_iam_role.operations : role.arn]
  retention_days               = var.retention_days
  shortest_put_days            = var.shortest_put_days
  longest_put_days             = var.longest_put_days
  longest_extension_days       = var.longest_extension_days
  abort_incomplete_upload_days = var.abort_incomplete_upload_days
  kms_key_arn                  = one([for key in aws_kms_key.evidence : key.arn])
  writers                      = { for name, w in var.writers : name => { client_id = w.client_id, host_id = w.host_id } }
  auditors                     = { for name, a in var.auditors : name => { client_ids = a.client_ids } }
}

resource "aws_s3_bucket" "evidence" {
  #checkov:skip=CKV_AWS_18:Access logs are a variable, access_log_bucket
  #checkov:skip=CKV_AWS_144:A second destination is written by the hosts themselves, to another account; replication would be one more principal that writes
  #checkov:skip=CKV_AWS_145:SSE-KMS is a variable, use_kms; a key is one more thing whose loss destroys evidence
  #checkov:skip=CKV2_AWS_62:Nothing waits for events of this bucket
  bucket              = var.bucket
  object_lock_enabled = true
  # A bucket with locked objects cannot be emptied, and must not look as if.
  force_destroy = false
  tags          = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

# Object Lock needs it, and turned it on; here it is also what terraform watches over.
resource "aws_s3_bucket_versioning" "evidence" {
  bucket = aws_s3_bucket.evidence.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "evidence" {
  bucket = aws_s3_bucket.evidence.id
  rule {
    default_retention {
      mode = "COMPLIANCE"
      days = var.retention_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.evidence]
}

resource "aws_s3_bucket_public_access_block" "evidence" {
  bucket                  = aws_s3_bucket.evidence.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "evidence" {
  bucket = aws_s3_bucket.evidence.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "evidence" {
  bucket = aws_s3_bucket.evidence.id
  rule {
    bucket_key_enabled = var.use_kms
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.use_kms ? "aws:kms" : "AES256"
      kms_master_key_id = one([for key in aws_kms_key.evidence : key.arn])
    }
  }
}

# No rule expires or moves objects: what is locked stays, and what the lock lets go is deleted by
# people, not by age.
resource "aws_s3_bucket_lifecycle_configuration" "evidence" {
  bucket = aws_s3_bucket.evidence.id
  rule {
    id     = "abort-incomplete-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_incomplete_upload_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.evidence]
}

resource "aws_s3_bucket_logging" "evidence" {
  count         = var.access_log_bucket == null ? 0 : 1
  bucket        = aws_s3_bucket.evidence.id
  target_bucket = var.access_log_bucket
  target_prefix = "${var.bucket}/"
}

# Last: from then on only the admin roles can change any of the others.
resource "aws_s3_bucket_policy" "evidence" {
  bucket = aws_s3_bucket.evidence.id
  policy = module.policies.bucket_policy

  depends_on = [
    aws_s3_bucket_lifecycle_configuration.evidence,
    aws_s3_bucket_logging.evidence,
    aws_s3_bucket_object_lock_configuration.evidence,
    aws_s3_bucket_ownership_controls.evidence,
    aws_s3_bucket_public_access_block.evidence,
    aws_s3_bucket_server_side_encryption_configuration.evidence,
    aws_s3_bucket_versioning.evidence,
  ]
}
