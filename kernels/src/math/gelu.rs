//! gelu(x) = x·Φ(x), Φ the normal distribution function (Hendrycks and Gimpel, 2016), exact by the
//! complementary error function, not the tanh approximation.
//!
//! With a = |x|, Φ(a) = 1 - Φ(-a), so that gelu(x) = max(x, 0) - a·Φ(-a) for either sign, and only
//! Φ(-a) is needed. Written x·(1 + erf(x/√2))/2 it would cancel to nothing for x < -5; instead
//! Φ(-a) = exp(-a²/2)·m(a), where m is Mills' ratio over √(2π). (a + 4)·m(a) is smooth and nearly
//! flat, a polynomial M of degree 9 in q = (a - 4)/(a + 4), which maps [0, 14.5] into [-1, 0.57] (after
//! Shepherd and Laframboise, *Chebyshev approximation of (1 + 2x) exp(x²) erfc x*, 1981). With
//! y = a/(a + 4), q is 2y - 1 and a·m is y·M: one division does for both. With FMA, what the quotient, the
//! last sum of M and the product lack is found and kept. a² is taken with the
//! rounding error of its square, and the power of two is multiplied in last, so that the left tail
//! keeps its relative accuracy down to the last subnormal, at x = -14.17.
//!
//! The derivative is Φ(x) + x·φ(x) with φ(x) = exp(-x²/2)/√(2π), from the same exponential: at -a it is
//! exp(-a²/2)·(m - a/√(2π)) with m = M·(1 - y)/4, at a one minus that. It crosses 0 at x = -0.7518, where its error is
//! small against 1, not against itself.
//!
//! Whole slices go two registers at a time, so that the chain from one division to the end of its
//! polynomial does not wait alone.
//!
//! **Special values**: -0 at -∞ (the limit), +∞ at +∞, gelu(±0) = ±0.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::exp::{BIAS, Reduced, UNIT, power, reduce, tail};
use super::{Function, horner_group};
use crate::simd::Simd;

/// M, lowest power of q first.
const MILLS: [f32; 10] = [
    0.75528514,
    -0.60789657,
    0.38713625,
    -0.18652377,
    0.060411155,
    -0.007522334,
    -0.003538766,
    0.0015554911,
    0.00020904251,
    -0.000110037865,
];

/// 1/√(2π)
const DENSITY_AT_0: f32 = 0.398_942_3;

/// exp(-a²/2) = power · UNIT · (1 + p), y = a/(a + 4), and M.
struct Parts<S: Simd> {
    a: S::F32,
    power: S::F32,
    p: S::F32,
    y: S::F32,
    mills: S::F32,
    /// y·M, and what it lacks.
    product: S::F32,
    product_low: S::F32,
}

/// What comes before the rest: the division, and the polynomial that waits for it.
#[derive(Clone, Copy)]
struct Head<S: Simd> {
    a: S::F32,
    /// a + 4
    denominator: S::F32,
    y: S::F32,
    q: S::F32,
    /// (M - its constant) / q
    slope: S::F32,
}

/// The heads of several registers, stage by stage.
#[inline(always)]
fn heads<S: Simd, const N: usize>(s: S, x: [S::F32; N]) -> [Head<S>; N] {
    let zero = s.splat(0.0);
    let mut heads = [Head { a: zero, denominator: zero, y: zero, q: zero, slope: zero }; N];
    let mut q = [zero; N];
    for ((head, q), x) in heads.iter_mut().zip(&mut q).zip(x) {
        // Past 15 the tail is 0, and its slope too; infinity must not be squared.
        let a = s.min(s.splat(15.0), s.abs(x));
        let denominator = s.add(a, s.splat(4.0));
        let y = s.div(a, denominator);
        *q = s.mul_add(y, s.splat(2.0), s.splat(-1.0));
        *head = Head { a, denominator, y, q: *q, slope: zero };
    }
    let [_, slopes @ ..] = MILLS;
    for (head, slope) in heads.iter_mut().zip(horner_group(s, q, slopes)) {
        head.slope = slope;
    }
    heads
}

