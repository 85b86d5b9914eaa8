output "bucket_policy" {
  description = "The bucket's policy, as JSON."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.bucket_statements,
      local.reencryption_statements,
      local.encryption_statements,
      local.algorithm_statements,
    )
  })

  precondition {
    condition     = local.shortest_put_days <= var.retention_days && var.retention_days + 1 <= local.longest_put_days
    error_message = "shortest_put_days must not exceed retention_days, and longest_put_days must exceed it: the uploader adds a margin of a day."
  }
  precondition {
    condition     = local.longest_put_days <= var.longest_extension_days
    error_message = "longest_extension_days must not be less than longest_put_days."
  }
}

output "writer_policies" {
  description = "Policies of the writer roles by name, as JSON. MinIO takes them too."
  value       = { for name, policy in local.writer_policies : name => jsonencode(policy) }
}

output "auditor_policies" {
  description = "Policies of the auditor roles by name, as JSON."
  value       = { for name, policy in local.auditor_policies : name => jsonencode(policy) }
}

output "operations_policy" {
  description = "Policy of the operations role, as JSON."
  value       = jsonencode(local.operations_policy)
}

output "key_policy" {
  description = "Policy of the KMS key, as JSON."
  value       = jsonencode(local.key_policy)
}
