//! What the running services can do, tried from inside them: in the namespaces of their main processes,
//! as their users and as root there, and beside them under the very same sandbox. Each refusal has a
//! control that the same is possible to whom it should be.

use std::fs;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectLockRetention, ObjectLockRetentionMode};
use tests::clinic::{BUCKET, Role};
use tests::guest::{EXECUTOR, Host, Release};
use tests::servers::REGION;
use tests::sts;

/// A host with a confirmed incident and running services.
fn working(release: Release, test: &str) -> Option<Host> {
    let mut host = Host::boot(release, test)?;
    host.install_by_hand();
    host.configure("");
    host.drop_incidents(&["INC-1"]);
    host.wait_until("the incident to be confirmed", Host::is_confirmed);
    Some(host)
}

/// As whom something is tried within a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    /// The service's own user, with its groups.
    Itself,
    /// Root: not the modes but the namespace decides.
    Root,
}

/// Whether a line of shell succeeds in the mount and network namespaces of a service's main process.
fn can(host: &Host, role: Role, who: As, script: &str) -> bool {
    let pid = host.pid(role);
    assert_ne!(pid, "0", "{role:?} runs");
    let user = match role {
        Role::Agent => "msp-agent",
        Role::Uploader => "msp-uploader",
    };
    let mut command = vec!["nsenter", "-t", &pid, "-m", "-n", "-w"];
    if who == As::Itself {
        command.extend([
            "setpriv",
            "--reuid",
            user,
            "--regid",
            user,
            "--init-groups",
            "--no-new-privs",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ]);
    }
    command.extend(["bash", "-euc", script]);
    host.guest.run(&command).status.success()
}

const KEY: &str = "cat /etc/msp/signing-keys/evidence.key >/dev/null";
/// The port of the store, for whoever has a network.
const STORE: &str = "exec 3<>/dev/tcp/192.0.2.1/9000";

#[test]
fn from_inside_the_services_each_has_what_it_needs_and_not_what_is_the_others() {
    let test = "from_inside_the_services_each_has_what_it_needs_and_not_what_is_the_others";
    for release in [Release::Bookworm, Release::Trixie] {
        let Some(host) = working(release, test) else {
            return;
        };
        let outside = |script: &str| host.guest.run(&["bash", "-euc", script]).status.success();
        assert!(outside(STORE) && outside(KEY), "the host itself can");

        for who in [As::Itself, As::Root] {
            let agent = |script: &str| can(&host, Role::Agent, who, script);
            let uploader = |script: &str| can(&host, Role::Uploader, who, script);
            // The network.
            assert!(!agent(STORE), "the agent reaches a network: {who:?}");
            assert!(uploader(STORE), "{who:?}");
            assert!(
                agent("test \"$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')\" = lo"),
                "the agent has no interface but its own loopback"
            );
            // The key, the spool, the drop, and whatever else is the agent's.
            assert!(agent(KEY), "{who:?}");
            assert!(!uploader(KEY), "{who:?}");
            for folder in ["drop", "spool", "quarantine", "requests"] {
                let list = format!("ls /var/lib/msp/{folder}/ >/dev/null");
                let enter = format!("cd /var/lib/msp/{folder} && test -n \"$(ls -A)\"");
                let write = format!("echo x >/var/lib/msp/{folder}/probe");
                assert!(agent(&list), "{folder} {who:?}");
                assert!(!uploader(&enter), "{folder} {who:?}");
                assert!(!uploader(&write), "{folder} {who:?}");
            }
            // The databases.
            let (spool, delivery) = (
                "exec 3<>/var/lib/msp/spool/spool.db",
                "exec 3<>/var/lib/msp/delivery/delivery.db",
            );
            assert!(agent(spool) && uploader(delivery), "{who:?}");
            assert!(!agent(delivery), "{who:?}");
            assert!(!uploader(spool), "{who:?}");
            // What is handed over is written by one and read by the other.
            let bundle = "cat $(find /var/lib/msp/evidence -name 'EB-*.json') >/dev/null";
            assert!(uploader(bundle), "{who:?}");
            for folder in ["evidence", "outbox"] {
                let write = format!("echo x >/var/lib/msp/{folder}/probe");
                assert!(!uploader(&write), "{folder} {who:?}");
                let remove = format!("rm -r /var/lib/msp/{folder}/*");
                assert!(!uploader(&remove), "{folder} {who:?}");
            }
            // The rest of the host.
            for path in [
                "/etc/msp/evidence.toml",
                "/usr/bin/msp-evidence-agent",
                "/root/x",
            ] {
                let write = format!("echo x >>{path}");
                assert!(!agent(&write) && !uploader(&write), "{path} {who:?}");
            }
        }
        let receipt = "echo x >/var/lib/msp/receipts/.probe && rm /var/lib/msp/receipts/.probe";
        assert!(can(&host, Role::Uploader, As::Itself, receipt));
        // Each credential is handed to its own service.
        let secret = |role: Role, name: &str| {
            format!(
                "cat /run/credentials/{}.service/{name} >/dev/null",
                role.service()
            )
        };
        let (password, keys) = (
            secret(Role::Agent, "signing-key-password"),
            secret(Role::Uploader, "s3-credentials"),
        );
        assert!(can(&host, Role::Agent, As::Itself, &password));
        assert!(!can(&host, Role::Agent, As::Itself, &keys));
        assert!(!can(&host, Role::Uploader, As::Itself, &password));
        for role in [Role::Agent, Role::Uploader] {
            assert!(!can(&host, role, As::Itself, "ls /etc/msp/credentials"));
        }
        host.assert_proven();
    }
}

