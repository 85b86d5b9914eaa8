# terraform test / tofu test: the module with the provider's own schema, and no account.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  bucket          = "example-evidence"
  admin_role_arns = ["arn:aws:iam::111122223333:role/evidence-admin"]
  writers = {
    srv-1 = {
      client_id              = "clinic-012"
      host_id                = "srv-1"
      trusted_principal_arns = ["arn:aws:iam::444455556666:role/srv-1"]
    }
  }
}

run "the_bucket_locks_for_six_years_in_compliance_mode" {
  command = plan

  assert {
    condition     = aws_s3_bucket.evidence.object_lock_enabled
    error_message = "Object Lock is not enabled."
  }
  assert {
    condition     = aws_s3_bucket_object_lock_configuration.evidence.rule[0].default_retention[0].mode == "COMPLIANCE"
    error_message = "The default rule is not COMPLIANCE."
  }
  assert {
    condition     = aws_s3_bucket_object_lock_configuration.evidence.rule[0].default_retention[0].days == 2192
    error_message = "The default rule is not six years."
  }
  assert {
    condition     = aws_s3_bucket_versioning.evidence.versioning_configuration[0].status == "Enabled"
    error_message = "Versioning is not enabled."
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.evidence.block_public_acls,
      aws_s3_bucket_public_access_block.evidence.block_public_policy,
      aws_s3_bucket_public_access_block.evidence.ignore_public_acls,
      aws_s3_bucket_public_access_block.evidence.restrict_public_buckets,
    ])
    error_message = "Public access is not blocked whole."
  }
  assert {
    condition     = one(aws_s3_bucket_ownership_controls.evidence.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "Ownership is not enforced."
  }
  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.evidence.rule) == 1 && length(aws_s3_bucket_lifecycle_configuration.evidence.rule[0].expiration) == 0
    error_message = "The lifecycle does more than clear incomplete uploads away."
  }
  assert {
    condition     = length(aws_kms_key.evidence) == 0 && length(aws_iam_role.operations) == 0 && length(aws_iam_role.auditor) == 0
    error_message = "Something was made that was not asked for."
  }
  assert {
    condition     = aws_s3_bucket_policy.evidence.policy == output.policies.bucket && strcontains(output.policies.bucket, "DenyUnconditionalPuts")
    error_message = "Another policy is attached to the bucket than the one that is shown."
  }
  assert {
    condition     = aws_iam_role_policy.writer["srv-1"].policy == output.policies.writers["srv-1"] && strcontains(output.policies.writers["srv-1"], "clinic-012/srv-1/*")
    error_message = "Another policy is attached to the writer than the one that is shown."
  }
}

# Planned only: what must never be destroyed cannot be taken down after a test either.
run "with_kms_there_is_a_key_that_rotates_and_roles_that_were_asked_for" {
  command = plan

  variables {
    use_kms                   = true
    access_log_bucket         = "example-logs"
    operations_principal_arns = ["arn:aws:iam::444455556666:role/operator"]
    auditors                  = { all = { trusted_principal_arns = ["arn:aws:iam::444455556666:role/auditor"] } }
  }

  assert {
    condition     = aws_kms_key.evidence[0].enable_key_rotation && aws_kms_key.evidence[0].deletion_window_in_days == 30
    error_message = "The key does not rotate, or could be gone in less than 30 days."
  }
  assert {
    condition     = aws_kms_key_policy.evidence[0].policy == output.policies.key && strcontains(output.policies.key, "DenyDestruction")
    error_message = "The key is not protected."
  }
  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.evidence.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "The bucket does not use the key."
  }
  assert {
    condition     = aws_iam_role.operations[0].name == "msp-evidence-operations" && aws_iam_role.auditor["all"].name == "msp-evidence-auditor-all"
    error_message = "The roles are not called as the README says."
  }
  assert {
    condition     = aws_s3_bucket_logging.evidence[0].target_bucket == "example-logs"
    error_message = "The access logs go nowhere."
  }
}

run "less_than_six_years_must_be_meant" {
  command = plan
  variables {
    retention_days = 365
  }
  expect_failures = [var.retention_days]
}

run "less_than_six_years_may_be_meant" {
  command = plan
  variables {
    retention_days                     = 365
    acknowledge_shorter_than_six_years = true
  }
  assert {
    condition     = strcontains(output.policies.bucket, "\"s3:object-lock-remaining-retention-days\":\"357\"")
    error_message = "The shortest put does not follow the retention."
  }
}

run "more_than_ten_years_must_be_meant" {
  command = plan
  variables {
    retention_days = 21920
  }
  expect_failures = [var.retention_days]
}

run "everybody_may_not_be_trusted" {
  command = plan
  variables {
    writers = { srv-1 = { client_id = "clinic-012", host_id = "srv-1", trusted_principal_arns = ["*"] } }
  }
  expect_failures = [var.writers]
}

run "a_writer_that_nobody_may_be_is_refused" {
  command = plan
  variables {
    writers = { srv-1 = { client_id = "clinic-012", host_id = "srv-1" } }
  }
  expect_failures = [var.writers]
}

run "an_auditor_that_everybody_may_be_is_refused" {
  command = plan
  variables {
    auditors = { all = { trusted_principal_arns = ["arn:aws:iam::*:root"] } }
  }
  expect_failures = [var.auditors]
}

run "operators_that_everybody_may_be_are_refused" {
  command = plan
  variables {
    operations_principal_arns = ["*"]
  }
  expect_failures = [var.operations_principal_arns]
}
