//! An uploader that was taken over: whatever it puts into `receipts/`, sealing goes on, and nothing
//! is called confirmed but what was sealed, where it was ordered, under the lock that was asked.

use std::fs;

use evidence::digest::Sha256;
use evidence::handover::{
    Confirmation, Order, RECEIPT_MAX_CONFIRMATIONS, RECEIPT_SUFFIX, Receipt, SIGHTING_SUFFIX,
};
use jiff::{SignedDuration, Timestamp};

use crate::clinic::{Clinic, files_below, honest_receipt};

fn confirmed_locations(clinic: &Clinic) -> usize {
    files_below(&clinic.state("evidence"))
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(".locations.json"))
        .filter(|path| fs::read_to_string(path).unwrap().contains("\"confirmed\""))
        .count()
}

#[test]
fn folders_under_the_names_of_receipts_are_passed_over_told_and_forgotten_when_removed() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    clinic.drop_incident("INC-1");
    agent.pass().unwrap();
    let receipts = clinic.state("receipts");
    let name = |n: u32| {
        format!(
            "{n:03}{}",
            [RECEIPT_SUFFIX, SIGHTING_SUFFIX][n as usize % 2]
        )
    };
    // More than a pass takes, so that they could crowd out the honest one.
    for n in 0..600 {
        let folder = receipts.join(name(n));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("full"), b"so that it cannot be removed").unwrap();
    }
    clinic.drop_incident("INC-2");
    clinic.receipt(
        "zzz.receipt.json",
        &honest_receipt(&clinic.orders()[0]).to_bytes(),
    );
    let pass = agent.pass().unwrap();
    assert_eq!((pass.sealed, pass.confirmed_objects), (1, 2));
    let alarms = |clinic: &Clinic| {
        let lock = clinic.state("spool").join("agent.lock");
        fs::read_to_string(lock).unwrap()
    };
    assert!(
        alarms(&clinic).contains("600 entries of receipts/"),
        "{}",
        alarms(&clinic)
    );
    assert!(!agent.pass().unwrap().did_something(), "it does not spin");
    for n in 0..600 {
        fs::remove_dir_all(receipts.join(name(n))).unwrap();
    }
    agent.pass().unwrap();
    assert!(
        !alarms(&clinic).contains("receipts/"),
        "{}",
        alarms(&clinic)
    );
}

#[test]
fn a_flood_of_a_hundred_thousand_receipts_holds_up_neither_sealing_nor_the_honest_one() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    clinic.drop_incident("INC-1");
    agent.pass().unwrap();
    let order = clinic.orders().remove(0);
    let mut foreign = honest_receipt(&order);
    for confirmation in &mut foreign.confirmations {
        confirmation.order_id = "nobody-ordered-this".to_owned();
        confirmation.bundle_id = "EB-20261121-0999".to_owned();
    }
    let foreign = foreign.to_bytes();
    for n in 0..100_000 {
        // Most are empty: making and removing blocks on a disk is what would take long here.
        let bytes: &[u8] = match n % 50 {
            0 => b"{\"receipt_version\": 1",
            1 => &foreign[..],
            _ => b"",
        };
        clinic.receipt(&format!("{n:06}.receipt.json"), bytes);
    }
    clinic.receipt("honest.receipt.json", &honest_receipt(&order).to_bytes());
    let (mut passes, mut refused, mut confirmed) = (0, 0, 0);
    loop {
        let id = format!("DURING-{passes:04}");
        if passes < 20 {
            clinic.drop_incident(&id);
        }
        let pass = agent.pass().unwrap();
        assert_eq!(pass.sealed, usize::from(passes < 20), "sealed at once");
        assert!(pass.receipts <= 256, "{pass:?}");
        refused += pass.refused_receipts;
        confirmed += pass.confirmed_objects;
        if !pass.did_something() {
            break;
        }
        passes += 1;
    }
    assert!(passes >= 100_000 / 256, "{passes}");
    assert!(clinic.names("receipts").is_empty());
    // Two entries of each foreign one, and each of the others as a whole.
    assert_eq!(refused, 100_000 + 2_000);
    assert_eq!(confirmed, 2, "each object once");
    assert_eq!(clinic.bundles().len(), 21);
    assert_eq!(confirmed_locations(&clinic), 1);
}

#[test]
fn a_receipt_of_the_largest_size_cannot_make_a_pass_long() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    clinic.drop_incident("INC-1");
    agent.pass().unwrap();
    let honest = honest_receipt(&clinic.orders()[0]);
    let again = Receipt {
        confirmations: vec![honest.confirmations[1].clone(); RECEIPT_MAX_CONFIRMATIONS],
        ..honest.clone()
    };
    let one_more = Receipt {
        confirmations: vec![honest.confirmations[1].clone(); RECEIPT_MAX_CONFIRMATIONS + 1],
        ..honest
    };
    for n in 0..40 {
        clinic.receipt(&format!("{n}.receipt.json"), &again.to_bytes());
    }
    clinic.receipt("a.receipt.json", &one_more.to_bytes());
    let first = agent.pass().unwrap();
    assert!(first.receipts < 40, "{first:?}");
    let mut refused = first.refused_receipts;
    while agent.pass().unwrap().did_something() {}
    refused += usize::from(refused == 0);
    assert_eq!(refused, 1);
    assert!(clinic.names("receipts").is_empty());
    assert_eq!(confirmed_locations(&clinic), 0, "half of the objects");
    assert_eq!(clinic.orders().len(), 1);
}

