//! The signing key, its public half, the digest key: there, protected, and belonging together.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use evidence::digest::DigestKey;
use evidence::keys::{EncryptedKey, PrivateKey, PublicKey};
use host::config::Settings;
use host::secret::{PasswordSources, SecretError};
use zeroize::Zeroizing;

use super::check::{Check, Family};
use super::who::{Access, READ, WRITE, Who, user};

const FAMILY: Family = Family("keys");
/// No key file is longer.
const KEY_MAX_BYTES: u64 = 64 << 10;

/// Looks at each file, then opens the key with whatever password can be had. `agent_runs`: then it
/// has opened it.
pub(crate) fn look(
    settings: &Settings,
    agent: Option<&Who>,
    passwords: &PasswordSources,
    agent_runs: bool,
) -> Vec<Check> {
    let signing = &settings.signing;
    let mut checks = Vec::new();
    if let Some(folder) = signing.key.parent() {
        checks.extend(secret(
            folder,
            "folder",
            "0700",
            agent,
            "msp-evidence keys generate",
        ));
    }
    let generate = "msp-evidence keys generate";
    checks.extend(secret(&signing.key, "private", "0400", agent, generate));
    let digest = format!(
        "restore it from a copy; with another one the correlation of raw drops begins anew: \
         (umask 0377; openssl rand -hex 32 > {})",
        signing.digest_key.display()
    );
    checks.extend(secret(
        &signing.digest_key,
        "digest",
        "0400",
        agent,
        &digest,
    ));
    if let Some(file) = &signing.password_file {
        let remedy = "write the password there, mode 0400, or take signing.password_file away";
        checks.extend(secret(file, "password", "0400", agent, remedy));
    }
    checks.push(public(&signing.public_key));
    if signing.key.exists() {
        checks.push(pair(settings, passwords, agent_runs));
    }
    checks.extend(digest_key(&signing.digest_key));
    checks
}

/// A file or folder that nobody but its owner may look into.
fn secret(
    path: &Path,
    check: &'static str,
    mode: &str,
    agent: Option<&Who>,
    when_missing: &str,
) -> Option<Check> {
    let shown = path.display();
    Some(match fs::metadata(path) {
        Ok(meta) => judge_secret(path, check, mode, Access::of(&meta), agent),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            FAMILY.problem(check, shown, "it is not there", when_missing)
        }
        Err(error) => FAMILY.unchecked(check, shown, error.to_string(), "run this as root"),
    })
}

/// Pure. Root's or the agent's, and nobody else's: systemd hands it over as a credential when it is
/// root's.
fn judge_secret(
    path: &Path,
    check: &'static str,
    mode: &str,
    found: Access,
    agent: Option<&Who>,
) -> Check {
    let shown = path.display();
    if found.mode & 0o077 != 0 {
        let verb = if found.mode & 0o022 != 0 {
            "read or changed"
        } else {
            "read"
        };
        return FAMILY.problem(
            check,
            &shown,
            format!(
                "{}: it can be {verb} by others than its owner",
                found.shown()
            ),
            format!(
                "chmod {mode} {shown}; if others had it, make a new key: msp-evidence keys rotate"
            ),
        );
    }
    if found.uid != 0 && agent.is_some_and(|agent| agent.uid != found.uid) {
        return FAMILY.problem(
            check,
            &shown,
            format!(
                "it belongs to {}, which is neither root nor the agent",
                user(found.uid)
            ),
            format!(
                "chown {} {shown}",
                agent.map_or("msp-agent", |agent| &agent.name)
            ),
        );
    }
    FAMILY.ok(check, shown, found.shown())
}

/// What auditors pin: anybody may read it, nobody else may change it.
fn public(path: &Path) -> Check {
    let shown = path.display();
    let access = match fs::metadata(path) {
        Ok(meta) => Access::of(&meta),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return FAMILY.problem(
                "public",
                &shown,
                "it is not there",
                "write it again from the private key: msp-evidence keys show --key FILE",
            );
        }
        Err(error) => {
            return FAMILY.unchecked("public", shown, error.to_string(), "run this as root");
        }
    };
    if access.mode & 0o022 != 0 {
        return FAMILY.problem(
            "public",
            &shown,
            format!("{}: others may change it", access.shown()),
            format!("chmod 0644 {shown}"),
        );
    }
    match bounded(path).map(|text| PublicKey::from_pem(&text)) {
        Ok(Ok(key)) => FAMILY.ok(
            "public",
            shown,
            format!("{}, {}", key.key_id(), access.shown()),
        ),
        Ok(Err(error)) => FAMILY.problem(
            "public",
            &shown,
            error.to_string(),
            "write it again from the private key: msp-evidence keys show --key FILE",
        ),
        Err(error) => FAMILY.unchecked("public", shown, error.to_string(), "run this as root"),
    }
}

