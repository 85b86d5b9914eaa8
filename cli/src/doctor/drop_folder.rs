//! The drop contract: a folder to which members add and from which only the agent removes, and
//! whether what waits in it will ever be taken.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use host::config::Settings;
use jiff::Timestamp;
use nix::unistd::Group;

use super::check::{Check, Family};
use super::who::{Access, READ, SEARCH, WRITE, Who, group, user};
use crate::output::plain;

const FAMILY: Family = Family("drop");
/// setgid, sticky: members add, only the owner removes.
const MODE: u32 = 0o3770;
/// A drop is taken within seconds, or by the next scan.
const TAKEN_WITHIN_SECS: i64 = 600;
/// No producer writes that long.
const WRITTEN_WITHIN_SECS: i64 = 86_400;
/// So many names of one kind are told.
const NAMES_TOLD: usize = 5;

pub(crate) fn look(settings: &Settings, agent: Option<&Who>, now: Timestamp) -> Vec<Check> {
    let path = &settings.paths.drop;
    let Ok(meta) = fs::metadata(path) else {
        // That it is missing is said with the permissions.
        return Vec::new();
    };
    let msp_drop = Group::from_name("msp-drop").ok().flatten();
    let mut checks = vec![
        mode(path, Access::of(&meta)),
        owning_group(path, meta.gid(), msp_drop.map(|group| group.gid.as_raw())),
    ];
    match waiting(path, now) {
        Ok(waiting) => checks.extend(judge(settings, agent, &waiting)),
        Err(error) => checks.push(FAMILY.unchecked(
            "waiting",
            path.display(),
            error.to_string(),
            "run this as root",
        )),
    }
    checks
}

fn mode(path: &Path, found: Access) -> Check {
    let shown = path.display();
    if found.mode == MODE {
        return FAMILY.ok("mode", shown, "3770");
    }
    let mut means = Vec::new();
    if found.mode & 0o1000 == 0 {
        means.push("members can remove each other's drops");
    }
    if found.mode & 0o2000 == 0 {
        means.push("drops do not get the folder's group");
    }
    if found.mode & 0o020 == 0 {
        means.push("members cannot add");
    }
    if found.mode & 0o007 != 0 {
        means.push("everybody can look or add");
    }
    FAMILY.problem(
        "mode",
        &shown,
        format!("{:04o} instead of 3770: {}", found.mode, means.join("; ")),
        format!("chmod 3770 {shown}"),
    )
}

/// `known` is the group msp-drop, where there is one.
fn owning_group(path: &Path, gid: u32, known: Option<u32>) -> Check {
    let shown = path.display();
    match known {
        Some(known) if known == gid => FAMILY.ok("group", shown, "msp-drop"),
        Some(_) => FAMILY.problem(
            "group",
            &shown,
            format!(
                "it is of the group {}, so executors in msp-drop cannot add",
                group(gid)
            ),
            format!("chgrp msp-drop {shown}"),
        ),
        None => FAMILY.warning(
            "group",
            &shown,
            format!(
                "there is no group msp-drop; members of {} can add",
                group(gid)
            ),
            "install the package msp-evidence-agent, or run systemd-sysusers",
        ),
    }
}

/// One entry of the folder.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    access: Access,
    kind: Kind,
    age_secs: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Other,
}

fn waiting(path: &Path, now: Timestamp) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // Taken in the meantime.
        let Ok(meta) = entry.path().symlink_metadata() else {
            continue;
        };
        let kind = meta.file_type();
        entries.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            access: Access::of(&meta),
            kind: match (kind.is_file(), kind.is_dir()) {
                (true, _) => Kind::File,
                (_, true) => Kind::Folder,
                _ => Kind::Other,
            },
            age_secs: now.as_second() - meta.ctime(),
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Pure: what waits and will not be taken.
fn judge(settings: &Settings, agent: Option<&Who>, entries: &[Entry]) -> Vec<Check> {
    let folder = settings.paths.drop.display().to_string();
    let is_hidden = |e: &Entry| e.name.starts_with('.');
    let is_taken = |e: &Entry| e.name.starts_with(".taken-");
    let is_partial = |e: &Entry| {
        (is_hidden(e) && !is_taken(e)) || e.name.ends_with(".tmp") || e.name.ends_with(".part")
    };
    let allowed = &settings.drop.allowed_owners;
    let of = |wanted: &dyn Fn(&Entry) -> bool| -> Vec<&Entry> {
        entries.iter().filter(|e| wanted(e)).collect()
    };
    let mut checks = Vec::new();
    let mut add = |check: &'static str, found: Vec<&Entry>, words: &str, remedy: String| {
        if !found.is_empty() {
            let found = format!("{} {words}: {}", found.len(), names(&found));
            checks.push(FAMILY.problem(check, &folder, found, remedy));
        }
    };
    add(
        "foreign",
        of(&|e| !is_partial(e) && e.kind == Kind::Other),
        "that are neither file nor folder, and are never sealed",
        format!("see what they are and remove them: ls -la {folder}"),
    );
    if !allowed.is_empty() {
        add(
            "owner",
            of(&|e| !is_partial(e) && !allowed.contains(&e.access.uid)),
            "of owners that drop.allowed_owners does not have",
            format!("let the executor drop as one of {}", users(allowed)),
        );
    }
    if let Some(agent) = agent {
        add(
            "unreadable",
            of(&|e| {
                let needs = if e.kind == Kind::Folder {
                    READ | SEARCH
                } else {
                    READ
                };
                !is_partial(e) && e.kind != Kind::Other && !agent.may(needs, e.access)
            }),
            "that the agent cannot read",
            format!("let the executor leave them group-readable: chmod -R g+rX {folder}/NAME"),
        );
        add(
            "unremovable",
            of(&|e| {
                e.kind == Kind::Folder && !is_partial(e) && !agent.may(WRITE | SEARCH, e.access)
            }),
            "folders that the agent cannot empty, so they stay after they are sealed",
            format!("let the executor leave them group-writable: chmod g+w {folder}/NAME"),
        );
    }
    add(
        "not_taken",
        of(&|e| !is_partial(e) && e.kind != Kind::Other && e.age_secs > TAKEN_WITHIN_SECS),
        "that wait for more than ten minutes",
        "see what the agent says of them: msp-evidence status; journalctl -u msp-evidence-agent"
            .to_owned(),
    );
    let abandoned = of(&|e| is_partial(e) && e.age_secs > WRITTEN_WITHIN_SECS);
    if !abandoned.is_empty() {
        checks.push(FAMILY.warning(
            "abandoned",
            &folder,
            format!(
                "{} that a producer began more than a day ago and never finished: {}",
                abandoned.len(),
                names(&abandoned)
            ),
            format!("ask the executor's side; then remove them: ls -la {folder}"),
        ));
    }
    if checks.is_empty() {
        let ready = of(&|e| !is_partial(e)).len();
        checks.push(FAMILY.ok(
            "waiting",
            folder,
            format!("{ready} drops wait, nothing foreign"),
        ));
    }
    checks
}

