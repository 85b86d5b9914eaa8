//! Many hosts, one bucket: the same configuration file everywhere, one drop-in that says which host.

use notify::event::ModifyKind;
use notify::{EventKind, RecursiveMode, Watcher as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use agent::{Agent, Clock};
use destination::S3Destination;
use host::config::Settings;
use jiff::Timestamp;
use sandbox::{BucketOptions, Sandbox, SandboxOptions};
use tests::clinic::{BUCKET, Clinic, Role};
use uploader::daemon::{Configured, Places};
use uploader::policy::Policy;

use crate::incident::document;

const HOSTS: usize = 200;

/// What is on every host.
fn common(keys: &Path, endpoint: &str) -> String {
    let keys = keys.display();
    format!(
        "client_id = \"clinic-a\"\n[signing]\nkey = \"{keys}/evidence.key\"\n\
         password_file = \"{keys}/password\"\n[agent]\nmin_free_bytes = 0\n\
         [[destination]]\nid = \"main\"\nbucket = \"{BUCKET}\"\nprefix = \"fleet/\"\n\
         region = \"us-east-1\"\nendpoint = \"{endpoint}\"\npath_style = true\n\
         credentials_file = \"{keys}/credentials\"\n"
    )
}

/// A host's folder with the common file and its own drop-in, read as the daemons read it.
fn host(root: &Path, common: &str, n: usize) -> Settings {
    let folder = root.join(format!("{n:03}"));
    fs::create_dir_all(folder.join("evidence.d")).unwrap();
    fs::write(folder.join("evidence.toml"), common).unwrap();
    fs::write(folder.join("machine-id"), format!("{n:032x}\n")).unwrap();
    let own = format!(
        "host_id = \"host-{n:03}\"\n[paths]\nstate_dir = \"{0}/state\"\n\
         machine_id = \"{0}/machine-id\"\n",
        folder.display()
    );
    fs::write(folder.join("evidence.d/50-host.toml"), own).unwrap();
    Settings::load(&folder.join("evidence.toml"), std::iter::empty()).unwrap()
}

/// Stores and proves everything that the host has ordered.
async fn deliver(settings: &Settings) {
    let mut configured = Vec::new();
    for destination in &settings.destinations {
        let options = uploader::store_options(destination, settings).unwrap();
        configured.push(Configured::new(
            destination,
            S3Destination::connect(options).await,
        ));
    }
    let places = Places::from_settings(settings, Timestamp::UNIX_EPOCH);
    for folder in [&places.delivery, &places.receipts] {
        fs::create_dir_all(folder).unwrap();
    }
    let receipts = places.receipts.clone();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Looking makes events, too; only files that come are of interest.
        let came = |kind| {
            matches!(
                kind,
                EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))
            )
        };
        if event.map_or(true, |event| came(event.kind)) {
            // Nobody listens once the receipt is there.
            let _ = tell.send(());
        }
    })
    .unwrap();
    watcher
        .watch(&receipts, RecursiveMode::NonRecursive)
        .unwrap();
    let all_told = async move {
        // The bundle and its custody bundles: each object's confirmation is handed back.
        while confirmed(&receipts) == 0 {
            told.recv().await;
        }
        drop(watcher);
    };
    let policy = Policy {
        receipt_linger: std::time::Duration::from_millis(1),
        ..Policy::from_settings(&settings.uploader)
    };
    let ended = uploader::daemon::run(&places, policy, configured, all_told);
    tokio::time::timeout(std::time::Duration::from_secs(60), ended)
        .await
        .unwrap()
        .unwrap();
}

fn confirmed(receipts: &Path) -> usize {
    fs::read_dir(receipts)
        .unwrap()
        .filter(|e| {
            let name = e.as_ref().unwrap().file_name();
            name.to_string_lossy().ends_with(".receipt.json")
        })
        .count()
}

