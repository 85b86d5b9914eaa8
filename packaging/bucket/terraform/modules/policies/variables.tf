variable "partition" {
  description = "AWS partition: aws, aws-us-gov or aws-cn."
  type        = string
  default     = "aws"
  nullable    = false
}

variable "account_id" {
  description = "Account of the bucket and the key, twelve digits. Only the key's policy names it."
  type        = string
  default     = "000000000000"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id is twelve digits."
  }
}

variable "bucket" {
  description = "Name of the bucket."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket is 3 to 63 lower-case letters, digits, dots and hyphens."
  }
}

variable "prefix" {
  description = "The destination's prefix in evidence.toml: empty, or ends with a slash."
  type        = string
  default     = ""
  nullable    = false

  validation {
    # No wildcard of the policy language, and nothing that looks like the folder of artifacts.
    condition     = var.prefix == "" || can(regex("^([A-Za-z0-9_-][A-Za-z0-9._-]*/)+$", var.prefix))
    error_message = "prefix is empty, or names of letters, digits, dots, hyphens and underscores, each followed by a slash."
  }
  validation {
    condition     = !contains(split("/", var.prefix), "artifacts")
    error_message = "No part of prefix may be called artifacts: that name tells artifacts from bundles."
  }
}

variable "retention_days" {
  description = "retention.days in evidence.toml, and the bucket's default rule."
  type        = number
  default     = 2192
  nullable    = false

  validation {
    condition     = var.retention_days >= 1 && var.retention_days == floor(var.retention_days)
    error_message = "retention_days is a whole number of days, at least 1."
  }
}

variable "shortest_put_days" {
  description = "A put that is locked for fewer days is refused. null: retention_days less one and less abort_incomplete_upload_days, since a store may count the days that are left of a large upload when it ends."
  type        = number
  default     = null
}

variable "longest_put_days" {
  description = "A put that is locked for more days is refused: what is locked by mistake cannot be undone. null: retention_days and 31 more, for retention.margin_secs."
  type        = number
  default     = null
}

variable "longest_extension_days" {
  description = "Nobody, whatever the role, may lengthen a lock to more days than that from now."
  type        = number
  default     = 3653
  nullable    = false
}

variable "abort_incomplete_upload_days" {
  description = "Days after which the bucket clears away uploads that were begun and never completed."
  type        = number
  default     = 7
  nullable    = false
}

variable "admin_role_arns" {
  description = "ARNs of the break-glass roles: they alone may change the bucket's settings and delete what is no longer locked. Not a lock's way out: COMPLIANCE binds them too. Each may hold * and ? for sessions of identity centres."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.admin_role_arns) > 0
    error_message = "At least one admin role is needed, the one that applies this, or nobody but the account's root could ever change the bucket."
  }
  validation {
    condition     = alltrue([for arn in var.admin_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/[^*?]", arn))])
    error_message = "Each admin role is the ARN of an IAM role or user with its account, and its name may not begin with a wildcard."
  }
}

variable "operations_role_arns" {
  description = "ARNs of the roles that may put objects under legal hold and take it off."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "kms_key_arn" {
  description = "ARN of the key that encrypts the bucket; null for SSE-S3."
  type        = string
  default     = null
}

variable "writers" {
  description = "Hosts that write, by a short name of yours."
  type = map(object({
    client_id = string
    host_id   = string
  }))
  default  = {}
  nullable = false

  validation {
    # evidence.toml's rule for ids; above all, no wildcard of the policy language.
    condition = alltrue(flatten([for writer in var.writers : [for id in [writer.client_id, writer.host_id] :
      can(regex("^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$", id)) && id != "artifacts"
    ]]))
    error_message = "client_id and host_id are as in evidence.toml: letters, digits, dots, hyphens and underscores, not beginning with a dot; not artifacts."
  }
  validation {
    condition     = length(distinct([for w in var.writers : "${w.client_id}/${w.host_id}"])) == length(var.writers)
    error_message = "Two writers have the same client_id and host_id: each host has keys of its own below a prefix of its own."
  }
}

variable "auditors" {
  description = "Who reads, by a short name: the clients whose evidence each may read; none named means all."
  type        = map(object({ client_ids = optional(list(string), []) }))
  default     = {}
  nullable    = false

  validation {
    condition = alltrue(flatten([for auditor in var.auditors : [for id in auditor.client_ids :
      can(regex("^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$", id))
    ]]))
    error_message = "client_ids are as in evidence.toml."
  }
}
