# One clinic, one host outside AWS that holds a certificate of your own authority.

provider "aws" {
  region = "us-east-1"
}

module "evidence" {
  source = "../.."

  bucket          = "clinic-012-evidence"
  admin_role_arns = ["arn:aws:iam::111122223333:role/evidence-admin"]

  writers = {
    srv-1 = {
      client_id = "clinic-012"
      host_id   = "srv-1"
      roles_anywhere = {
        trust_anchor_arn    = "arn:aws:rolesanywhere:us-east-1:111122223333:trust-anchor/00000000-0000-0000-0000-000000000000"
        subject_common_name = "srv-1.clinic-012.example"
      }
    }
  }
}

output "writer_role_arns" {
  value = module.evidence.writer_role_arns
}
