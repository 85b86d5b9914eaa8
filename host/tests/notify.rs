//! What systemd hears, received on a real notification socket.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

const ROLE: &str = "HOST_NOTIFY_TEST";

#[test]
fn notifies_when_started_as_the_service() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    host::notify::ready();
    host::notify::status("sealed 3\nREADY=0");
    host::heart::beat();
    host::heart::beat();
    host::notify::reloading();
    host::notify::stopping();
    // Half of WATCHDOG_USEC, which the parent set for whichever process reads it.
    assert_eq!(
        host::notify::watchdog_interval(),
        Some(Duration::from_secs(15))
    );
}

#[test]
fn each_notification_arrives_and_a_status_cannot_carry_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "notifies_when_started_as_the_service"])
        .env(ROLE, "1")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "30000000")
        .env_remove("WATCHDOG_PID")
        .output()
        .unwrap();
    assert!(
        status.status.success(),
        "{}",
        String::from_utf8_lossy(&status.stdout)
    );
    let heard = || {
        let mut bytes = [0; 200];
        let size = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..size].to_vec())
            .unwrap()
            .trim_end()
            .to_owned()
    };
    let expected = [
        "READY=1",
        "STATUS=sealed 3 READY=0",
        "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=90000000",
    ];
    for message in expected {
        assert_eq!(heard(), message);
    }
    // Twice within a second is once.
    let reloading = heard();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        time.is_some_and(|t| t.parse::<u64>().is_ok()),
        "{reloading}"
    );
    assert_eq!(heard(), "STOPPING=1");
}

#[test]
fn without_a_socket_nothing_happens() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        host::notify::ready();
        assert_eq!(host::notify::watchdog_interval(), None);
    }
}
