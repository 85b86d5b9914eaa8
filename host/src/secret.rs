//! Secrets on this host: the signing key's password, where it may come from and in which order, and
//! what systemd hands over as credentials.
//!
//! Never a command line: arguments are readable by every user of the machine. The most protected
//! source comes first, so that a forgotten environment variable cannot take its place.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The name of the systemd credential (`LoadCredential=signing-key-password:…`).
pub const CREDENTIAL_NAME: &str = "signing-key-password";
/// The name of the systemd credential that is an AWS credentials file.
pub const S3_CREDENTIAL_NAME: &str = "s3-credentials";
/// Of a credential that our units load from an encrypted file (`LoadCredentialEncrypted=`).
pub const ENCRYPTED_SUFFIX: &str = ".cred";
/// From where our units load credentials, as root.
pub const CREDENTIALS_SOURCE: &str = "/etc/msp/credentials";
/// cosign's own variable, honoured so that its habits carry over.
pub const COSIGN_PASSWORD: &str = "COSIGN_PASSWORD";
/// No password is longer.
const PASSWORD_MAX_BYTES: u64 = 4096;

/// Where a password came from, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `$CREDENTIALS_DIRECTORY/signing-key-password`.
    Credential,
    /// `signing.password_file` or `--password-file`.
    File,
    /// The variable `COSIGN_PASSWORD`.
    Variable,
    /// Typed on the terminal.
    Prompt,
}

impl Source {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "systemd credential",
            Self::File => "password file",
            Self::Variable => COSIGN_PASSWORD,
            Self::Prompt => "prompt",
        }
    }
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No source gave one.
    #[error(
        "no password for the signing key; give it in one of three ways: the systemd credential \
         `signing-key-password` (write /etc/msp/credentials/signing-key-password, owner root, mode \
         0400, and restart; systemd 247 or newer), `signing.password_file` in the configuration \
         (a file of the service's user, mode 0400), or the environment variable COSIGN_PASSWORD"
    )]
    Missing,
    /// The source exists and cannot be read.
    #[error("could not read the secret in {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "{path} can be read by others (mode {mode:04o}); run `chmod 0400 {path}`",
        path = path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not something that can be a password.
    #[error("{origin} holds no usable password: {problem}")]
    Unusable {
        /// File or variable.
        origin: String,
        /// What is wrong, never the value.
        problem: &'static str,
    },
    /// The terminal gave nothing.
    #[error("could not read the password from the terminal")]
    Prompt(#[source] io::Error),
    /// Typed differently the second time.
    #[error("the two passwords differ; nothing was done")]
    Differ,
}

