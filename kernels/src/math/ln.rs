//! `ln` and `ln_1p`.
//!
//! **Range reduction.** x = 2^k·(1 + f) with 1 + f from 3/4 to 3/2, by subtracting the bits of 3/4 from
//! those of x: the exponent of the difference is k, and f is exact. A subnormal x is first
//! multiplied by 2^23. For `ln_1p` k comes from the rounded 1 + x, but f = x·2^-k + (2^-k - 1)
//! from x itself. This f is exact for small k: with 3/2 as the limit the halved x begins at 1/2, while
//! with √2, the usual limit, its last bit could be lost just where the result is smallest.
//!
//! **Polynomial**: ln(1 + f) = f - f²/2 + f³·p(f), p of degree 8 by `scripts/minimax.py`, off by 1e-9
//! of ln(1 + f) at most.
//!
//! **Reconstruction**: k·ln 2 + f is summed first; ln 2 is split so that k times its high part is
//! exact, and the rounding error of the sum (fast two-sum: k·ln 2 is 0 or exceeds |f|) joins the
//! small terms, so that only the last addition shows.
//!
//! **Special values.** ln(±0) = -∞, ln(+∞) = +∞, NaN for a negative x. `ln_1p`: -∞ at -1, NaN below;
//! ±0 and subnormal x come back unchanged.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::{Function, MAGIC, horner};
use crate::simd::Simd;

/// p, lowest power first.
const P: [f32; 9] = [
    0.3333334,
    -0.25000167,
    0.19999565,
    -0.16655166,
    0.14277185,
    -0.1273132,
    0.11695532,
    -0.09085034,
    0.037370935,
];

/// ln 2 with 15 bits, so that k times it is exact, and the rest.
const LN_2_HIGH: f32 = 0.693_145_75;
const LN_2_LOW: f32 = 1.428_606_8e-6;

/// The bits of 3/4, where 1 + f begins.
const START: i32 = 0x3f40_0000;

/// ln(1 + f) - f, for f from -1/4 to 1/2.
#[inline(always)]
pub(super) fn tail<S: Simd>(s: S, f: S::F32) -> S::F32 {
    let square = s.mul(f, f);
    s.mul(square, s.mul_add(f, horner(s, f, P), s.splat(-0.5)))
}

/// The whole number k as a float, for |k| < 2^22.
#[inline(always)]
fn float<S: Simd>(s: S, k: S::I32) -> S::F32 {
    let biased = s.add_i32(k, s.splat_i32(MAGIC.to_bits().cast_signed()));
    s.sub(s.from_bits(biased), s.splat(MAGIC))
}

/// k·ln 2 + ln(1 + f).
#[inline(always)]
fn combine<S: Simd>(s: S, k: S::F32, f: S::F32) -> S::F32 {
    let whole = s.mul(k, s.splat(LN_2_HIGH));
    let sum = s.add(whole, f);
    let sum_low = s.sub(f, s.sub(sum, whole));
    let small = s.mul_add(k, s.splat(LN_2_LOW), s.add(tail(s, f), sum_low));
    s.add(sum, small)
}

/// k with x / 2^k from 3/4 to 3/2, for a normal positive x.
#[inline(always)]
fn exponent<S: Simd>(s: S, x: S::F32) -> S::I32 {
    s.shr_i32::<23>(s.sub_i32(s.to_bits(x), s.splat_i32(START)))
}

/// `ln(x)`.
#[inline(always)]
pub(crate) fn ln<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let small = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let normal = s.select(small, s.mul(x, s.splat(8_388_608.0)), x);
    let k = exponent(s, normal);
    let mantissa = s.from_bits(s.sub_i32(s.to_bits(normal), s.shl_i32::<23>(k)));
    let k = s.add(float(s, k), s.select(small, s.splat(-23.0), s.splat(0.0)));
    let y = combine(s, k, s.sub(mantissa, s.splat(1.0)));
    limits(s, x, x, y)
}

/// `ln(1 + x)`, accurate near 0.
#[inline(always)]
pub(crate) fn ln_1p<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let u = s.add(one, x);
    let k = exponent(s, u);
    let shift = s.shl_i32::<23>(k);
    let scaled = s.from_bits(s.sub_i32(s.to_bits(x), shift));
    // 2^(1-k): the largest k, 128, is within range so.
    let power = s.from_bits(s.sub_i32(s.splat_i32(0x4000_0000), shift));
    let f = s.add(scaled, s.mul_add(power, s.splat(0.5), s.splat(-1.0)));
    let y = combine(s, float(s, k), f);
    // The sums above turn -0 into 0.
    let sign = s.and_i32(s.to_bits(x), s.splat_i32(i32::MIN));
    limits(s, x, u, s.from_bits(s.or_i32(s.to_bits(y), sign)))
}

/// `y` where `argument` is positive and finite; else the limit, or NaN. `x` brings its own NaN.
#[inline(always)]
fn limits<S: Simd>(s: S, x: S::F32, argument: S::F32, y: S::F32) -> S::F32 {
    let zero = s.splat(0.0);
    let y = s.select(s.lt(argument, s.splat(f32::INFINITY)), y, x);
    let y = s.select(s.eq(argument, zero), s.splat(f32::NEG_INFINITY), y);
    s.select(s.lt(argument, zero), s.splat(f32::NAN), y)
}

/// [`ln`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Ln;

impl Function for Ln {
    const FILL: f32 = 1.0;

    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        ln(s, x)
    }
}

/// [`ln_1p`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Ln1p;

impl Function for Ln1p {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        ln_1p(s, x)
    }
}
