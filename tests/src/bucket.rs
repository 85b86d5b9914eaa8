//! A bucket judged by itself: what is in it, and the public keys, and nothing of any host.
//!
//! Not yet the auditor's command; only what a test of clones and conflicts must see.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ObjectLockMode;
use evidence::bundle::{Kind, VerifiedBundle};
use evidence::custody::Custody;
use evidence::digest::Sha256;
use evidence::keys::PublicKey;

/// What a bucket proves.
#[derive(Debug, Default)]
pub struct Judged {
    /// Every incident of a bundle that is complete, locked and verified.
    pub incidents: BTreeSet<String>,
    /// Chains that have a bundle.
    pub chains: BTreeSet<String>,
    /// Whatever is not as it should be.
    pub problems: Vec<String>,
}

struct Link {
    sha256: Sha256,
    previous: Option<Sha256>,
}

/// Fetches and checks every object.
///
/// # Panics
/// When the store does not answer.
pub async fn judge(client: &Client, bucket: &str, keys: &[PublicKey]) -> Judged {
    let mut judged = Judged::default();
    let objects = fetch(client, bucket, &mut judged.problems).await;
    let mut chains: BTreeMap<String, BTreeMap<u64, Link>> = BTreeMap::new();
    let mut resealed: BTreeSet<Sha256> = BTreeSet::new();
    let mut predecessors = Vec::new();
    let mut custody: BTreeMap<String, BTreeMap<u64, Custody>> = BTreeMap::new();
    for (key, bytes) in objects.iter().filter(|(key, _)| is_bundle(key)) {
        let Some(signature) = objects.get(&format!("{key}.bundle")) else {
            judged.problems.push(format!("{key} has no signature"));
            continue;
        };
        let verify = |public: &PublicKey| VerifiedBundle::verify(bytes, signature, public).ok();
        let Some(bundle) = keys.iter().find_map(verify) else {
            judged.problems.push(format!("{key} is of nobody's key"));
            continue;
        };
        for artifact in bundle.artifacts() {
            let path = evidence::bundle::artifact_path(key, artifact.sha256, &artifact.name);
            if objects.get(&path).map(|b| Sha256::of(b)) != Some(artifact.sha256) {
                judged
                    .problems
                    .push(format!("{path} is not what {key} names"));
            }
        }
        let header = bundle.header();
        if !key.contains(&format!("/{}/", header.chain.chain_id)) {
            judged
                .problems
                .push(format!("{key} lies under another chain"));
        }
        resealed.extend(header.reseals.as_ref().map(|r| r.sha256));
        predecessors.extend(header.chain.predecessor.clone());
        if header.kind == Kind::Custody {
            match Custody::read(&bundle) {
                Err(error) => judged.problems.push(format!("{key}: {error}")),
                // One that only says another again covers nothing of its own chain.
                Ok(_) if header.reseals.is_some() => {}
                Ok(said) => {
                    let of_chain: &mut BTreeMap<u64, Custody> =
                        custody.entry(header.chain.chain_id.clone()).or_default();
                    of_chain.insert(header.chain.sequence, said);
                }
            }
        }
        let link = Link {
            sha256: bundle.sha256(),
            previous: header.chain.previous_sha256,
        };
        let chain = chains.entry(header.chain.chain_id.clone()).or_default();
        if chain.insert(header.chain.sequence, link).is_some() {
            judged
                .problems
                .push(format!("{key}: its place in the chain is taken twice"));
        }
        let incident = &bundle.document()["incident"]["incident_id"];
        judged
            .incidents
            .extend(incident.as_str().map(str::to_owned));
    }
    for (id, chain) in &chains {
        let last = chain.keys().last().copied().unwrap_or(0);
        for sequence in 1..=last {
            let before = sequence.checked_sub(1).and_then(|s| chain.get(&s));
            // What is not here by its own name must be said again by another bundle.
            let follows = match chain.get(&sequence) {
                Some(link) => match (link.previous, before) {
                    (None, _) => sequence == 1,
                    (Some(previous), Some(before)) if previous == before.sha256 => true,
                    (Some(previous), _) => resealed.contains(&previous),
                },
                None => chain
                    .get(&(sequence + 1))
                    .and_then(|next| next.previous)
                    .is_none_or(|previous| resealed.contains(&previous)),
            };
            if !follows {
                judged
                    .problems
                    .push(format!("chain {id} is broken at {sequence}"));
            }
        }
    }
    for end in predecessors {
        let known = chains
            .get(&end.chain_id)
            .and_then(|chain| chain.get(&end.sequence))
            .is_some_and(|link| link.sha256 == end.sha256);
        if !known && !resealed.contains(&end.sha256) {
            judged.problems.push(format!(
                "a predecessor of chain {} is not here",
                end.chain_id
            ));
        }
    }
    for (id, said) in &custody {
        if let Some(chain) = chains.get(id) {
            let wrong = wrong_with_custody(chain, said);
            let wrong = wrong.into_iter().map(|w| format!("chain {id}: {w}"));
            judged.problems.extend(wrong);
        }
    }
    judged.chains = chains.into_keys().collect();
    judged
}

