//! The probe: asked of the agent, and followed until every store has it, locked, and the agent knows.
//!
//! A probe that is on its way is followed, and one that went all the way is shown: a second one is sealed
//! only where a destination has none.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use evidence::bundle::{LocationState, StorageLocation};
use evidence::handover::Action;
use host::config::Settings;
use host::owner::as_owner_of;
use jiff::Timestamp;
use serde::Serialize;

use super::options::SetupOptions;
use super::step::Step;
use crate::asking::{Asked, send};
use crate::doctor::probe::retain_until;
use crate::output::plain;
use crate::status::spool_reader;

pub(crate) const STEP: &str = "probe";
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Signed and durable on this host.
    Sealed,
    /// The uploader says that the store has every object, locked.
    Uploaded,
    /// The agent has that in its records.
    Confirmed,
}

/// A probe, in the documented form of `setup --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    bundle_id: String,
    state: State,
    places: Vec<Place>,
}

/// What one destination has of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Place {
    destination_id: String,
    state: State,
    objects: Vec<Object>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Object {
    uri: String,
    version_id: String,
    /// COMPLIANCE until then, as it was read back.
    retain_until: Timestamp,
}

/// Says what a probe locks, where and until when.
pub(crate) fn explain(settings: &Settings) {
    eprintln!(
        "A probe is one bundle of about 3 KB and its signature. It goes the way of every incident and \
         counts as none. It is stored and locked:"
    );
    for destination in &settings.destinations {
        eprintln!(
            "  {}  {}\n    in COMPLIANCE mode until about {}",
            destination.destination_id,
            plain(&destination.uri()),
            retain_until(None, destination)
        );
    }
    eprintln!("Nobody can delete it before, not even the account's owner.");
}

/// The newest probe, if it is meant for every destination that is configured now.
pub(crate) fn newest(settings: &Settings) -> Result<Option<Seen>> {
    if !settings.paths.spool.join("spool.db").exists() {
        return Ok(None);
    }
    let newest = as_owner_of(&settings.paths.spool, || -> Result<_> {
        match spool_reader(settings)? {
            Some(reader) => Ok(reader.newest_probe()?),
            None => Ok(None),
        }
    })??;
    let Some(id) = newest else { return Ok(None) };
    let seen = see(settings, &id)?;
    let is_for_all = settings.destinations.iter().all(|d| {
        seen.places
            .iter()
            .any(|place| place.destination_id == d.destination_id)
    });
    Ok(is_for_all.then_some(seen))
}

/// Asks for one, unless one is there, and follows it.
pub(crate) fn follow(options: &SetupOptions, settings: &Settings) -> Result<(Option<Seen>, Step)> {
    let (bundle_id, is_new) = match newest(settings)? {
        Some(seen) => (seen.bundle_id, false),
        None => match asked(settings)? {
            Ok(bundle_id) => (bundle_id, true),
            Err(step) => return Ok((None, step)),
        },
    };
    let mut last = None;
    let wait = Duration::from_secs(u64::from(options.wait_secs));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let confirmed = runtime.block_on(async {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let look = async {
            loop {
                looks.tick().await;
                let seen = see(settings, &bundle_id)?;
                if last.as_ref().map(|seen: &Seen| seen.state) != Some(seen.state) && !options.json
                {
                    tell(&seen);
                }
                let is_confirmed = seen.state == State::Confirmed;
                last = Some(seen);
                if is_confirmed {
                    return Ok::<_, anyhow::Error>(());
                }
            }
        };
        tokio::time::timeout(wait, look).await
    });
    let step = match confirmed {
        Ok(looked) => {
            looked?;
            let what = format!("{bundle_id} is confirmed at every destination");
            if is_new {
                Step::done(STEP, what)
            } else {
                Step::present(STEP, what)
            }
        }
        Err(_) => Step::remains(
            STEP,
            format!(
                "{bundle_id} is sealed, and not confirmed after {} s",
                options.wait_secs
            ),
        )
        .with_remedy(
            "it is kept and tried again for ever; why it waits: msp-evidence status; then run setup again",
        ),
    };
    Ok((last, step))
}

fn asked(settings: &Settings) -> Result<Result<String, Step>> {
    let action = Action::Probe {
        reason: "set-up: msp-evidence setup".to_owned(),
    };
    match send(settings, action)? {
        Asked::Answered(answer) if answer.ok => {
            let id = answer.details.get("bundle_id").and_then(|id| id.as_str());
            Ok(Ok(id
                .context("the agent's answer names no bundle")?
                .to_owned()))
        }
        Asked::Answered(answer) => bail!("the agent refused: {}", plain(&answer.message)),
        Asked::Waits(file) => Ok(Err(Step::remains(
            STEP,
            format!(
                "the agent has not answered; the request waits in {}",
                file.display()
            ),
        )
        .with_remedy("msp-evidence status; then run setup again"))),
    }
}

/// By the agent's records, and the uploader's where those do not know yet.
fn see(settings: &Settings, bundle_id: &str) -> Result<Seen> {
    let spool = &settings.paths.spool;
    let located = as_owner_of(spool, || -> Result<_> {
        let reader = spool_reader(settings)?.context("the spool is gone")?;
        Ok(reader.located_bundle(bundle_id)?)
    })??;
    let (bundle, locations) = located.with_context(|| format!("the spool has no {bundle_id}"))?;
    let delivery = &settings.paths.delivery;
    let reported = if delivery.exists() {
        as_owner_of(delivery, || -> Result<_> {
            Ok(match uploader::delivery::Reader::open(delivery)? {
                Some(reader) => reader.confirmations(bundle_id)?,
                None => Vec::new(),
            })
        })??
    } else {
        Vec::new()
    };
    let places: Vec<Place> = locations
        .storage_locations
        .into_iter()
        .filter(|place| place.retired.is_none())
        .map(|place| {
            let of_place =
                |c: &&evidence::handover::Confirmation| c.destination_id == place.destination_id;
            let stored = reported.iter().filter(of_place).count();
            let is_uploaded = u64::try_from(stored).is_ok_and(|n| n >= bundle.object_count);
            of(place, is_uploaded)
        })
        .collect();
    let state = places.iter().map(|place| place.state).min();
    Ok(Seen {
        bundle_id: bundle_id.to_owned(),
        state: state.unwrap_or(State::Sealed),
        places,
    })
}

/// Pure.
fn of(place: StorageLocation, is_uploaded: bool) -> Place {
    let state = match place.state {
        LocationState::Confirmed => State::Confirmed,
        _ if is_uploaded => State::Uploaded,
        _ => State::Sealed,
    };
    Place {
        destination_id: place.destination_id,
        state,
        objects: place
            .objects
            .into_iter()
            .map(|object| Object {
                uri: object.uri,
                version_id: object.version_id,
                retain_until: object.retain_until,
            })
            .collect(),
    }
}

fn tell(seen: &Seen) {
    println!(
        "          {STEP:<14} {} {}",
        seen.bundle_id,
        match seen.state {
            State::Sealed => "is sealed",
            State::Uploaded => "is uploaded, and locked",
            State::Confirmed => "is confirmed",
        }
    );
    for object in seen.places.iter().flat_map(|place| &place.objects) {
        println!(
            "                           {}\n                           version {}, COMPLIANCE until {}",
            plain(&object.uri),
            plain(&object.version_id),
            object.retain_until
        );
    }
}