/// Started beside the agent, in its unit: what the kernel refuses to the service itself.
const PROBE: &str = r#"
import ctypes, errno, mmap, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(*numbers):
    ctypes.set_errno(0)
    return "allowed" if libc.syscall(*numbers) >= 0 else errno.errorcode[ctypes.get_errno()]
def tried(what):
    try:
        what()
        return "allowed"
    except OSError as error:
        return errno.errorcode[error.errno]
os.mkdir("/var/lib/msp/spool/probe")
def setgid():
    os.chmod("/var/lib/msp/spool/probe", 0o2750)
print("unix", tried(lambda: socket.socket(socket.AF_UNIX)))
print("inet", tried(lambda: socket.socket(socket.AF_INET)))
print("inet6", tried(lambda: socket.socket(socket.AF_INET6)))
print("netlink", tried(lambda: socket.socket(socket.AF_NETLINK)))
print("keyctl", call(250, 0, 0, 0))
print("io_uring", call(425, 1, 0))
print("ptrace", call(101, 0, 0, 0, 0))
print("bpf", call(321, 0, 0, 0))
print("adjtimex", call(159, 0))
print("exec-memory", tried(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)))
print("setgid", tried(setgid))
print("read", tried(lambda: os.listdir("/var/lib/msp/spool")))
os.rmdir("/var/lib/msp/spool/probe")
# Last: afterwards it is nobody.
print("unshare", call(272, 0x10000000))
"#;

