//! A random sample that anybody can draw again with `sha256sum`.
//!
//! The members are put in the order of SHA-256("SEED:DIGEST"), where DIGEST is the SHA-256 of the
//! bundle in hexadecimal, and the first are drawn. Who made the population cannot choose what is drawn,
//! as long as the seed comes from somebody else.

use evidence::digest::Sha256;
use serde::Serialize;

/// How many, and by which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// At most so many.
    pub size: usize,
    /// The auditor's.
    pub seed: u64,
}

impl Sample {
    /// The members that are drawn, of these: each once, in the order of the draw.
    #[must_use]
    pub fn draw(&self, members: &[Sha256]) -> Vec<Sha256> {
        let mut ranked: Vec<(Sha256, Sha256)> = members
            .iter()
            .map(|member| (self.rank(*member), *member))
            .collect();
        ranked.sort_unstable();
        ranked.dedup();
        ranked
            .into_iter()
            .take(self.size)
            .map(|(_, member)| member)
            .collect()
    }

    fn rank(&self, member: Sha256) -> Sha256 {
        Sha256::of(format!("{}:{member}", self.seed).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: u64) -> Vec<Sha256> {
        (0..count).map(|n| Sha256::of(&n.to_be_bytes())).collect()
    }

    fn draw(size: usize, seed: u64, members: &[Sha256]) -> Vec<Sha256> {
        Sample { size, seed }.draw(members)
    }

    #[test]
    fn the_same_seed_draws_the_same_from_the_same_members_in_any_order() {
        let all = members(100);
        let mut turned = all.clone();
        turned.reverse();
        turned.extend(members(3));
        let drawn = draw(10, 7, &all);
        assert_eq!(drawn.len(), 10);
        assert_eq!(drawn, draw(10, 7, &turned));
        assert_ne!(drawn, draw(10, 8, &all));
    }

    #[test]
    fn a_larger_sample_holds_the_smaller_one_and_no_more_than_all() {
        let all = members(20);
        assert_eq!(draw(5, 1, &all), draw(9, 1, &all)[..5]);
        assert_eq!(draw(50, 1, &all).len(), 20);
        assert!(draw(5, 1, &[]).is_empty());
    }

    #[test]
    fn every_member_is_drawn_about_as_often() {
        let all = members(10);
        let first = |seed| draw(1, seed, &all)[0];
        let of = |member| (0..2_000).filter(|seed| first(*seed) == member).count();
        for member in &all {
            let count = of(*member);
            assert!((130..270).contains(&count), "{count} of 200 expected");
        }
    }

    #[test]
    fn the_order_is_that_of_sha256sum_of_seed_colon_digest() {
        // printf '7:%s' aaaa… : computed with sha256sum(1).
        let member: Sha256 = "a".repeat(64).parse().unwrap();
        let sample = Sample { size: 1, seed: 7 };
        assert_eq!(
            sample.rank(member).to_string(),
            "807f249b1bb38d69f0b64985c4f3fec25ea926b1c5c05dde95ddf42bcb2da99a"
        );
    }
}
