# terraform test / tofu test, in this folder: needs no provider.

variables {
  bucket          = "example-evidence"
  admin_role_arns = ["arn:aws:iam::111122223333:role/evidence-admin"]
}

run "the_limits_follow_the_retention" {
  command = plan
  variables {
    retention_days = 3000
    prefix         = "evidence/"
    writers        = { a = { client_id = "clinic-012", host_id = "srv-1" } }
  }
  assert {
    condition = alltrue([for days in ["\"2992\"", "\"3031\"", "\"3653\""] :
      strcontains(output.bucket_policy, "\"s3:object-lock-remaining-retention-days\":${days}")
    ])
    error_message = "The limits are not those of 3000 days."
  }
  assert {
    condition     = strcontains(output.writer_policies["a"], "\"arn:aws:s3:::example-evidence/evidence/clinic-012/srv-1/*\"")
    error_message = "The writer is not limited to its host below the prefix."
  }
}

run "other_partitions_are_not_asked_what_they_may_not_know" {
  command = plan
  variables {
    partition = "aws-us-gov"
  }
  assert {
    condition     = !strcontains(output.bucket_policy, "UpdateObjectEncryption") && strcontains(output.bucket_policy, "arn:aws-us-gov:s3:::example-evidence")
    error_message = "The policy is not that of its partition."
  }
}

run "there_must_be_an_admin_role" {
  command = plan
  variables {
    admin_role_arns = []
  }
  expect_failures = [var.admin_role_arns]
}

run "everybody_is_no_admin" {
  command = plan
  variables {
    admin_role_arns = ["*"]
  }
  expect_failures = [var.admin_role_arns]
}

run "every_role_is_no_admin" {
  command = plan
  variables {
    admin_role_arns = ["arn:aws:iam::111122223333:role/*"]
  }
  expect_failures = [var.admin_role_arns]
}

run "a_client_may_hold_no_wildcard" {
  command = plan
  variables {
    writers = { a = { client_id = "*", host_id = "srv-1" } }
  }
  expect_failures = [var.writers]
}

run "a_host_may_hold_no_wildcard" {
  command = plan
  variables {
    writers = { a = { client_id = "clinic-012", host_id = "srv-?" } }
  }
  expect_failures = [var.writers]
}

run "a_host_may_hold_no_policy_variable" {
  command = plan
  variables {
    writers = { a = { client_id = "clinic-012", host_id = "$${aws:username}" } }
  }
  expect_failures = [var.writers]
}

run "a_host_may_not_reach_beyond_its_folder" {
  command = plan
  variables {
    writers = { a = { client_id = "clinic-012", host_id = "srv-1/x" } }
  }
  expect_failures = [var.writers]
}

run "a_host_may_not_be_called_artifacts" {
  command = plan
  variables {
    writers = { a = { client_id = "clinic-012", host_id = "artifacts" } }
  }
  expect_failures = [var.writers]
}

run "two_writers_may_not_be_one_host" {
  command = plan
  variables {
    writers = { a = { client_id = "c", host_id = "h" }, b = { client_id = "c", host_id = "h" } }
  }
  expect_failures = [var.writers]
}

run "an_auditors_client_may_hold_no_wildcard" {
  command = plan
  variables {
    auditors = { a = { client_ids = ["clinic-*"] } }
  }
  expect_failures = [var.auditors]
}

run "a_prefix_ends_with_a_slash" {
  command = plan
  variables {
    prefix = "evidence"
  }
  expect_failures = [var.prefix]
}

run "a_prefix_may_hold_no_wildcard" {
  command = plan
  variables {
    prefix = "*/"
  }
  expect_failures = [var.prefix]
}

run "a_prefix_may_not_be_called_artifacts" {
  command = plan
  variables {
    prefix = "x/artifacts/"
  }
  expect_failures = [var.prefix]
}

run "the_shortest_put_is_not_longer_than_the_retention" {
  command = plan
  variables {
    shortest_put_days = 2193
  }
  expect_failures = [output.bucket_policy]
}

run "the_longest_put_leaves_room_for_the_margin" {
  command = plan
  variables {
    longest_put_days = 2192
  }
  expect_failures = [output.bucket_policy]
}

run "an_extension_may_be_as_long_as_a_put" {
  command = plan
  variables {
    longest_extension_days = 2000
  }
  expect_failures = [output.bucket_policy]
}
