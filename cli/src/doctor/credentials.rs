//! The uploader's credentials as files: there, readable by the uploader, and by nobody else.
//!
//! Whether a store takes them is asked of the store.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use host::config::DestinationSettings;
use host::secret::{CREDENTIAL_NAME, S3_CREDENTIAL_NAME};

use super::check::{Check, Family};
use super::who::{Access, READ, Who};
use crate::credential::{self, Stored};

pub(crate) const FAMILY: Family = Family("credentials");

/// Files whose being readable by others is a leak: what the destination names, or else what AWS's
/// tools would take here.
pub(crate) fn look(destination: &DestinationSettings, uploader: Option<&Who>) -> Vec<Check> {
    let id = &destination.destination_id;
    if let Some(file) = &destination.credentials_file {
        return vec![of_file(id, file, uploader)];
    }
    if let Some(file) = std::env::var_os("AWS_SHARED_CREDENTIALS_FILE") {
        return vec![of_file(id, &PathBuf::from(file), uploader)];
    }
    Vec::new()
}

/// What systemd hands to the services from `folder`: closed to others, and opening on this machine.
pub(crate) fn of_systemd(folder: &Path) -> Vec<Check> {
    let shown = folder.display();
    let mut checks = Vec::new();
    match fs::metadata(folder) {
        // Older ways of giving secrets need none.
        Err(error) if error.kind() == ErrorKind::NotFound => return checks,
        Err(error) => {
            let found = error.to_string();
            checks.push(FAMILY.unchecked("stored", shown, found, "run this as root"));
            return checks;
        }
        Ok(meta) if Access::of(&meta).mode & 0o077 != 0 => checks.push(FAMILY.problem(
            "stored",
            &shown,
            format!("{}: others may look into it", Access::of(&meta).shown()),
            format!("chmod 0700 {shown}"),
        )),
        Ok(_) => {}
    }
    for name in [CREDENTIAL_NAME, S3_CREDENTIAL_NAME] {
        match credential::stored_in(folder, name) {
            Ok(None) => {}
            Ok(Some(stored)) => checks.push(of_stored(&stored)),
            Err(error) => checks.push(FAMILY.unchecked(
                "stored",
                name,
                format!("{error:#}"),
                "run this as root",
            )),
        }
    }
    checks
}

fn of_stored(stored: &Stored) -> Check {
    let shown = stored.path().display();
    match (stored.read(), stored) {
        (Ok(secret), _) if secret.iter().all(u8::is_ascii_whitespace) => FAMILY.problem(
            "stored",
            shown,
            "it is blank, which the services take for none",
            "write it again: docs/operations.md, \"Secrets\"",
        ),
        (Ok(_), Stored::Plain(_)) => FAMILY.ok("stored", shown, "only its owner can read it"),
        (Ok(_), Stored::Encrypted(_)) => FAMILY.ok("stored", shown, "it opens on this machine"),
        (Err(error), _) => FAMILY.problem(
            "stored",
            &shown,
            format!("{error:#}"),
            "correct what it says, or write it again: docs/operations.md, \"Secrets\"; then restart the \
             service",
        ),
    }
}

fn of_file(id: &str, file: &Path, uploader: Option<&Who>) -> Check {
    let shown = file.display();
    let owner = uploader.map_or("msp-uploader", |who| &who.name);
    match fs::metadata(file) {
        Ok(meta) => judge_file(id, file, Access::of(&meta), uploader),
        Err(error) if error.kind() == ErrorKind::NotFound => FAMILY.problem(
            "file",
            id,
            format!("{shown} is not there"),
            format!("write it, then: chown {owner} {shown} && chmod 0400 {shown}"),
        ),
        Err(error) => FAMILY.unchecked("file", id, format!("{shown}: {error}"), "run this as root"),
    }
}

/// Pure.
fn judge_file(id: &str, file: &Path, found: Access, uploader: Option<&Who>) -> Check {
    let shown = file.display();
    if found.mode & 0o077 != 0 {
        return FAMILY.problem(
            "file",
            id,
            format!(
                "{shown} is {}: others than its owner may use or change it",
                found.shown()
            ),
            format!("chmod 0400 {shown}; if others had it, make new credentials"),
        );
    }
    if let Some(uploader) = uploader.filter(|who| !who.may(READ, found)) {
        return FAMILY.problem(
            "file",
            id,
            format!(
                "{shown} is {}: {} cannot read it",
                found.shown(),
                uploader.name
            ),
            format!("chown {} {shown}", uploader.name),
        );
    }
    FAMILY.ok("file", id, format!("{shown} is {}", found.shown()))
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn credentials_that_others_read_or_the_uploader_does_not_are_a_problem() {
        let uploader = Who {
            name: "msp-uploader".to_owned(),
            uid: 901,
            groups: vec![901],
        };
        let verdict = |uid, mode| {
            let found = Access {
                uid,
                gid: 901,
                mode,
            };
            judge_file("d", Path::new("/c"), found, Some(&uploader)).verdict
        };
        assert_eq!(verdict(901, 0o400), Verdict::Ok);
        assert_eq!(verdict(901, 0o440), Verdict::Problem);
        assert_eq!(verdict(901, 0o404), Verdict::Problem);
        assert_eq!(verdict(0, 0o400), Verdict::Problem);
    }

    #[test]
    fn what_systemd_hands_over_is_closed_not_blank_and_opens_here() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("credentials");
        let verdicts = || -> Vec<Verdict> {
            of_systemd(&folder)
                .iter()
                .map(|check| check.verdict)
                .collect()
        };
        assert_eq!(verdicts(), []);
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::create_dir(&folder).unwrap();
        mode(&folder, 0o755);
        assert_eq!(verdicts(), [Verdict::Problem]);
        mode(&folder, 0o700);
        let password = folder.join(CREDENTIAL_NAME);
        fs::write(&password, "secret\n").unwrap();
        mode(&password, 0o444);
        assert_eq!(verdicts(), [Verdict::Problem]);
        mode(&password, 0o600);
        assert_eq!(verdicts(), [Verdict::Ok]);
        fs::write(&password, "\n").unwrap();
        assert_eq!(verdicts(), [Verdict::Problem]);
        fs::remove_file(&password).unwrap();
        let broken = folder.join(format!("{S3_CREDENTIAL_NAME}.cred"));
        fs::write(broken, "not encrypted by anybody").unwrap();
        assert_eq!(verdicts(), [Verdict::Problem]);
    }

    #[test]
    fn credentials_that_are_not_there_are_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("aws");
        assert_eq!(of_file("d", &file, None).verdict, Verdict::Problem);
        fs::write(&file, "").unwrap();
        assert_eq!(of_file("d", &file, None).verdict, Verdict::Problem, "0644");
    }
}