#[test]
fn two_hundred_hosts_write_to_one_bucket_and_none_to_a_key_of_another() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clinic = Clinic::new();
    let options = SandboxOptions {
        buckets: vec![BucketOptions::locked(BUCKET)],
        ..SandboxOptions::with_bucket(BUCKET)
    };
    let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
    let keys = clinic.dir.path().join("keys");
    let identity = sandbox.credentials();
    fs::write(
        keys.join("credentials"),
        format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            identity.access_key, identity.secret_key
        ),
    )
    .unwrap();
    let common = common(&keys, &sandbox.endpoint());
    let root = tempfile::tempdir().unwrap();
    let first = host(root.path(), &common, 0);
    let opened = Arc::new(agent::Keys::open(&first.signing, None).unwrap());
    // The same incident at the same moment everywhere: nothing but the host tells them apart.
    let now = jiff::Timestamp::now();
    for n in 0..HOSTS {
        let settings = host(root.path(), &common, n);
        let clock = Clock::new(move || now, || std::time::Duration::from_secs(1));
        fs::create_dir_all(&settings.paths.drop).unwrap();
        fs::write(settings.paths.drop.join("1.json"), document("INC-1")).unwrap();
        let mut agent = Agent::with_keys(settings.clone(), Arc::clone(&opened), clock).unwrap();
        let mut sealed = 0;
        for _ in 0..50 {
            sealed += agent.pass().unwrap().sealed;
            if sealed > 0 {
                break;
            }
        }
        assert!(sealed > 0, "host {n} sealed nothing");
        agent.sync().unwrap();
        drop(agent);
        runtime.block_on(deliver(&settings));
    }

    let versions = sandbox.store().all_versions(BUCKET);
    let mut of_host: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut keys_seen = BTreeSet::new();
    let mut chains = BTreeSet::new();
    for version in &versions {
        assert!(
            keys_seen.insert(version.key.clone()),
            "two versions at {}",
            version.key
        );
        assert!(
            version.lock.retention.is_some(),
            "{} is not locked",
            version.key
        );
        let parts: Vec<&str> = version.key.split('/').collect();
        assert_eq!(parts[..2], ["fleet", "clinic-a"], "{}", version.key);
        let (host, chain) = (parts[2], parts[3]);
        of_host
            .entry(host.to_owned())
            .or_default()
            .insert(version.key.clone());
        chains.insert((host.to_owned(), chain.to_owned()));
        // What is stored below a host's prefix says that it is that host's.
        if version.key.ends_with(".json") {
            let bytes = sandbox
                .store()
                .bytes(BUCKET, &version.key, &version.version_id)
                .unwrap();
            let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(document["host_id"], host, "{}", version.key);
            assert_eq!(document["chain"]["chain_id"], chain, "{}", version.key);
        }
    }
    assert_eq!(of_host.len(), HOSTS, "every host has a prefix of its own");
    assert_eq!(chains.len(), HOSTS, "and a chain of its own");
    let ids: BTreeSet<&str> = chains.iter().map(|(_, chain)| chain.as_str()).collect();
    assert_eq!(ids.len(), HOSTS, "no chain is on two hosts");
    for (host, keys) in &of_host {
        assert!(keys.len() >= 2, "{host} has bundle and signature: {keys:?}");
    }
    runtime.block_on(sandbox.shutdown()).unwrap();
}

#[test]
fn both_daemons_and_the_command_read_the_same_drop_ins_and_refuse_the_same() {
    let mut clinic = Clinic::new();
    let folder = clinic.dir.path().join("evidence.d");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("50-host.toml"),
        "host_id = \"host-of-drop-in\"\n",
    )
    .unwrap();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("1.json", &document("INC-1"));
    clinic.wait_until("the bundle to be confirmed", Clinic::is_confirmed);
    let (path, bundle) = clinic.incidents().remove(0);
    assert_eq!(bundle.header().host_id, "host-of-drop-in");
    assert!(
        path.to_string_lossy()
            .contains("/clinic-a/host-of-drop-in/"),
        "{path:?}"
    );
    clinic.wind_down();

    fs::write(folder.join("60-typo.toml"), "[drop]\nrescan = 3\n").unwrap();
    let command = clinic.cli(&["config", "check"]);
    let command = String::from_utf8(command.stdout).unwrap();
    for said in [
        clinic.start_that_fails(Role::Agent),
        clinic.start_that_fails(Role::Uploader),
        command,
    ] {
        assert!(
            said.contains("60-typo.toml, line 2") && said.contains("`rescan`"),
            "{said}"
        );
    }
}
