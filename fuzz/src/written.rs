//! What holds of every document that is both read and written.

use std::fmt::Debug;

/// What was accepted is written and read again as the same, and written again as the same bytes:
/// nothing of it is lost, and no two readers of it disagree.
pub(super) fn comes_back<T: PartialEq + Debug, E: Debug>(
    accepted: &T,
    to_bytes: impl Fn(&T) -> Vec<u8>,
    parse: impl Fn(&[u8]) -> Result<T, E>,
) {
    let written = to_bytes(accepted);
    let again = parse(&written).expect("what was accepted is accepted when it is written again");
    assert_eq!(&again, accepted, "it came back as something else");
    assert_eq!(to_bytes(&again), written, "written twice, two texts");
}

/// One line that a terminal shows as it is: not empty, not longer than the limit, and nothing in it
/// that breaks the line, moves the cursor or turns the direction of writing.
pub(super) fn is_one_line(text: &str, max_bytes: usize) -> bool {
    let turns = [
        '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}',
    ];
    !text.trim().is_empty()
        && text.len() <= max_bytes
        && !text.contains(char::is_control)
        && !text.contains(turns)
        && !text.contains(['\u{2028}', '\u{2029}'])
}

/// Such a name, put below a folder, stays there and is a single entry.
pub(super) fn stays_below(name: &str) -> bool {
    use std::path::{Component, Path};
    let plain = |part| matches!(part, Component::Normal(_));
    !name.is_empty()
        && !name.contains(['\\', '%', '\0'])
        && Path::new(name).is_relative()
        && Path::new(name).components().all(plain)
        // `Path` forgives `a//b` and `a/./b`; an object key does not.
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// A single name that [`stays_below`].
pub(super) fn is_one_name(name: &str) -> bool {
    !name.contains('/') && stays_below(name)
}
