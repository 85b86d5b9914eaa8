//! Credentials as an installed uploader finds them: our program, and nothing but what a platform
//! gives it, against stand-ins for STS, the containers' endpoint and the metadata service.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use jiff::SignedDuration;
use sandbox::{CONTAINER_PATH, Identity, RoleServices, Sandbox, SandboxOptions};
use tests::clinic::BUCKET;
use tests::tools::ours;

/// A store that knows one session only, who hands it out, and a configuration for the store.
struct Ground {
    sandbox: Sandbox,
    roles: RoleServices,
    folder: tempfile::TempDir,
}

impl Ground {
    async fn new() -> Self {
        let session = Identity::new("ASIASESSION", "session-secret").with_session("session-token");
        let sandbox = Sandbox::start(SandboxOptions {
            identities: vec![session.clone()],
            ..SandboxOptions::with_bucket(BUCKET)
        })
        .await
        .unwrap();
        let roles = RoleServices::start().await.unwrap();
        roles.hand_out(session, SignedDuration::from_hours(1));
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "client_id = \"clinic-a\"\nhost_id = \"host-1\"\n[[destination]]\nid = \"main\"\n\
             bucket = \"{BUCKET}\"\nregion = \"us-east-1\"\nendpoint = \"{}\"\npath_style = true\n",
            sandbox.endpoint()
        );
        fs::write(folder.path().join("evidence.toml"), text).unwrap();
        Self {
            sandbox,
            roles,
            folder,
        }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `bucket check` with only this in its environment.
    fn check(&self, environment: &[(&str, &str)]) -> Output {
        Command::new(ours("msp-evidence"))
            .arg("--config")
            .arg(self.folder.path().join("evidence.toml"))
            .args(["bucket", "check"])
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", "/usr/bin:/bin")
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    /// The same, which must find the bucket fit, and be let in by the session.
    fn succeeds(&self, environment: &[(&str, &str)]) {
        self.sandbox.log().clear();
        let output = self.check(environment);
        assert!(output.status.success(), "{environment:?}: {output:?}");
        let requests = self.sandbox.log().requests();
        assert!(!requests.is_empty());
        for request in requests {
            assert_eq!(request.access_key.as_deref(), Some("ASIASESSION"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_checked_with_a_web_identity() {
    let ground = Ground::new().await;
    let token = ground.file("token", "the-platforms-jwt");
    ground.succeeds(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/uploader"),
        ("AWS_ENDPOINT_URL_STS", &ground.roles.endpoint()),
    ]);
    let asked = ground.roles.asked();
    assert_eq!(asked.len(), 1);
    let token = asked[0].form("WebIdentityToken");
    assert_eq!(token.as_deref(), Some("the-platforms-jwt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_checked_by_a_container() {
    let ground = Ground::new().await;
    let token = ground.file("token", "Bearer-of-the-pod");
    ground.roles.require_authorization("Bearer-of-the-pod");
    let uri = format!("{}{CONTAINER_PATH}", ground.roles.endpoint());
    ground.succeeds(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_checked_by_an_instance() {
    let ground = Ground::new().await;
    let endpoint = ground.roles.endpoint();
    ground.succeeds(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint)]);
    assert_eq!(ground.roles.asked()[0].method, "PUT", "version 2 alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_checked_with_what_a_process_prints() {
    let ground = Ground::new().await;
    let program = ground.file(
        "signing-helper",
        "#!/bin/sh\n[ \"$1\" = credential-process ] || exit 2\necho '{\"Version\": 1, \
         \"AccessKeyId\": \"ASIASESSION\", \"SecretAccessKey\": \"session-secret\", \
         \"SessionToken\": \"session-token\", \"Expiration\": \"2099-01-01T00:00:00Z\"}'\n",
    );
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let profile =
        format!("[default]\ncredential_process = {program} credential-process --role r\n");
    let config = ground.file("aws-config", &profile);
    ground.succeeds(&[("AWS_CONFIG_FILE", &config)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_checked_for_want_of_credentials_says_what_was_tried() {
    let ground = Ground::new().await;
    let output = ground.check(&[("AWS_EC2_METADATA_DISABLED", "true")]);
    assert_eq!(output.status.code(), Some(3), "could not check");
    let said = String::from_utf8_lossy(&output.stdout);
    for source in [
        "no credentials; tried",
        "environment",
        "default profile",
        "web identity",
        "container",
        "instance metadata",
    ] {
        assert!(said.contains(source), "no {source:?} in: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_file_that_is_none_is_a_mistake_in_the_configuration() {
    let ground = Ground::new().await;
    let pem = ground.file("ca.pem", "no certificate");
    let config = Path::new(ground.folder.path()).join("evidence.toml");
    let text = fs::read_to_string(&config).unwrap();
    let encrypted = text.replace("http://", "https://");
    fs::write(&config, format!("{encrypted}ca_file = \"{pem}\"\n")).unwrap();
    let output = ground.check(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("destination.main.ca_file") && said.contains("no certificate"),
        "{said}"
    );
}