#[inline(always)]
fn parts<S: Simd>(s: S, Head { a, denominator, y, q, slope }: Head<S>) -> Parts<S> {
    let [constant, ..] = MILLS;
    let constant = s.splat(constant);
    let mills = s.mul_add(slope, q, constant);
    let mills_low = s.mul_add(slope, q, s.sub(constant, mills));
    // What the division leaves, a - y·(a + 4), moves y·M by that over a + 4, which is (1 - y)/4 of it,
    // times the derivative of y·M by y, which is close to 2(1 - y)⁴: (0.87(1 - y))⁵ in all.
    let denominator_low = s.sub(a, s.sub(denominator, s.splat(4.0)));
    let remainder = if S::FUSED { s.neg_mul_add(y, denominator, a) } else { s.splat(0.0) };
    let remainder = s.neg_mul_add(y, denominator_low, remainder);
    let fifth_root = s.splat(0.870_550_6);
    let factor = s.neg_mul_add(y, fifth_root, fifth_root);
    let square = s.mul(factor, factor);
    let quotient_low = s.mul(s.mul(remainder, factor), s.mul(square, square));
    let product = s.mul(y, mills);
    let product_low = if S::FUSED { s.mul_add(y, mills, s.neg(product)) } else { s.splat(0.0) };
    let product_low = s.mul_add(y, mills_low, s.add(product_low, quotient_low));
    let minus_half = s.splat(-0.5);
    // a² as a float and what it lacks; without FMA from the upper and lower half of a's digits.
    let (square, square_low) = if S::FUSED {
        let square = s.mul(a, a);
        (square, s.mul_add(a, a, s.neg(square)))
    } else {
        let upper = s.from_bits(s.and_i32(s.to_bits(a), s.splat_i32(!0xfff)));
        (s.mul(upper, upper), s.mul(s.sub(a, upper), s.add(a, upper)))
    };
    let Reduced { biased, r, .. } = reduce::<S, BIAS>(s, s.mul(square, minus_half));
    let r = s.mul_add(square_low, minus_half, r);
    Parts {
        a,
        power: power(s, biased),
        p: s.mul_add(tail(s, r), s.mul(r, r), r),
        y,
        mills,
        product,
        product_low,
    }
}

/// max(x, -0) - a·Φ(-a): from the -0 on, an underflow keeps the sign of x.
#[inline(always)]
fn value<S: Simd>(s: S, x: S::F32, parts: &Parts<S>) -> S::F32 {
    let Parts { power, p, product, product_low, .. } = *parts;
    let mantissa = s.add(product, s.mul_add(product, p, product_low));
    s.neg_mul_add(s.mul(mantissa, power), s.splat(UNIT), s.max(s.splat(-0.0), x))
}

/// [`gelu`] of each register.
#[inline(always)]
fn gelu_group<S: Simd, const N: usize>(s: S, x: [S::F32; N]) -> [S::F32; N] {
    let mut y = x;
    for (y, head) in y.iter_mut().zip(heads(s, x)) {
        *y = value(s, *y, &parts(s, head));
    }
    y
}

/// `x · Φ(x)`.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let [y] = gelu_group(s, [x]);
    y
}

/// `x · Φ(x)` and its derivative, `Φ(x) + x · φ(x)`.
#[inline(always)]
pub(crate) fn gelu_with_derivative<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let [head] = heads(s, [x]);
    let parts = parts(s, head);
    let Parts { a, power, p, y, mills, .. } = parts;
    let ratio = s.mul(s.mul(mills, s.splat(0.25)), s.sub(s.splat(1.0), y));
    let slope = s.neg_mul_add(a, s.splat(DENSITY_AT_0), ratio);
    let slope = s.mul(s.mul(s.mul_add(slope, p, slope), power), s.splat(UNIT));
    let derivative = s.select(s.lt(x, s.splat(0.0)), slope, s.sub(s.splat(1.0), slope));
    (value(s, x, &parts), derivative)
}

/// [`gelu`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Gelu;

impl Function for Gelu {
    const GROUP: usize = 2;

    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        gelu(s, x)
    }

    #[inline(always)]
    fn apply_group<S: Simd, const N: usize>(self, s: S, x: [S::F32; N]) -> [S::F32; N] {
        gelu_group(s, x)
    }
}
