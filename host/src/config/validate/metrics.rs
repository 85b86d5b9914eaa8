//! `[metrics]`: a folder of its own, and an address that nobody else can reach.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::file::MetricsSection;
use super::super::places::Places;
use super::super::settings::{MetricsSettings, Paths};
use super::{absolute, given, given_path, named_paths, within};

pub(super) fn metrics(section: MetricsSection, paths: &Paths, places: &Places) -> MetricsSettings {
    let textfile_dir =
        given_path(section.textfile_dir).map(|path| absolute(places, "metrics.textfile_dir", path));
    if let Some(dir) = &textfile_dir {
        apart(dir, paths, places);
    }
    MetricsSettings {
        textfile_dir,
        interval_secs: within(
            places,
            "metrics.interval_secs",
            section.interval_secs,
            15,
            5..=300,
        ),
        listen: given(section.listen).and_then(|text| listen(&text, places)),
    }
}

/// Whoever monitors must be let into it, and into none of ours.
fn apart(dir: &PathBuf, paths: &Paths, places: &Places) {
    if let Some((name, _)) = named_paths(paths)
        .iter()
        .find(|(_, path)| dir.starts_with(path) || path.starts_with(dir))
    {
        places.problem(
            "metrics.textfile_dir",
            dir.display(),
            format!("it overlaps with paths.{name}"),
            "give it a folder of its own, such as /var/lib/msp/metrics",
        );
    }
}

fn listen(text: &str, places: &Places) -> Option<SocketAddr> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Some(address),
        Ok(_) => {
            places.problem(
                "metrics.listen",
                format!("{text:?}"),
                "others than this machine could reach it",
                "use an address such as \"127.0.0.1:9750\" or \"[::1]:9750\"; for a Prometheus \
                 elsewhere use metrics.textfile_dir with node_exporter",
            );
            None
        }
        Err(_) => {
            places.problem(
                "metrics.listen",
                format!("{text:?}"),
                "it is not an address with a port",
                "use one such as \"127.0.0.1:9750\"",
            );
            None
        }
    }
}
