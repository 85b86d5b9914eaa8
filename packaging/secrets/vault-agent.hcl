# Vault Agent writes the password and the uploader's credentials where systemd hands them to the
# services. Never run by our tests: no Vault can be had there.
#
#   vault kv put secret/msp/srv-1 password=… aws_access_key_id=… aws_secret_access_key=…
#
# The host's AppRole needs read on secret/data/msp/srv-1 and nothing else.

vault {
  address = "https://vault.example:8200"
}

auto_auth {
  method "approle" {
    config = {
      role_id_file_path                   = "/etc/vault-agent/role-id"
      secret_id_file_path                 = "/etc/vault-agent/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
}

# The key opens with this password for as long as it is in use, so a change must come with `msp-evidence
# keys rotate`: no command is run here.
template {
  destination          = "/etc/msp/credentials/signing-key-password"
  perms                = "0400"
  error_on_missing_key = true
  contents             = "{{ with secret \"secret/data/msp/srv-1\" }}{{ .Data.data.password }}{{ end }}\n"
}

template {
  destination          = "/etc/msp/credentials/s3-credentials"
  perms                = "0400"
  error_on_missing_key = true
  contents             = <<-EOT
    [default]
    {{ with secret "secret/data/msp/srv-1" -}}
    aws_access_key_id = {{ .Data.data.aws_access_key_id }}
    aws_secret_access_key = {{ .Data.data.aws_secret_access_key }}
    {{- end }}
  EOT
  # systemd hands credentials over at a start only. What is in flight is finished first.
  exec {
    command = ["systemctl", "try-restart", "msp-evidence-uploader"]
  }
}
