//! `ln` and `ln_1p`.
//!
//! **Range reduction.** x = 2^k·(1 + f) with 1 + f from 3/4 to 3/2, subnormal or not: see
//! [`Simd::split_exponent`]. For `ln_1p` k comes from the rounded 1 + x, but f = x·2^-k + (2^-k - 1)
//! from x itself. This f is exact for small k: with 3/2 as the limit the halved x begins at 1/2, while
//! with √2, the usual limit, its last bit could be lost just where the result is smallest.
//!
//! **Polynomial**: ln(1 + f) = f - f²/2 + f³·p(f), p of degree 7 by `scripts/minimax.py`, off by 6e-9
//! of ln(1 + f) at most. It is taken as f + f·(f²·p - f/2), in which the last sum and product are one operation
//! with FMA.
//!
//! **Reconstruction**: k·ln 2 + f is summed first; ln 2 is split so that k times its high part is
//! exact, and the rounding error of the sum (fast two-sum: k·ln 2 is 0 or exceeds |f|) joins the
//! small terms, so that only the last addition shows.
//!
//! Whole slices go in groups of registers, stage by stage: a register's chain of dependent operations
//! is too long for the processor to look past.
//!
//! **Special values.** ln(±0) = -∞, ln(+∞) = +∞, NaN for a negative x. `ln_1p`: -∞ at -1, NaN below;
//! ±0 and subnormal x come back unchanged.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::Function;
use crate::simd::{MANTISSA_START, Simd};

/// p, lowest power first; the script prints the -1/2 before it too.
const P: [f32; 8] = [
    0.33333462,
    -0.25000194,
    0.19990419,
    -0.16643842,
    0.1447873,
    -0.13190392,
    0.1050935,
    -0.045225713,
];

/// ln 2 with 15 bits, so that k times it is exact, and the rest.
const LN_2_HIGH: f32 = 0.693_145_75;
const LN_2_LOW: f32 = 1.428_606_8e-6;

/// ln(1 + f) / f - 1, for f from -1/4 to 1/2. By Horner's rule in f², with the pairs of terms side by
/// side: the chain would be twice as long else.
#[inline(always)]
pub(super) fn bend<S: Simd>(s: S, f: S::F32) -> S::F32 {
    let square = s.mul(f, f);
    let [p0, p1, p2, p3, p4, p5, p6, p7] = P.map(|c| s.splat(c));
    let p = s.mul_add(s.mul_add(p7, f, p6), square, s.mul_add(p5, f, p4));
    let p = s.mul_add(p, square, s.mul_add(p3, f, p2));
    let p = s.mul_add(p, square, s.mul_add(p1, f, p0));
    s.mul_add(p, square, s.mul(f, s.splat(-0.5)))
}

/// A positive finite number as 2^k·(1 + f).
#[derive(Clone, Copy)]
struct Split<S: Simd> {
    k: S::F32,
    f: S::F32,
}

impl<S: Simd> Split<S> {
    /// That of x.
    #[inline(always)]
    fn new(s: S, x: S::F32) -> Self {
        let (k, mantissa) = s.split_exponent(x);
        Self { k, f: s.sub(mantissa, s.splat(1.0)) }
    }

    /// That of 1 + x.
    #[inline(always)]
    fn one_plus(s: S, x: S::F32) -> Self {
        let u = s.add(s.splat(1.0), x);
        let exponent = s.sub_i32(s.to_bits(u), s.splat_i32(MANTISSA_START));
        let shift = s.and_i32(exponent, s.splat_i32(-1 << 23));
        let scaled = s.from_bits(s.sub_i32(s.to_bits(x), shift));
        // 2^(1-k): the largest k, 128, is within range so.
        let power = s.from_bits(s.sub_i32(s.splat_i32(0x4000_0000), shift));
        let f = s.add(scaled, s.mul_add(power, s.splat(0.5), s.splat(-1.0)));
        Self { k: s.float_i32(s.shr_i32::<23>(exponent)), f }
    }