fn names(entries: &[&Entry]) -> String {
    let mut names: Vec<String> = entries
        .iter()
        .take(NAMES_TOLD)
        .map(|e| plain(&e.name))
        .collect();
    if entries.len() > NAMES_TOLD {
        names.push(format!("and {} more", entries.len() - NAMES_TOLD));
    }
    names.join(", ")
}

fn users(uids: &[u32]) -> String {
    let names: Vec<String> = uids.iter().map(|uid| user(*uid)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    fn settings(more: &str) -> Settings {
        let text = format!(
            "client_id = \"c\"\nhost_id = \"h\"\n[drop]\n{more}\n[[destination]]\nid = \"d\"\n\
             bucket = \"bucket\"\nregion = \"r\"\n"
        );
        Settings::parse(&text, Path::new("/e.toml"), std::iter::empty()).unwrap()
    }

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            access: Access {
                uid: 700,
                gid: 960,
                mode: 0o660,
            },
            kind: Kind::File,
            age_secs: 1,
        }
    }

    fn findings(entries: &[Entry]) -> Vec<(&'static str, Verdict)> {
        let agent = Who {
            name: "msp-agent".to_owned(),
            uid: 900,
            groups: vec![900, 960],
        };
        judge(&settings("allowed_owners = [700]"), Some(&agent), entries)
            .into_iter()
            .map(|check| (check.check, check.verdict))
            .collect()
    }

    #[test]
    fn the_folder_is_3770_and_anything_else_is_a_problem() {
        let check = |bits| {
            mode(
                Path::new("/drop"),
                Access {
                    uid: 1,
                    gid: 1,
                    mode: bits,
                },
            )
        };
        assert_eq!(check(0o3770).verdict, Verdict::Ok);
        for (bits, says) in [
            (0o2770, "remove each other's"),
            (0o1770, "folder's group"),
            (0o3750, "cannot add"),
            (0o3777, "everybody"),
        ] {
            let found = check(bits);
            assert_eq!(found.verdict, Verdict::Problem, "{bits:o}");
            assert!(found.found.contains(says), "{}", found.found);
            assert_eq!(found.remedy.as_deref(), Some("chmod 3770 /drop"));
        }
    }

    #[test]
    fn the_folder_is_of_the_group_msp_drop() {
        let verdict = |gid, known| owning_group(Path::new("/drop"), gid, known).verdict;
        assert_eq!(verdict(960, Some(960)), Verdict::Ok);
        assert_eq!(verdict(0, Some(960)), Verdict::Problem);
        assert_eq!(verdict(0, None), Verdict::Warning);
    }

    #[test]
    fn what_waits_and_will_be_taken_is_good() {
        let writing = Entry {
            age_secs: 3600,
            ..entry(".writing.json")
        };
        let folder = Entry {
            kind: Kind::Folder,
            access: Access {
                uid: 700,
                gid: 960,
                mode: 0o2770,
            },
            ..entry("incident-2")
        };
        assert_eq!(
            findings(&[entry("a.json"), writing, folder]),
            [("waiting", Verdict::Ok)]
        );
    }

    #[test]
    fn what_will_never_be_taken_is_a_problem() {
        let problem = Verdict::Problem;
        let link = Entry {
            kind: Kind::Other,
            ..entry("link.json")
        };
        assert_eq!(findings(&[link]), [("foreign", problem)]);
        let root = Entry {
            access: Access {
                uid: 0,
                gid: 960,
                mode: 0o660,
            },
            ..entry("root.json")
        };
        assert_eq!(findings(&[root]), [("owner", problem)]);
        let closed = Entry {
            access: Access {
                uid: 700,
                gid: 700,
                mode: 0o600,
            },
            ..entry("closed.json")
        };
        assert_eq!(findings(&[closed]), [("unreadable", problem)]);
        let folder = Entry {
            kind: Kind::Folder,
            access: Access {
                uid: 700,
                gid: 960,
                mode: 0o2750,
            },
            ..entry("folder")
        };
        assert_eq!(findings(&[folder]), [("unremovable", problem)]);
        let old = Entry {
            age_secs: 601,
            ..entry("old.json")
        };
        assert_eq!(findings(&[old]), [("not_taken", problem)]);
        let abandoned = Entry {
            age_secs: 86_401,
            ..entry("half.json.part")
        };
        assert_eq!(findings(&[abandoned]), [("abandoned", Verdict::Warning)]);
    }
}
