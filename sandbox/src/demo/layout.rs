//! Where everything of a run lies.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub(crate) struct Layout {
    pub(crate) root: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) keys: PathBuf,
    pub(crate) password: PathBuf,
}

impl Layout {
    pub(crate) fn create(dir: Option<&Path>) -> Result<Self> {
        let root = match dir {
            Some(dir) => {
                fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
                dir.canonicalize()?
            }
            None => tempfile::Builder::new()
                .prefix("msp-evidence-")
                .tempdir()?
                .keep(),
        };
        let layout = Self {
            config: root.join("evidence.toml"),
            state: root.join("state"),
            keys: root.join("signing-keys"),
            password: root.join("signing-keys/password"),
            root,
        };
        fs::create_dir_all(&layout.keys)?;
        fs::set_permissions(&layout.keys, fs::Permissions::from_mode(0o700))?;
        for folder in [
            "drop",
            "spool",
            "evidence",
            "outbox",
            "receipts",
            "delivery",
            "quarantine",
        ] {
            fs::create_dir_all(layout.state.join(folder))?;
        }
        Ok(layout)
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.keys.join("evidence.key")
    }

    pub(crate) fn public_key(&self) -> PathBuf {
        self.keys.join("evidence.pub")
    }

    pub(crate) fn drop_folder(&self) -> PathBuf {
        self.state.join("drop")
    }

    pub(crate) fn evidence(&self) -> PathBuf {
        self.state.join("evidence")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.state.join("quarantine")
    }

    pub(crate) fn write_config(&self, endpoint: &str, bucket: &str) -> Result<()> {
        let quoted = |path: &Path| toml_string(&path.display().to_string());
        let text = format!(
            "# Written by the sandbox.\n\
             client_id = \"sample-clinic\"\n\
             host_id = \"sample-host\"\n\n\
             [paths]\nstate_dir = {}\n\n\
             [signing]\nkey = {}\npublic_key = {}\npassword_file = {}\n\n\
             [agent]\nmin_free_bytes = 67108864\n\n\
             [[destination]]\nid = \"sandbox\"\nbucket = {}\nregion = \"us-east-1\"\n\
             endpoint = {}\npath_style = true\n\n\
             [log]\nformat = \"json\"\n",
            quoted(&self.state),
            quoted(&self.key()),
            quoted(&self.public_key()),
            quoted(&self.password),
            toml_string(bucket),
            toml_string(endpoint),
        );
        fs::write(&self.config, text)?;
        Ok(())
    }

    /// Makes the password once: random, readable by its owner only.
    pub(crate) fn ensure_password(&self) -> Result<()> {
        use std::io::Write as _;
        let made = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.password);
        match made {
            Ok(mut file) => {
                let word: String = std::iter::repeat_with(fastrand::alphanumeric)
                    .take(32)
                    .collect();
                writeln!(file, "{word}")?;
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn toml_string(text: &str) -> String {
    // A JSON string is a TOML basic string for every text that a path or URL has.
    serde_json::Value::from(text).to_string()
}