/// Changes one field into something else that it could be, and says whether it still is true.
fn lie(c: &mut Confirmation, orders: &[Order], rng: &mut fastrand::Rng) -> &'static str {
    let other = rng.choice(orders).unwrap();
    let object = rng.choice(&other.objects).unwrap();
    match rng.u8(0..12) {
        0 => {
            c.order_id.clone_from(&other.order_id);
            "order_id"
        }
        1 => {
            c.bundle_id.clone_from(&object.bundle_id);
            "bundle_id"
        }
        2 => {
            c.path.clone_from(&object.path);
            "path"
        }
        3 => {
            c.sha256 = object.sha256;
            "sha256"
        }
        4 => {
            c.sha256 = Sha256::of(&rng.u64(..).to_be_bytes());
            "sha256"
        }
        5 => {
            c.size_bytes = rng.choice([0, 1, object.size_bytes, u64::MAX]).unwrap();
            "size_bytes"
        }
        6 => {
            c.uri = rng
                .choice(["", "s3://evidence/p/", "s3://elsewhere/p/x"])
                .unwrap()
                .to_owned();
            "uri"
        }
        7 => {
            c.destination_id = "elsewhere".to_owned();
            "destination_id"
        }
        8 => {
            c.object_lock_mode = "GOVERNANCE".to_owned();
            "object_lock_mode"
        }
        9 => {
            c.retain_until = rng.choice([Timestamp::MIN, c.server_date]).unwrap();
            "retain_until"
        }
        10 => {
            c.version_id = rng
                .choice(["", "turned\u{202e}round", "two\nlines"])
                .unwrap()
                .to_owned();
            "version_id"
        }
        _ => {
            c.etag = Some("\u{1b}[2J".to_owned());
            "etag"
        }
    }
}

#[test]
fn of_thousands_of_random_lies_none_confirms_anything() {
    let seed =
        std::env::var("MSP_TEST_SEED").map_or_else(|_| fastrand::u64(..), |s| s.parse().unwrap());
    let mut rng = fastrand::Rng::with_seed(seed);
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    // Orders of their own, so that parts of one can be put into another's receipt.
    for n in 0..8 {
        clinic.drop_incident(&format!("INC-{n}"));
        agent.pass().unwrap();
    }
    let orders = clinic.orders();
    assert_eq!(orders.len(), 8);
    let (mut told, mut believed) = (0, 0);
    for round in 0..100 {
        for n in 0..50 {
            let order = rng.choice(&orders).unwrap();
            let mut receipt = honest_receipt(order);
            receipt.confirmations.retain_mut(|c| {
                let honest = c.clone();
                for _ in 0..rng.u8(1..=3) {
                    lie(c, &orders, &mut rng);
                }
                // Some lies are none: the same order again, or its own object's path.
                let full = SignedDuration::from_hours(24 * 2191);
                *c != honest && {
                    let true_after_all = orders.iter().any(|o| {
                        honest_receipt(o).confirmations.iter().any(|h| {
                            let words = |x: &Confirmation| Confirmation {
                                version_id: String::new(),
                                etag: None,
                                retain_until: Timestamp::UNIX_EPOCH,
                                ..x.clone()
                            };
                            words(h) == words(c)
                                && c.retain_until.duration_since(c.server_date) >= full
                                && h.version_id == c.version_id
                                && c.etag.is_none()
                        })
                    });
                    !true_after_all
                }
            });
            told += receipt.confirmations.len();
            clinic.receipt(&format!("{round}-{n}.receipt.json"), &receipt.to_bytes());
        }
        let pass = agent.pass().unwrap();
        assert_eq!(pass.receipts, 50, "seed {seed}");
        believed += pass.confirmed_objects;
    }
    assert!(told > 5_000, "{told}");
    assert_eq!(believed, 0, "seed {seed}: of {told} lies");
    assert_eq!(confirmed_locations(&clinic), 0, "seed {seed}");
    assert_eq!(clinic.orders(), orders, "seed {seed}: every order stays");
    // And the truth is still believed.
    for (n, order) in orders.iter().enumerate() {
        clinic.receipt(
            &format!("true-{n}.receipt.json"),
            &honest_receipt(order).to_bytes(),
        );
    }
    assert_eq!(agent.pass().unwrap().confirmed_objects, 16);
    assert_eq!(confirmed_locations(&clinic), 8);
    println!("{told} lies, {believed} believed, seed {seed}");
}
