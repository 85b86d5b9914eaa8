//! UTF-16 as bytes that rules can read, and back, without losing what is broken in it.
//!
//! Windows writes logs in UTF-16. What is no valid UTF-16, half a surrogate pair, goes through as the
//! three bytes that UTF-8 would have for it, and comes out as it was.

/// UTF-16 to UTF-8, in pieces.
pub(crate) struct Narrow {
    is_big: bool,
    /// A byte whose unit has not come whole.
    byte: Option<u8>,
    /// The first half of a surrogate pair.
    high: Option<u16>,
}

/// UTF-8 to UTF-16, in pieces.
pub(crate) struct Widen {
    is_big: bool,
    /// A character that has not come whole.
    begun: Vec<u8>,
}

impl Narrow {
    pub(crate) const fn little() -> Self {
        Self::new(false)
    }

    pub(crate) const fn big() -> Self {
        Self::new(true)
    }

    const fn new(is_big: bool) -> Self {
        Self {
            is_big,
            byte: None,
            high: None,
        }
    }

    pub(crate) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for byte in piece {
            let Some(first) = self.byte.take() else {
                self.byte = Some(*byte);
                continue;
            };
            let unit = if self.is_big {
                u16::from_be_bytes([first, *byte])
            } else {
                u16::from_le_bytes([first, *byte])
            };
            self.unit(unit, out);
        }
    }

    fn unit(&mut self, unit: u16, out: &mut Vec<u8>) {
        if let Some(high) = self.high.take() {
            if (0xDC00..=0xDFFF).contains(&unit) {
                let code = 0x1_0000 + ((u32::from(high) - 0xD800) << 10) + u32::from(unit) - 0xDC00;
                put(code, out);
                return;
            }
            put(u32::from(high), out);
        }
        if (0xD800..=0xDBFF).contains(&unit) {
            self.high = Some(unit);
        } else {
            put(u32::from(unit), out);
        }
    }

    /// The rest; what is left is a byte that is no unit.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Vec<u8> {
        if let Some(high) = self.high.take() {
            put(u32::from(high), out);
        }
        self.byte.take().into_iter().collect()
    }
}

/// A code point as UTF-8 writes it, surrogates too (as WTF-8).
#[allow(
    clippy::cast_possible_truncation,
    reason = "each part is masked to a byte"
)]
fn put(code: u32, out: &mut Vec<u8>) {
    let tail = |shift: u32| 0x80 | ((code >> shift) & 0x3F) as u8;
    match code {
        0..=0x7F => out.push(code as u8),
        0x80..=0x7FF => out.extend([0xC0 | (code >> 6) as u8, tail(0)]),
        0x800..=0xFFFF => out.extend([0xE0 | (code >> 12) as u8, tail(6), tail(0)]),
        _ => out.extend([0xF0 | (code >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
}

impl Widen {
    pub(crate) const fn little() -> Self {
        Self::new(false)
    }

    pub(crate) const fn big() -> Self {
        Self::new(true)
    }

    const fn new(is_big: bool) -> Self {
        Self {
            is_big,
            begun: Vec::new(),
        }
    }

    /// Takes what [`Narrow`] gave, with ASCII in place of parts of it.
    pub(crate) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for byte in piece {
            self.begun.push(*byte);
            let length = match self.begun[0] {
                0..=0x7F => 1,
                0x80..=0xDF => 2,
                0xE0..=0xEF => 3,
                _ => 4,
            };
            if self.begun.len() < length {
                continue;
            }
            let first = u32::from(self.begun[0]) & (0xFF_u32 >> (length + usize::from(length > 1)));
            let code = self.begun[1..]
                .iter()
                .fold(first, |code, byte| (code << 6) | u32::from(byte & 0x3F));
            self.begun.clear();
            self.put(code, out);
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "a unit has 16 bits, and what is larger is split into two"
    )]
    fn put(&self, code: u32, out: &mut Vec<u8>) {
        let mut unit = |unit: u32| {
            out.extend(if self.is_big {
                (unit as u16).to_be_bytes()
            } else {
                (unit as u16).to_le_bytes()
            });
        };
        if code < 0x1_0000 {
            unit(code);
        } else {
            unit(0xD800 + ((code - 0x1_0000) >> 10));
            unit(0xDC00 + ((code - 0x1_0000) & 0x3FF));
        }
    }
}
