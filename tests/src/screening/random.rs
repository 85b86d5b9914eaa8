//! The corpora's own source of chance: the same seed gives the same lines for ever, whatever a library's next release
//! does. SplitMix64, by S. Vigna (prng.di.unimi.it/splitmix64.c, public domain).

/// A sequence of numbers that its seed decides.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// Starts a sequence that depends on the seed and on what it is for.
    #[must_use]
    pub(super) fn new(seed: u64, what_for: &str) -> Self {
        // FNV-1a, so that each class has a sequence of its own and adding one changes no other.
        let hash = what_for.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3_u64)
        });
        Self(seed ^ hash)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// One of them.
    ///
    /// # Panics
    /// When there is none.
    pub(super) fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        let last = of.len() as u64 - 1;
        of[usize::try_from(self.between(0, last)).expect("an index")]
    }

    /// So many characters of an alphabet.
    pub(super) fn text(&mut self, alphabet: &str, count: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let last = letters.len() as u64 - 1;
        (0..count)
            .map(|_| letters[usize::try_from(self.between(0, last)).expect("an index")])
            .collect()
    }

    /// So many decimal digits, the first not zero.
    pub(super) fn digits(&mut self, count: usize) -> String {
        format!(
            "{}{}",
            self.text("123456789", 1),
            self.text("0123456789", count - 1)
        )
    }
}

/// Lower-case hexadecimal digits.
pub(super) const HEX: &str = "0123456789abcdef";
/// Capital letters.
pub(super) const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Letters and digits.
pub(super) const ALNUM: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The alphabet of RFC 4648, section 4.
pub(super) const BASE64: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/";
/// The alphabet of RFC 4648, section 5.
pub(super) const BASE64_URL: &str =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/// Whether a run of digits passes the check of ISO/IEC 7812-1, annex B.
#[must_use]
pub(super) fn is_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}
