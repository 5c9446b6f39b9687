//! The logistic function σ(x) = 1 / (1 + exp(-x)), and silu, x·σ(x).
//!
//! With exp(-x) = 2^n·(1 - m) and c = 2^n, σ is the reciprocal of d = (1 + c) - c·m, where the product
//! by a power of two is exact. The first quotient y = 1 / d has d rounded; what it leaves, 1 - y·d, is
//! had almost exactly and corrects it. With FMA it is (1 - y·(1 + c)) + y·(c·m - l) with l for what
//! the sum 1 + c lost, all of it but the products by y ready before the division is. Without,
//! it is ((1 - u) - y) + u·m with u = y·c: for large c, u is close to 1 and
//! the first difference exact; for small c the second is.
//!
//! c reaches 2^159. So c and the first 1 carry a factor 2^-32, whose inverse y then carries: all that
//! is summed stays normal, and the last product rounds a subnormal result once.
//!
//! silu is the same y times x, before the factor 2^-32. Its derivative is σ + x·σ·(1 - σ), with 1 - σ
//! as u·(1 - m), which does not cancel.
//!
//! **Special values.** σ(-∞) = 0, σ(+∞) = 1; silu(-∞) = -0 (the limit), silu(±0) = ±0.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::Function;
use super::exp::{mirrored, power};
use crate::simd::Simd;

/// The bias of the exponent less 32.
const BIAS: u8 = 95;
/// 2^-32
const UNIT: f32 = 1.0 / 4_294_967_296.0;
/// Here x·σ(x) is less than half the least subnormal, and c·2^-32 just finite.
const LEAST: f32 = -110.0;
/// σ is 1 in f32 from 17.4 on, and silu is x.
const MOST: f32 = 64.0;

/// σ(x) and 1 - σ(x).
struct Logistic<S: Simd> {
    /// σ(x) / UNIT
    scaled: S::F32,
    /// u and m of the [module](self): u·(1 - m) is 1 - σ(x).
    u: S::F32,
    m: S::F32,
}

/// For x from [`LEAST`] to [`MOST`].
#[inline(always)]
fn logistic<S: Simd>(s: S, x: S::F32) -> Logistic<S> {
    let one = s.splat(1.0);
    let unit = s.splat(UNIT);
    let (biased, m) = mirrored::<S, BIAS>(s, x);
    let c = power(s, biased);
    let sum = s.add(c, unit);
    let y = s.div(one, s.neg_mul_add(c, m, sum));
    let u = s.mul(y, c);
    let rest = if S::FUSED {
        // For c below unit the sum loses too little to matter.
        let minus_low = s.sub(s.sub(sum, c), unit);
        s.mul_add(y, s.mul_add(c, m, minus_low), s.neg_mul_add(y, sum, one))
    } else {
        s.mul_add(u, m, s.neg_mul_add(y, unit, s.sub(one, u)))
    };
    Logistic { scaled: s.mul_add(y, rest, y), u, m }
}

/// x, but at least [`LEAST`] and at most [`MOST`].
#[inline(always)]
fn clamp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.min(s.splat(MOST), s.max(s.splat(LEAST), x))
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.mul(logistic(s, clamp(s, x)).scaled, s.splat(UNIT))
}

/// `x · sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    silu_with_derivative(s, x).0
}

/// `x · sigmoid(x)` and its derivative, `σ + x·σ·(1 - σ)`.
#[inline(always)]
pub(crate) fn silu_with_derivative<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let unit = s.splat(UNIT);
    let clamped = clamp(s, x);
    let Logistic { scaled, u, m } = logistic(s, clamped);
    let value = s.mul(s.mul(scaled, clamped), unit);
    let slope = s.mul_add(value, s.neg_mul_add(u, m, u), s.mul(scaled, unit));
    (s.select(s.lt(s.splat(MOST), x), x, value), slope)
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
