//! Folders and files: whose they are, and that nobody can more than the design says (section "Where
//! things live"). Not the exact bits are asked for but what they mean: what a daemon needs, and
//! what the other daemon and everybody else must not be able to do.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use host::config::{Settings, drop_in_folder};
use host::instance::{AGENT_LOCK, UPLOADER_LOCK};

use super::check::{Check, Family};
use super::who::{Access, READ, SEARCH, WRITE, Who, user};

const FAMILY: Family = Family("permissions");
const ALL: u32 = READ | WRITE | SEARCH;

/// What one folder is for.
struct Rule<'s> {
    path: &'s Path,
    /// What the agent needs, and what it must not have.
    agent: (u32, u32),
    /// The same of the uploader.
    uploader: (u32, u32),
    /// Owner, group and mode as the packages make it, for the remedy.
    as_packaged: (&'static str, &'static str, u32),
}

fn rules(settings: &Settings) -> [Rule<'_>; 8] {
    let paths = &settings.paths;
    let rule = |path, agent, uploader, as_packaged| Rule {
        path,
        agent,
        uploader,
        as_packaged,
    };
    let (agent, uploader, handover) = ("msp-agent", "msp-uploader", "msp-handover");
    [
        rule(
            &paths.drop,
            (ALL, 0),
            (0, READ | WRITE),
            (agent, "msp-drop", 0o3770),
        ),
        rule(
            &paths.spool,
            (ALL, 0),
            (0, READ | WRITE),
            (agent, agent, 0o700),
        ),
        rule(
            &paths.evidence,
            (ALL, 0),
            (READ | SEARCH, WRITE),
            (agent, handover, 0o2750),
        ),
        rule(
            &paths.outbox,
            (ALL, 0),
            (READ | SEARCH, WRITE),
            (agent, handover, 0o2750),
        ),
        rule(
            &paths.receipts,
            (ALL, 0),
            (ALL, 0),
            (agent, handover, 0o3770),
        ),
        rule(
            &paths.delivery,
            (0, WRITE),
            (ALL, 0),
            (uploader, uploader, 0o700),
        ),
        rule(
            &paths.quarantine,
            (ALL, 0),
            (0, READ | WRITE),
            (agent, agent, 0o700),
        ),
        rule(
            &paths.requests,
            (ALL, 0),
            (0, READ | WRITE),
            (agent, agent, 0o700),
        ),
    ]
}

/// Looks at every folder and file.
pub(crate) fn look(settings: &Settings, agent: Option<&Who>, uploader: Option<&Who>) -> Vec<Check> {
    let mut checks = vec![separation(agent, uploader)];
    for rule in rules(settings) {
        checks.push(match fs::metadata(rule.path) {
            Ok(meta) if !meta.is_dir() => FAMILY.problem(
                "folder",
                rule.path.display(),
                "it is not a folder",
                format!("move it away: mv {0} {0}.old", rule.path.display()),
            ),
            Ok(meta) => judge_folder(&rule, Access::of(&meta), agent, uploader),
            Err(error) if error.kind() == ErrorKind::NotFound => FAMILY.warning(
                "folder",
                rule.path.display(),
                "it is not there yet",
                "start the services once, or run systemd-tmpfiles --create",
            ),
            Err(error) => FAMILY.unchecked(
                "folder",
                rule.path.display(),
                error.to_string(),
                "run this as root",
            ),
        });
        checks.extend(way_to(
            rule.path,
            &[
                agent.filter(|_| rule.agent.0 != 0),
                uploader.filter(|_| rule.uploader.0 != 0),
            ],
        ));
    }
    checks.extend(databases(settings));
    checks.extend(configuration(settings, agent, uploader));
    checks
}

