//! JSON pointers (RFC 6901) that are safe to show.
//!
//! A pointer carries member names, and those come from the document: they may be very long, may
//! hold control characters that fool a terminal or a log, and may be secrets themselves. So a
//! pointer that leaves this crate is short and printable, even if it then no longer resolves.

/// A pointer is cut to so many characters, and `…` says so.
const MAX_CHARS: usize = 200;

/// One step into a document.
#[derive(Debug)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

/// The pointer for `steps` given innermost first, as they are gathered on the way out.
pub(super) fn from_inner(steps: &[Step]) -> String {
    let mut out = String::new();
    for step in steps.iter().rev() {
        out.push('/');
        match step {
            Step::Member(name) => out.push_str(&name.replace('~', "~0").replace('/', "~1")),
            Step::Element(index) => out.push_str(&index.to_string()),
        }
    }
    presentable(&out)
}

/// `pointer` without control and direction-changing characters, and at most 200 characters long.
#[must_use]
pub fn presentable(pointer: &str) -> String {
    let mut shown = pointer.chars().filter(|c| !is_unsafe_to_show(*c));
    let mut out: String = shown.by_ref().take(MAX_CHARS).collect();
    if shown.next().is_some() {
        out.pop();
        out.push('…');
    }
    out
}

/// Makes a presentable pointer to something at or below `from` one to the same at or below `to`.
///
/// A pointer that was cut within `from` becomes `to` itself, cut anew: what it went on with is not
/// known any more, and its beginning must not stay.
pub(crate) fn rename(pointer: &mut String, from: &str, to: &str) {
    let from: String = from.chars().filter(|c| !is_unsafe_to_show(*c)).collect();
    if let Some(below) = pointer.strip_prefix(&from)
        && (below.is_empty() || below.starts_with(['/', '…']))
    {
        *pointer = presentable(&format!("{to}{below}"));
    } else if let Some(start) = pointer.strip_suffix('…')
        && from.starts_with(start)
    {
        *pointer = presentable(&format!("{to}/…"));
    }
}

/// Control characters, and the marks that reorder text on a screen (Unicode UAX 9).
#[must_use]
pub fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_tilde_and_slash() {
        let steps = [Step::Element(3), Step::Member("a/b~c".into())];
        assert_eq!(from_inner(&steps), "/a~1b~0c/3");
    }

    #[test]
    fn a_pointer_is_cut_to_200_characters_and_says_so() {
        let shown = presentable(&format!("/{}", "é".repeat(500)));
        assert_eq!(shown.chars().count(), 200);
        assert!(shown.ends_with('…'));
        let exact = format!("/{}", "é".repeat(199));
        assert_eq!(presentable(&exact), exact);
    }

    #[test]
    fn a_pointer_holds_no_control_or_direction_characters() {
        assert_eq!(presentable("/a\u{1b}[31m\n\u{202e}b\u{85}"), "/a[31mb");
    }

    #[test]
    fn a_pointer_follows_what_it_points_to_also_when_it_was_cut() {
        let long = format!("/a/{}", "x".repeat(300));
        for (pointer, from, to, renamed) in [
            ("/a/b/c", "/a/b", "/a/z", "/a/z/c"),
            ("/a/b", "/a/b", "/a/z", "/a/z"),
            ("/a/bc", "/a/b", "/a/z", "/a/bc"),
            ("/a\u{1b}/b/c", "/a\u{1b}/b", "/z", "/a\u{1b}/b/c"),
            ("/a/b/c", "/a\u{1b}/b", "/z", "/z/c"),
            (&presentable(&long), &long, "/a/z", "/a/z/…"),
        ] {
            let mut found = pointer.to_owned();
            rename(&mut found, from, to);
            assert_eq!(found, renamed, "{pointer} {from}");
        }
    }

    #[test]
    fn a_pointer_that_fits_once_it_is_safe_is_not_cut() {
        let safe = format!("/{}", "x".repeat(199));
        assert_eq!(presentable(&format!("{safe}\u{202e}\n")), safe);
        let longer = presentable(&format!("{safe}\u{202e}x"));
        assert_eq!(longer, format!("/{}…", "x".repeat(198)));
    }
}
