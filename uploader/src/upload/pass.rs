//! The pass over a large file that makes its plan, off the thread that everything waits on, and in
//! pieces, so that a stop does not wait for the end of it.

use std::fs::File;
use std::sync::Arc;

use destination::Destination;
use evidence::digest::Sha256;
use host::heart::Work;

use super::body::{self, BodyError};
use super::parcel::Route;
use super::plan::{Plan, Planner};
use super::unsent::Unsent;

/// Read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Read before looking whether to stop: a fraction of a second.
const PIECE_BYTES: u64 = 32 << 20;

/// The file to plan for, as the order names it.
pub(super) struct Wanted<'a> {
    pub(super) path: &'a str,
    pub(super) size_bytes: u64,
    pub(super) sha256: Sha256,
    pub(super) part_bytes: u64,
}

/// The plan for a file, from an earlier run or from a pass over it now.
pub(super) async fn plan<D: Destination>(
    route: &Route<D>,
    wanted: Wanted<'_>,
    work: &Work,
) -> Result<Arc<Plan>, Unsent> {
    if let Some(plan) = route.plans.get(wanted.sha256, wanted.part_bytes) {
        return Ok(plan);
    }
    let (folder, path) = (route.evidence.clone(), wanted.path.to_owned());
    let size_bytes = wanted.size_bytes;
    let planner = Planner::new(wanted.part_bytes, route.policy.content_md5);
    let open = move || {
        Ok(Pass {
            file: body::open(&folder, &path, size_bytes)?,
            offset_bytes: 0,
            size_bytes,
            planner,
            buffer: vec![0; BUFFER_BYTES],
        })
    };
    let mut pass = body::blocking(open).await?;
    while pass.offset_bytes < pass.size_bytes {
        if route.is_stopping() {
            return Err(Unsent::Stopped);
        }
        pass = body::blocking(move || pass.advance()).await?;
        work.moved();
    }
    let (sha256, plan) = pass.planner.finish();
    if sha256 != wanted.sha256 {
        return Err(BodyError::Differs.into());
    }
    let plan = Arc::new(plan);
    route.plans.keep(sha256, Arc::clone(&plan));
    Ok(plan)
}

struct Pass {
    file: File,
    offset_bytes: u64,
    size_bytes: u64,
    planner: Planner,
    buffer: Vec<u8>,
}

impl Pass {
    fn advance(mut self) -> Result<Self, BodyError> {
        let end_bytes = self.size_bytes.min(self.offset_bytes + PIECE_BYTES);
        while self.offset_bytes < end_bytes {
            let left = usize::try_from(end_bytes - self.offset_bytes).unwrap_or(usize::MAX);
            let room = left.min(self.buffer.len());
            let buffer = &mut self.buffer[..room];
            body::read_at(&self.file, self.offset_bytes, buffer)?;
            self.planner.update(buffer);
            self.offset_bytes += buffer.len() as u64;
        }
        Ok(self)
    }
}
