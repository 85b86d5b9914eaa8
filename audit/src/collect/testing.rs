//! Collecting from a shelf, without any I/O but the ledger's.

use evidence::digest::Sha256;

use super::examine::{Signature, Signatures, examine};
use super::ring::Ring;
use crate::keyring::Keyring;
use crate::ledger::{
    Examined, Ledger, ListedTo, Read, ReadVersion, Signed, Standing, Unit, VersionToRead,
};
use crate::source::Page;
use crate::testing::{Laid, Shelf};

/// Lists and reads the shelf into the ledger, like a store's; `is_whole` says whether the listing came to
/// its end.
pub(crate) fn read_shelf(ledger: &Ledger, shelf: &Shelf, keyring: &Keyring, is_whole: bool) {
    let mut entries: Vec<_> = shelf
        .laid
        .iter()
        .rev()
        .map(|laid| laid.listed.clone())
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let listed_to = ListedTo {
        is_done: is_whole,
        ..ListedTo::default()
    };
    ledger
        .add_page(
            &Page {
                entries,
                next: None,
            },
            &listed_to,
        )
        .unwrap();
    let mut known = 0;
    loop {
        let ring = Ring::new(keyring, &ledger.rotated_keys().unwrap());
        for kind in [Signed::Bundle, Signed::Record] {
            for unit in ledger.signed_to_read(kind, "", usize::MAX >> 1).unwrap() {
                ledger.add_read(&signed(shelf, &ring, unit)).unwrap();
            }
        }
        for object in ledger.objects_to_read(0, usize::MAX >> 1).unwrap() {
            let versions = vec![version(&object, find(shelf, &object))];
            let read = Read {
                versions,
                ..Read::default()
            };
            ledger.add_read(&read).unwrap();
        }
        let keys = ring.key_ids();
        if keys.len() == known {
            return;
        }
        known = keys.len();
        for key_id in keys {
            ledger.read_again_with(&key_id).unwrap();
        }
    }
}

fn find<'a>(shelf: &'a Shelf, wanted: &VersionToRead) -> &'a Laid {
    let is_it = |laid: &&Laid| {
        laid.listed.path == wanted.path && laid.listed.version_id == wanted.version_id
    };
    shelf.laid.iter().find(is_it).unwrap()
}

fn version(wanted: &VersionToRead, laid: &Laid) -> ReadVersion {
    ReadVersion {
        version_rowid: wanted.version_rowid,
        outcome: laid
            .facts
            .clone()
            .map(|facts| (facts, Some(Sha256::of(&laid.bytes)))),
    }
}

fn signed(shelf: &Shelf, ring: &Ring, unit: Unit) -> Read {
    let Unit::Signed {
        kind,
        path,
        bundles,
        signatures,
    } = unit
    else {
        unreachable!("what is signed was asked for");
    };
    let mut read = Read {
        signed: Some((kind, path)),
        ..Read::default()
    };
    let mut found = Signatures::default();
    for wanted in &signatures {
        let laid = find(shelf, wanted);
        read.versions.push(version(wanted, laid));
        match &laid.facts {
            Ok(facts) => found.read.push(Signature {
                version_rowid: wanted.version_rowid,
                facts: facts.clone(),
                bytes: laid.bytes.clone(),
            }),
            Err(problem) => found.unread = Some(problem.clone()),
        }
    }
    for wanted in &bundles {
        let laid = find(shelf, wanted);
        read.versions.push(version(wanted, laid));
        read.bundles.push(match &laid.facts {
            Ok(facts) => examine(kind, wanted.version_rowid, facts, &laid.bytes, &found, ring),
            Err(problem) => Examined {
                version_rowid: wanted.version_rowid,
                signature_rowid: None,
                standing: Standing::Unread {
                    problem: problem.clone(),
                },
                is_locked: false,
            },
        });
    }
    read
}
