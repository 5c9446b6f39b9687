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
//! Whole slices go in groups of registers, stage by stage: a register's chain of dependent operations,
//! division included, is too long for the processor to look past.
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

/// 1 / d as it is first divided, and what corrects it; see the [module](self).
#[derive(Clone, Copy)]
struct Quotient<S: Simd> {
    y: S::F32,
    c: S::F32,
    m: S::F32,
    /// 1 + c, and what it exceeds d by with all that the sum lost.
    sum: S::F32,
    excess: S::F32,
}

impl<S: Simd> Quotient<S> {
    /// From what [`mirrored`] gives for an x from [`LEAST`] to [`MOST`].
    #[inline(always)]
    fn new(s: S, (biased, m): (S::F32, S::F32)) -> Self {
        let unit = s.splat(UNIT);
        let c = power(s, biased);
        let sum = s.add(c, unit);
        let y = s.div(s.splat(1.0), s.neg_mul_add(c, m, sum));
        // For c below unit the sum loses too little to matter.
        let minus_low = s.sub(s.sub(sum, c), unit);
        Self { y, c, m, sum, excess: s.mul_add(c, m, minus_low) }
    }

    /// σ(x) / UNIT
    #[inline(always)]
    fn corrected(self, s: S) -> S::F32 {
        let Self { y, c, m, sum, excess } = self;
        let one = s.splat(1.0);
        let rest = if S::FUSED {
            s.mul_add(y, excess, s.neg_mul_add(y, sum, one))
        } else {
            let u = s.mul(y, c);
            s.mul_add(u, m, s.neg_mul_add(y, s.splat(UNIT), s.sub(one, u)))
        };
        s.mul_add(y, rest, y)
    }
}

/// The quotients of a group: all exponentials, then all divisions.
#[inline(always)]
fn quotients<S: Simd, const N: usize>(s: S, x: [S::F32; N]) -> [Quotient<S>; N] {
    let zero = s.splat(0.0);
    let mut powers = [(zero, zero); N];
    for (power, x) in powers.iter_mut().zip(x) {
        *power = mirrored::<S, BIAS>(s, clamp(s, x));
    }
    let mut quotients = [Quotient { y: zero, c: zero, m: zero, sum: zero, excess: zero }; N];
    for (quotient, power) in quotients.iter_mut().zip(powers) {
        *quotient = Quotient::new(s, power);
    }
    quotients
}

/// x, but at least [`LEAST`] and at most [`MOST`].
#[inline(always)]
fn clamp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.min(s.splat(MOST), s.max(s.splat(LEAST), x))
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let quotient = Quotient::new(s, mirrored::<S, BIAS>(s, clamp(s, x)));
    s.mul(quotient.corrected(s), s.splat(UNIT))
}

/// `x · sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    silu_with_derivative(s, x).0
}

/// `x · sigmoid(x)` and its derivative, `σ + x·σ·(1 - σ)`.
#[inline(always)]
pub(crate) fn silu_with_derivative<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    silu_of(s, x, Quotient::new(s, mirrored::<S, BIAS>(s, clamp(s, x))))
}

/// The same from the quotient of x.
#[inline(always)]
fn silu_of<S: Simd>(s: S, x: S::F32, quotient: Quotient<S>) -> (S::F32, S::F32) {
    let unit = s.splat(UNIT);
    let clamped = clamp(s, x);
    let scaled = quotient.corrected(s);
    let Quotient { y, c, m, .. } = quotient;
    let u = s.mul(y, c);
    let value = s.mul(s.mul(scaled, clamped), unit);
    let slope = s.mul_add(value, s.neg_mul_add(u, m, u), s.mul(scaled, unit));
    (s.select(s.lt(s.splat(MOST), x), x, value), slope)
}

/// [`sigmoid`] of each element.
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

impl Function for Sigmoid {
    const GROUP: usize = 8;

    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        sigmoid(s, x)
    }

    #[inline(always)]
    fn apply_group<S: Simd, const N: usize>(self, s: S, x: [S::F32; N]) -> [S::F32; N] {
        let mut y = x;
        for (y, quotient) in y.iter_mut().zip(quotients(s, x)) {
            *y = s.mul(quotient.corrected(s), s.splat(UNIT));
        }
        y
    }
}

/// [`silu`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Silu;

impl Function for Silu {
    const GROUP: usize = 8;

    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        silu(s, x)
    }

    #[inline(always)]
    fn apply_group<S: Simd, const N: usize>(self, s: S, x: [S::F32; N]) -> [S::F32; N] {
        let mut y = x;
        for (y, quotient) in y.iter_mut().zip(quotients(s, x)) {
            *y = silu_of(s, *y, quotient).0;
        }
        y
    }
}
