//! `exp` and `exp_m1`.
//!
//! **Range reduction** (Cody and Waite, *Software Manual for the Elementary Functions*, 1980):
//! x = n·ln 2 + r with whole n and |r| <= ln 2 / 2. Adding 1.5·2^23 to x·log2 e rounds it to the
//! nearest whole number, which then stands in the low bits of the sum. ln 2 is the sum of two f32.
//! With FMA the first is ln 2 rounded: x - n·hi is exact all the same, as it is a multiple of 2^-24
//! or of the last bit of x, and small. Without FMA the first has nine bits, so that n·hi is exact.
//!
//! **Polynomial**: exp(r) = 1 + r + r²·q(r), q of degree 4 by `scripts/minimax.py`; the polynomial
//! is off by 1.4e-8 of exp(r) - 1 at most. `exp_m1` takes degree 5, off by 6e-9: where it is near -1/2 of
//! 2^n the error of the polynomial weighs double.
//!
//! **Reconstruction.** exp: (1 + r·(1 + r·q))·2^n; the scaling rounds once, so that subnormal
//! results are as good as the others. `exp_m1`: with c = 2^n the result is
//! (c - 1 + c·r) + c·(r²·q + low part of r). The first bracket dominates; the rounding error of its
//! sums is found by Dekker's fast two-sum and given back to the small part.
//!
//! **Special values.** exp: 0 below -103.97, +∞ above 88.72, exp(-∞) = 0. `exp_m1`: -1 at -∞, and
//! ±0 and subnormal x come back unchanged.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::{Function, MAGIC, horner};
use crate::simd::Simd;

/// Bias of the exponent for a power of two down to 2^-162, as exp(x) has it where it underflows: the
/// power is 2^64 times too large, and [`UNIT`] takes that back in a last product that rounds once.
pub(super) const BIAS: u8 = 191;
/// 2^-64
pub(super) const UNIT: f32 = 5.421_010_9e-20;

const LOG2_E: f32 = core::f32::consts::LOG2_E;

/// q of degree 4, lowest power first.
const Q: [f32; 5] = [0.49999997, 0.16666539, 0.041667756, 0.008367127, 0.001383558];

/// q(-r)
const Q_MIRRORED: [f32; 5] = [Q[0], -Q[1], Q[2], -Q[3], Q[4]];

/// q of degree 5, for `exp_m1`.
const Q_M1: [f32; 6] = [0.5, 0.16666636, 0.04166651, 0.008341601, 0.0013931962, 0.00015242337];

/// q(r) with exp(r) = 1 + r + r²·q(r) for |r| <= ln 2 / 2.
#[inline(always)]
pub(super) fn tail<S: Simd>(s: S, r: S::F32) -> S::F32 {
    horner(s, r, Q)
}

/// ln 2 in two parts; see the [module](self).
#[inline(always)]
const fn ln_2<S: Simd>() -> (f32, f32) {
    if S::FUSED {
        (core::f32::consts::LN_2, -1.904_654_3e-9)
    } else {
        (0.693_359_4, -2.121_944_4e-4)
    }
}

/// x = n·ln 2 + r.
#[derive(Clone, Copy)]
pub(super) struct Reduced<S: Simd> {
    /// n as a float.
    pub(super) n: S::F32,
    /// The float whose low bits hold n plus the bias asked for.
    pub(super) biased: S::F32,
    /// r
    pub(super) r: S::F32,
    /// What r lacks; zero where not asked for.
    pub(super) r_low: S::F32,
}

/// Splits x for |x| up to some hundreds; `BIAS` is added to n in [`Reduced::biased`].
#[inline(always)]
pub(super) fn reduce<S: Simd, const BIAS: u8>(s: S, x: S::F32) -> Reduced<S> {
    let magic = s.splat(MAGIC + f32::from(BIAS));
    let biased = s.mul_add(x, s.splat(LOG2_E), magic);
    let n = s.sub(biased, magic);
    let (high, low) = ln_2::<S>();
    let r_high = s.neg_mul_add(n, s.splat(high), x);
    Reduced { n, biased, r: s.neg_mul_add(n, s.splat(low), r_high), r_low: s.splat(0.0) }
}