/// Each place is covered once and is what custody says; no object is named twice.
fn wrong_with_custody(chain: &BTreeMap<u64, Link>, said: &BTreeMap<u64, Custody>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut covered = 0;
    let mut named = BTreeSet::new();
    for (sequence, custody) in said {
        if let Some(covers) = custody.covers {
            // Custody may be what another bundle says again, elsewhere.
            let is_whole = (covered + 1..covers.from_sequence).all(|s| chain.contains_key(&s));
            if covers.from_sequence <= covered || (covers.from_sequence > covered + 1 && is_whole) {
                wrong.push(format!(
                    "custody at {sequence} begins at {}, and {covered} was the last that was covered",
                    covers.from_sequence
                ));
            }
            covered = covers.to_sequence;
        }
        for entry in &custody.sealed {
            if chain
                .get(&entry.sequence)
                .is_some_and(|link| link.sha256 != entry.sha256)
            {
                wrong.push(format!(
                    "custody at {sequence} says otherwise of {}",
                    entry.sequence
                ));
            }
        }
        for entry in &custody.confirmed {
            if !named.insert((&entry.uri, &entry.version_id)) {
                wrong.push(format!("custody at {sequence} names {} again", entry.uri));
            }
        }
    }
    wrong
}

fn is_bundle(key: &str) -> bool {
    key.ends_with(".json") && !key.contains("/artifacts/")
}

/// The bytes of every key, each of one version that is locked.
async fn fetch(
    client: &Client,
    bucket: &str,
    problems: &mut Vec<String>,
) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut markers = (None, None);
    loop {
        let page = client
            .list_object_versions()
            .bucket(bucket)
            .set_key_marker(markers.0)
            .set_version_id_marker(markers.1)
            .send()
            .await
            .unwrap();
        for marker in page.delete_markers() {
            problems.push(format!("a delete marker lies over {:?}", marker.key()));
        }
        for version in page.versions() {
            let key = version.key().unwrap().to_owned();
            let object = client
                .get_object()
                .bucket(bucket)
                .key(&key)
                .version_id(version.version_id().unwrap())
                .send()
                .await
                .unwrap();
            let is_locked = object.object_lock_mode() == Some(&ObjectLockMode::Compliance);
            if !is_locked {
                problems.push(format!("{key} is not locked"));
            }
            let bytes = match object.body.collect().await {
                Ok(body) => body.to_vec(),
                // Not the bytes that the store's own checksum is of.
                Err(error) => {
                    problems.push(format!("{key} cannot be read: {error:?}"));
                    Vec::new()
                }
            };
            if found.contains_key(&key) {
                problems.push(format!("{key} has more than one version"));
            }
            // What is not locked anybody may have laid there, over ours or below it.
            if is_locked || !found.contains_key(&key) {
                found.insert(key, bytes);
            }
        }
        if page.is_truncated() != Some(true) {
            return found;
        }
        markers = (page.next_key_marker, page.next_version_id_marker);
    }
}
