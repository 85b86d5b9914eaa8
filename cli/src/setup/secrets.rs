//! Where the signing key's password and the uploader's credentials are kept, and putting them there.
//!
//! The password is durable before the key that it opens is made: a key without its password is no key.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use evidence::digest::DigestKey;
use host::config::{DEFAULT_PATH, Settings, drop_in_folder};
use host::secret::{
    CREDENTIAL_NAME, CREDENTIALS_SOURCE, ENCRYPTED_SUFFIX, PasswordSources, S3_CREDENTIAL_NAME,
};
use nix::unistd::{User, geteuid};
use zeroize::Zeroizing;

use super::options::{Keeping, SetupOptions};
use super::questions::Typed;
use super::step::Step;
use crate::credential::{self, Stored};
use crate::keys::write_new;

const PASSWORD: &str = "password";
const CREDENTIALS: &str = "credentials";

/// As asked, or the best that this host can.
pub(crate) fn keeping(options: &SetupOptions, config: &Path) -> Result<Keeping> {
    // Our units read nothing else, and only root writes there.
    let by_units = config == Path::new(DEFAULT_PATH) && geteuid().is_root();
    let version = systemd_version();
    let can = |keeping| match keeping {
        Keeping::Encrypted => by_units && version.is_some_and(|v| v >= 250),
        Keeping::Plain => by_units && version.is_some_and(|v| v >= 247),
        Keeping::Files => true,
    };
    match options.secrets {
        Some(asked) if can(asked) => Ok(asked),
        Some(_) => bail!(
            "secrets cannot be kept so here: systemd credentials need root, the configuration at \
             {DEFAULT_PATH}, and systemd 247 (plain) or 250 (encrypted)"
        ),
        None => Ok([Keeping::Encrypted, Keeping::Plain]
            .into_iter()
            .find(|keeping| can(*keeping))
            .unwrap_or(Keeping::Files)),
    }
}

