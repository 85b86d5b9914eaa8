//! What is known of a large object before any of it is sent: one pass over the file makes a plan,
//! and every part is compared with it when it is read again to be sent.
//!
//! The pass proves that the file is what the order names (SHA-256 of the whole), and keeps 24 bytes
//! a part: so no part leaves this host that is not of those bytes, and what the store has of an
//! earlier attempt can be told from what it lacks. A plan stays true whatever becomes of the file,
//! so runs that follow each other share it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crc_fast::{CrcAlgorithm, Digest as Crc};
use evidence::digest::{Sha256, Sha256Stream};
use md5::{Digest as _, Md5};

const MIB: u64 = 1 << 20;
/// Most parts of one object (Amazon S3 User Guide, "Amazon S3 multipart upload limits").
pub(crate) const PARTS_MAX: u64 = 10_000;
/// Plans kept for the next run; the largest has 240 kB.
const KEPT_PLANS: usize = 32;

/// The size of the parts of an object: as small as may be, so that little is in memory and little
/// is sent again, but not more parts than a store takes.
pub(crate) fn part_bytes(size_bytes: u64, part_min_bytes: u64) -> u64 {
    let even = size_bytes.div_ceil(PARTS_MAX).div_ceil(MIB) * MIB;
    even.max(part_min_bytes).max(1)
}

/// The CRC-64/NVME of these bytes.
pub(crate) fn crc64nvme(bytes: &[u8]) -> u64 {
    let mut crc = Crc::new(CrcAlgorithm::Crc64Nvme);
    crc.update(bytes);
    crc.finalize()
}

/// A large object, cut into parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    size_bytes: u64,
    part_bytes: u64,
    /// CRC-64/NVME of the whole.
    crc64nvme: u64,
    crcs: Vec<u64>,
    /// As many as parts, or none where MD5 is not allowed.
    md5s: Vec<[u8; 16]>,
}

/// One part of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlannedPart {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) offset_bytes: u64,
    pub(crate) size_bytes: u64,
    pub(crate) crc64nvme: u64,
    pub(crate) md5: Option<[u8; 16]>,
}

impl Plan {
    pub(crate) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(crate) const fn part_bytes(&self) -> u64 {
        self.part_bytes
    }

    /// Of the whole object.
    pub(crate) const fn crc64nvme(&self) -> u64 {
        self.crc64nvme
    }

    /// Every part, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = PlannedPart> {
        (1..).zip(&self.crcs).map(|(number, crc64nvme)| {
            let offset_bytes = u64::from(number - 1) * self.part_bytes;
            PlannedPart {
                number,
                offset_bytes,
                size_bytes: self.part_bytes.min(self.size_bytes - offset_bytes),
                crc64nvme: *crc64nvme,
                md5: self.md5s.get(number as usize - 1).copied(),
            }
        })
    }

    /// The ETag of an object that is made of exactly these parts, unless a key of KMS or of the
    /// customer encrypts it: the MD5 of the parts' MD5s, and their number. `None` without MD5.
    pub(crate) fn etag(&self) -> Option<String> {
        if self.md5s.is_empty() {
            return None;
        }
        let md5 = Md5::digest(self.md5s.as_flattened());
        Some(format!("{}-{}", hex::encode(md5), self.md5s.len()))
    }
}

/// Makes a plan of bytes that come in pieces of any size.
pub(crate) struct Planner {
    part_bytes: u64,
    /// Still missing from the part that is under way.
    room_bytes: u64,
    size_bytes: u64,
    sha256: Sha256Stream,
    whole: Crc,
    part: Crc,
    crcs: Vec<u64>,
    md5: Option<Md5>,
    md5s: Vec<[u8; 16]>,
}

impl Planner {
    pub(crate) fn new(part_bytes: u64, with_md5: bool) -> Self {
        let part_bytes = part_bytes.max(1);
        Self {
            part_bytes,
            room_bytes: part_bytes,
            size_bytes: 0,
            sha256: Sha256Stream::default(),
            whole: Crc::new(CrcAlgorithm::Crc64Nvme),
            part: Crc::new(CrcAlgorithm::Crc64Nvme),
            crcs: Vec::new(),
            md5: with_md5.then(Md5::new),
            md5s: Vec::new(),
        }
    }

    /// Adds the next piece.
    pub(crate) fn update(&mut self, mut piece: &[u8]) {
        self.sha256.update(piece);
        while !piece.is_empty() {
            let room = usize::try_from(self.room_bytes).unwrap_or(usize::MAX);
            let (now, rest) = piece.split_at(piece.len().min(room));
            self.part.update(now);
            if let Some(md5) = &mut self.md5 {
                md5.update(now);
            }
            self.size_bytes += now.len() as u64;
            self.room_bytes -= now.len() as u64;
            if self.room_bytes == 0 {
                self.end_part();
            }
            piece = rest;
        }
    }

    /// The digest of everything added, and the plan.
    pub(crate) fn finish(mut self) -> (Sha256, Plan) {
        if self.room_bytes < self.part_bytes {
            self.end_part();
        }
        let plan = Plan {
            size_bytes: self.size_bytes,
            part_bytes: self.part_bytes,
            crc64nvme: self.whole.finalize(),
            crcs: self.crcs,
            md5s: self.md5s,
        };
        (self.sha256.finish(), plan)
    }

    fn end_part(&mut self) {
        // The whole's is put together from the parts', so each byte is summed once.
        self.whole.combine(&self.part);
        self.crcs.push(self.part.finalize_reset());
        if let Some(md5) = &mut self.md5 {
            self.md5s.push(md5.finalize_reset().into());
        }
        self.room_bytes = self.part_bytes;
    }
}

