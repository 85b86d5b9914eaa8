//! The man pages of a program and of each of its commands.

use std::path::Path;

use anyhow::Result;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::Program;

/// What all pages of a program share.
struct Book<'a> {
    section: &'static str,
    /// Program and version.
    source: String,
    date: &'a str,
    folder: &'a Path,
}

/// Writes `NAME.SECTION` for the program and `NAME-COMMAND.SECTION` for each command below it.
pub(crate) fn write(program: Program, date: &str, folder: &Path) -> Result<()> {
    let mut command = without_help(program.command);
    command.build();
    let book = Book {
        section: program.section,
        source: format!(
            "{} {}",
            command.get_name(),
            command.get_version().unwrap_or_default()
        ),
        date,
        folder,
    };
    book.write(&command, program.see_also)
}

/// `help` as a command says what the pages say.
fn without_help(command: Command) -> Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}

impl Book<'_> {
    fn write(&self, command: &Command, see_also: &str) -> Result<()> {
        let name = command
            .get_display_name()
            .unwrap_or_else(|| command.get_name());
        for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            self.write(below, &format!("{name}({})", self.section))?;
        }
        let man = Man::new(command.clone())
            .section(self.section)
            .date(self.date)
            .source(&self.source)
            .manual("msp-evidence");
        let mut page = Vec::new();
        man.render(&mut page)?;
        let mut end = Roff::default();
        end.control("SH", ["SEE ALSO"]);
        end.text([roman(see_also)]);
        end.to_writer(&mut page)?;
        crate::write(&self.folder.join(man.get_filename()), &page)
    }
}
