//! The real programs: built, started, listened to, stopped.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use sandbox::Identity;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::layout::Layout;

pub(crate) struct Programs {
    pub(crate) agent: PathBuf,
    pub(crate) uploader: PathBuf,
    pub(crate) cli: PathBuf,
}

/// Builds the three programs in the profile that this one was built in, beside it. Cargo's own
/// progress is shown.
pub(crate) async fn build() -> Result<Programs> {
    let own = std::env::current_exe()?;
    let folder = own
        .parent()
        .context("this program has no folder")?
        .to_owned();
    let programs = Programs {
        agent: folder.join("msp-evidence-agent"),
        uploader: folder.join("msp-evidence-uploader"),
        cli: folder.join("msp-evidence"),
    };
    let Some(cargo) = std::env::var_os("CARGO") else {
        // Started by hand from a folder that has them all.
        for program in [&programs.agent, &programs.uploader, &programs.cli] {
            if !program.exists() {
                bail!(
                    "{} is missing; start with `cargo run --release -p sandbox`",
                    program.display()
                );
            }
        }
        return Ok(programs);
    };
    eprintln!("Building msp-evidence-agent, msp-evidence-uploader and msp-evidence …");
    let mut command = Command::new(cargo);
    command.args([
        "build", "--locked", "-p", "agent", "-p", "uploader", "-p", "cli",
    ]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command
        .stdin(Stdio::null())
        .status()
        .await
        .context("starting cargo")?;
    if !status.success() {
        bail!("cargo build failed");
    }
    Ok(programs)
}

/// Makes the keys once and gives the fingerprint.
pub(crate) async fn make_keys(programs: &Programs, layout: &Layout) -> Result<String> {
    layout.ensure_password()?;
    let key = layout.key();
    if !key.exists() {
        cli(programs, layout, &["keys", "generate"]).await?;
    }
    let shown = cli(programs, layout, &["keys", "show", "--json"]).await?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    Ok(shown["key_id"]
        .as_str()
        .context("keys show printed no key_id")?
        .to_owned())
}

/// Runs the CLI and gives what it printed; a failure is an error with its words.
pub(crate) async fn cli(
    programs: &Programs,
    layout: &Layout,
    arguments: &[&str],
) -> Result<String> {
    let output = Command::new(&programs.cli)
        .arg("--config")
        .arg(&layout.config)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "msp-evidence {} failed ({}): {}{out}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(out)
}

/// One daemon, as a process of its own, with its log kept and its events passed on.
pub(crate) struct Daemon {
    name: String,
    child: Child,
    listener: JoinHandle<std::io::Result<()>>,
}

impl Daemon {
    pub(crate) async fn start(
        program: &Path,
        layout: &Layout,
        credentials: Option<&Identity>,
        events: UnboundedSender<serde_json::Value>,
    ) -> Result<Self> {
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut command = Command::new(program);
        command.arg("--config").arg(&layout.config);
        if let Some(identity) = credentials {
            command.env("AWS_ACCESS_KEY_ID", &identity.access_key);
            command.env("AWS_SECRET_ACCESS_KEY", &identity.secret_key);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let log_path = layout.root.join(format!("{name}.log"));
        let mut log = tokio::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .await?;
        eprintln!(
            "  started    {name}, pid {}, log {}",
            child.id().unwrap_or(0),
            log_path.display()
        );
        let listener = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Some(line) = lines.next_line().await? {
                log.write_all(line.as_bytes()).await?;
                log.write_all(b"\n").await?;
                if let Ok(event) = serde_json::from_str(&line) {
                    // Nobody listens any more once everything has arrived.
                    let _ = events.send(event);
                }
            }
            log.flush().await
        });
        Ok(Self {
            name,
            child,
            listener,
        })
    }

    /// Asks for an orderly stop and waits for it.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGTERM,
            )?;
        }
        let status = self.child.wait().await?;
        (&mut self.listener).await??;
        if !status.success() {
            bail!("{} stopped with {status}", self.name);
        }
        Ok(())
    }
}
