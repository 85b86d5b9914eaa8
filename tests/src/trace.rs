//! What strace(1) saw, applied to a [`Disk`].
//!
//! Asked for with `-ff -y -xx -ttt`, it writes one file a thread, with the path behind each
//! descriptor, every string in hexadecimal, and the time of each call, by which threads and daemons
//! are put in order again.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::Disk;

/// The calls to trace: all that change what [`Disk`] models.
pub const TRACED: &str = "openat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,syncfs,\
                          sync_file_range,ftruncate,truncate,fallocate,copy_file_range,sendfile,\
                          rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,\
                          symlink,symlinkat,chmod,fchmod,fchmodat";

/// One call that succeeded.
#[derive(Debug, PartialEq)]
struct Call {
    at: f64,
    /// Descriptors are of one process, not of one thread.
    process: usize,
    name: String,
    arguments: Vec<Argument>,
    /// What it returned; of an open, the descriptor.
    returned: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Argument {
    /// A descriptor with its path; none when the file has no name any more.
    Descriptor(u64, Option<PathBuf>),
    Text(Vec<u8>),
    /// Anything else, as printed.
    Word(String),
}

/// Applies the traces of several processes, each the common start of its threads' file names.
///
/// # Panics
/// When a trace cannot be read, or shows a call on the disk that is not modelled.
pub fn replay(disk: &mut Disk, traces: &[PathBuf]) {
    let mut calls = Vec::new();
    for (process, start) in traces.iter().enumerate() {
        for file in files_of(start) {
            let text = fs::read_to_string(&file).unwrap();
            calls.extend(text.lines().filter_map(|line| parse(line, process)));
        }
    }
    calls.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut offsets = HashMap::new();
    for call in &calls {
        apply(disk, call, &mut offsets);
    }
}

fn files_of(start: &Path) -> Vec<PathBuf> {
    let name = format!("{}.", start.file_name().unwrap().to_string_lossy());
    fs::read_dir(start.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(&name))
        })
        .collect()
}

/// `TIME name(argument, …) = RESULT`; `None` for what failed, was cut off, or is no call.
fn parse(line: &str, process: usize) -> Option<Call> {
    let (at, rest) = line.split_once(' ')?;
    let (name, rest) = rest.split_once('(')?;
    let (arguments, returned) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let digits: String = returned.chars().take_while(char::is_ascii_digit).collect();
    Some(Call {
        at: at.parse().ok()?,
        process,
        name: name.to_owned(),
        arguments: split(arguments).into_iter().map(argument).collect(),
        returned: digits.parse().ok()?,
    })
}

/// At commas outside of brackets; strings are hexadecimal and so hold neither.
fn split(arguments: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in arguments.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(arguments[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(arguments[start..].trim());
    found
}

fn argument(text: &str) -> Argument {
    if let Some(hex) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        return Argument::Text(bytes(hex));
    }
    if let Some((number, path)) = text.split_once('<') {
        let named = path.strip_suffix('>').map(bytes);
        let path = named
            .and_then(|p| String::from_utf8(p).ok())
            .map(PathBuf::from);
        if number == "AT_FDCWD" {
            return Argument::Descriptor(u64::MAX, path);
        }
        if let Ok(number) = number.parse() {
            return Argument::Descriptor(number, path);
        }
    }
    Argument::Word(text.to_owned())
}

/// `\x2f\x74…`
fn bytes(hex: &str) -> Vec<u8> {
    hex.split("\\x")
        .skip(1)
        .map(|pair| {
            u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("not hexadecimal: {pair}"))
        })
        .collect()
}

impl Call {
    fn descriptor(&self, n: usize) -> Option<(u64, &Path)> {
        match self.arguments.get(n)? {
            Argument::Descriptor(number, Some(path)) => Some((*number, path)),
            _ => None,
        }
    }

    fn path(&self, n: usize) -> Option<&Path> {
        self.descriptor(n).map(|(_, path)| path)
    }