fn bounded(path: &Path) -> std::io::Result<Zeroizing<String>> {
    use std::io::Read as _;
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path)?
        .take(KEY_MAX_BYTES)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Opens the private key, and compares it with the public one.
fn pair(settings: &Settings, passwords: &PasswordSources, agent_runs: bool) -> Check {
    let signing = &settings.signing;
    let shown = signing.key.display();
    let text = match bounded(&signing.key) {
        Ok(text) => text,
        Err(error) => {
            return FAMILY.unchecked("opens", shown, error.to_string(), "run this as root");
        }
    };
    if let Err(error) = EncryptedKey::parse(&text) {
        return FAMILY.problem(
            "opens",
            shown,
            error.to_string(),
            "restore the file from a copy, or make a new key: msp-evidence keys generate",
        );
    }
    let password = match passwords.read() {
        Ok((password, _)) => password,
        Err(SecretError::Missing) if agent_runs => {
            return FAMILY.ok(
                "opens",
                shown,
                "the agent that runs has opened it at its start",
            );
        }
        Err(SecretError::Missing) => {
            return FAMILY.unchecked(
                "opens",
                shown,
                "its password is not known here, and the agent does not run",
                "start the agent, which refuses a key that it cannot open: systemctl start \
                 msp-evidence-agent; or give the password in COSIGN_PASSWORD",
            );
        }
        Err(error) => {
            return FAMILY.problem(
                "opens",
                shown,
                error.to_string(),
                "correct the source of the password: docs/operations.md",
            );
        }
    };
    let key = match PrivateKey::from_encrypted_pem(&text, password.as_bytes()) {
        Ok(key) => key,
        Err(error) => {
            return FAMILY.problem(
                "opens",
                shown,
                error.to_string(),
                "give the password with which the key was made: docs/operations.md",
            );
        }
    };
    let public = bounded(&signing.public_key)
        .ok()
        .and_then(|text| PublicKey::from_pem(&text).ok());
    if public.as_ref() == Some(key.public()) {
        return FAMILY.ok("opens", shown, "and the public key is its own");
    }
    FAMILY.problem(
        "opens",
        &shown,
        format!("{} is not its public half", signing.public_key.display()),
        format!("msp-evidence keys show --key {shown} prints the one that is"),
    )
}

/// Whether the agent can use it. That it is missing was said.
fn digest_key(path: &Path) -> Option<Check> {
    let text = bounded(path).ok()?;
    Some(match DigestKey::from_hex(text.trim()) {
        Ok(_) => FAMILY.ok("digest_opens", path.display(), "32 bytes"),
        Err(error) => FAMILY.problem(
            "digest_opens",
            path.display(),
            error.to_string(),
            "restore it from a copy; another one makes the correlation of raw drops begin anew",
        ),
    })
}

