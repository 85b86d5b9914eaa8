# No provider: the policies are computed from the variables alone, so they can be rendered, read and
# evaluated without an account.
terraform {
  required_version = ">= 1.5"
}
