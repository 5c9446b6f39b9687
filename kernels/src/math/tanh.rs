//! tanh(x) = -t / (2 + t) with t = exp(-2|x|) - 1, and the sign of x.
//!
//! t is summed as in `exp_m1`, and kept as the pair of its f32 and what that lacks. The quotient is
//! corrected by its remainder, to which the low parts of t and of 2 + t add; the factor 1 / (2 + t)
//! that the correction needs is (1 + tanh|x|) / 2, so that one division does. Near 0 the formula
//! tends to x itself: a separate polynomial there is not needed.
//! Without FMA the remainder of the quotient cannot be had, and only the low parts are used.
//!
//! **Special values**: ±1 at ±∞; ±0 and subnormal x come back unchanged.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::Function;
use super::exp::{Reduced, power, reduce_exactly, tail};
use crate::simd::Simd;

/// `tanh(x)`.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let half = s.splat(0.5);
    let two = s.splat(2.0);
    // tanh is 1 in f32 from 9.02 on.
    let argument = s.max(s.splat(-20.0), s.mul(s.splat(-2.0), s.abs(x)));
    let Reduced { biased, r, r_low, .. } = reduce_exactly::<S, 127>(s, argument);
    let c = power(s, biased);
    let hole = s.sub(s.splat(1.0), c);
    let dominant = s.mul(c, r);
    let sum = s.sub(dominant, hole);
    let sum_low = s.sub(dominant, s.add(sum, hole));
    let small = s.mul_add(c, s.mul_add(tail(s, r), s.mul(r, r), r_low), sum_low);
    let t = s.add(sum, small);
    let t_low = s.sub(small, s.sub(t, sum));
    let denominator = s.add(two, t);
    let denominator_low = s.add(s.sub(t, s.sub(denominator, two)), t_low);
    let y = s.div(t, denominator);
    let remainder = if S::FUSED { s.add(s.neg_mul_add(y, denominator, t), t_low) } else { t_low };
    let remainder = s.neg_mul_add(y, denominator_low, remainder);
    let reciprocal = s.neg_mul_add(half, y, half);
    s.copysign(s.mul_add(remainder, reciprocal, y), x)
}

/// [`tanh`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Tanh;

impl Function for Tanh {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        tanh(s, x)
    }
}