/// Two daemons, two users: otherwise the network reaches the key.
fn separation(agent: Option<&Who>, uploader: Option<&Who>) -> Check {
    let remedy =
        "run each as a user of its own, as the packages' units do: msp-agent and msp-uploader";
    match (agent, uploader) {
        (Some(agent), Some(uploader)) if agent.uid == uploader.uid => FAMILY.warning(
            "separation",
            &agent.name,
            "both services run as this user, so whoever breaks into the uploader has the key",
            remedy,
        ),
        (Some(root), _) | (_, Some(root)) if root.uid == 0 => FAMILY.warning(
            "separation",
            &root.name,
            "a service runs as root, whom no mode keeps out",
            remedy,
        ),
        (Some(agent), Some(uploader)) => FAMILY.ok(
            "separation",
            format!("{}, {}", agent.name, uploader.name),
            "each service has a user of its own",
        ),
        _ => FAMILY.unchecked(
            "separation",
            "services",
            "there is no user msp-agent or msp-uploader, and the services have not run yet",
            "install the package msp-evidence-agent, or start the services once",
        ),
    }
}

/// Pure: what is wrong with one folder.
fn judge_folder(
    rule: &Rule<'_>,
    found: Access,
    agent: Option<&Who>,
    uploader: Option<&Who>,
) -> Check {
    let mut wrong = Vec::new();
    let separate = agent.zip(uploader).is_none_or(|(a, u)| a.uid != u.uid);
    for (who, (needs, must_not)) in [(agent, rule.agent), (uploader, rule.uploader)] {
        let Some(who) = who else { continue };
        if !who.may(needs, found) {
            wrong.push(format!("{} lacks {}", who.name, words(needs)));
        }
        for one in [READ, WRITE] {
            if separate && who.uid != 0 && must_not & one != 0 && who.may(one, found) {
                wrong.push(format!("{} must not {}", who.name, verb(one)));
            }
        }
    }
    if found.mode & 0o007 != 0 {
        wrong.push(format!("everybody may {}", words(found.mode & 0o007)));
    }
    let path = rule.path.display();
    if wrong.is_empty() {
        return FAMILY.ok("folder", path, found.shown());
    }
    let (owner, group, mode) = rule.as_packaged;
    FAMILY.problem(
        "folder",
        &path,
        format!("{}: {}", found.shown(), wrong.join("; ")),
        format!("chown {owner}:{group} {path} && chmod {mode:04o} {path}"),
    )
}

fn words(bits: u32) -> String {
    let names = [(READ, "read"), (WRITE, "write"), (SEARCH, "search")];
    let named: Vec<_> = names
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    named.join(", ")
}

const fn verb(bit: u32) -> &'static str {
    if bit == WRITE { "write" } else { "read" }
}

/// A folder that may be used and not be reached; nothing when it can be.
fn way_to(path: &Path, users: &[Option<&Who>]) -> Option<Check> {
    for parent in path.ancestors().skip(1) {
        let access = Access::of(&fs::metadata(parent).ok()?);
        if let Some(who) = users.iter().flatten().find(|who| !who.may(SEARCH, access)) {
            return Some(FAMILY.problem(
                "way",
                path.display(),
                format!(
                    "{} cannot reach it: {} is {}",
                    who.name,
                    parent.display(),
                    access.shown()
                ),
                format!("chmod o+x {}", parent.display()),
            ));
        }
    }
    None
}

/// Files of a database that belong to somebody else lock its own daemon out.
fn databases(settings: &Settings) -> Vec<Check> {
    let paths = &settings.paths;
    let of = |folder: &PathBuf, names: &[&str]| -> Vec<PathBuf> {
        names.iter().map(|name| folder.join(name)).collect()
    };
    let mut checks = Vec::new();
    for (folder, files) in [
        (
            &paths.spool,
            of(
                &paths.spool,
                &["spool.db", "spool.db-wal", "spool.db-shm", AGENT_LOCK],
            ),
        ),
        (
            &paths.delivery,
            of(
                &paths.delivery,
                &[
                    "delivery.db",
                    "delivery.db-wal",
                    "delivery.db-shm",
                    UPLOADER_LOCK,
                ],
            ),
        ),
    ] {
        let Ok(owner) = fs::metadata(folder).map(|meta| Access::of(&meta)) else {
            continue;
        };
        for file in files {
            // One that is not there, or cannot be seen, is not another's.
            let Ok(meta) = fs::symlink_metadata(&file) else {
                continue;
            };
            checks.push(judge_database(&file, Access::of(&meta), owner));
        }
    }
    checks
}

