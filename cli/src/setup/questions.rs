//! What is asked at a terminal, where a flag does not say it. Nothing has been done by then.

use std::io::{BufRead, Write};

use anyhow::{Context as _, Result};
use evidence::handover::is_safe_name;
use zeroize::Zeroizing;

use super::options::SetupOptions;

/// Secrets that were typed; they are on no command line and in no file yet.
#[derive(Default)]
pub(crate) struct Typed {
    /// For the signing key.
    pub(crate) password: Option<Zeroizing<String>>,
    /// The text of an AWS credentials file.
    pub(crate) s3_credentials: Option<Zeroizing<String>>,
}

/// A person.
pub(crate) struct Person<R, W> {
    pub(crate) says: R,
    pub(crate) reads: W,
    /// Asks for a secret, without showing it; the second argument asks twice.
    pub(crate) secret: fn(&str, bool) -> Result<Zeroizing<String>>,
}

impl<R: BufRead, W: Write> Person<R, W> {
    /// Until the answer is one that can be meant.
    fn ask(
        &mut self,
        question: &str,
        default: &str,
        complaint: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<String> {
        loop {
            if default.is_empty() {
                write!(self.reads, "{question}: ")?;
            } else {
                write!(self.reads, "{question} [{default}]: ")?;
            }
            self.reads.flush()?;
            let mut line = String::new();
            if self.says.read_line(&mut line)? == 0 {
                anyhow::bail!("there was no answer to: {question}; nothing was done");
            }
            let answer = match line.trim() {
                "" => default,
                answer => answer,
            };
            match complaint(answer) {
                None => return Ok(answer.to_owned()),
                Some(complaint) => writeln!(self.reads, "  {complaint}")?,
            }
        }
    }

    /// Yes or no; No unless it is said.
    pub(crate) fn agrees(&mut self, question: &str) -> Result<bool> {
        let answer = self.ask(&format!("{question} (yes or no)"), "no", |answer| {
            let is_one = matches!(answer, "yes" | "no");
            (!is_one).then_some("type yes or no")
        })?;
        Ok(answer == "yes")
    }

    /// Asks for what a new configuration needs and no flag says.
    pub(crate) fn complete(&mut self, options: &mut SetupOptions) -> Result<()> {
        let name = |answer: &str| {
            (!is_safe_name(answer)).then_some("letters, digits, . _ and - only, at most 128")
        };
        let word = |answer: &str| answer.is_empty().then_some("this cannot be empty");
        if options.client_id.is_none() {
            options.client_id =
                Some(self.ask("Client id (never changes), such as clinic-012", "", name)?);
        }
        if options.host_id.is_none() {
            let own = nix::sys::utsname::uname().context("this machine's name")?;
            let own = own.nodename().to_string_lossy().to_lowercase();
            options.host_id = Some(self.ask("Host id (never changes)", &own, name)?);
        }
        if options.bucket.is_none() {
            options.bucket = Some(self.ask("Bucket", "", word)?);
        }
        if options.region.is_none() {
            options.region = Some(self.ask("Region", "us-east-1", word)?);
        }
        if options.endpoint.is_none() {
            let answer = self.ask("Endpoint URL (empty: AWS)", "", |_| None)?;
            if !answer.is_empty() {
                options.endpoint = Some(answer);
                // As nearly every store that is not AWS wants it.
                options.path_style = true;
            }
        }
        Ok(())
    }

    /// Asks for the secrets that no flag gives.
    pub(crate) fn secrets(&mut self, options: &SetupOptions) -> Result<Typed> {
        let mut typed = Typed::default();
        if options.password_file.is_none() {
            let password =
                (self.secret)("Password for the signing key (empty: one is made)", true)?;
            typed.password = Some(password).filter(|password| !password.is_empty());
        }
        if options.s3_credentials.is_none() {
            let key = self.ask(
                "Access key id of the uploader (empty: this machine has a role)",
                "",
                |_| None,
            )?;
            if !key.is_empty() {
                let secret = (self.secret)("Its secret access key", false)?;
                typed.s3_credentials = Some(Zeroizing::new(format!(
                    "[default]\naws_access_key_id = {key}\naws_secret_access_key = {}\n",
                    *secret
                )));
            }
        }
        Ok(typed)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        setup: SetupOptions,
    }

    fn person(says: &'static str) -> Person<&'static [u8], Vec<u8>> {
        Person {
            says: says.as_bytes(),
            reads: Vec::new(),
            secret: |question, _| Ok(Zeroizing::new(format!("typed {}", question.len()))),
        }
    }

    #[test]
    fn what_flags_say_is_not_asked_and_what_cannot_be_meant_is_asked_again() {
        let mut options = Line::parse_from(["x", "--bucket", "b"]).setup;
        let mut person = person("\n../clinic\nclinic-a\nHost.Example\n\nhttps://s3.example\n");
        person.complete(&mut options).unwrap();
        let shown = String::from_utf8(person.reads).unwrap();
        assert_eq!(shown.matches("Client id").count(), 3, "{shown}");
        assert!(!shown.contains("Bucket"), "{shown}");
        assert_eq!(options.client_id.as_deref(), Some("clinic-a"));
        assert_eq!(options.host_id.as_deref(), Some("Host.Example"));
        assert_eq!(options.region.as_deref(), Some("us-east-1"));
        assert!(options.path_style);
    }

    #[test]
    fn secrets_that_are_typed_become_a_password_and_a_credentials_file() {
        let options = Line::parse_from(["x"]).setup;
        let typed = person("AKIA1\n").secrets(&options).unwrap();
        assert!(typed.password.unwrap().starts_with("typed "));
        let text = typed.s3_credentials.unwrap();
        assert!(text.contains("aws_access_key_id = AKIA1\n"), "{}", *text);
        let with_a_role = person("\n").secrets(&options).unwrap();
        assert!(with_a_role.s3_credentials.is_none());
    }

    #[test]
    fn an_end_of_the_answers_and_anything_but_yes_do_nothing() {
        assert!(person("").agrees("Really").is_err());
        assert!(!person("\n").agrees("Really").unwrap());
        assert!(person("perhaps\nyes\n").agrees("Really").unwrap());
    }
}
