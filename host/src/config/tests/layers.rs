//! Drop-ins, the origin of each value, and all problems at once.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::*;

/// A folder with `evidence.toml`, and `evidence.d` with these files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(main: &str, drop_ins: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("evidence.toml"), main).unwrap();
        if !drop_ins.is_empty() {
            fs::create_dir(folder.path().join("evidence.d")).unwrap();
        }
        for (name, text) in drop_ins {
            fs::write(folder.path().join("evidence.d").join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load_with(&self, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let env: Vec<_> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Settings::load(&self.path("evidence.toml"), env.into_iter())
    }

    fn load(&self) -> Result<Settings, ConfigError> {
        self.load_with(&[])
    }
}

fn in_file(folder: &Folder, name: &str, line: usize) -> Origin {
    Origin::File {
        path: folder.path(name),
        line,
    }
}

#[test]
fn the_later_name_wins_setting_by_setting_and_the_environment_last() {
    let main =
        format!("{MINIMAL}[drop]\nrescan_secs = 40\nmax_depth = 20\n[log]\nfilter = \"warn\"\n");
    let folder = Folder::new(
        &main,
        &[
            ("20-late.toml", "[drop]\nrescan_secs = 60\n"),
            (
                "10-early.toml",
                "[drop]\nrescan_secs = 50\nmax_artifacts = 7\n",
            ),
            ("9-by-bytes-last.toml", "\n[retention]\ndays = 3000\n"),
        ],
    );
    let settings = folder
        .load_with(&[("MSP_EVIDENCE_LOG__FILTER", "debug")])
        .unwrap();
    assert_eq!(settings.drop.rescan_secs, 60);
    assert_eq!(settings.drop.max_depth, 20, "tables merge");
    assert_eq!(settings.drop.max_artifacts, 7);
    assert_eq!(settings.log.filter, "debug");
    assert_eq!(settings.destinations[0].retention_days, 3000);
    let names: Vec<_> = settings
        .origins
        .files()
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "evidence.toml",
            "10-early.toml",
            "20-late.toml",
            "9-by-bytes-last.toml"
        ]
    );
    let origin = |key: &str| settings.origins.of(key);
    assert_eq!(
        origin("drop.rescan_secs"),
        in_file(&folder, "evidence.d/20-late.toml", 2)
    );
    assert_eq!(
        origin("drop.max_artifacts"),
        in_file(&folder, "evidence.d/10-early.toml", 3)
    );
    assert_eq!(
        origin("drop.max_depth"),
        in_file(&folder, "evidence.toml", 9)
    );
    assert_eq!(
        origin("log.filter"),
        Origin::Variable("MSP_EVIDENCE_LOG__FILTER".to_owned())
    );
    assert_eq!(origin("drop.on_sealed"), Origin::Default);
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn drop_ins_give_the_same_settings_and_hash_as_one_file() {
    let folder = Folder::new(
        "client_id = \"clinic-012\"\n",
        &[
            (
                "10-destination.toml",
                &MINIMAL.replace("client_id", "host_id"),
            ),
            ("20-log.toml", "host_id = \"h\"\n[log]\nformat = \"json\"\n"),
        ],
    );
    let whole = parse(&format!("host_id = \"h\"{MINIMAL}[log]\nformat = \"json\"")).unwrap();
    let settings = folder.load().unwrap();
    assert_eq!(values(&settings), values(&whole));
    assert_eq!(settings.sha256, whole.sha256);
}

