//! Random numbers that are the same on every platform.
//!
//! The generator is `ChaCha8Rng` from `rand_chacha`: specified to the bit, seeded by one number, and
//! with 2^64 separate streams a seed. Each use of randomness reads a stream of its own, so that,
//! say, a random batch size does not change the order of the rows.
//!
//! What is drawn never depends on the width of `usize`: all draws are of 64 bits.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// What random numbers are used for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    /// Initial weights.
    Weights = 0,
    /// Splitting a data set.
    Split = 1,
    /// The order of the rows in an epoch.
    Order = 2,
    /// Random batch sizes.
    BatchSize = 3,
}

/// The generator of one stream under a seed.
pub(crate) fn generator(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream as u64);
    rng
}

/// A number in `0..bound`, each equally likely; 0 if `bound` is 0.
///
/// The high half of the 128-bit product of a random word and `bound` is nearly uniform; the words
/// whose low half falls below `2^64 mod bound` are what is too much, and are drawn again (Lemire,
/// "Fast Random Integer Generation in an Interval", ACM TOMACS 29, 2019). That remainder is only
/// computed for a low half below `bound`.
pub(crate) fn below(rng: &mut impl Rng, bound: u64) -> u64 {
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        let (high, low) = ((product >> 64) as u64, product as u64);
        if low >= bound || low >= bound.wrapping_neg().checked_rem(bound).unwrap_or(0) {
            return high;
        }
    }
}

/// Puts a slice into a random order, each equally likely (Fisher and Yates, in Durstenfeld's
/// form: Communications of the ACM 7, 1964).
///
/// Small bounds need few bits of a word, so several draws share one; see [`draw`].
pub(crate) fn shuffle<T>(rng: &mut impl Rng, mut items: &mut [T]) {
    while items.len() > 1 {
        items = match items.len() as u64 {
            6..=0x200 => draw::<6, T>(rng, items),
            0x201..=0x4000 => draw::<4, T>(rng, items),
            0x4001..=0x4000_0000 => draw::<2, T>(rng, items),
            _ => draw::<1, T>(rng, items),
        };
    }
}

/// Draws the last `N` items among all, and returns those before them; nothing if there are fewer.
///
/// The low half of each product with a bound is the word of the next draw. What it is at the end, the
/// word times all bounds, decides as in [`below`] whether the word is kept (Brackett-Rozinsky &
/// Lemire, "Batched Ranged Random Integer Generation", Software: Practice and Experience 55, 2025).
/// The product of the bounds has 60 bits at most: so few words need a closer look.
fn draw<'s, const N: usize, T>(rng: &mut impl Rng, items: &'s mut [T]) -> &'s mut [T] {
    let len = items.len();
    if len < N {
        return &mut [];
    }
    let bounds: [u64; N] = core::array::from_fn(|i| (len - i) as u64);
    // One draw takes bounds of any size, several those above.
    let product = bounds.iter().fold(1_u64, |product, &bound| product.wrapping_mul(bound));
    let mut word = loop {
        let word = rng.next_u64();
        let low = word.wrapping_mul(product);
        if low >= product || low >= product.wrapping_neg().checked_rem(product).unwrap_or(0) {
            break word;
        }
    };
    for (i, bound) in bounds.into_iter().enumerate() {
        let product = u128::from(word) * u128::from(bound);
        word = product as u64;
        items.swap(len - 1 - i, (product >> 64) as usize);
    }
    &mut items[..len - N]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out given words, then zeros.
    struct Words<'a>(&'a [u64]);

    impl rand_core::TryRng for Words<'_> {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.try_next_u64().map(|word| word as u32)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            let (word, rest) = self.0.split_first().unwrap_or((&0, &[]));
            self.0 = rest;
            Ok(*word)
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(0);
            Ok(())
        }
    }

    #[test]
    fn words_that_would_bias_are_drawn_again() {
        // 2^64 mod 3 = 1: of all words only 0 is too much (its low half is 0).
        assert_eq!(below(&mut Words(&[0, u64::MAX]), 3), 2);
        // 2^64 mod 2^k = 0: nothing is.
        assert_eq!(below(&mut Words(&[0, u64::MAX]), 8), 0);
        // 2^64 mod (2^63 + 1) = 2^63 - 1: the word 3 gives the low half 2^63 + 3, which is kept;
        // the word 2 gives 2, which is not.
        let bound = (1 << 63) + 1;
        assert_eq!(below(&mut Words(&[2, 3]), bound), 1);
        assert_eq!(below(&mut Words(&[7]), 0), 0);
        assert_eq!(below(&mut Words(&[7]), 1), 0);
    }

    #[test]
    fn orders_of_four_are_equally_likely() {
        let mut rng = generator(7, Stream::Order);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            shuffle(&mut rng, &mut items);
            *counts.entry(items).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // Chi-squared with 23 degrees of freedom: 49.7 is exceeded once in a thousand seeds.
        let chi: f64 = counts.values().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 49.7, "{chi}");
    }

    #[test]
    fn draws_that_share_a_word_are_those_of_its_digits() {
        // With the bounds 6, 5, …, 1 a word is a number 0..720 in mixed digits, of 2^64 / 720 words each.
        for order in 0..720_u64 {
            let word = (u64::MAX / 720 + 1) * order + 1;
            let mut items = [0, 1, 2, 3, 4, 5];
            shuffle(&mut Words(&[word]), &mut items);
            let mut expected = [0, 1, 2, 3, 4, 5];
            let mut digits = order;
            for (last, unit) in [(5, 120), (4, 24), (3, 6), (2, 2), (1, 1)] {
                expected.swap(last, (digits / unit) as usize);
                digits %= unit;
            }
            assert_eq!(items, expected, "{order}");
        }
        // 2^64 mod 720 = 16 words are too many: 0, whose low half is 0, is drawn again.
        let mut items = [0, 1, 2, 3, 4, 5];
        shuffle(&mut Words(&[0, u64::MAX]), &mut items);
        assert_eq!(items, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn every_place_of_a_longer_slice_is_as_likely() {
        const LEN: usize = 40;
        let mut rng = generator(8, Stream::Order);
        let mut counts = [[0_u32; LEN]; LEN];
        for _ in 0..10_000 {
            let mut items: [usize; LEN] = core::array::from_fn(|i| i);
            shuffle(&mut rng, &mut items);
            for (place, item) in items.into_iter().enumerate() {
                counts[place][item] += 1;
            }
        }
        // 250 each: 39 * 39 degrees of freedom, and a standard deviation of 55.
        let chi: f64 =
            counts.as_flattened().iter().map(|&n| (f64::from(n) - 250.0).powi(2) / 250.0).sum();
        assert!((chi - 1521.0).abs() < 4.0 * 55.2, "{chi}");
    }

    #[test]
    fn the_draws_are_fixed_for_ever() {
        let mut items: Vec<u8> = (0..10).collect();
        shuffle(&mut generator(0, Stream::Split), &mut items);
        assert_eq!(items, PINNED);
        let mut other: Vec<u8> = (0..10).collect();
        shuffle(&mut generator(0, Stream::Order), &mut other);
        assert_ne!(items, other);
    }

    /// The order that seed 0 gave when this was first written.
    const PINNED: [u8; 10] = [0, 3, 8, 2, 1, 5, 6, 9, 4, 7];
}