#[test]
fn under_the_sandbox_of_the_agent_the_kernel_refuses_what_no_sealing_needs() {
    let test = "under_the_sandbox_of_the_agent_the_kernel_refuses_what_no_sealing_needs";
    let Some(host) = working(Release::Bookworm, test) else {
        return;
    };
    fs::write(host.guest.path().join("usr/local/lib/probe.py"), PROBE).unwrap();
    let start = |unit: &str| {
        host.guest.sh(&format!(
            "mkdir -p /etc/systemd/system/{unit}.service.d
             printf '[Service]\nExecStartPre=/usr/bin/python3 /usr/local/lib/probe.py\nStandardOutput=journal\n' \
                 >/etc/systemd/system/{unit}.service.d/probe.conf
             systemctl daemon-reload
             systemctl restart {unit}
             journalctl --sync
             journalctl -t python3 -u {unit} -o cat"
        ))
    };
    let said = start("msp-evidence-agent");
    let found = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}: {said}"))
            .trim()
            .to_owned()
    };
    for allowed in ["unix ", "read "] {
        assert_eq!(found(allowed), "allowed", "{said}");
    }
    for family in ["inet ", "inet6 ", "netlink "] {
        assert_eq!(found(family), "EAFNOSUPPORT", "{said}");
    }
    for refused in [
        "keyctl ",
        "io_uring ",
        "unshare ",
        "ptrace ",
        "bpf ",
        "adjtimex ",
        "exec-memory ",
        "setgid ",
    ] {
        assert_eq!(found(refused), "EPERM", "{refused}: {said}");
    }
    // The control: without the sandbox this kernel knows all of them but for what the container lacks.
    let bare = host.guest.sh("python3 /usr/local/lib/probe.py");
    for name in ["inet ", "unshare ", "adjtimex ", "exec-memory ", "setgid "] {
        let line = bare.lines().find_map(|line| line.strip_prefix(name));
        assert_ne!(line.map(str::trim), Some("EPERM"), "{name}: {bare}");
    }
}

#[test]
fn whoever_drops_incidents_can_add_and_do_nothing_else() {
    let test = "whoever_drops_incidents_can_add_and_do_nothing_else";
    let Some(host) = working(Release::Bookworm, test) else {
        return;
    };
    host.guest.sh(
        "useradd --system --groups msp-drop other; useradd --system nobody-of-ours
         systemctl stop msp-evidence-agent
         runuser -u other -- sh -euc 'umask 0027; cd /var/lib/msp/drop; echo {} >theirs.json
             mkdir -m 2770 folder; echo a >folder/incident.json'",
    );
    let may = |user: &str, script: &str| {
        let command = ["runuser", "-u", user, "--", "bash", "-euc", script];
        host.guest.run(&command).status.success()
    };
    let drop = "cd /var/lib/msp/drop; ";
    let can = |script: &str| may(EXECUTOR, &format!("{drop}{script}"));
    assert!(can("echo {} >.mine.part && mv -n .mine.part mine.json"));
    assert!(can("rm mine.json"), "its own, until it is taken");
    for harm in [
        "rm -f theirs.json && ! test -e theirs.json",
        "mv theirs.json elsewhere.json",
        "echo x >x; mv -f x theirs.json",
        "echo x >>theirs.json",
        "chmod 0666 theirs.json",
        "mv folder elsewhere",
        "rm -rf folder && ! test -e folder",
        "rmdir /var/lib/msp/drop",
        "chmod 0777 .",
        "mv /var/lib/msp/drop /var/lib/msp/gone",
    ] {
        assert!(!can(harm), "{harm}");
    }
    for folder in [
        "spool",
        "evidence",
        "outbox",
        "receipts",
        "delivery",
        "quarantine",
        "requests",
    ] {
        for what in ["ls", "touch"] {
            let script = format!(
                "{what} /var/lib/msp/{folder}/{}",
                if what == "touch" { "x" } else { "" }
            );
            assert!(!may(EXECUTOR, &script), "{script}");
        }
    }
    for secret in [
        "cat /etc/msp/signing-keys/evidence.key",
        "cat /etc/msp/credentials/s3-credentials",
        "ls /run/credentials/msp-evidence-uploader.service",
        "echo x >>/etc/msp/evidence.toml",
        "touch /etc/msp/evidence.d/x.toml",
        "touch /run/msp-evidence-agent/failed.json",
    ] {
        assert!(!may(EXECUTOR, secret), "{secret}");
    }
    // Who is no member cannot even look.
    assert!(!may("nobody-of-ours", "ls /var/lib/msp/drop"));
    assert!(!may("nobody-of-ours", "touch /var/lib/msp/drop/x"));
    let left = host
        .guest
        .sh("ls /var/lib/msp/drop; cat /var/lib/msp/drop/theirs.json");
    assert!(
        left.contains("theirs.json") && left.contains("{}"),
        "{left}"
    );
}

