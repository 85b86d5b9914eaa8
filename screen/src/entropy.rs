//! Shannon's entropy, by which random secrets are told from words.

/// Bits for each byte of `text`, from 0 to 8; as gitleaks counts it.
pub(crate) fn bits_per_byte(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let length = text.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_shannon() {
        assert!(bits_per_byte(b"").abs() < 1e-9);
        assert!(bits_per_byte(b"aaaa").abs() < 1e-9);
        assert!((bits_per_byte(b"abab") - 1.0).abs() < 1e-9);
        assert!((bits_per_byte(b"abcdefgh") - 3.0).abs() < 1e-9);
    }
}
