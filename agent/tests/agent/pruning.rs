//! Local copies go when they are old enough and proven elsewhere, and never before.

use std::fs;

use crate::clinic::{Clinic, files_below, honest_receipt};

const DAY_SECS: u32 = 86_400;

/// The incidents whose files are there.
fn there(clinic: &Clinic) -> Vec<String> {
    clinic.incident_ids()
}

/// Receipts for every order, and a pass that applies them.
fn confirm_all(clinic: &Clinic) {
    for order in clinic.orders() {
        clinic.receipt(
            &format!("{}.receipt.json", order.order_id),
            &honest_receipt(&order).to_bytes(),
        );
    }
}

/// One incident that is confirmed, and a later one that is not.
fn one_of_two_confirmed() -> Clinic {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    let mut agent = clinic.agent();
    agent.pass().unwrap();
    confirm_all(&clinic);
    agent.pass().unwrap();
    clinic.drop_incident("INC-2");
    agent.pass().unwrap();
    agent.sync().unwrap();
    clinic
}

#[test]
fn what_is_confirmed_goes_after_ninety_days_and_what_is_not_stays() {
    let clinic = one_of_two_confirmed();
    clinic.wait(89 * DAY_SECS);
    let mut agent = clinic.agent();
    while agent.pass().unwrap().did_something() {}
    assert_eq!(there(&clinic), ["INC-1", "INC-2"], "not old enough");
    // An hour must pass between two looks.
    clinic.wait(2 * DAY_SECS);
    while agent.pass().unwrap().did_something() {}
    assert_eq!(there(&clinic), ["INC-2"], "nothing has confirmed the other");
    let left = files_below(&clinic.state("evidence"))
        .iter()
        .filter(|path| path.to_string_lossy().contains("20261121-0001"))
        .count();
    assert_eq!(left, 0, "neither signature nor locations");
    // It is known for ever, and is not published again.
    clinic.drop_incident("INC-1");
    drop(agent);
    let mut agent = clinic.agent();
    assert_eq!(agent.pass().unwrap().duplicates, 1);
    assert_eq!(there(&clinic), ["INC-2"]);
}

#[test]
fn a_file_that_is_not_what_was_sealed_is_left_alone() {
    let clinic = one_of_two_confirmed();
    let path = files_below(&clinic.state("evidence"))
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with("-0001.json"))
        .unwrap();
    fs::write(&path, b"something else").unwrap();
    clinic.wait(91 * DAY_SECS);
    let mut agent = clinic.agent();
    while agent.pass().unwrap().did_something() {}
    assert_eq!(fs::read(&path).unwrap(), b"something else");
}

#[test]
fn a_removal_that_was_cut_off_is_finished_by_the_next_start() {
    let clinic = one_of_two_confirmed();
    let signature = files_below(&clinic.state("evidence"))
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with("-0001.json.bundle"))
        .unwrap();
    let bytes = fs::read(&signature).unwrap();
    clinic.wait(91 * DAY_SECS);
    let mut agent = clinic.agent();
    // What cannot be removed stops it half way, as a kill would: the bundle is gone, its signature is not.
    let bundle = signature.with_extension("");
    let text = fs::read(&bundle).unwrap();
    fs::remove_file(&bundle).unwrap();
    fs::remove_file(&signature).unwrap();
    fs::create_dir(&signature).unwrap();
    let failed = loop {
        match agent.pass() {
            Ok(pass) => assert!(pass.did_something(), "it must meet what it cannot remove"),
            Err(error) => break error,
        }
    };
    assert!(
        format!("{failed:?}").contains("IsADirectory") || format!("{failed:?}").contains("EISDIR"),
        "{failed:?}"
    );
    drop(agent);
    fs::remove_dir(&signature).unwrap();
    fs::write(&bundle, text).unwrap();
    fs::write(&signature, bytes).unwrap();
    let mut agent = clinic.agent();
    while agent.pass().unwrap().did_something() {}
    assert!(!signature.exists() && !bundle.exists());
}
