//! The uploader's credentials as files: there, readable by the uploader, and by nobody else.
//!
//! Whether a store takes them is asked of the store.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use host::config::DestinationSettings;

use super::check::{Check, Family};
use super::who::{Access, READ, Who};

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
    fn credentials_that_are_not_there_are_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("aws");
        assert_eq!(of_file("d", &file, None).verdict, Verdict::Problem);
        fs::write(&file, "").unwrap();
        assert_eq!(of_file("d", &file, None).verdict, Verdict::Problem, "0644");
    }
}
