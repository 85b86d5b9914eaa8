//! `keys generate`, `keys show`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use evidence::digest::DigestKey;
use evidence::keys::{PrivateKey, PublicKey};
use host::exit::ExitCode;
use host::secret::{PasswordSources, SecretError, prompt};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::arguments::{GenerateOptions, KeysCommand, ShowKeyOptions};
use crate::{credential, output, publish_keys, rotate_key, screening_key};

pub(crate) fn run(command: &KeysCommand, config: &Path) -> Result<ExitCode> {
    match command {
        KeysCommand::Generate(options) => generate(options, config),
        KeysCommand::Screening(options) => screening_key::run(options, config),
        KeysCommand::Show(options) => show(options, config),
        KeysCommand::Publish(options) => publish_keys::run(options, config),
        KeysCommand::Rotate(options) => rotate_key::run(options, config),
    }
}

struct Files {
    key: PathBuf,
    public: PathBuf,
    digest: PathBuf,
    screening: PathBuf,
    password_file: Option<PathBuf>,
}

fn files(options: &GenerateOptions, config: &Path) -> Result<Files> {
    Ok(match &options.key {
        // Without a configuration: keys can be made before anything is configured.
        Some(key) => Files {
            public: key.with_extension("pub"),
            digest: key.with_file_name("digest.key"),
            screening: key.with_file_name("screening.key"),
            key: key.clone(),
            password_file: options.password_file.clone(),
        },
        None => {
            let settings = output::settings(config)?;
            let signing = settings.signing;
            Files {
                screening: settings.screening.key,
                key: signing.key,
                public: signing.public_key,
                digest: signing.digest_key,
                password_file: options.password_file.clone().or(signing.password_file),
            }
        }
    })
}

fn generate(options: &GenerateOptions, config: &Path) -> Result<ExitCode> {
    let files = files(options, config)?;
    for path in [&files.key, &files.public] {
        if path.symlink_metadata().is_ok() {
            bail!(
                "{} exists already and is never overwritten: a new key needs a new name, and old \
                 evidence needs the old key",
                path.display()
            );
        }
    }
    let password = password(files.password_file.as_deref(), true)?;
    let public = make_pair(&files.key, &files.public, &password)?;
    for keyed in [&files.digest, &files.screening] {
        if keyed.symlink_metadata().is_err() {
            write_keyed(keyed)?;
        }
    }
    println!(
        "private key  {} (mode 0400, encrypted)",
        files.key.display()
    );
    println!(
        "public key   {} (give this to auditors)",
        files.public.display()
    );
    println!(
        "digest key   {} (mode 0400, for keyed digests)",
        files.digest.display()
    );
    println!(
        "screening    {} (mode 0400, for the tokens in markers)",
        files.screening.display()
    );
    println!("key id       {}", public.key_id());
    Ok(ExitCode::Ok)
}

/// Makes a signing key where there is none.
pub(crate) fn make_pair(private: &Path, public: &Path, password: &str) -> Result<PublicKey> {
    let (key, text) = PrivateKey::generate(password.as_bytes())?;
    write_new(private, text.as_bytes(), 0o400)?;
    if let Err(error) = write_new(public, key.public().to_pem().as_bytes(), 0o644) {
        // Nothing can have been signed with the key yet, and half a pair stands in the way of the
        // next attempt.
        fs::remove_file(private)
            .with_context(|| format!("removing {} again", private.display()))?;
        return Err(error);
    }
    Ok(key.public().clone())
}

/// The password of a private key: a file, the environment, or whoever sits there.
pub(crate) fn password(file: Option<&Path>, confirm: bool) -> Result<Zeroizing<String>> {
    // As for the service: a credential comes before everything else.
    if let Some(password) = credential::of_agent()? {
        return Ok(password);
    }
    match PasswordSources::of_process(file).read() {
        Ok((password, _)) => Ok(password),
        Err(missing @ SecretError::Missing) => {
            prompt("Password for the signing key", confirm).map_err(|error| match error {
                // Nobody to ask: the other ways are what helps.
                SecretError::Prompt(_) => anyhow::Error::new(error).context(missing),
                error => error.into(),
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes a new key for keyed digests: 32 random bytes in hexadecimal.
pub(crate) fn write_keyed(path: &Path) -> Result<()> {
    let secret = DigestKey::generate()?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(secret.expose())));
    write_new(path, text.as_bytes(), 0o400)
}

/// Makes a file that was not there, with exactly this mode from its first moment, durable.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let context = || format!("writing {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(context)?;
    // The umask may have taken bits away that the public key needs.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
        .with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    file.sync_all().with_context(context)?;
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::File::open(folder)
            .and_then(|dir| dir.sync_all())
            .with_context(context)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Shown {
    key_id: String,
    hint: String,
    file: PathBuf,
    public_key_pem: String,
}

fn show(options: &ShowKeyOptions, config: &Path) -> Result<ExitCode> {
    let (file, public) = match (&options.public, &options.key) {
        (Some(file), _) => (file.clone(), read_public(file)?),
        (None, Some(file)) => {
            let text = Zeroizing::new(read(file)?);
            let password = password(None, false)?;
            let key = PrivateKey::from_encrypted_pem(&text, password.as_bytes())
                .with_context(|| format!("opening {}", file.display()))?;
            (file.clone(), key.public().clone())
        }
        (None, None) => {
            let file = output::settings(config)?.signing.public_key;
            let public = read_public(&file)?;
            (file, public)
        }
    };
    let shown = Shown {
        key_id: public.key_id(),
        hint: public.hint(),
        file,
        public_key_pem: public.to_pem(),
    };
    if options.json {
        output::json(&shown)?;
    } else {
        println!(
            "key id  {}\nhint    {}\nfile    {}",
            shown.key_id,
            shown.hint,
            shown.file.display()
        );
        print!("{}", shown.public_key_pem);
    }
    Ok(ExitCode::Ok)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// Reads a public key file.
pub(crate) fn read_public(path: &Path) -> Result<PublicKey> {
    PublicKey::from_pem(&read(path)?).with_context(|| format!("in {}", path.display()))
}