    fn text(&self, n: usize) -> Option<Vec<u8>> {
        match self.arguments.get(n)? {
            Argument::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn word(&self, n: usize) -> &str {
        match self.arguments.get(n) {
            Some(Argument::Word(word)) => word,
            _ => "",
        }
    }

    fn number(&self, n: usize) -> usize {
        self.word(n)
            .parse()
            .unwrap_or_else(|_| panic!("no number: {self:?}"))
    }

    /// A plain path, or one below a descriptor's.
    fn at(&self, folder: Option<usize>, name: usize) -> Option<PathBuf> {
        let name = String::from_utf8(self.text(name)?).ok()?;
        Some(match folder {
            Some(folder) => self.path(folder)?.join(name),
            None => PathBuf::from(name),
        })
    }
}

fn mode(word: &str) -> u32 {
    u32::from_str_radix(word, 8).unwrap_or(0o600)
}

fn apply(disk: &mut Disk, call: &Call, offsets: &mut HashMap<(usize, u64), usize>) {
    match call.name.as_str() {
        "openat" => {
            offsets.insert((call.process, call.returned), 0);
            let Some(path) = call.at(Some(0), 1) else {
                return;
            };
            let flags = call.word(2);
            if flags.contains("O_CREAT") {
                disk.create(&path, mode(call.word(3)));
            }
            if flags.contains("O_TRUNC") {
                disk.set_length(&path, 0);
            }
        }
        "write" => {
            let Some((number, path)) = call.descriptor(0) else {
                return;
            };
            let offset = offsets.entry((call.process, number)).or_default();
            let mut text = call.text(1).unwrap_or_default();
            text.truncate(call.returned as usize);
            let at = *offset;
            *offset += text.len();
            disk.write(path, at, text);
        }
        "pwrite64" => {
            let Some(path) = call.path(0) else { return };
            let mut text = call.text(1).unwrap_or_default();
            text.truncate(call.returned as usize);
            disk.write(path, call.number(3), text);
        }
        "ftruncate" => {
            if let Some(path) = call.path(0) {
                disk.set_length(path, call.number(1));
            }
        }
        "fsync" | "fdatasync" => {
            if let Some(path) = call.path(0) {
                disk.sync(path);
            }
        }
        "syncfs" => {
            if call
                .path(0)
                .is_some_and(|path| disk.relative(path).is_some())
            {
                disk.sync_all();
            }
        }
        "rename" => between(call, (None, 0), (None, 1), |from, to| disk.rename(from, to)),
        "renameat" | "renameat2" => {
            between(call, (Some(0), 1), (Some(2), 3), |from, to| {
                disk.rename(from, to)
            });
        }
        "link" => between(call, (None, 0), (None, 1), |from, to| disk.link(from, to)),
        "linkat" => between(call, (Some(0), 1), (Some(2), 3), |from, to| {
            disk.link(from, to)
        }),
        "unlink" | "rmdir" => {
            if let Some(path) = call.at(None, 0) {
                disk.remove(&path);
            }
        }
        "unlinkat" => {
            if let Some(path) = call.at(Some(0), 1) {
                disk.remove(&path);
            }
        }
        "mkdir" => {
            if let Some(path) = call.at(None, 0) {
                disk.create_folder(&path, mode(call.word(1)));
            }
        }
        "mkdirat" => {
            if let Some(path) = call.at(Some(0), 1) {
                disk.create_folder(&path, mode(call.word(2)));
            }
        }
        "fchmod" => {
            if let Some(path) = call.path(0) {
                disk.set_mode(path, mode(call.word(1)));
            }
        }
        "chmod" => {
            if let Some(path) = call.at(None, 0) {
                disk.set_mode(&path, mode(call.word(1)));
            }
        }
        "fchmodat" => {
            if let Some(path) = call.at(Some(0), 1) {
                disk.set_mode(&path, mode(call.word(2)));
            }
        }
        // To a socket these are none of ours.
        other => assert!(
            call.arguments.iter().all(|argument| match argument {
                Argument::Descriptor(_, Some(path)) =>
                    disk.relative(path).is_none() || path.to_string_lossy().ends_with("-shm"),
                _ => true,
            }),
            "{other} on the disk is not modelled: {call:?}"
        ),
    }
}

fn between(
    call: &Call,
    from: (Option<usize>, usize),
    to: (Option<usize>, usize),
    then: impl FnOnce(&Path, &Path),
) {
    if let (Some(from), Some(to)) = (call.at(from.0, from.1), call.at(to.0, to.1)) {
        then(&from, &to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traced_line_is_read_and_a_failed_or_unfinished_call_is_not() {
        let line = "1795247870.220996 write(4<\\x2f\\x61>, \"\\x68\\x22\", 2) = 2";
        let call = parse(line, 1).unwrap();
        assert_eq!(call.path(0), Some(Path::new("/a")));
        assert_eq!(call.text(1), Some(b"h\"".to_vec()));
        assert_eq!((call.returned, call.process), (2, 1));
        for line in [
            "1.5 openat(3<\\x2f>, \"\\x61\", O_RDONLY) = -1 ENOENT (No such file or directory)",
            "1.5 fsync(4<\\x2f\\x61>) = ?",
            "1.5 +++ killed by SIGKILL +++",
            "1.5 write(4<\\x2f\\x61>, \"\\x68\\x22\", 2",
        ] {
            assert_eq!(parse(line, 0), None, "{line}");
        }
    }

    #[test]
    fn a_file_without_a_name_is_nobodys() {
        let line = "1.5 write(4<\\x2f\\x61>(deleted), \"\\x68\", 1) = 1";
        assert_eq!(parse(line, 0).unwrap().path(0), None);
    }
}
