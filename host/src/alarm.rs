//! What a daemon cannot do just now, told in the file on which it holds its instance lock.
//!
//! There, since it must be told when nothing else works: the file is open, so no descriptor is
//! needed, and has its whole length from the start, so no room is. Only on a disk that has become
//! read only it cannot be told, and that everybody sees who looks at the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::reload::Answer;

/// The file's length in bytes.
pub(crate) const FILE_BYTES: usize = 4096;
/// Bytes of one message; the log has the whole of it.
const MESSAGE_BYTES: usize = 480;

/// One thing that a daemon cannot do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What, from a closed list for each daemon, such as `stalled`.
    pub code: String,
    /// Since when.
    pub since: Timestamp,
    /// Why, as in the log.
    pub message: String,
}

/// The alarms of the daemon that holds the lock.
#[derive(Debug, Default)]
pub(crate) struct Alarms(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    alarms: Vec<Alarm>,
    /// What became of the last reload.
    answer: Option<Answer>,
    /// The file does not say so yet.
    is_untold: bool,
}

impl Alarms {
    /// Raises it, or corrects its words.
    pub(crate) fn raise(&self, file: &File, code: &str, message: &str, now: Timestamp) {
        let message = cut(message);
        self.change(file, |alarms| {
            match alarms.iter_mut().find(|a| a.code == code) {
                Some(alarm) if alarm.message == message => false,
                Some(alarm) => {
                    message.clone_into(&mut alarm.message);
                    true
                }
                None => {
                    alarms.push(Alarm {
                        code: code.to_owned(),
                        since: now,
                        message: message.to_owned(),
                    });
                    true
                }
            }
        });
    }

    /// It is over.
    pub(crate) fn clear(&self, file: &File, code: &str) {
        self.change(file, |alarms| {
            let before = alarms.len();
            alarms.retain(|alarm| alarm.code != code);
            alarms.len() != before
        });
    }

    /// Those that are raised.
    pub(crate) fn all(&self) -> Vec<Alarm> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.alarms.clone()
    }

    /// The answer to a reload.
    pub(crate) fn answer(&self, file: &File, answer: Answer) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.answer = Some(answer);
        state.write(file);
    }

    fn change(&self, file: &File, change: impl FnOnce(&mut Vec<Alarm>) -> bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut state.alarms) || state.is_untold {
            state.write(file);
        }
    }
}

impl State {
    fn write(&mut self, file: &File) {
        // Whoever could be told of a failure is being told; the next call tries again.
        let page = page(&self.alarms, self.answer.as_ref());
        self.is_untold = file.write_all_at(&page, 0).is_err();
    }
}

/// The whole file: the process, a line of JSON with the alarms, one with the answer to the last reload if
/// there was any, and blanks up to its length.
pub(crate) fn page(alarms: &[Alarm], answer: Option<&Answer>) -> Vec<u8> {
    let answer = answer.and_then(|answer| serde_json::to_string(answer).ok());
    let answer = answer.unwrap_or_default();
    let mut shown = alarms.len();
    loop {
        let json = serde_json::to_string(&alarms[..shown]).unwrap_or_default();
        let mut page = format!("{}\n{json}\n{answer}\n", std::process::id()).into_bytes();
        if page.len() <= FILE_BYTES || shown == 0 {
            page.resize(FILE_BYTES, b' ');
            return page;
        }
        shown -= 1;
    }
}

/// What the daemon that holds the lock on `path`, or held it last, could not do when it last said
/// anything; nothing when it never ran.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn alarms(path: &Path) -> io::Result<Vec<Alarm>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // Without a second line it is the file of an older version, or of a daemon that found no room
    // at its start.
    let json = text.lines().nth(1).unwrap_or_default().trim();
    Ok(serde_json::from_str(json).unwrap_or_default())
}

pub(crate) fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceLock;

    #[test]
    fn an_alarm_is_there_from_when_it_is_raised_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        assert_eq!(alarms(&path).unwrap(), []);
        let lock = InstanceLock::acquire(&path).unwrap();
        assert_eq!(alarms(&path).unwrap(), []);
        lock.raise("stalled", "no room");
        lock.raise("not_watching", "no inotify");
        let raised = alarms(&path).unwrap();
        assert_eq!(raised.len(), 2);
        assert_eq!(raised[0].message, "no room");
        lock.raise("stalled", "still no room");
        assert_eq!(alarms(&path).unwrap()[0].since, raised[0].since);
        assert_eq!(alarms(&path).unwrap()[0].message, "still no room");
        lock.clear("stalled");
        assert_eq!(alarms(&path).unwrap(), raised[1..]);
        drop(lock);
        assert_eq!(alarms(&path).unwrap().len(), 1, "its last word stays");
        let _lock = InstanceLock::acquire(&path).unwrap();
        assert_eq!(alarms(&path).unwrap(), [], "until it starts again");
    }

    #[test]
    fn what_could_not_be_told_is_told_by_the_next_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        drop(InstanceLock::acquire(&path).unwrap());
        let read_only = File::open(&path).unwrap();
        let writable = File::options().write(true).open(&path).unwrap();
        let (told, now) = (Alarms::default(), Timestamp::UNIX_EPOCH);
        told.raise(&read_only, "stalled", "read only", now);
        assert_eq!(alarms(&path).unwrap(), []);
        told.raise(&writable, "stalled", "read only", now);
        assert_eq!(alarms(&path).unwrap().len(), 1);
    }

    #[test]
    fn the_file_never_grows_however_much_there_is_to_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        let lock = InstanceLock::acquire(&path).unwrap();
        for n in 0..40 {
            lock.raise(&format!("code-{n}"), &"ä\"".repeat(1000));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), FILE_BYTES as u64);
        let told = alarms(&path).unwrap();
        assert!(told.len() > 3, "{}", told.len());
        assert_eq!(told[0].code, "code-0");
    }
}