/// Whether this user could take the key away; for the uploader's side.
pub(crate) fn out_of_reach(settings: &Settings, uploader: Option<&Who>) -> Option<Check> {
    let uploader = uploader.filter(|who| who.uid != 0)?;
    let folder = fs::metadata(settings.signing.key.parent()?).ok()?;
    let key = fs::metadata(&settings.signing.key).ok()?;
    let shown = settings.signing.key.display();
    let reaches = uploader.may(super::who::SEARCH, Access::of(&folder));
    if reaches && (uploader.may(READ, Access::of(&key)) || uploader.may(WRITE, Access::of(&folder)))
    {
        return Some(FAMILY.problem(
            "out_of_reach",
            &shown,
            format!(
                "{}, who has the network, can read or replace it",
                uploader.name
            ),
            format!("chown msp-agent {shown} && chmod 0400 {shown}"),
        ));
    }
    Some(FAMILY.ok(
        "out_of_reach",
        shown,
        format!("{} cannot reach it", uploader.name),
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::check::Verdict;
    use super::*;

    /// Keys in a folder, with a configuration that names them.
    struct Keys {
        dir: tempfile::TempDir,
        settings: Settings,
        passwords: PasswordSources,
    }

    impl Keys {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
            let text = format!(
                "client_id = \"c\"\nhost_id = \"h\"\n[signing]\nkey = \"{}/evidence.key\"\n\
                 [[destination]]\nid = \"d\"\nbucket = \"bucket\"\nregion = \"r\"\n",
                dir.path().display()
            );
            let settings =
                Settings::parse(&text, Path::new("/e.toml"), std::iter::empty()).unwrap();
            let keys = Self {
                passwords: PasswordSources {
                    variable: Some("pw".into()),
                    ..PasswordSources::default()
                },
                dir,
                settings,
            };
            let (private, pem) = PrivateKey::generate(b"pw").unwrap();
            keys.write("evidence.key", &pem, 0o400);
            keys.write("evidence.pub", &private.public().to_pem(), 0o644);
            keys.write("digest.key", &"ab".repeat(32), 0o400);
            keys
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            let path = self.dir.path().join(name);
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn mode(&self, name: &str, mode: u32) {
            let path = self.dir.path().join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        /// Checks that are not ok, as `check verdict`.
        fn findings(&self, agent_runs: bool) -> Vec<(&'static str, Verdict)> {
            look(&self.settings, None, &self.passwords, agent_runs)
                .into_iter()
                .filter(|check| check.verdict != Verdict::Ok)
                .inspect(|check| assert!(check.remedy.is_some(), "{check:?}"))
                .map(|check| (check.check, check.verdict))
                .collect()
        }
    }

    #[test]
    fn keys_as_they_are_generated_are_good() {
        assert_eq!(Keys::new().findings(false), []);
    }

    #[test]
    fn a_secret_that_others_can_read_is_a_problem() {
        let keys = Keys::new();
        keys.mode("evidence.key", 0o440);
        keys.mode("digest.key", 0o404);
        keys.mode("", 0o750);
        let problem = Verdict::Problem;
        assert_eq!(
            keys.findings(false),
            [
                ("folder", problem),
                ("private", problem),
                ("digest", problem)
            ]
        );
    }

    #[test]
    fn a_secret_of_somebody_else_is_a_problem() {
        let agent = Who {
            name: "msp-agent".to_owned(),
            uid: 900,
            groups: vec![900],
        };
        let verdict = |uid| {
            let found = Access {
                uid,
                gid: 0,
                mode: 0o400,
            };
            judge_secret(Path::new("/k"), "private", "0400", found, Some(&agent)).verdict
        };
        assert_eq!(verdict(0), Verdict::Ok);
        assert_eq!(verdict(900), Verdict::Ok);
        assert_eq!(verdict(901), Verdict::Problem);
    }

    #[test]
    fn what_is_missing_is_a_problem() {
        let keys = Keys::new();
        for name in ["evidence.pub", "digest.key"] {
            fs::remove_file(keys.dir.path().join(name)).unwrap();
        }
        let found = keys.findings(false);
        assert!(found.contains(&("public", Verdict::Problem)), "{found:?}");
        assert!(found.contains(&("digest", Verdict::Problem)), "{found:?}");
        assert!(
            found.contains(&("opens", Verdict::Problem)),
            "no public half: {found:?}"
        );
    }

    #[test]
    fn a_public_key_of_another_pair_or_that_others_change_is_a_problem() {
        let keys = Keys::new();
        let (other, _) = PrivateKey::generate(b"").unwrap();
        keys.write("evidence.pub", &other.public().to_pem(), 0o644);
        assert_eq!(keys.findings(false), [("opens", Verdict::Problem)]);
        keys.mode("evidence.pub", 0o664);
        assert!(keys.findings(false).contains(&("public", Verdict::Problem)));
        keys.write("evidence.pub", "nonsense", 0o644);
        assert!(keys.findings(false).contains(&("public", Verdict::Problem)));
    }

    #[test]
    fn a_key_that_does_not_open_is_a_problem() {
        let mut keys = Keys::new();
        keys.passwords.variable = Some("wrong".into());
        assert_eq!(keys.findings(false), [("opens", Verdict::Problem)]);
        keys.write("evidence.key", "nonsense", 0o400);
        assert_eq!(keys.findings(true), [("opens", Verdict::Problem)]);
        keys.write("digest.key", "nonsense", 0o400);
        assert!(
            keys.findings(true)
                .contains(&("digest_opens", Verdict::Problem))
        );
    }

    #[test]
    fn without_a_password_a_running_agent_has_opened_it_and_else_nobody_knows() {
        let mut keys = Keys::new();
        keys.passwords.variable = None;
        assert_eq!(keys.findings(true), []);
        assert_eq!(keys.findings(false), [("opens", Verdict::CouldNotCheck)]);
    }

    #[test]
    fn an_uploader_that_can_read_the_key_is_a_problem() {
        let keys = Keys::new();
        let stranger = Who {
            name: "msp-uploader".to_owned(),
            uid: 901,
            groups: vec![901],
        };
        let check = |keys: &Keys| {
            out_of_reach(&keys.settings, Some(&stranger))
                .unwrap()
                .verdict
        };
        assert_eq!(check(&keys), Verdict::Ok);
        keys.mode("", 0o755);
        assert_eq!(check(&keys), Verdict::Ok, "the file itself is closed");
        keys.mode("evidence.key", 0o444);
        assert_eq!(check(&keys), Verdict::Problem);
    }
}
