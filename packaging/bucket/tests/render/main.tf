# The policies of the tests, without and with KMS.

locals {
  kms_key_arn = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555"
}

module "policies" {
  source   = "../../terraform/modules/policies"
  for_each = { plain = null, kms = local.kms_key_arn }

  account_id           = "111122223333"
  bucket               = "example-evidence"
  admin_role_arns      = ["arn:aws:iam::111122223333:role/evidence-admin"]
  operations_role_arns = ["arn:aws:iam::111122223333:role/msp-evidence-operations"]
  kms_key_arn          = each.value
  writers              = { srv-1 = { client_id = "clinic-012", host_id = "srv-1" } }
  auditors             = { all = {}, clinic-012 = { client_ids = ["clinic-012"] } }
}

output "rendered" {
  value = { for name, policies in module.policies : name => {
    bucket         = jsondecode(policies.bucket_policy)
    writer         = jsondecode(policies.writer_policies["srv-1"])
    auditor        = jsondecode(policies.auditor_policies["all"])
    client_auditor = jsondecode(policies.auditor_policies["clinic-012"])
    operations     = jsondecode(policies.operations_policy)
    key            = jsondecode(policies.key_policy)
    kms_key_arn    = name == "kms" ? local.kms_key_arn : null
  } }
}
