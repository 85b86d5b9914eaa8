output "bucket" {
  description = "Name of the bucket: bucket in evidence.toml."
  value       = aws_s3_bucket.evidence.id
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.evidence.arn
}

output "kms_key_arn" {
  description = "ARN of the key, or null. The hosts need not name it: the bucket does."
  value       = one([for key in aws_kms_key.evidence : key.arn])
}

output "writer_role_arns" {
  description = "Roles of the hosts, by name."
  value       = { for name, role in aws_iam_role.writer : name => role.arn }
}

output "auditor_role_arns" {
  description = "Roles of the auditors, by name."
  value       = { for name, role in aws_iam_role.auditor : name => role.arn }
}

output "operations_role_arn" {
  description = "Role for holds and extensions, or null."
  value       = one([for role in aws_iam_role.operations : role.arn])
}

output "policies" {
  description = "Every policy as JSON, to be read or evaluated: bucket, writers, auditors, operations, key."
  value = {
    bucket     = module.policies.bucket_policy
    writers    = module.policies.writer_policies
    auditors   = module.policies.auditor_policies
    operations = module.policies.operations_policy
    key        = module.policies.key_policy
  }
}
