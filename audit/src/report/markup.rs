//! HTML that hostile text cannot break out of, by construction.
//!
//! Markup can only be a literal of this program (`&'static str`); whatever is not a literal goes
//! through [`Markup::text`], which escapes it and makes visible what a reader would not see: control
//! characters, and those that turn the direction of writing. Attributes take numbers and literals
//! alone. So there is no way to write evidence as markup, and no template language to configure.

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

use evidence::ijson::is_unsafe_to_show;

/// Where a report's HTML is written.
pub(crate) struct Markup<'a> {
    out: &'a mut dyn Write,
}

/// What may stand in an attribute: nothing that evidence could choose freely.
pub(crate) trait Attribute: Display {}
impl Attribute for u64 {}
impl Attribute for i64 {}
impl Attribute for usize {}
impl Attribute for &'static str {}

impl<'a> Markup<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    /// A piece of this program's own markup.
    pub(crate) fn markup(&mut self, literal: &'static str) -> io::Result<()> {
        self.out.write_all(literal.as_bytes())
    }

    /// Text of anybody's, between tags.
    pub(crate) fn text(&mut self, text: impl Display) -> io::Result<()> {
        self.escaped(text, false)
    }

    /// Text of anybody's in a `<pre>`: line ends and tabs stay as they are.
    pub(crate) fn lines(&mut self, text: impl Display) -> io::Result<()> {
        self.escaped(text, true)
    }

    /// A value in an attribute, between quotes.
    pub(crate) fn attribute(&mut self, value: impl Attribute) -> io::Result<()> {
        write!(self.out, "{value}")
    }

    fn escaped(&mut self, text: impl Display, lines: bool) -> io::Result<()> {
        let mut escape = Escape {
            out: self.out,
            lines,
            failed: None,
        };
        match write!(escape, "{text}") {
            Ok(()) => Ok(()),
            Err(fmt::Error) => Err(escape
                .failed
                .unwrap_or_else(|| io::Error::other("a value cannot be shown"))),
        }
    }
}

struct Escape<'a> {
    out: &'a mut dyn Write,
    lines: bool,
    failed: Option<io::Error>,
}

impl Escape<'_> {
    fn put(&mut self, c: char) -> io::Result<()> {
        match c {
            '&' => self.out.write_all(b"&amp;"),
            '<' => self.out.write_all(b"&lt;"),
            '>' => self.out.write_all(b"&gt;"),
            '"' => self.out.write_all(b"&quot;"),
            '\'' => self.out.write_all(b"&#39;"),
            '\n' | '\t' if self.lines => self.out.write_all(&[c as u8]),
            c if is_unsafe_to_show(c) || is_invisible(c) => write!(
                self.out,
                "<span class=\"unseen\">U+{:04X}</span>",
                u32::from(c)
            ),
            c => self.out.write_all(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Characters without width, with which two different names look the same.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

impl fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if let Err(error) = self.put(c) {
                self.failed = Some(error);
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// Writes literals as markup, `(values)` as text, `[values]` as attributes, `{blocks}` as they do.
macro_rules! html {
    (@ $out:expr;) => {};
    (@ $out:expr; $literal:literal $($rest:tt)*) => {
        $out.markup($literal)?;
        html!(@ $out; $($rest)*);
    };
    (@ $out:expr; ($value:expr) $($rest:tt)*) => {
        $out.text(&$value)?;
        html!(@ $out; $($rest)*);
    };
    (@ $out:expr; [$value:expr] $($rest:tt)*) => {
        $out.attribute($value)?;
        html!(@ $out; $($rest)*);
    };
    (@ $out:expr; {$($block:tt)*} $($rest:tt)*) => {
        $($block)*;
        html!(@ $out; $($rest)*);
    };
    ($out:expr; $($part:tt)*) => {{
        html!(@ $out; $($part)*);
    }};
}
pub(crate) use html;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        let mut out = Vec::new();
        Markup::new(&mut out).text(text).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            text("</td><script>alert('1')</script> & \"x\""),
            "&lt;/td&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;"
        );
    }

    #[test]
    fn what_turns_the_direction_of_writing_is_shown_as_its_code_point() {
        assert_eq!(
            text("a\u{202e}b\u{0}\u{1b}\n"),
            "a<span class=\"unseen\">U+202E</span>b<span class=\"unseen\">U+0000</span>\
             <span class=\"unseen\">U+001B</span><span class=\"unseen\">U+000A</span>"
        );
    }

    #[test]
    fn what_has_no_width_is_shown_as_its_code_point() {
        assert_eq!(
            text("INC\u{200b}-1"),
            "INC<span class=\"unseen\">U+200B</span>-1"
        );
    }

    #[test]
    fn only_lines_keep_their_ends() {
        let mut out = Vec::new();
        Markup::new(&mut out).lines("a\tb\r\n<c>").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a\tb<span class=\"unseen\">U+000D</span>\n&lt;c&gt;"
        );
    }

    #[test]
    fn a_full_disk_is_told_and_not_swallowed() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = Markup::new(&mut Full).text("x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
