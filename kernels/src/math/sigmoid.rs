//! The logistic function σ(x) = 1 / (1 + exp(-x)), and silu, x·σ(x).
//!
//! Everything follows from the left half, where nothing overflows. With a = |x| and e = exp(-a),
//! σ(-a) = e / (1 + e), σ(a) = 1 - σ(-a), and silu(x) = max(x, 0) - a·σ(-a) for either sign.
//!
//! e is kept as 2^n·(1 + p): the quotient is formed without the power of two, which is
//! multiplied in last, so that subnormal results are rounded once. The quotient y of
//! (1 + p) / (1 + e) is corrected by its remainder, in which the rounding errors of both sums are
//! known (fast two-sum): y + remainder / (1 + e). There 1 / (1 + e) is 1 - 2^n·y, so that one division
//! does.
//! Without FMA the remainder of the quotient cannot be had, and only the errors of the sums are used.
//!
//! **Special values.** σ(-∞) = 0, σ(+∞) = 1; silu(-∞) = -0 (the limit), silu(±0) = ±0.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::Function;
use super::exp::{Reduced, power, reduce, tail};
use crate::simd::Simd;

/// exp(-a) and σ(-a) for a >= 0, as `mantissa · power · UNIT`.
#[derive(Clone, Copy)]
pub(super) struct Left<S: Simd> {
    /// 2^(n + 64)
    power: S::F32,
    /// σ(-a) / 2^n
    mantissa: S::F32,
}

/// 2^-64: n reaches from -162 to 0, so that 2^(n + 64) is always normal.
pub(super) const UNIT: f32 = 5.421_010_9e-20;
/// 64 plus the bias of the exponent.
pub(super) const BIAS: u8 = 191;

/// σ(-a) from `minus_a`, which is -a.
#[inline(always)]
fn left<S: Simd>(s: S, minus_a: S::F32) -> Left<S> {
    let one = s.splat(1.0);
    let Reduced { biased, r, .. } = reduce::<S, BIAS>(s, s.max(s.splat(-112.0), minus_a));
    let power = power(s, biased);
    let p = s.mul_add(tail(s, r), s.mul(r, r), r);
    let numerator = s.add(one, p);
    let numerator_low = s.sub(p, s.sub(numerator, one));
    let c = s.mul(power, s.splat(UNIT));
    let denominator = s.mul_add(c, numerator, one);
    let denominator_low = s.mul_add(c, numerator, s.sub(one, denominator));
    let y = s.div(numerator, denominator);
    let remainder = if S::FUSED {
        s.add(s.neg_mul_add(y, denominator, numerator), numerator_low)
    } else {
        numerator_low
    };
    let remainder = s.neg_mul_add(y, denominator_low, remainder);
    let reciprocal = s.neg_mul_add(y, c, one);
    Left { power, mantissa: s.mul_add(remainder, reciprocal, y) }
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let Left { power, mantissa } = left(s, s.neg(s.abs(x)));
    let y = s.mul(s.mul(mantissa, power), s.splat(UNIT));
    s.select(s.lt(x, s.splat(0.0)), y, s.sub(s.splat(1.0), y))
}

/// `x · sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    silu_with_derivative(s, x).0
}

/// `x · sigmoid(x)` and its derivative, `σ·(1 + x·(1 - σ))`.
#[inline(always)]
pub(crate) fn silu_with_derivative<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let one = s.splat(1.0);
    let zero = s.splat(0.0);
    // Past 112 the product is 0; infinity must not meet it.
    let a = s.min(s.splat(112.0), s.abs(x));
    let Left { power, mantissa } = left(s, s.neg(a));
    let y = s.mul(s.mul(s.mul(mantissa, a), power), s.splat(UNIT));
    let value = s.sub(s.max(zero, x), y);
    let sign = s.and_i32(s.to_bits(x), s.splat_i32(i32::MIN));
    let value = s.from_bits(s.or_i32(s.to_bits(value), sign));
    let sigma = s.mul(s.mul(mantissa, power), s.splat(UNIT));
    // At -a: σ - a·σ·(1 - σ); at +a: one minus that.
    let slope = s.neg_mul_add(y, s.sub(one, sigma), sigma);
    (value, s.select(s.lt(x, zero), slope, s.sub(one, slope)))
}

/// [`sigmoid`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        sigmoid(s, x)
    }
}

/// [`silu`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        silu(s, x)
    }
}
