# Several clients in one bucket, encrypted with a key of its own, with auditors who see one client each,
# and an operations role. The bucket is in an account of its own (provider), the hosts in another.

provider "aws" {
  region = "eu-central-1"
}

locals {
  hosts = {
    clinic-012 = ["srv-1", "srv-2"]
    clinic-044 = ["nas"]
  }
}

module "evidence" {
  source = "../.."

  bucket          = "example-msp-evidence"
  prefix          = "evidence/"
  use_kms         = true
  admin_role_arns = ["arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_EvidenceAdmin_*"]

  writers = merge([for client, hosts in local.hosts : {
    for host in hosts : "${client}.${host}" => {
      client_id              = client
      host_id                = host
      trusted_principal_arns = ["arn:aws:iam::444455556666:role/${client}-${host}"]
    }
  }]...)

  auditors = {
    for client, _ in local.hosts : client => {
      client_ids             = [client]
      trusted_principal_arns = ["arn:aws:iam::777788889999:role/auditor-of-${client}"]
    }
  }

  operations_principal_arns = ["arn:aws:iam::444455556666:role/evidence-operations"]
}

output "writer_role_arns" {
  value = module.evidence.writer_role_arns
}
