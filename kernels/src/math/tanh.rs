//! tanh(x), odd.
//!
//! Below |x| = 11/16: x + x³·p(x²). Above: 1 - 2 / (1 + exp(2|x|)), where the quotient is at most 0.41,
//! so that its few roundings weigh little. The exponential is 2^(n + r) with n + r = |x|·2·log2 e: with FMA r
//! has but one rounding; without, n·(ln 2)/2 is taken from |x| first (Cody and Waite). Both halves are computed and one is chosen. The coefficients are found by
//! `scripts/minimax.py` (`tanh_near`, `exp2_tanh`).
//!
//! **Special values**: ±1 at ±∞; ±0 and subnormal x come back unchanged.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::exp::power;
use super::{Function, MAGIC, horner};
use crate::simd::Simd;

/// p, lowest power of x² first.
const NEAR: [f32; 5] = [-0.33333212, 0.13329625, -0.05359535, 0.020192731, -0.0052335914];
/// 2^r for |r| <= 1/2, lowest power first.
const EXP2: [f32; 7] =
    [1.0, 0.69314724, 0.24022655, 0.055502728, 0.009617065, 0.0013417745, 0.00015823929];

/// `tanh(x)`.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // tanh is 1 in f32 from 9.02 on.
    let a = s.min(s.splat(16.0), s.abs(x));
    let square = s.mul(a, a);
    let near = s.mul_add(s.mul(square, a), horner(s, square, NEAR), a);
    // Half of 1 + exp(2a), by a bias one less.
    let scale = s.splat(2.0 * core::f32::consts::LOG2_E);
    let magic = s.splat(MAGIC + 126.0);
    let biased = s.mul_add(a, scale, magic);
    let r = if S::FUSED {
        s.mul_add(a, scale, s.sub(magic, biased))
    } else {
        let n = s.sub(biased, magic);
        // ln 2 / 2 in two parts, the first of nine bits.
        let (high, low) = (s.splat(0.346_679_7), s.splat(-1.060_972_2e-4));
        s.mul(s.neg_mul_add(n, low, s.neg_mul_add(n, high, a)), scale)
    };
    let denominator = s.mul_add(horner(s, r, EXP2), power(s, biased), s.splat(0.5));
    let one = s.splat(1.0);
    let far = s.sub(one, s.div(one, denominator));
    let y = s.select(s.lt(a, s.splat(0.6875)), near, far);
    let sign = s.and_i32(s.to_bits(x), s.splat_i32(i32::MIN));
    s.from_bits(s.or_i32(s.to_bits(y), sign))
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