/// What the store said: `done`, or its code.
fn code<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(SdkError::ServiceError(error)) => error.err().code().unwrap_or("no code").to_owned(),
        Err(_) => "no answer".to_owned(),
    }
}

#[test]
fn credentials_stolen_out_of_the_running_uploader_undo_nothing() {
    let test = "credentials_stolen_out_of_the_running_uploader_undo_nothing";
    let Some(mut host) = Host::boot(Release::Bookworm, test) else {
        return;
    };
    host.install_by_hand();
    host.configure("");
    // What the uploader of this host is given, by the policy that is shipped.
    let policy = sts::writer_policy(BUCKET, "clinic-a", "host-1");
    let given = sts::session(&host.server, &policy);
    let path = host.guest.path().join("etc/msp/credentials/s3-credentials");
    let text = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        given.access_key_id(),
        given.secret_access_key(),
        given.session_token().unwrap()
    );
    fs::write(&path, text).unwrap();
    host.guest.sh("systemctl restart msp-evidence-uploader");
    host.drop_incidents(&["INC-1"]);
    host.wait_until("the incident to be confirmed", Host::is_confirmed);

    let pid = host.pid(Role::Uploader);
    let stolen = host.guest.sh(&format!(
        "nsenter -t {pid} -m setpriv --reuid msp-uploader --regid msp-uploader --init-groups \
         cat /run/credentials/msp-evidence-uploader.service/s3-credentials"
    ));
    let value = |name: &str| {
        let line = stolen
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(" = "));
        line.unwrap_or_else(|| panic!("no {name} in what was stolen"))
            .to_owned()
    };
    let thief = Credentials::new(
        value("aws_access_key_id"),
        value("aws_secret_access_key"),
        Some(value("aws_session_token")),
        None,
        "thief",
    );
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(&host.server.endpoint)
        .credentials_provider(thief)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .build();
    let thief = aws_sdk_s3::Client::from_conf(config);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listed = thief
            .list_object_versions()
            .bucket(BUCKET)
            .prefix("clinic-a/host-1/")
            .send()
            .await
            .unwrap();
        let versions = listed.versions();
        assert!(versions.len() >= 2, "the thief sees what it attacks");
        let soon = jiff::Timestamp::now().as_second() + 60;
        for version in versions {
            let (key, id) = (version.key().unwrap(), version.version_id().unwrap());
            let delete = |version: Option<&str>| {
                let request = thief.delete_object().bucket(BUCKET).key(key);
                let request = request.set_version_id(version.map(ToOwned::to_owned));
                request.bypass_governance_retention(true).send()
            };
            let shorten = |mode: ObjectLockRetentionMode| {
                let retention = ObjectLockRetention::builder()
                    .mode(mode)
                    .retain_until_date(DateTime::from_secs(soon))
                    .build();
                let request = thief
                    .put_object_retention()
                    .bucket(BUCKET)
                    .key(key)
                    .version_id(id);
                let request = request.checksum_algorithm(ChecksumAlgorithm::Sha256);
                request
                    .bypass_governance_retention(true)
                    .retention(retention)
                    .send()
            };
            let replace = || {
                let request = thief
                    .put_object()
                    .bucket(BUCKET)
                    .key(key)
                    .if_none_match("*");
                request.body(ByteStream::from_static(b"other")).send()
            };
            for (what, answer) in [
                ("delete the version", code(delete(Some(id)).await)),
                ("lay a delete marker", code(delete(None).await)),
                (
                    "shorten",
                    code(shorten(ObjectLockRetentionMode::Compliance).await),
                ),
                (
                    "weaken",
                    code(shorten(ObjectLockRetentionMode::Governance).await),
                ),
                ("replace", code(replace().await)),
            ] {
                let refused = [
                    "AccessDenied",
                    "InvalidRequest",
                    "ObjectLocked",
                    "PreconditionFailed",
                ];
                assert!(refused.contains(&&*answer), "{what} {key}: {answer}");
            }
        }
    });
    host.assert_proven();
}
