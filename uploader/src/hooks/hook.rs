//! The ways to tell somebody. Each sends one notification once; the book has it until it was taken.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aws_lc_rs::hmac;
use destination::{CaBundle, Topic, Url, Web, WebError};
use host::config::NotifySettings;
use host::secret::{self, SecretError};
use jiff::Timestamp;
use tokio::io::AsyncWriteExt as _;
use zeroize::Zeroizing;

use super::message::Notification;

/// A program has so long.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
const JSON: (&str, &str) = ("content-type", "application/json");

/// A way to tell somebody.
pub(super) enum Hook {
    Webhook {
        web: Web,
        key: Option<Box<hmac::Key>>,
    },
    Slack(Web),
    Sns(Topic),
    Command(Vec<String>),
}

/// Why a hook cannot be used; the others are.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("notify.{key}")]
    Secret {
        key: &'static str,
        #[source]
        source: SecretError,
    },
    #[error("notify.{key}: what is in the file, or the endpoint, cannot be used")]
    Address {
        key: &'static str,
        #[source]
        source: WebError,
    },
    #[error("notify.ca_file {path}: {problem}", path = path.display())]
    Authorities { path: PathBuf, problem: String },
    #[error("the credential for notify.sns_topic_arn")]
    Credential(#[source] SecretError),
}

/// Why a notification was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error(transparent)]
    Web(#[from] WebError),
    #[error("the program could not be run")]
    Run(#[source] std::io::Error),
    #[error("the program did not end within {} seconds and was killed", COMMAND_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the program failed ({0})")]
    Failed(std::process::ExitStatus),
}

/// The hooks that are wanted, by name, and those that cannot be used.
pub(super) fn hooks(settings: &NotifySettings) -> Vec<(&'static str, Result<Hook, Unusable>)> {
    let mut found = Vec::new();
    if let Some(file) = &settings.webhook_url_file {
        found.push(("webhook", webhook(file, settings)));
    }
    if let Some(file) = &settings.slack_url_file {
        let web = web("slack_url_file", file, settings);
        found.push(("slack", web.map(Hook::Slack)));
    }
    if let Some(arn) = &settings.sns_topic_arn {
        found.push(("sns", sns(arn, settings)));
    }
    if !settings.command.is_empty() {
        found.push(("command", Ok(Hook::Command(settings.command.clone()))));
    }
    found
}

fn secret_of(key: &'static str, file: &Path) -> Result<Zeroizing<String>, Unusable> {
    secret::read_closed_file(file).map_err(|source| Unusable::Secret { key, source })
}

fn authorities(settings: &NotifySettings) -> Result<Option<CaBundle>, Unusable> {
    let Some(path) = &settings.ca_file else {
        return Ok(None);
    };
    crate::store::ca_bundle(path)
        .map(Some)
        .map_err(|problem| Unusable::Authorities {
            path: path.clone(),
            problem,
        })
}

fn web(key: &'static str, file: &Path, settings: &NotifySettings) -> Result<Web, Unusable> {
    let text = secret_of(key, file)?;
    let url = Url::parse(text.trim()).map_err(|source| Unusable::Address { key, source })?;
    Ok(Web::new(url, authorities(settings)?.as_ref()))
}

fn webhook(file: &Path, settings: &NotifySettings) -> Result<Hook, Unusable> {
    let key = match &settings.webhook_key_file {
        None => None,
        Some(file) => {
            let text = secret_of("webhook_key_file", file)?;
            Some(Box::new(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))
        }
    };
    let web = web("webhook_url_file", file, settings)?;
    Ok(Hook::Webhook { web, key })
}

fn sns(arn: &str, settings: &NotifySettings) -> Result<Hook, Unusable> {
    let handed = secret::credential(
        secret::credentials_directory().as_deref(),
        Path::new(secret::CREDENTIALS_SOURCE),
        secret::S3_CREDENTIAL_NAME,
    )
    .map_err(Unusable::Credential)?;
    let ca = authorities(settings)?;
    let (profile, endpoint) = (settings.sns_profile.clone(), &settings.sns_endpoint);
    Topic::new(arn, profile, handed, endpoint.as_deref(), ca.as_ref())
        .map(Hook::Sns)
        .map_err(|source| Unusable::Address {
            key: "sns_endpoint",
            source,
        })
}

impl Hook {
    /// Tells it, once.
    pub(super) async fn send(
        &self,
        notification: &Notification,
        now: Timestamp,
    ) -> Result<(), NotTaken> {
        let json = notification.to_json();
        match self {
            Self::Webhook { web, key } => {
                let at = now.as_second().to_string();
                let signature = key.as_ref().map(|key| signature(key, &at, &json));
                let mut headers = vec![
                    JSON,
                    ("idempotency-key", notification.id.as_str()),
                    ("x-msp-evidence-timestamp", at.as_str()),
                ];
                if let Some(signature) = &signature {
                    headers.push(("x-msp-evidence-signature", signature));
                }
                Ok(web.post(&headers, &json).await?)
            }
            Self::Slack(web) => Ok(web.post(&[JSON], &notification.to_slack()).await?),
            Self::Sns(topic) => {
                let message = String::from_utf8_lossy(&json);
                Ok(topic.publish(&notification.subject(), &message).await?)
            }
            Self::Command(command) => run(command, &json).await,
        }
    }
}

/// `sha256=` and HMAC-SHA-256 (RFC 2104) over the time, a dot and the body: with the time in it, an old
/// post cannot be sent again as a new one.
fn signature(key: &hmac::Key, at: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(at.as_bytes());
    context.update(b".");
    context.update(body);
    format!("sha256={}", hex::encode(context.sign()))
}

/// No shell, and nothing of this process's surroundings, which may hold credentials.
async fn run(command: &[String], json: &[u8]) -> Result<(), NotTaken> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(NotTaken::Run)?;
    let stdin = child.stdin.take();
    let ended = tokio::time::timeout(COMMAND_TIMEOUT, async {
        if let Some(mut stdin) = stdin {
            // A program that does not read it may still do what it is for.
            let _ = stdin.write_all(json).await;
        }
        child.wait().await
    });
    let status = ended
        .await
        .map_err(|_| NotTaken::TimedOut)?
        .map_err(NotTaken::Run)?;
    if status.success() {
        Ok(())
    } else {
        Err(NotTaken::Failed(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_over_time_and_body() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        // printf '1800000000.{}' | openssl dgst -sha256 -hmac key
        assert_eq!(
            signature(&key, "1800000000", b"{}"),
            "sha256=7321475872b03ff21bdc2dfd86ea2d99ec29c479fbe4a77aa6acf4509505493f"
        );
    }
}
