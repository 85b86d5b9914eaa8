# The policy of the KMS key: without the key the evidence is unreadable, locked or not. So nobody may
# schedule its deletion, disable it or take its material away, not even an admin role: whoever means
# it must change this policy first, which only admin roles may, and which CloudTrail records.

locals {
  key_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        # Lets IAM policies of this account count; without it the key could become unmanageable.
        Sid       = "AllowTheAccount"
        Effect    = "Allow"
        Principal = { AWS = "arn:${var.partition}:iam::${var.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "DenyDestruction"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["kms:DeleteImportedKeyMaterial", "kms:DisableKey", "kms:ScheduleKeyDeletion"]
        Resource  = "*"
      },
      {
        Sid       = "DenyPolicyChanges"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["kms:CreateGrant", "kms:DisableKeyRotation", "kms:PutKeyPolicy"]
        Resource  = "*"
        Condition = { ArnNotLike = local.not_admin }
      },
    ]
  }
}
