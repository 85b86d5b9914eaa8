//! The metrics as files and where Prometheus asks.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use sandbox::{Action, Fault};
use tests::clinic::{Clinic, Place, Role};
use tests::incident::document;

/// A port that nobody has at this moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A configuration that has metrics written every five seconds and told on a port.
pub(crate) fn metrics_section(clinic: &Clinic) -> (String, SocketAddr) {
    let folder = clinic.dir.path().join("metrics");
    fs::create_dir(&folder).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let section = format!(
        "[metrics]\ntextfile_dir = \"{}\"\ninterval_secs = 5\nlisten = \"{address}\"\n",
        folder.display()
    );
    (section, address)
}

fn monitored() -> (Clinic, SocketAddr) {
    let clinic = Clinic::new();
    let (section, address) = metrics_section(&clinic);
    clinic.configure(&[Place::sandbox("main", &clinic.sandbox)], &section);
    (clinic, address)
}

/// What a server answers, without the headers; nothing while it does not.
pub(crate) fn body_of(address: SocketAddr, line: &str) -> String {
    let answer = request(address, line);
    let body = answer.split_once("\r\n\r\n").unwrap_or_default().1;
    body.to_owned()
}

fn request(address: SocketAddr, line: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        write!(stream, "{line} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
        stream.read_to_string(&mut answer).unwrap();
    }
    answer
}

/// Names with labels, and their values.
fn parse(text: &str) -> BTreeMap<String, f64> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn file(clinic: &Clinic, daemon: &str) -> String {
    let name = format!("msp_evidence_{daemon}.prom");
    fs::read_to_string(clinic.dir.path().join("metrics").join(name)).unwrap_or_default()
}

fn asked(address: SocketAddr) -> BTreeMap<String, f64> {
    let answer = request(address, "GET /metrics");
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return BTreeMap::new();
    };
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    parse(body)
}

#[test]
fn both_daemons_tell_what_was_sealed_and_confirmed_and_name_nobody() {
    let (mut clinic, address) = monitored();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("patient-name.json", &document("INC-SECRET-1"));
    clinic.drop_document("broken.json", b"{");
    let uploader = |name: &str| asked(address).get(name).copied();
    clinic.wait_until("both objects confirmed", |_| {
        uploader("msp_evidence_confirmed_total{destination=\"main\"}") == Some(2.0)
    });
    let told = asked(address);
    for (name, value) in [
        ("msp_evidence_uploads_total{destination=\"main\"}", 2.0),
        ("msp_evidence_pending_objects{destination=\"main\"}", 0.0),
        ("msp_evidence_deferred_objects{destination=\"main\"}", 0.0),
        ("msp_evidence_blocked_objects{destination=\"main\"}", 0.0),
        (
            "msp_evidence_oldest_pending_age_seconds{destination=\"main\"}",
            0.0,
        ),
        (
            "msp_evidence_destination_state{destination=\"main\",state=\"ok\"}",
            1.0,
        ),
        (
            "msp_evidence_destination_state{destination=\"main\",state=\"parked\"}",
            0.0,
        ),
        ("msp_evidence_running{daemon=\"uploader\"}", 1.0),
        ("msp_evidence_alarms{daemon=\"uploader\"}", 0.0),
    ] {
        assert_eq!(told.get(name), Some(&value), "{name} in {told:#?}");
    }
    assert!(told["msp_evidence_uploaded_bytes_total{destination=\"main\"}"] > 1000.0);
    for name in ["clock_offset_seconds", "last_preflight_timestamp_seconds"] {
        let name = format!("msp_evidence_{name}{{destination=\"main\"}}");
        assert!(told.contains_key(&name), "{name} in {told:#?}");
    }
    clinic.wait_until("the agent's file", |c| {
        parse(&file(c, "agent")).get("msp_evidence_believed_confirmations_total") == Some(&2.0)
    });
    let agent = parse(&file(&clinic, "agent"));
    for (name, value) in [
        ("msp_evidence_sealed_total{kind=\"incident\"}", 1.0),
        ("msp_evidence_quarantined_total", 1.0),
        ("msp_evidence_quarantine_drops", 1.0),
        ("msp_evidence_drops_waiting", 0.0),
        ("msp_evidence_duplicates_total", 0.0),
        ("msp_evidence_failed_passes_total", 0.0),
        ("msp_evidence_running{daemon=\"agent\"}", 1.0),
    ] {
        assert_eq!(agent.get(name), Some(&value), "{name} in {agent:#?}");
    }

    clinic.stop(Role::Uploader);
    clinic.stop(Role::Agent);
    for daemon in ["agent", "uploader"] {
        let text = file(&clinic, daemon);
        let running = format!("msp_evidence_running{{daemon=\"{daemon}\"}}");
        assert_eq!(parse(&text)[&running], 0.0, "it stopped as it was asked to");
        for name in ["INC-", "SECRET", "patient", "clinic-a", "host-1", "EB-"] {
            assert!(!text.contains(name), "{name} in {text}");
        }
        let path = clinic
            .dir
            .path()
            .join(format!("metrics/msp_evidence_{daemon}.prom"));
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "another user collects it");
    }
    assert!(parse(&file(&clinic, "agent"))["msp_evidence_last_custody_timestamp_seconds"] > 1.7e9);
}

#[test]
fn a_store_that_refuses_is_told_by_class_and_state_and_only_metrics_can_be_asked_for() {
    let (mut clinic, address) = monitored();
    clinic
        .sandbox
        .faults()
        .add(Fault::always(Action::answer(403, "AccessDenied")));
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    let parked = "msp_evidence_destination_state{destination=\"main\",state=\"parked\"}";
    let failed = "msp_evidence_failed_probes_total{class=\"park\",destination=\"main\"}";
    clinic.wait_until("a parked destination", |_| {
        let told = asked(address);
        told.get(parked) == Some(&1.0)
            && told.get(failed).is_some_and(|n| *n >= 2.0)
            && told.get("msp_evidence_pending_objects{destination=\"main\"}") == Some(&2.0)
    });
    assert!(request(address, "POST /metrics").starts_with("HTTP/1.0 405 "));
    assert!(request(address, "GET /").starts_with("HTTP/1.0 404 "));
}

#[test]
fn a_port_that_is_taken_stops_nothing_and_is_an_alarm() {
    let (mut clinic, address) = monitored();
    let taken = TcpListener::bind(address).unwrap();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    clinic.wait_until("confirmation", Clinic::is_confirmed);
    let alarms = clinic.cli_json(&["status", "--json"])["alarms"].clone();
    assert_eq!(alarms[0]["code"], "not_listening", "{alarms}");
    drop(taken);
}