fn judge_database(file: &Path, found: Access, folder: Access) -> Check {
    let path = file.display();
    if found.uid != folder.uid {
        let owner = user(folder.uid);
        return FAMILY.problem(
            "database",
            &path,
            format!(
                "{}, and the folder is {owner}'s: its service cannot use it",
                found.shown()
            ),
            format!("chown {owner} {path}"),
        );
    }
    if found.mode & 0o022 != 0 {
        return FAMILY.problem(
            "database",
            &path,
            format!("{}: others may write", found.shown()),
            format!("chmod go-w {path}"),
        );
    }
    FAMILY.ok("database", path, found.shown())
}

/// Who can change what is sealed and where it goes, and whether both services can read it.
fn configuration(settings: &Settings, agent: Option<&Who>, uploader: Option<&Who>) -> Vec<Check> {
    let mut files = settings.origins.files().to_vec();
    let folder = drop_in_folder(&settings.source);
    if folder.is_dir() {
        files.push(folder);
    }
    files
        .iter()
        .filter_map(|file| {
            let meta = fs::metadata(file).ok()?;
            Some(judge_configuration(
                file,
                Access::of(&meta),
                agent,
                uploader,
            ))
        })
        .collect()
}

fn judge_configuration(
    file: &Path,
    found: Access,
    agent: Option<&Who>,
    uploader: Option<&Who>,
) -> Check {
    let path = file.display();
    let service = [agent, uploader]
        .into_iter()
        .flatten()
        .find(|who| who.uid != 0 && who.uid == found.uid);
    if found.mode & 0o022 != 0 {
        return FAMILY.problem(
            "configuration",
            &path,
            format!("{}: others than its owner may change it", found.shown()),
            format!("chmod go-w {path}"),
        );
    }
    if let Some(blind) = [agent, uploader]
        .into_iter()
        .flatten()
        .find(|who| !who.may(READ, found))
    {
        return FAMILY.problem(
            "configuration",
            &path,
            format!("{}: {} cannot read it", found.shown(), blind.name),
            format!("chmod a+r {path} (it holds no secret)"),
        );
    }
    if let Some(service) = service {
        return FAMILY.warning(
            "configuration",
            &path,
            format!(
                "{}: {} could change its own settings",
                found.shown(),
                service.name
            ),
            format!("chown root:root {path}"),
        );
    }
    FAMILY.ok("configuration", path, found.shown())
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    fn agent() -> Who {
        Who {
            name: "msp-agent".to_owned(),
            uid: 900,
            groups: vec![900, 950],
        }
    }

    fn uploader() -> Who {
        Who {
            name: "msp-uploader".to_owned(),
            uid: 901,
            groups: vec![901, 950],
        }
    }

    const fn access(uid: u32, gid: u32, mode: u32) -> Access {
        Access { uid, gid, mode }
    }

    fn settings() -> Settings {
        let text = "client_id = \"c\"\nhost_id = \"h\"\n[[destination]]\nid = \"d\"\n\
                    bucket = \"bucket\"\nregion = \"r\"\n";
        Settings::parse(
            text,
            Path::new("/etc/msp/evidence.toml"),
            std::iter::empty(),
        )
        .unwrap()
    }

    /// The folder's verdict and words, by its name below the state folder.
    fn judged(name: &str, found: Access) -> (Verdict, String) {
        let settings = settings();
        let rules = rules(&settings);
        let rule = rules.iter().find(|rule| rule.path.ends_with(name)).unwrap();
        let check = judge_folder(rule, found, Some(&agent()), Some(&uploader()));
        (
            check.verdict,
            format!("{} -> {:?}", check.found, check.remedy),
        )
    }

    #[test]
    fn folders_as_the_packages_make_them_are_good() {
        for (name, uid, gid, mode) in [
            ("drop", 900, 960, 0o3770),
            ("spool", 900, 900, 0o700),
            ("evidence", 900, 950, 0o2750),
            ("outbox", 900, 950, 0o2750),
            ("receipts", 900, 950, 0o3770),
            ("delivery", 901, 901, 0o700),
            ("quarantine", 900, 900, 0o700),
            ("requests", 900, 900, 0o700),
        ] {
            let (verdict, words) = judged(name, access(uid, gid, mode));
            assert_eq!(verdict, Verdict::Ok, "{name}: {words}");
        }
    }

    #[test]
    fn a_folder_that_is_too_open_or_too_closed_is_a_problem_with_the_command() {
        for (name, found, says) in [
            (
                "drop",
                access(0, 0, 0o700),
                "msp-agent lacks read, write, search",
            ),
            (
                "spool",
                access(900, 950, 0o770),
                "msp-uploader must not read; msp-uploader must not write",
            ),
            ("spool", access(0, 0, 0o700), "msp-agent lacks"),
            (
                "evidence",
                access(900, 950, 0o2770),
                "msp-uploader must not write",
            ),
            (
                "evidence",
                access(900, 900, 0o750),
                "msp-uploader lacks read, search",
            ),
            ("outbox", access(900, 950, 0o2770), "must not write"),
            (
                "outbox",
                access(900, 950, 0o2755),
                "everybody may read, search",
            ),
            (
                "receipts",
                access(900, 950, 0o2750),
                "msp-uploader lacks read, write, search",
            ),
            (
                "delivery",
                access(901, 950, 0o770),
                "msp-agent must not write",
            ),
            (
                "quarantine",
                access(900, 900, 0o707),
                "everybody may read, write, search",
            ),
            ("requests", access(900, 950, 0o770), "msp-uploader must not"),
        ] {
            let (verdict, words) = judged(name, found);
            assert_eq!(verdict, Verdict::Problem, "{name}: {words}");
            assert!(words.contains(says), "{name}: no {says:?} in {words}");
            assert!(
                words.contains("chown") && words.contains("chmod"),
                "{words}"
            );
        }
    }

    #[test]
    fn one_user_for_both_services_is_told() {
        let same = Who {
            uid: 900,
            ..uploader()
        };
        assert_eq!(
            separation(Some(&agent()), Some(&same)).verdict,
            Verdict::Warning
        );
        let root = Who {
            uid: 0,
            ..uploader()
        };
        assert_eq!(
            separation(Some(&agent()), Some(&root)).verdict,
            Verdict::Warning
        );
        assert_eq!(
            separation(Some(&agent()), Some(&uploader())).verdict,
            Verdict::Ok
        );
        assert_eq!(separation(None, None).verdict, Verdict::CouldNotCheck);
    }

    #[test]
    fn a_database_file_of_somebody_else_is_a_problem() {
        let file = Path::new("/var/lib/msp/spool/spool.db-wal");
        let folder = access(900, 900, 0o700);
        assert_eq!(
            judge_database(file, access(900, 900, 0o644), folder).verdict,
            Verdict::Ok
        );
        let root = judge_database(file, access(0, 0, 0o644), folder);
        assert_eq!(root.verdict, Verdict::Problem);
        assert_eq!(
            root.remedy.unwrap(),
            format!("chown 900 {}", file.display())
        );
        let open = judge_database(file, access(900, 900, 0o666), folder);
        assert_eq!(open.verdict, Verdict::Problem);
    }

    #[test]
    fn a_configuration_that_others_change_or_a_service_cannot_read_is_a_problem() {
        let file = Path::new("/etc/msp/evidence.toml");
        let (agent, uploader) = (agent(), uploader());
        let verdict =
            |found| judge_configuration(file, found, Some(&agent), Some(&uploader)).verdict;
        assert_eq!(verdict(access(0, 0, 0o644)), Verdict::Ok);
        assert_eq!(verdict(access(0, 950, 0o664)), Verdict::Problem);
        assert_eq!(verdict(access(0, 0, 0o646)), Verdict::Problem);
        assert_eq!(verdict(access(0, 0, 0o600)), Verdict::Problem);
        assert_eq!(verdict(access(901, 0, 0o644)), Verdict::Warning);
    }

    #[test]
    fn a_folder_behind_a_closed_one_cannot_be_reached() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("closed/inside");
        fs::create_dir_all(&inside).unwrap();
        let closed = folder.path().join("closed");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let check = way_to(&inside, &[Some(&agent())]).unwrap();
        assert_eq!(check.verdict, Verdict::Problem);
        assert!(check.found.contains("closed is"), "{}", check.found);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(way_to(&inside, &[Some(&agent())]), None);
    }
}