/// The newest plans, for runs that follow each other: a failed part does not cost another pass over
/// the file, and a second destination shares the first one's.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    kept: Mutex<VecDeque<(Sha256, Arc<Plan>)>>,
}

impl Plans {
    pub(crate) fn get(&self, sha256: Sha256, part_bytes: u64) -> Option<Arc<Plan>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept
            .iter()
            .find(|(of, plan)| *of == sha256 && plan.part_bytes == part_bytes)?;
        Some(Arc::clone(&found.1))
    }

    pub(crate) fn keep(&self, sha256: Sha256, plan: Arc<Plan>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, old)| *of != sha256 || old.part_bytes != plan.part_bytes);
        if kept.len() == KEPT_PLANS {
            kept.pop_front();
        }
        kept.push_back((sha256, plan));
    }

    /// The file is not what it was: the next run looks at all of it again.
    pub(crate) fn forget(&self, sha256: Sha256) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, _)| *of != sha256);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(bytes: &[u8], part_bytes: u64, pieces: &[usize]) -> (Sha256, Plan) {
        let mut planner = Planner::new(part_bytes, true);
        let mut rest = bytes;
        for piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(*piece));
            planner.update(now);
            rest = later;
        }
        planner.finish()
    }

    #[test]
    fn parts_are_as_small_as_allowed_and_never_more_than_ten_thousand() {
        let smallest = 8 * MIB;
        let terabyte = 1 << 40;
        for (size, expected) in [
            (65 * MIB, smallest),
            (78 << 30, smallest),
            (80_000 * MIB, smallest),
            (80_000 * MIB + 1, 9 * MIB),
            (terabyte, 105 * MIB),
            (5 * terabyte, 525 * MIB),
        ] {
            let part = part_bytes(size, smallest);
            assert_eq!(part, expected, "{size}");
            assert!(size.div_ceil(part) <= PARTS_MAX, "{size}");
        }
    }

    #[test]
    fn a_plan_does_not_depend_on_how_the_bytes_were_read() {
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..10_007).map(|_| rng.u8(..)).collect();
        let (sha256, whole) = plan(&bytes, 1000, &[bytes.len()]);
        assert_eq!(sha256, Sha256::of(&bytes));
        for _ in 0..50 {
            let pieces = [rng.usize(1..3000), rng.usize(1..20), 1000];
            assert_eq!(plan(&bytes, 1000, &pieces).1, whole, "seed {seed}");
        }
        assert_eq!(
            whole.crc64nvme(),
            crc64nvme(&bytes),
            "put together from the parts"
        );
        let parts: Vec<_> = whole.parts().collect();
        assert_eq!(parts.len(), 11);
        for (part, chunk) in parts.iter().zip(bytes.chunks(1000)) {
            assert_eq!(part.offset_bytes, u64::from(part.number - 1) * 1000);
            assert_eq!(part.size_bytes, chunk.len() as u64);
            assert_eq!(part.crc64nvme, crc64nvme(chunk));
            assert_eq!(part.md5, Some(Md5::digest(chunk).into()));
        }
        assert_eq!(parts[10].size_bytes, 7);
    }

    #[test]
    fn no_part_is_empty_when_the_size_is_a_multiple() {
        let (_, plan) = plan(&[1; 3000], 1000, &[1000]);
        assert_eq!(plan.parts().count(), 3);
        assert_eq!((plan.size_bytes(), plan.part_bytes()), (3000, 1000));
    }

    #[test]
    fn checksums_and_etag_are_those_that_s3_computes() {
        // The check value of CRC-64/NVME.
        assert_eq!(crc64nvme(b"123456789"), 0xae8b_1486_0a79_9888);
        // By Python's hashlib.
        let (_, with) = plan(b"abcde", 2, &[5]);
        let parts = ["ab", "cd", "e"].map(|part| Md5::digest(part).to_vec());
        let expected = format!("{}-3", hex::encode(Md5::digest(parts.concat())));
        assert_eq!(with.etag(), Some(expected));
        assert_eq!(
            with.etag().as_deref(),
            Some("b5d55eef9b6106b14530433c1a359920-3")
        );
        let mut without = Planner::new(2, false);
        without.update(b"abcde");
        let (_, without) = without.finish();
        assert_eq!(without.etag(), None);
        assert!(without.parts().all(|part| part.md5.is_none()));
    }

    #[test]
    fn plans_are_found_again_by_content_and_part_size_and_only_so_many_are_kept() {
        let plans = Plans::default();
        let of = |n: u64| Sha256::of(&n.to_be_bytes());
        let some = |part_bytes| Arc::new(plan(b"abcde", part_bytes, &[5]).1);
        plans.keep(of(0), some(2));
        plans.keep(of(0), some(3));
        plans.keep(of(0), some(3));
        assert_eq!(plans.get(of(0), 2), Some(some(2)));
        assert_eq!(plans.get(of(0), 4), None);
        assert_eq!(plans.get(of(1), 2), None);
        plans.forget(of(0));
        assert_eq!(plans.get(of(0), 3), None);
        for n in 0..=KEPT_PLANS as u64 {
            plans.keep(of(n), some(2));
        }
        assert_eq!(plans.get(of(0), 2), None, "the oldest went");
        assert!((1..=KEPT_PLANS as u64).all(|n| plans.get(of(n), 2).is_some()));
    }
}