/// exp(-x) = 2^n·(1 - m): the float whose low bits hold n plus `BIAS`, and m.
#[inline(always)]
pub(super) fn mirrored<S: Simd, const BIAS: u8>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let magic = s.splat(MAGIC + f32::from(BIAS));
    let biased = s.neg_mul_add(x, s.splat(LOG2_E), magic);
    let n = s.sub(biased, magic);
    let (high, low) = ln_2::<S>();
    let r = s.mul_add(n, s.splat(low), s.mul_add(n, s.splat(high), x));
    // Not by Horner's rule but pairwise (Estrin): what comes after is a long enough chain.
    let [q0, q1, q2, q3, q4] = Q_MIRRORED.map(|c| s.splat(c));
    let square = s.mul(r, r);
    let upper = s.mul_add(q4, square, s.mul_add(q3, r, q2));
    let q = s.mul_add(upper, square, s.mul_add(q1, r, q0));
    (biased, s.neg_mul_add(q, square, r))
}

/// As [`reduce`], with the rounding error of r in [`Reduced::r_low`].
#[inline(always)]
pub(super) fn reduce_exactly<S: Simd, const BIAS: u8>(s: S, x: S::F32) -> Reduced<S> {
    let magic = s.splat(MAGIC + f32::from(BIAS));
    let biased = s.mul_add(x, s.splat(LOG2_E), magic);
    let n = s.sub(biased, magic);
    let (high, low) = ln_2::<S>();
    let r_high = s.neg_mul_add(n, s.splat(high), x);
    let r_low = s.mul(n, s.splat(-low));
    if S::FUSED {
        return Reduced { n, biased, r: r_high, r_low };
    }
    // The low part is large here: normalise the pair.
    let r = s.add(r_high, r_low);
    Reduced { n, biased, r, r_low: s.sub(r_low, s.sub(r, r_high)) }
}

/// 2^(n + bias - 127) of a [`Reduced::biased`].
#[inline(always)]
pub(super) fn power<S: Simd>(s: S, biased: S::F32) -> S::F32 {
    s.from_bits(s.shl_i32::<23>(s.to_bits(biased)))
}

/// `exp(x)`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.5), x));
    let Reduced { n, r, .. } = reduce::<S, 0>(s, x);
    let one = s.splat(1.0);
    s.scale(s.mul_add(s.mul_add(tail(s, r), r, one), r, one), n)
}

/// `exp(x) - 1`, accurate near 0.
#[inline(always)]
pub(crate) fn exp_m1<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let clamped = s.min(s.splat(89.0), s.max(s.splat(-18.0), x));
    let Reduced { biased, r, r_low, .. } = reduce_exactly::<S, 126>(s, clamped);
    // c is half of 2^n, so that n = 128 is within range; a tiny x must not be halved, though.
    let c = power(s, biased);
    let half = s.splat(0.5);
    let hole = s.sub(half, c);
    let dominant = s.mul(c, r);
    let sum = s.sub(dominant, hole);
    // What the difference of 1/2 and c lost, where they are 24 binary digits apart.
    let hole_low = s.sub(half, s.add(hole, c));
    let sum_low = s.sub(s.sub(dominant, s.add(sum, hole)), hole_low);
    let small = s.mul_add(horner(s, r, Q_M1), s.mul(r, r), s.mul_add(r_low, r, r_low));
    let y = s.add(sum, s.mul_add(c, small, sum_low));
    let y = s.add(y, y);
    s.select(s.lt(s.abs(x), s.splat(1e-8)), x, y)
}

/// [`exp`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Exp;

impl Function for Exp {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        exp(s, x)
    }
}

/// [`exp_m1`] of each element.
#[derive(Clone, Copy)]
pub(super) struct ExpM1;

impl Function for ExpM1 {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        exp_m1(s, x)
    }
}