/// Of the systemd that runs; `None` where none does.
fn systemd_version() -> Option<u32> {
    if !Path::new("/run/systemd/system").exists() {
        return None;
    }
    let output = Command::new("systemctl").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

/// The settings that a new configuration needs for it.
pub(crate) fn settings_for(
    keeping: Keeping,
    options: &SetupOptions,
    typed: &Typed,
    config: &Path,
) -> Result<Vec<(&'static str, &'static str, String)>> {
    if keeping != Keeping::Files {
        return Ok(Vec::new());
    }
    let text = |path: PathBuf| -> Result<String> {
        let path = std::path::absolute(path)?;
        Ok(path.to_str().context("a path is not UTF-8")?.to_owned())
    };
    let mut settings = vec![("signing", "password_file", text(password_file(config))?)];
    if options.s3_credentials.is_some() || typed.s3_credentials.is_some() {
        let file = text(s3_file(config))?;
        settings.push(("destination", "credentials_file", file));
    }
    Ok(settings)
}

fn password_file(config: &Path) -> PathBuf {
    config.with_file_name("signing-keys").join("password")
}

fn s3_file(config: &Path) -> PathBuf {
    config.with_file_name(S3_CREDENTIAL_NAME)
}

/// The password that is there, or the one that is given, or a new one; kept.
pub(crate) fn password(
    options: &SetupOptions,
    typed: Option<Zeroizing<String>>,
    keeping: Keeping,
    config: &Path,
    settings: &mut Settings,
) -> Result<(Zeroizing<String>, Step)> {
    let given = match (&options.password_file, typed) {
        (Some(file), _) => Some(read_password_file(file)?),
        (None, typed) => typed,
    };
    if let Some((password, what)) = present_password(settings)? {
        if given.is_some_and(|given| *given != *password) {
            bail!(
                "{what} holds another password than the one that was given: it is never replaced \
                 here, since the key opens with it"
            );
        }
        return Ok((password, Step::present(PASSWORD, what)));
    }
    let is_given = given.is_some();
    let password = match given {
        Some(password) => password,
        None => made()?,
    };
    if keeping == Keeping::Files && settings.signing.password_file.is_none() {
        // The configuration is another's; a drop-in says it beside that.
        name_password_file(config)?;
        *settings = Settings::load(config, host::config::environment())?;
    }
    let line = Zeroizing::new(format!("{}\n", *password));
    let kept = match &settings.signing.password_file {
        Some(file) => {
            keep_file(file, line.as_bytes(), "msp-agent")?;
            file.display().to_string()
        }
        None => keep_credential(keeping, CREDENTIAL_NAME, line.as_bytes())?,
    };
    let whose = if is_given { "as given" } else { "made here" };
    Ok((
        password,
        Step::done(PASSWORD, format!("{whose}, kept in {kept}")),
    ))
}

fn present_password(settings: &Settings) -> Result<Option<(Zeroizing<String>, String)>> {
    if settings.source == Path::new(DEFAULT_PATH)
        && let Some(stored) = credential::stored(CREDENTIAL_NAME)?
    {
        let shown = stored.path().display().to_string();
        return Ok(Some((stored.password()?, shown)));
    }
    match &settings.signing.password_file {
        Some(file) if file.symlink_metadata().is_ok() => Ok(Some((
            read_password_file(file)?,
            file.display().to_string(),
        ))),
        _ => Ok(None),
    }
}

fn read_password_file(file: &Path) -> Result<Zeroizing<String>> {
    let sources = PasswordSources {
        password_file: Some(file.to_owned()),
        ..PasswordSources::default()
    };
    Ok(sources.read()?.0)
}

/// 256 bits.
fn made() -> Result<Zeroizing<String>> {
    let random = DigestKey::generate()?;
    Ok(Zeroizing::new(hex::encode(random.expose())))
}

fn name_password_file(config: &Path) -> Result<()> {
    let file = std::path::absolute(password_file(config))?;
    let folder = drop_in_folder(config);
    host::files::create_dir_durably(&folder)
        .with_context(|| format!("making {}", folder.display()))?;
    let named = serde_json::Value::from(file.display().to_string());
    let text = format!("# Written by msp-evidence setup.\n[signing]\npassword_file = {named}\n");
    write_new(&folder.join("50-setup.toml"), text.as_bytes(), 0o644)
}

/// The uploader's credentials: those that are there, or those that are given, kept. With them the file
/// that this command itself takes them from.
pub(crate) fn s3_credentials(
    options: &SetupOptions,
    typed: Option<Zeroizing<String>>,
    keeping: Keeping,
    config: &Path,
    settings: &Settings,
) -> Result<Step> {
    let named = settings
        .destinations
        .iter()
        .find_map(|d| d.credentials_file.as_deref());
    let given = match (&options.s3_credentials, typed) {
        (Some(file), _) => Some(Zeroizing::new(
            fs::read(file).with_context(|| format!("reading {}", file.display()))?,
        )),
        (None, Some(typed)) => Some(Zeroizing::new(typed.as_bytes().to_vec())),
        (None, None) => None,
    };
    if given
        .as_ref()
        .is_some_and(|g| g.iter().all(u8::is_ascii_whitespace))
    {
        bail!("the credentials that were given are empty");
    }
    let present = match named {
        Some(file) if file.symlink_metadata().is_ok() => Some(file.to_owned()),
        Some(_) => None,
        None if settings.source == Path::new(DEFAULT_PATH) => {
            credential::stored(S3_CREDENTIAL_NAME)?.map(|stored| stored.path().to_owned())
        }
        None => None,
    };
    let Some(given) = given else {
        return Ok(match (present, named) {
            (Some(path), _) => Step::present(CREDENTIALS, path.display().to_string()),
            (None, Some(file)) => Step::failed(
                CREDENTIALS,
                format!(
                    "the configuration names {}, which is not there",
                    file.display()
                ),
            )
            .with_remedy("give them: msp-evidence setup --s3-credentials FILE"),
            (None, None) => Step::left_out(
                CREDENTIALS,
                "none given: the uploader finds them as AWS's tools do (a role, a profile)",
            ),
        });
    };
    if let Some(path) = present {
        let stored = match path.extension() {
            Some(extension) if *extension == *ENCRYPTED_SUFFIX.trim_start_matches('.') => {
                Stored::Encrypted(path.clone())
            }
            _ => Stored::Plain(path.clone()),
        };
        if *stored.read()? == *given {
            return Ok(Step::present(CREDENTIALS, path.display().to_string()));
        }
        bail!(
            "{0} holds other credentials than those that were given; to replace them, remove it first: \
             rm {0}",
            path.display()
        );
    }
    let kept =
        match named {
            Some(file) => {
                keep_file(file, &given, "msp-uploader")?;
                file.display().to_string()
            }
            None if keeping == Keeping::Files => {
                let file = s3_file(config);
                keep_file(&file, &given, "msp-uploader")?;
                return Ok(Step::remains(
                CREDENTIALS,
                format!("kept in {}, which the configuration does not name", file.display()),
            )
            .with_remedy(format!(
                "write credentials_file = \"{}\" into the [[destination]], then run setup again",
                file.display()
            )));
            }
            None => keep_credential(keeping, S3_CREDENTIAL_NAME, &given)?,
        };
    Ok(Step::done(CREDENTIALS, format!("as given, kept in {kept}")))
}

/// Makes a file that one service's user alone reads.
fn keep_file(file: &Path, secret: &[u8], user: &str) -> Result<()> {
    if let Some(folder) = file.parent().filter(|f| !f.exists()) {
        make_private_folder(folder, user)?;
    }
    write_new(file, secret, 0o400)?;
    own(file, user)
}

/// Makes a folder that one service's user alone can look into.
pub(crate) fn make_private_folder(folder: &Path, user: &str) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(folder)
        .with_context(|| format!("making {}", folder.display()))?;
    own(folder, user)
}

/// Gives it to the user, where there is one and root asks.
pub(crate) fn own(path: &Path, user: &str) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let Ok(Some(user)) = User::from_name(user) else {
        return Ok(());
    };
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let found = fs::symlink_metadata(path)?;
    if (found.uid(), found.gid()) == (uid, gid) {
        return Ok(());
    }
    chown(path, Some(uid), Some(gid)).with_context(|| format!("owner of {}", path.display()))
}

fn keep_credential(keeping: Keeping, name: &str, secret: &[u8]) -> Result<String> {
    let folder = Path::new(CREDENTIALS_SOURCE);
    make_private_folder(folder, "root")?;
    let path = match keeping {
        Keeping::Encrypted => {
            let name = format!("{name}{ENCRYPTED_SUFFIX}");
            let path = folder.join(&name);
            write_new(&path, &credential::encrypted(&name, secret)?, 0o400)?;
            path
        }
        Keeping::Plain | Keeping::Files => {
            let path = folder.join(name);
            write_new(&path, secret, 0o400)?;
            path
        }
    };
    Ok(path.display().to_string())
}
