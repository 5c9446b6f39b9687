//! softplus(x) = ln(1 + exp(x)) = max(x, 0) + ln(1 + e) with e = exp(-|x|), which cannot overflow.
//!
//! e lies in [0, 1], so that the range reduction of the logarithm is one choice: f = e up to 1/2,
//! else 1 + e = 2·(1 + f) with the exact f = (e - 1) / 2. The polynomial is that of `ln`.
//!
//! Its derivative is σ(x). For x < 0 the result is close to exp(x), and has its relative accuracy
//! down to the subnormals.
//!
//! **Special values**: 0 at -∞, +∞ at +∞.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::Function;
use super::exp::{BIAS, Reduced, UNIT, power, reduce, tail};
use super::ln::bend;
use crate::simd::Simd;

/// `ln(1 + exp(x))`.
#[inline(always)]
pub(crate) fn softplus<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let minus_a = s.max(s.splat(-112.0), s.neg(s.abs(x)));
    let Reduced { biased, r, .. } = reduce::<S, BIAS>(s, minus_a);
    let p = s.mul_add(tail(s, r), s.mul(r, r), r);
    let e = s.mul(s.mul(s.add(s.splat(1.0), p), power(s, biased)), s.splat(UNIT));
    let half = s.splat(0.5);
    let near_one = s.lt(half, e);
    let f = s.select(near_one, s.mul_add(half, e, s.neg(half)), e);
    let ln_2 = s.select(near_one, s.splat(core::f32::consts::LN_2), s.splat(0.0));
    let logarithm = s.mul_add(f, bend(s, f), s.add(ln_2, f));
    s.add(s.max(s.splat(0.0), x), logarithm)
}

/// [`softplus`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Softplus;

impl Function for Softplus {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        softplus(s, x)
    }
}