/// What systemd handed over to this process under `name`, or under `name.cred` from an encrypted file;
/// outside a unit the file in the folder `source`, for whoever may read it (root). `None` when there is
/// none. Blank is none: our units have a blank one where a file is missing, since a missing file is told
/// by systemd in numbers only.
///
/// # Errors
/// When it is there and cannot be read.
pub fn credential(
    handed: Option<&Path>,
    source: &Path,
    name: &str,
) -> Result<Option<PathBuf>, SecretError> {
    let places = match handed {
        Some(handed) => vec![
            handed.join(name),
            handed.join(format!("{name}{ENCRYPTED_SUFFIX}")),
        ],
        None => vec![source.join(name)],
    };
    for path in places {
        let failed = |source| SecretError::Read {
            path: path.clone(),
            source,
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Not ours to read, so not meant for us.
            Err(error) if handed.is_none() && error.kind() == io::ErrorKind::PermissionDenied => {
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        let mut start = Zeroizing::new([0; 64]);
        let length = file.read(&mut *start).map_err(failed)?;
        if !start[..length].iter().all(u8::is_ascii_whitespace) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Whether a credential can be read by others, where it was handed over or in the folder `source` from
/// which it comes, which is closed to services.
///
/// # Errors
/// When it can.
pub fn credential_is_closed(
    handed: Option<&Path>,
    source: &Path,
    name: &str,
) -> Result<(), SecretError> {
    // An encrypted one may be read by anybody.
    let from = Some((source.join(name), 0o077));
    // The group's digit is the mask of the access control list by which systemd hands it over.
    let to = handed.map(|handed| (handed.join(name), 0o007));
    let decrypted = handed.map(|handed| (handed.join(format!("{name}{ENCRYPTED_SUFFIX}")), 0o007));
    for (path, others) in [from, to, decrypted].into_iter().flatten() {
        if let Ok(meta) = path.metadata() {
            not_exposed(&path, meta.mode(), others)?;
        }
    }
    Ok(())
}

/// Whether a file with a secret is there, can be read, and only by its owner.
///
/// # Errors
/// When it is not so.
pub fn private_file(path: &Path) -> Result<(), SecretError> {
    open_private(path).map(drop)
}

fn not_exposed(path: &Path, mode: u32, others: u32) -> Result<(), SecretError> {
    let mode = mode & 0o7777;
    if mode & others == 0 {
        return Ok(());
    }
    Err(SecretError::Exposed {
        path: path.to_owned(),
        mode,
    })
}

/// The sources, in order; made once from the process's surroundings, or by a test. No `Debug`:
/// one field is the password itself.
#[derive(Default, Clone)]
pub struct PasswordSources {
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials_dir: Option<PathBuf>,
    /// Where systemd takes it from: [`CREDENTIALS_SOURCE`].
    pub credentials_source: PathBuf,
    /// The configured file.
    pub password_file: Option<PathBuf>,
    /// The value of `COSIGN_PASSWORD`.
    pub variable: Option<OsString>,
}

/// `$CREDENTIALS_DIRECTORY`, where systemd hands credentials over (systemd.exec(5)).
#[must_use]
pub fn credentials_directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

impl PasswordSources {
    /// From this process's environment, and the configured file.
    #[must_use]
    pub fn of_process(password_file: Option<&Path>) -> Self {
        Self {
            credentials_dir: credentials_directory(),
            credentials_source: CREDENTIALS_SOURCE.into(),
            password_file: password_file.map(Path::to_owned),
            variable: std::env::var_os(COSIGN_PASSWORD),
        }
    }

    /// The password from the first source that is there. One trailing newline is not part of it.
    ///
    /// An empty `COSIGN_PASSWORD` is a password, as it is for cosign; a file must not be empty.
    ///
    /// # Errors
    /// When no source is there, or the first one that is there cannot be used: a broken source is
    /// never skipped in silence.
    pub fn read(&self) -> Result<(Zeroizing<String>, Source), SecretError> {
        let (handed, source) = (self.credentials_dir.as_deref(), &self.credentials_source);
        credential_is_closed(handed, source, CREDENTIAL_NAME)?;
        if let Some(path) = credential(handed, source, CREDENTIAL_NAME)? {
            let file = File::open(&path).map_err(|source| SecretError::Read {
                path: path.clone(),
                source,
            })?;
            return Ok((read_file(&path, file)?, Source::Credential));
        }
        if let Some(path) = &self.password_file {
            return Ok((read_private_file(path)?, Source::File));
        }
        if let Some(value) = &self.variable {
            let text = value.to_str().ok_or_else(|| SecretError::Unusable {
                origin: COSIGN_PASSWORD.to_owned(),
                problem: "it is not UTF-8",
            })?;
            return Ok((trimmed(Zeroizing::new(text.to_owned())), Source::Variable));
        }
        Err(SecretError::Missing)
    }
}

/// Asks on the terminal, twice when `confirm` is set (for a new key).
///
/// # Errors
/// Without a terminal, or when the two answers differ.
pub fn prompt(question: &str, confirm: bool) -> Result<Zeroizing<String>, SecretError> {
    let ask = |text: String| {
        rpassword::prompt_password(text)
            .map(Zeroizing::new)
            .map_err(SecretError::Prompt)
    };
    let first = ask(format!("{question}: "))?;
    if confirm && *ask(format!("{question} (again): "))? != *first {
        return Err(SecretError::Differ);
    }
    Ok(first)
}

/// A secret in a file that others than its owner and group cannot read, such as an address with a token:
/// one line, 4096 bytes at most. systemd's own are readable for a group by their access control list.
///
/// # Errors
/// When it cannot be read, is readable by others, empty or too long.
pub fn read_closed_file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let failed = |source| SecretError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    not_exposed(path, file.metadata().map_err(failed)?.mode(), 0o007)?;
    read_file(path, file)
}

fn read_private_file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    read_file(path, open_private(path)?)
}

fn open_private(path: &Path) -> Result<File, SecretError> {
    let failed = |source| SecretError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    not_exposed(path, file.metadata().map_err(failed)?.mode(), 0o077)?;
    Ok(file)
}

fn read_file(path: &Path, file: File) -> Result<Zeroizing<String>, SecretError> {
    let unusable = |problem| SecretError::Unusable {
        origin: path.display().to_string(),
        problem,
    };
    // Room for everything at once, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSWORD_MAX_BYTES as usize + 1));
    file.take(PASSWORD_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| SecretError::Read {
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > PASSWORD_MAX_BYTES {
        return Err(unusable("it is longer than 4096 bytes"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable("it is not UTF-8"))?;
    let password = trimmed(Zeroizing::new(text.to_owned()));
    if password.is_empty() {
        return Err(unusable("it is empty"));
    }
    Ok(password)
}

/// Without one trailing newline, which every editor adds.
fn trimmed(mut text: Zeroizing<String>) -> Zeroizing<String> {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn the_credential_comes_first_then_the_file_then_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let credential = file(folder.path(), CREDENTIAL_NAME, "from-credential\n", 0o440);
        let mut sources = PasswordSources {
            credentials_dir: Some(folder.path().to_owned()),
            credentials_source: folder.path().join("source"),
            password_file: Some(file(folder.path(), "pw", "from-file\n", 0o400)),
            variable: Some("from-variable".into()),
        };
        let read = |sources: &PasswordSources| {
            let (password, source) = sources.read().unwrap();
            (password.to_string(), source)
        };
        assert_eq!(
            read(&sources),
            ("from-credential".to_owned(), Source::Credential)
        );
        fs::remove_file(credential).unwrap();
        assert_eq!(read(&sources), ("from-file".to_owned(), Source::File));
        sources.password_file = None;
        assert_eq!(
            read(&sources),
            ("from-variable".to_owned(), Source::Variable)
        );
        sources.variable = None;
        let error = sources.read().unwrap_err().to_string();
        for way in [
            "signing-key-password",
            "signing.password_file",
            "COSIGN_PASSWORD",
        ] {
            assert!(error.contains(way), "{error}");
        }
    }

    #[test]
    fn a_blank_credential_is_none_and_an_encrypted_one_comes_after_the_plain() {
        let folder = tempfile::tempdir().unwrap();
        let encrypted = format!("{CREDENTIAL_NAME}{ENCRYPTED_SUFFIX}");
        file(folder.path(), CREDENTIAL_NAME, "\n", 0o400);
        let blank = file(folder.path(), &encrypted, " \n", 0o400);
        let sources = PasswordSources {
            credentials_dir: Some(folder.path().to_owned()),
            variable: Some("from-variable".into()),
            ..PasswordSources::default()
        };
        assert_eq!(sources.read().unwrap().1, Source::Variable);
        fs::remove_file(blank).unwrap();
        file(folder.path(), &encrypted, "decrypted\n", 0o400);
        let (password, source) = sources.read().unwrap();
        assert_eq!(
            (password.as_str(), source),
            ("decrypted", Source::Credential)
        );
        fs::remove_file(folder.path().join(CREDENTIAL_NAME)).unwrap();
        file(folder.path(), CREDENTIAL_NAME, "plain\n", 0o400);
        assert_eq!(sources.read().unwrap().0.as_str(), "plain");
    }

    #[test]
    fn a_credential_that_others_can_read_is_refused_where_it_comes_from_and_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (handed, source) = (folder.path().join("handed"), folder.path().join("source"));
        fs::create_dir(&handed).unwrap();
        fs::create_dir(&source).unwrap();
        let look = || {
            credential_is_closed(Some(&handed), &source, S3_CREDENTIAL_NAME)?;
            credential(Some(&handed), &source, S3_CREDENTIAL_NAME)
        };
        assert!(look().unwrap().is_none());
        let given = file(&handed, S3_CREDENTIAL_NAME, "[default]", 0o440);
        let from = file(&source, S3_CREDENTIAL_NAME, "[default]", 0o400);
        assert_eq!(look().unwrap(), Some(given.clone()));
        for (path, mode) in [(&given, 0o444), (&from, 0o440), (&from, 0o404)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            let error = look().unwrap_err().to_string();
            assert!(error.contains("can be read by others"), "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(error.contains("chmod 0400"), "{error}");
            fs::set_permissions(path, Permissions::from_mode(0o400)).unwrap();
        }
    }

    #[test]
    fn outside_a_unit_the_file_that_systemd_would_hand_over_is_read_itself() {
        let source = tempfile::tempdir().unwrap();
        let sources = PasswordSources {
            credentials_source: source.path().to_owned(),
            ..PasswordSources::default()
        };
        assert!(matches!(sources.read(), Err(SecretError::Missing)));
        file(source.path(), CREDENTIAL_NAME, "password\n", 0o400);
        assert_eq!(sources.read().unwrap().0.as_str(), "password");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o440, 0o404, 0o644, 0o420] {
            let path = file(folder.path(), "pw", "secret", mode);
            let sources = PasswordSources {
                password_file: Some(path),
                ..PasswordSources::default()
            };
            assert!(
                matches!(sources.read(), Err(SecretError::Exposed { .. })),
                "{mode:o}"
            );
            fs::remove_file(folder.path().join("pw")).unwrap();
        }
    }

    #[test]
    fn a_configured_file_that_is_missing_is_an_error_even_with_the_variable_set() {
        let sources = PasswordSources {
            password_file: Some("/nonexistent/pw".into()),
            variable: Some("other".into()),
            ..PasswordSources::default()
        };
        assert!(matches!(sources.read(), Err(SecretError::Read { .. })));
    }

    #[test]
    fn exactly_one_trailing_newline_is_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        for (stored, expected) in [
            ("a b \n", "a b "),
            ("x\n\n", "x\n"),
            ("x\r\n", "x"),
            (" x", " x"),
        ] {
            let path = file(folder.path(), "pw", stored, 0o600);
            let sources = PasswordSources {
                password_file: Some(path),
                ..PasswordSources::default()
            };
            assert_eq!(sources.read().unwrap().0.as_str(), expected);
        }
    }

    #[test]
    fn an_empty_file_is_refused_but_an_empty_variable_is_cosigns_empty_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "pw", "\n", 0o600);
        let sources = PasswordSources {
            password_file: Some(path),
            ..PasswordSources::default()
        };
        assert!(matches!(sources.read(), Err(SecretError::Unusable { .. })));
        let sources = PasswordSources {
            variable: Some("".into()),
            ..PasswordSources::default()
        };
        assert_eq!(sources.read().unwrap().0.as_str(), "");
    }

    #[test]
    fn no_error_shows_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let long = "hunter2".repeat(1000);
        let path = file(folder.path(), "pw", &long, 0o600);
        let sources = PasswordSources {
            password_file: Some(path),
            ..PasswordSources::default()
        };
        let error = sources.read().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