#[test]
fn a_list_is_replaced_and_a_destination_that_goes_with_it_is_named() {
    let second = "[drop]\nallowed_owners = [7]\n[[destination]]\nid = \"offsite\"\n\
                  bucket = \"other-bucket\"\nregion = \"eu-central-1\"\n";
    let main = format!("{MINIMAL}[drop]\nallowed_owners = [1, 2]\n");
    let folder = Folder::new(&main, &[("10-offsite.toml", second)]);
    let settings = folder.load().unwrap();
    assert_eq!(settings.drop.allowed_owners, [7]);
    assert_eq!(settings.destinations.len(), 1);
    assert_eq!(settings.destinations[0].destination_id, "offsite");
    assert_eq!(
        settings.origins.of("destination.primary.bucket"),
        Origin::Default
    );
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    for part in ["10-offsite.toml", "\"primary\"", "name every destination"] {
        assert!(
            settings.warnings[0].contains(part),
            "{}",
            settings.warnings[0]
        );
    }
    // The same destination with other settings is what drop-ins are for.
    let folder = Folder::new(
        MINIMAL,
        &[(
            "10-primary.toml",
            &MINIMAL.replace("us-east-1", "eu-west-1"),
        )],
    );
    let settings = folder.load().unwrap();
    assert_eq!(settings.destinations[0].region, "eu-west-1");
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn only_names_that_end_in_toml_are_read_and_others_are_told() {
    let folder = Folder::new(
        MINIMAL,
        &[
            ("10-good.toml", "[log]\nfilter = \"warn\"\n"),
            ("20-old.toml.rpmsave", "not toml at all"),
            (".hidden.toml", "not toml at all"),
            ("README.md", "not toml at all"),
        ],
    );
    let settings = folder.load().unwrap();
    assert_eq!(settings.log.filter, "warn");
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(settings.warnings[0].contains("20-old.toml.rpmsave is not read"));
}

#[test]
fn each_file_has_its_own_drop_ins() {
    assert_eq!(
        drop_in_folder(Path::new("/etc/msp/evidence.toml")),
        Path::new("/etc/msp/evidence.d")
    );
    assert_eq!(
        drop_in_folder(Path::new("/etc/msp/trial.toml")),
        Path::new("/etc/msp/trial.d")
    );
    // A file that is called like its own folder has none.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evidence.d");
    fs::write(&path, MINIMAL).unwrap();
    Settings::load(&path, std::iter::empty()).unwrap();
}

#[test]
fn an_unknown_key_of_a_drop_in_names_file_line_key_and_remedy() {
    for (text, line, parts) in [
        (
            "[drop]\n\nrescan = 3\n",
            3,
            vec!["`rescan`", "correct the spelling", "rescan_secs"],
        ),
        (
            "group_limit = 3\n",
            1,
            vec!["`group_limit`", "move it below [agent]"],
        ),
        (
            "[log]\nclient_id = \"x\"\n",
            2,
            vec!["`client_id`", "move it to the top"],
        ),
        (
            "bucket = \"x\"\n",
            1,
            vec!["`bucket`", "below [[destination]]"],
        ),
        ("[nowhere]\nx = 1\n", 1, vec!["`nowhere`", "client_id"]),
        ("[destination]\nid = \"x\"\n", 1, vec!["[[destination]]"]),
        ("drop = 3\n", 1, vec!["write [drop]"]),
    ] {
        let folder = Folder::new(MINIMAL, &[("50-x.toml", text)]);
        let error = folder.load().unwrap_err();
        assert_eq!(error.problems().len(), 1, "{error}");
        let said = error.to_string();
        assert!(said.contains(&format!("50-x.toml, line {line}:")), "{said}");
        for part in parts {
            assert!(said.contains(part), "no {part:?} in: {said}");
        }
    }
}

#[test]
fn every_problem_is_told_at_once_with_the_place_of_each() {
    let main = "client_id = \"a/b\"\nhostid = \"x\"\n[drop]\nrescan_secs = 1\nmax_depth = \"deep\"\n\
                [log]\nformat = \"xml\"\n[[destination]]\nid = \"primary\"\nbucket = \"B\"\n";
    let folder = Folder::new(
        main,
        &[
            ("10-a.toml", "[paths]\nstate_dir = \"var\"\nspol = \"/x\"\n"),
            ("20-b.toml", "[retention]\ndays = 30\n"),
        ],
    );
    let error = folder
        .load_with(&[
            ("MSP_EVIDENCE_NOWHERE__X", "1"),
            ("MSP_EVIDENCE_UPLOADER__IN_FLIGHT", "0"),
        ])
        .unwrap_err();
    let said: Vec<String> = error.problems().iter().map(|p| p.to_string()).collect();
    let expected = [
        ["evidence.toml, line 2", "hostid"],
        [
            "evidence.toml, line 5",
            "drop.max_depth must be a whole number",
        ],
        ["10-a.toml, line 3", "`spol`"],
        ["MSP_EVIDENCE_NOWHERE__X", "no setting"],
        ["evidence.toml, line 1", "client_id = \"a/b\""],
        ["10-a.toml, line 2", "paths.state_dir"],
        ["evidence.toml, line 4", "drop.rescan_secs"],
        ["evidence.toml, line 10", "destination.primary.bucket"],
        ["evidence.toml", "destination.primary.region = (not set)"],
        ["20-b.toml, line 2", "retention.days = 30"],
        ["MSP_EVIDENCE_UPLOADER__IN_FLIGHT", "uploader.in_flight = 0"],
        ["evidence.toml, line 7", "log.format"],
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, parts) in said.iter().zip(expected) {
        for part in parts {
            assert!(said.contains(part), "no {part:?} in: {said}");
        }
    }
    let whole = error.to_string();
    assert!(
        whole.starts_with("the configuration has 12 problems:\n"),
        "{whole}"
    );
    assert!(!error.hides_others());
}

#[test]
fn what_is_of_the_wrong_type_is_not_said_to_be_missing_too() {
    let error = parse("client_id = 5\n[[destination]]\nid = \"p\"\nbucket = 1\nregion = \"r\"\n")
        .unwrap_err();
    let said = error.to_string();
    assert_eq!(error.problems().len(), 2, "{said}");
    assert!(!said.contains("not set"), "{said}");
    // A later file puts it right.
    let folder = Folder::new("client_id = 5", &[("10.toml", MINIMAL)]);
    let error = folder.load().unwrap_err();
    assert_eq!(
        error.problems().len(),
        1,
        "the first file is still wrong: {error}"
    );
}

#[test]
fn of_a_file_that_is_not_toml_every_slip_is_told_and_nothing_is_guessed() {
    let folder = Folder::new(
        "client_id = \n",
        &[
            ("10-a.toml", "[log\n"),
            ("20-b.toml", "[log]\nfiltre = \"x\"\n"),
        ],
    );
    let error = folder.load().unwrap_err();
    let said = error.to_string();
    for part in [
        "evidence.toml, line 1",
        "10-a.toml, line 1",
        "20-b.toml, line 2",
    ] {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    assert!(error.hides_others());
    assert!(!said.contains("(not set)"), "{said}");
}

#[test]
fn a_drop_in_that_cannot_be_read_stops_everything() {
    let folder = Folder::new(MINIMAL, &[("10-a.toml", "")]);
    fs::create_dir(folder.path("evidence.d/20-folder.toml")).unwrap();
    let error = folder.load().unwrap_err();
    assert!(matches!(error, ConfigError::DropIn { .. }), "{error}");
    assert!(error.to_string().contains("20-folder.toml"), "{error}");
    assert!(error.to_string().contains("0644"), "{error}");
    fs::remove_dir(folder.path("evidence.d/20-folder.toml")).unwrap();
    std::os::unix::fs::symlink("/nonexistent/x", folder.path("evidence.d/30-dangling.toml"))
        .unwrap();
    folder.load().unwrap_err();
}

#[test]
fn nothing_that_may_be_a_secret_is_repeated() {
    for text in [
        "[signing]\npassword = \"hunter2\"\n",
        "aws_secret_access_key = \"hunter2\"\n",
        "[[destination]]\nid = \"x\"\nsession_token = \"hunter2\n",
    ] {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        assert!(error.to_string().contains("(hidden)"), "{error}");
    }
    let error = parse_with(MINIMAL, &[("MSP_EVIDENCE_PASSWORD", "hunter2")]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    assert!(
        error.to_string().contains("MSP_EVIDENCE_PASSWORD"),
        "{error}"
    );
}

#[test]
fn every_setting_is_shown_with_its_value_and_its_origin() {
    let folder = Folder::new(
        &format!("{MINIMAL}[retention]\ndays = 3000\n"),
        &[("10-drop.toml", "[drop]\nallowed_owners = [4]\n")],
    );
    let settings = folder
        .load_with(&[("MSP_EVIDENCE_DESTINATION__PRIMARY__PREFIX", "p/")])
        .unwrap();
    let shown = settings.effective();
    let keys: Vec<&str> = shown.iter().map(|setting| setting.key.as_str()).collect();
    for (section, names) in sections() {
        for name in names {
            let key = match section {
                "destination" => format!("destination.primary.{name}"),
                section => format!("{section}.{name}"),
            };
            assert!(keys.contains(&key.as_str()), "{key}");
        }
    }
    assert_eq!(
        keys.len(),
        2 + sections().iter().map(|(_, keys)| keys.len()).sum::<usize>()
    );
    let of = |key: &str| {
        let found = shown.iter().find(|setting| setting.key == key).unwrap();
        (found.value.clone(), found.origin.clone())
    };
    assert_eq!(
        of("client_id"),
        (json!("clinic-012"), in_file(&folder, "evidence.toml", 2))
    );
    assert_eq!(
        of("drop.allowed_owners"),
        (json!([4]), in_file(&folder, "evidence.d/10-drop.toml", 2))
    );
    assert_eq!(of("drop.on_sealed"), (json!("remove"), Origin::Default));
    assert_eq!(of("signing.password_file"), (json!(null), Origin::Default));
    assert_eq!(of("destination.primary.id").0, json!("primary"));
    assert_eq!(
        of("destination.primary.prefix"),
        (
            json!("p/"),
            Origin::Variable("MSP_EVIDENCE_DESTINATION__PRIMARY__PREFIX".to_owned())
        )
    );
    // Inherited, and said so.
    assert_eq!(
        of("destination.primary.retention_days"),
        (json!(3000), in_file(&folder, "evidence.toml", 8))
    );
    assert_eq!(
        of("retention.margin_secs"),
        (json!(86_400), Origin::Default)
    );
}
