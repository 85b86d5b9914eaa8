//! `reseal`: the way out of a conflict, where other bytes were found under a bundle's key.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use evidence::bundle::BundleId;
use evidence::handover::Action;
use host::exit::ExitCode;
use host::owner::as_owner_of;
use uploader::delivery::{BlockedReason, Reader};

use crate::arguments::ResealOptions;
use crate::asking::ask;
use crate::output::{self, Misuse};

pub(crate) fn run(options: &ResealOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let wanted = options
        .bundle_id
        .as_ref()
        .map(|text| {
            text.parse::<BundleId>()
                .map_err(|error| Misuse(format!("{text:?} is {error}")))
        })
        .transpose()?;
    let folder = &settings.paths.delivery;
    let blocked = if folder.exists() {
        as_owner_of(folder, || -> Result<_> {
            Ok(match Reader::open(folder)? {
                Some(reader) => reader.blocked(usize::MAX)?,
                None => Vec::new(),
            })
        })?
        .with_context(|| format!("reading {}", folder.display()))?
    } else {
        Vec::new()
    };
    let mut conflicts: BTreeMap<(String, BundleId), Vec<String>> = BTreeMap::new();
    for item in blocked {
        let Ok(id) = item.bundle_id.parse::<BundleId>() else {
            continue;
        };
        if item.reason == BlockedReason::Conflict.as_str()
            && wanted.is_none_or(|wanted| wanted == id)
        {
            // Client, host, chain: every path begins so. A name alone may be of two chains.
            let chain_id = item.path.split('/').nth(2).unwrap_or_default().to_owned();
            let places = conflicts.entry((chain_id, id)).or_default();
            if !places.contains(&item.destination_id) {
                places.push(item.destination_id);
            }
        }
    }
    if conflicts.is_empty() {
        match wanted {
            Some(id) => eprintln!("msp-evidence: no delivery of {id} is blocked by a conflict"),
            None => eprintln!("msp-evidence: nothing is blocked by a conflict"),
        }
        return Ok(if wanted.is_some() {
            ExitCode::CouldNotCheck
        } else {
            ExitCode::Ok
        });
    }
    let mut worst = ExitCode::Ok;
    for ((chain_id, id), destinations) in conflicts {
        let action = Action::Reseal {
            chain_id,
            bundle_id: id.to_string(),
            destinations,
            reason: options.reason.clone(),
        };
        let code = ask(&settings, action, options.json)?;
        if worst == ExitCode::Ok {
            worst = code;
        }
    }
    Ok(worst)
}
