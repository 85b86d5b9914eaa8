data "aws_iam_policy_document" "writer_trust" {
  for_each = var.writers

  dynamic "statement" {
    for_each = length(each.value.trusted_principal_arns) > 0 ? [each.value.trusted_principal_arns] : []
    content {
      sid     = "TrustedPrincipals"
      actions = ["sts:AssumeRole"]
      principals {
        type        = "AWS"
        identifiers = statement.value
      }
    }
  }

  # IAM Roles Anywhere User Guide, "Trust model": the certificate's names are principal tags.
  dynamic "statement" {
    for_each = each.value.roles_anywhere == null ? [] : [each.value.roles_anywhere]
    content {
      sid     = "CertificateOfThisHost"
      actions = ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"]
      principals {
        type        = "Service"
        identifiers = ["rolesanywhere.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:PrincipalTag/x509Subject/CN"
        values   = [statement.value.subject_common_name]
      }
      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [statement.value.trust_anchor_arn]
      }
    }
  }
}

resource "aws_iam_role" "writer" {
  for_each           = var.writers
  name               = "${var.role_name_prefix}writer-${each.key}"
  description        = "Writes evidence of ${each.value.client_id}/${each.value.host_id}; deletes nothing."
  assume_role_policy = data.aws_iam_policy_document.writer_trust[each.key].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "writer" {
  for_each = var.writers
  name     = "evidence"
  role     = aws_iam_role.writer[each.key].id
  policy   = module.policies.writer_policies[each.key]
}

data "aws_iam_policy_document" "auditor_trust" {
  for_each = var.auditors
  statement {
    sid     = "TrustedPrincipals"
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = each.value.trusted_principal_arns
    }
  }
}

resource "aws_iam_role" "auditor" {
  for_each           = var.auditors
  name               = "${var.role_name_prefix}auditor-${each.key}"
  description        = "Reads evidence and its locks; writes nothing."
  assume_role_policy = data.aws_iam_policy_document.auditor_trust[each.key].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "auditor" {
  for_each = var.auditors
  name     = "evidence"
  role     = aws_iam_role.auditor[each.key].id
  policy   = module.policies.auditor_policies[each.key]
}

data "aws_iam_policy_document" "operations_trust" {
  count = length(var.operations_principal_arns) > 0 ? 1 : 0
  statement {
    sid     = "TrustedPrincipals"
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = var.operations_principal_arns
    }
  }
}

resource "aws_iam_role" "operations" {
  count              = length(var.operations_principal_arns) > 0 ? 1 : 0
  name               = "${var.role_name_prefix}operations"
  description        = "Puts evidence under legal hold, takes it off, lengthens locks."
  assume_role_policy = data.aws_iam_policy_document.operations_trust[0].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "operations" {
  count  = length(var.operations_principal_arns) > 0 ? 1 : 0
  name   = "evidence"
  role   = aws_iam_role.operations[0].id
  policy = module.policies.operations_policy
}
