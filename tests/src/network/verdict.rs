//! What came of a case, from the store itself and from what the host says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ObjectLockMode;
use evidence::digest::Sha256;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::ground::Ground;
use crate::bucket::judge;

/// What is not as it should be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Incidents that the bucket does not prove.
    pub lost: Vec<String>,
    /// Objects of ours that are stored more than once, and incidents in two bundles.
    pub doubled: Vec<String>,
    /// Objects that the host calls confirmed and the store does not prove.
    pub falsely_confirmed: Vec<String>,
    /// Anything else.
    pub other: Vec<String>,
}

impl Verdict {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }
}

/// Checks every object that the host calls confirmed, by its version, at the store itself.
///
/// # Panics
/// When the store does not answer.
#[must_use]
pub fn falsely_confirmed(ground: &Ground) -> Vec<String> {
    let mut wrong = Vec::new();
    let client = ground.direct.client();
    // The first request is refused where the store's clock is wrong; from that the SDK learns it.
    let _ = ground
        .clinic
        .runtime()
        .block_on(client.list_buckets().send());
    for object in confirmed(ground) {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let (uri, version) = (text("uri"), text("version_id"));
        let place = format!("s3://{}/", ground.direct.bucket);
        let key = uri.strip_prefix(&place).unwrap_or_default();
        let path = key.strip_prefix(&ground.direct.prefix).unwrap_or_default();
        let local = fs::read(ground.clinic.state("evidence").join(path)).unwrap_or_default();
        let check = proves(&client, &ground.direct.bucket, key, &version, &local);
        if let Err(why) = ground.clinic.runtime().block_on(check) {
            wrong.push(format!("{key} version {version}: {why}"));
        }
    }
    wrong
}

/// Every object of every bundle that `show` calls confirmed.
fn confirmed(ground: &Ground) -> Vec<Value> {
    let mut found = Vec::new();
    for (_, bundle) in ground.clinic.bundles() {
        let shown = ground
            .clinic
            .cli_json(&["show", &bundle.header().bundle_id, "--json"]);
        for location in shown["storage_locations"].as_array().into_iter().flatten() {
            found.extend(
                location["objects"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
        }
    }
    found
}

async fn proves(
    client: &Client,
    bucket: &str,
    key: &str,
    version: &str,
    local: &[u8],
) -> Result<(), String> {
    let object = client
        .get_object()
        .bucket(bucket)
        .key(key)
        .version_id(version)
        .send()
        .await
        .map_err(|error| format!("{error:?}"))?;
    if object.object_lock_mode() != Some(&ObjectLockMode::Compliance) {
        return Err(format!("locked {:?}", object.object_lock_mode()));
    }
    // Six years and no more than a day less, which a store whose clock is hours wrong may cost.
    let enough = Timestamp::now() + SignedDuration::from_hours(24 * 2191);
    let until = object.object_lock_retain_until_date();
    if until.is_none_or(|until| until.secs() < enough.as_second()) {
        return Err(format!("locked until {until:?}"));
    }
    let body = object.body.collect().await;
    let bytes = body.map_err(|error| format!("{error:?}"))?.to_vec();
    if Sha256::of(&bytes) != Sha256::of(local) {
        return Err("other bytes".to_owned());
    }
    Ok(())
}

/// Judges bucket and host once everything is settled. `leaves` are problems that the case itself
/// made and that cannot go away, such as a delete marker: parts of their words.
///
/// # Panics
/// When the store does not answer.
#[must_use]
pub fn of(ground: &Ground, leaves: &[&str]) -> Verdict {
    let (client, bucket) = (ground.direct.client(), &ground.direct.bucket);
    let keys = std::slice::from_ref(&ground.clinic.public);
    let runtime = ground.clinic.runtime();
    let judged = runtime.block_on(judge(&client, bucket, keys));
    let mut verdict = Verdict {
        falsely_confirmed: falsely_confirmed(ground),
        ..Verdict::default()
    };
    let lost = ground.dropped.difference(&judged.incidents);
    verdict.lost.extend(lost.cloned());
    for problem in judged.problems {
        if leaves.iter().any(|left| problem.contains(left)) {
            continue;
        }
        let doubled = ["more than one version", "taken twice"];
        if doubled.iter().any(|words| problem.contains(words)) {
            verdict.doubled.push(problem);
        } else {
            verdict.other.push(problem);
        }
    }
    verdict.doubled.extend(sealed_twice(ground));
    let confirmed: BTreeSet<String> = confirmed(ground)
        .iter()
        .filter_map(|object| object["uri"].as_str().map(str::to_owned))
        .collect();
    for (path, bundle) in ground.clinic.bundles() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_there = confirmed.iter().any(|uri| uri.ends_with(&*name));
        // A bundle in conflict is sealed again; the new one is confirmed in its place.
        if !is_there && leaves.is_empty() {
            let id = &bundle.header().bundle_id;
            verdict.other.push(format!("{id} is not confirmed"));
        }
    }
    verdict
}

/// Incidents in two bundles of which none says the other again.
fn sealed_twice(ground: &Ground) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (_, bundle) in ground.clinic.bundles() {
        let incident = &bundle.document()["incident"]["incident_id"];
        if let (Some(id), None) = (incident.as_str(), &bundle.header().reseals) {
            *seen.entry(id.to_owned()).or_default() += 1;
        }
    }
    let twice = seen.into_iter().filter(|(_, n)| *n > 1);
    twice
        .map(|(id, n)| format!("{id} is in {n} bundles"))
        .collect()
}
