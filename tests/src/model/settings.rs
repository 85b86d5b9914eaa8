//! How the daemons of a sequence are configured.

use std::path::Path;
use std::time::Duration;

use host::config::Settings;
use uploader::policy::Policy;

use super::BUCKET;

pub(super) fn settings(folder: &Path, keys: &Path, group_limit: u8, endpoint: &str) -> Settings {
    let (folder, keys) = (folder.display(), keys.display());
    let text = format!(
        "client_id = \"clinic-a\"\nhost_id = \"host-1\"\n\
         [paths]\nstate_dir = \"{folder}/state\"\nmachine_id = \"{folder}/machine-id\"\n\
         [signing]\nkey = \"{keys}/evidence.key\"\npublic_key = \"{keys}/evidence.pub\"\n\
         password_file = \"{keys}/password\"\ndigest_key = \"{keys}/digest.key\"\n\
         [agent]\nmin_free_bytes = 1048576\ngroup_limit = {group_limit}\n\
         [[destination]]\nid = \"main\"\nbucket = \"{BUCKET}\"\nprefix = \"p/\"\n\
         region = \"us-east-1\"\nendpoint = \"{endpoint}\"\npath_style = true\n\
         credentials_file = \"{keys}/credentials\"\n"
    );
    Settings::parse(&text, Path::new("model.toml"), std::iter::empty()).unwrap()
}

/// Delays of milliseconds.
pub(super) fn quick() -> Policy {
    let settings = settings(Path::new("/"), Path::new("/"), 1, "http://127.0.0.1:1");
    Policy {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(10),
        conflict_retry_max: Duration::from_millis(2),
        park_probe: Duration::from_millis(10),
        rescan_every: Duration::from_millis(10),
        receipt_linger: Duration::from_millis(1),
        reissue_after: Duration::from_millis(100),
        drain: Duration::from_secs(5),
        ..Policy::from_settings(&settings.uploader)
    }
}
