variable "bucket" {
  description = "Name of the bucket to create. A bucket's name is for ever: evidence names it in its signed plan."
  type        = string
  nullable    = false
}

variable "prefix" {
  description = "The destination's prefix in evidence.toml: empty, or ends with a slash."
  type        = string
  default     = ""
  nullable    = false
}

variable "admin_role_arns" {
  description = "ARNs of the break-glass roles: they alone may change the bucket's settings and delete what is no longer locked. The role that applies this must be one of them. COMPLIANCE binds them too. A name may hold * and ? after its first letter, for roles that an identity centre names."
  type        = list(string)
  nullable    = false
}

variable "retention_days" {
  description = "The bucket's default rule, in COMPLIANCE mode; give retention.days of evidence.toml the same. 2192 days are six years (45 CFR 164.316(b)(2)(i)). What is locked stays so for as long, whatever you change here."
  type        = number
  default     = 2192
  nullable    = false

  validation {
    # As in evidence.toml: a slip of the keyboard here is locked for as long as it says.
    condition     = var.retention_days >= 2192 || var.acknowledge_shorter_than_six_years
    error_message = "Less than six years (2192 days) must be meant: set acknowledge_shorter_than_six_years."
  }
  validation {
    condition     = var.retention_days <= 3653 || var.acknowledge_longer_than_ten_years
    error_message = "More than ten years (3653 days) cannot be taken back and must be meant: set acknowledge_longer_than_ten_years, and longest_extension_days."
  }
}

variable "acknowledge_shorter_than_six_years" {
  description = "That retention_days below 2192 is meant."
  type        = bool
  default     = false
  nullable    = false
}

variable "acknowledge_longer_than_ten_years" {
  description = "That retention_days above 3653 is meant."
  type        = bool
  default     = false
  nullable    = false
}

variable "shortest_put_days" {
  description = "A put that is locked for fewer days is refused. null: retention_days less one and less abort_incomplete_upload_days."
  type        = number
  default     = null
}

variable "longest_put_days" {
  description = "A put that is locked for more days is refused. null: retention_days and 31 more; it must leave room for retention.margin_secs of evidence.toml."
  type        = number
  default     = null
}

variable "longest_extension_days" {
  description = "Nobody may lengthen a lock to more days than that from now."
  type        = number
  default     = 3653
  nullable    = false
}

variable "abort_incomplete_upload_days" {
  description = "Days after which uploads that were begun and never completed are cleared away. A host that is offline for longer begins its large artifact anew; no evidence is lost."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.abort_incomplete_upload_days >= 1
    error_message = "abort_incomplete_upload_days is at least 1."
  }
}

variable "use_kms" {
  description = "Encrypt with a KMS key of this module's (SSE-KMS) instead of S3's own (SSE-S3). Whoever can destroy the key can destroy the evidence; its policy forbids that, see the README."
  type        = bool
  default     = false
  nullable    = false
}

variable "access_log_bucket" {
  description = "Name of an existing bucket that takes the server access logs; null for none. It cannot be a bucket with Object Lock."
  type        = string
  default     = null
}

variable "writers" {
  description = "One role for each host, by a short name of yours. client_id and host_id are as in the host's evidence.toml. Who may take the role: principals of this or another account, a certificate by IAM Roles Anywhere, or both."
  type = map(object({
    client_id              = string
    host_id                = string
    trusted_principal_arns = optional(list(string), [])
    roles_anywhere = optional(object({
      trust_anchor_arn    = string
      subject_common_name = string
    }))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for w in var.writers : length(w.trusted_principal_arns) > 0 || w.roles_anywhere != null])
    error_message = "Each writer needs trusted_principal_arns, or roles_anywhere: otherwise nobody can take its role."
  }
  validation {
    condition     = alltrue(flatten([for w in var.writers : [for arn in w.trusted_principal_arns : !strcontains(arn, "*")]]))
    error_message = "trusted_principal_arns names principals one by one; a wildcard would let everybody in."
  }
  validation {
    condition     = alltrue([for name, _ in var.writers : can(regex("^[A-Za-z0-9_+=,.@-]{1,40}$", name))])
    error_message = "A writer's name becomes part of its role's name: 1 to 40 letters, digits and _+=,.@-"
  }
}

variable "auditors" {
  description = "Roles that read, by a short name of yours: the clients whose evidence each may read (none named: all), and who may take the role."
  type = map(object({
    client_ids             = optional(list(string), [])
    trusted_principal_arns = list(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue(flatten([for a in var.auditors : [for arn in a.trusted_principal_arns : !strcontains(arn, "*")]]))
    error_message = "trusted_principal_arns names principals one by one; a wildcard would let everybody in."
  }
  validation {
    condition     = alltrue([for a in var.auditors : length(a.trusted_principal_arns) > 0])
    error_message = "Each auditor needs trusted_principal_arns: otherwise nobody can take the role."
  }
  validation {
    condition     = alltrue([for name, _ in var.auditors : can(regex("^[A-Za-z0-9_+=,.@-]{1,40}$", name))])
    error_message = "An auditor's name becomes part of the role's name: 1 to 40 letters, digits and _+=,.@-"
  }
}

variable "operations_principal_arns" {
  description = "Who may take the role for legal holds and extensions; none: no such role is made."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.operations_principal_arns : !strcontains(arn, "*")])
    error_message = "operations_principal_arns names principals one by one; a wildcard would let everybody in."
  }
}

variable "role_name_prefix" {
  description = "Roles are called by this and writer-NAME, auditor-NAME or operations."
  type        = string
  default     = "msp-evidence-"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@-]{1,15}$", var.role_name_prefix))
    error_message = "role_name_prefix is 1 to 15 letters, digits and _+=,.@-"
  }
}

variable "tags" {
  description = "Tags of everything that takes them."
  type        = map(string)
  default     = {}
  nullable    = false
}
