//! Receipts: what an honest uploader says is applied, what a hostile one says is not.

use std::fs;
use std::os::unix::fs::symlink;

use evidence::bundle::{LocationState, Locations};
use evidence::handover::{Confirmation, Order, Receipt};

use crate::clinic::{Clinic, files_below, honest_receipt};

fn sealed() -> (Clinic, Order) {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    clinic.agent().pass().unwrap();
    let order = clinic.orders().remove(0);
    (clinic, order)
}

fn locations(clinic: &Clinic) -> Option<Locations> {
    files_below(&clinic.state("evidence"))
        .into_iter()
        .find(|p| p.to_string_lossy().ends_with(".locations.json"))
        .map(|p| serde_json::from_slice(&fs::read(p).unwrap()).unwrap())
}

fn deliver(clinic: &Clinic, receipt: &Receipt) -> agent::Pass {
    clinic.receipt("x.receipt.json", &receipt.to_bytes());
    clinic.agent().pass().unwrap()
}

#[test]
fn an_honest_receipt_completes_locations_and_ends_the_order() {
    let (clinic, order) = sealed();
    let before = clinic.bundles();
    let pass = deliver(&clinic, &honest_receipt(&order));
    assert_eq!((pass.confirmed_objects, pass.refused_receipts), (2, 0));
    let locations = locations(&clinic).unwrap();
    let location = &locations.storage_locations[0];
    assert_eq!(location.state, LocationState::Confirmed);
    assert_eq!(location.version_id.as_deref(), Some("version-of-bundle"));
    assert_eq!(
        location.retain_until,
        Some(honest_receipt(&order).confirmations[0].retain_until)
    );
    assert!(clinic.names("outbox").is_empty());
    assert!(clinic.names("receipts").is_empty());
    let after = clinic.bundles();
    assert_eq!(
        before[0].sha256(),
        after[0].sha256(),
        "the signed bytes did not change"
    );
}

#[test]
fn half_of_the_objects_leave_the_location_planned_and_the_order_open() {
    let (clinic, order) = sealed();
    let mut receipt = honest_receipt(&order);
    receipt.confirmations.truncate(1);
    deliver(&clinic, &receipt);
    let location = locations(&clinic).unwrap().storage_locations.remove(0);
    assert_eq!(
        (location.state, location.objects.len()),
        (LocationState::Planned, 1)
    );
    assert_eq!((location.retain_until, location.version_id), (None, None));
    assert_eq!(clinic.orders(), std::slice::from_ref(&order));
    // The rest arrives, together with what is known already.
    let pass = deliver(&clinic, &honest_receipt(&order));
    assert_eq!((pass.confirmed_objects, pass.refused_receipts), (1, 0));
    assert!(clinic.names("outbox").is_empty());
}

#[test]
fn a_receipt_applied_twice_changes_nothing() {
    let (clinic, order) = sealed();
    deliver(&clinic, &honest_receipt(&order));
    let first = locations(&clinic);
    let pass = deliver(&clinic, &honest_receipt(&order));
    assert_eq!((pass.confirmed_objects, pass.refused_receipts), (0, 0));
    assert_eq!(locations(&clinic), first);
}

#[test]
fn an_order_file_that_outlived_its_completion_goes_with_the_next_receipt() {
    let (clinic, order) = sealed();
    let name = clinic.names("outbox").remove(0);
    let body = fs::read(clinic.state("outbox").join(&name)).unwrap();
    deliver(&clinic, &honest_receipt(&order));
    // As a crash between the commit and what follows it leaves things.
    fs::write(clinic.state("outbox").join(&name), body).unwrap();
    let located = files_below(&clinic.state("evidence"))
        .into_iter()
        .find(|p| p.to_string_lossy().ends_with(".locations.json"))
        .unwrap();
    fs::remove_file(&located).unwrap();
    deliver(&clinic, &honest_receipt(&order));
    assert!(clinic.names("outbox").is_empty());
    assert!(located.exists());
}

#[test]
fn each_lie_in_a_receipt_is_refused_and_confirms_nothing() {
    type Lie = (&'static str, fn(&mut Confirmation));
    let lies: [Lie; 9] = [
        ("another digest", |c| {
            c.sha256 = evidence::digest::Sha256::of(b"forged")
        }),
        ("another size", |c| c.size_bytes += 1),
        ("another mode", |c| {
            c.object_lock_mode = "GOVERNANCE".to_owned()
        }),
        ("a lock that ends early", |c| c.retain_until = c.server_date),
        ("another bucket", |c| {
            c.uri = c.uri.replace("evidence", "elsewhere")
        }),
        ("another destination", |c| {
            c.destination_id = "other".to_owned()
        }),
        ("an object that was not ordered", |c| {
            c.path.push_str(".more")
        }),
        ("another bundle", |c| {
            c.bundle_id = "EB-20261121-0999".to_owned()
        }),
        ("no version", |c| c.version_id.clear()),
    ];
    for (what, lie) in lies {
        let (clinic, order) = sealed();
        let mut receipt = honest_receipt(&order);
        receipt.confirmations.iter_mut().for_each(lie);
        let pass = deliver(&clinic, &receipt);
        assert_eq!(
            (pass.confirmed_objects, pass.refused_receipts),
            (0, 2),
            "{what}"
        );
        assert_eq!(locations(&clinic), None, "{what}");
        assert_eq!(clinic.orders().len(), 1, "{what}: the order stays");
    }
}

#[test]
fn rubbish_in_the_receipts_folder_stops_nothing() {
    let (clinic, order) = sealed();
    let secret = clinic.dir.path().join("secret");
    fs::write(&secret, honest_receipt(&order).to_bytes()).unwrap();
    symlink(&secret, clinic.state("receipts").join("link.receipt.json")).unwrap();
    clinic.receipt("a.receipt.json", b"not json");
    clinic.receipt("b.receipt.json", &vec![b'x'; 2 << 20]);
    nix::unistd::mkfifo(
        &clinic.state("receipts").join("fifo.receipt.json"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    let pass = clinic.agent().pass().unwrap();
    assert_eq!((pass.confirmed_objects, pass.refused_receipts), (0, 4));
    assert!(clinic.names("receipts").is_empty());
    assert!(secret.exists());
    assert_eq!(clinic.orders(), [order]);
}
