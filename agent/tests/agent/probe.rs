//! Probes: sealed and ordered like incidents, and counted as none.

use std::fs;

use evidence::bundle::Kind;
use evidence::custody::Custody;
use evidence::handover::{Action, Answer, Request, Requester};
use jiff::Timestamp;

use crate::clinic::Clinic;

const ID: &str = "01M7Y00000000000000000000P";

#[test]
fn a_probe_is_sealed_once_and_ordered_and_no_incident() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    let request = Request {
        request_version: 1,
        request_id: ID.to_owned(),
        action: Action::Probe {
            reason: "set-up".to_owned(),
        },
        requested_by: Requester {
            uid: 0,
            sudo_user: Some("mia".to_owned()),
        },
        requested_at: Timestamp::UNIX_EPOCH,
    };
    let file = clinic.state("requests").join(format!("{ID}.request.json"));
    let answered = clinic.state("requests").join(format!("{ID}.answer.json"));
    // Also when the answer did not reach whoever asked, and they asked the same again.
    for _ in 0..2 {
        fs::write(&file, request.to_bytes()).unwrap();
        agent.pass().unwrap();
        let answer = Answer::parse(&fs::read(&answered).unwrap()).unwrap();
        assert!(answer.ok, "{}", answer.message);
        let id = answer.details["bundle_id"].as_str().unwrap();
        assert!(id.ends_with("-0001"), "{id}");
        assert!(!file.exists());
    }
    let sealed = clinic.bundles();
    assert_eq!(sealed.len(), 1);
    assert_eq!(sealed[0].header().kind, Kind::Probe);
    assert_eq!(sealed[0].document()["probe"]["reason"], "set-up");
    assert_eq!(sealed[0].document()["probe"]["by"], "uid 0 (sudo by mia)");
    assert_eq!(clinic.orders().len(), 1, "it is on its way");
    clinic.wait(3600);
    agent.pass().unwrap();
    let custody = Custody::read(&clinic.bundles()[1]).unwrap();
    assert_eq!((custody.totals.incidents, custody.totals.probes), (0, 1));
}
