resource "aws_kms_key" "evidence" {
  count                   = var.use_kms ? 1 : 0
  description             = "Evidence in ${var.bucket}. Without it the evidence is unreadable."
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

# Apart from the key, since the policies name the key.
resource "aws_kms_key_policy" "evidence" {
  count  = var.use_kms ? 1 : 0
  key_id = aws_kms_key.evidence[0].key_id
  policy = module.policies.key_policy
}