    /// k·ln 2 + ln(1 + f).
    #[inline(always)]
    fn ln(self, s: S) -> S::F32 {
        let Self { k, f } = self;
        let high = s.splat(LN_2_HIGH);
        let sum = s.mul_add(k, high, f);
        let sum_low = s.sub(f, s.neg_mul_add(k, high, sum));
        let small = s.mul_add(k, s.splat(LN_2_LOW), sum_low);
        s.add(sum, s.mul_add(f, bend(s, f), small))
    }
}

/// `ln(x)` of each register.
#[inline(always)]
fn ln_group<S: Simd, const N: usize>(s: S, x: [S::F32; N]) -> [S::F32; N] {
    let mut split = [Split { k: s.splat(0.0), f: s.splat(0.0) }; N];
    for (split, x) in split.iter_mut().zip(x) {
        *split = Split::new(s, x);
    }
    let mut y = x;
    for (y, split) in y.iter_mut().zip(split) {
        *y = split.ln(s);
    }
    for (y, x) in y.iter_mut().zip(x) {
        *y = s.ln_limits(x, *y);
    }
    y
}

/// `ln(1 + x)` of each register.
#[inline(always)]
fn ln_1p_group<S: Simd, const N: usize>(s: S, x: [S::F32; N]) -> [S::F32; N] {
    let mut split = [Split { k: s.splat(0.0), f: s.splat(0.0) }; N];
    for (split, x) in split.iter_mut().zip(x) {
        *split = Split::one_plus(s, x);
    }
    let mut y = x;
    for (y, split) in y.iter_mut().zip(split) {
        *y = split.ln(s);
    }
    for (y, x) in y.iter_mut().zip(x) {
        // The sums turned -0 into 0.
        let sign = s.and_i32(s.to_bits(x), s.splat_i32(i32::MIN));
        let signed = s.from_bits(s.or_i32(s.to_bits(*y), sign));
        *y = s.ln_limits(s.add(s.splat(1.0), x), signed);
    }
    y
}

/// `ln(x)`.
#[inline(always)]
pub(crate) fn ln<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let [y] = ln_group(s, [x]);
    y
}

/// `ln(1 + x)`, accurate near 0.
#[inline(always)]
pub(crate) fn ln_1p<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let [y] = ln_1p_group(s, [x]);
    y
}

/// [`ln_1p`] of an x from 0 to 1, or NaN, which has fewer cases to tell apart.
#[inline(always)]
pub(crate) fn ln_1p_of_fraction<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let y = Split::one_plus(s, x).ln(s);
    s.select(s.eq(x, x), y, x)
}

/// [`ln`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Ln;

impl Function for Ln {
    const FILL: f32 = 1.0;
    const GROUP: usize = 4;

    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        ln(s, x)
    }

    #[inline(always)]
    fn apply_group<S: Simd, const N: usize>(self, s: S, x: [S::F32; N]) -> [S::F32; N] {
        ln_group(s, x)
    }
}

/// [`ln_1p`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Ln1p;

impl Function for Ln1p {
    const GROUP: usize = 4;

    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        ln_1p(s, x)
    }

    #[inline(always)]
    fn apply_group<S: Simd, const N: usize>(self, s: S, x: [S::F32; N]) -> [S::F32; N] {
        ln_1p_group(s, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Portable, first_lane};

    #[test]
    fn a_fraction_has_the_bits_of_any_number() {
        let s = Portable;
        let fractions = (0..=1.0f32.to_bits()).step_by(997).map(f32::from_bits);
        for x in fractions.chain([1.0, f32::NAN]) {
            let any = first_lane(s, ln_1p(s, s.splat(x)));
            let fraction = first_lane(s, ln_1p_of_fraction(s, s.splat(x)));
            assert_eq!(fraction.to_bits(), any.to_bits(), "{x}");
        }
    }
}
