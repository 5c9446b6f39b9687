//! The error function, erf(x) = 2/√π · ∫ exp(-t²) dt from 0 to x, odd.
//!
//! Below |x| = 1: x + x·p(x²). Above: 1 - 2^-w(|x|), where w(a) = -log2 erfc(a) is smooth and close
//! to a parabola, so that a polynomial of degree 6 does; the power is taken as n + r with a
//! polynomial for 2^r, which needs few digits, as 2^-w is at most 0.16 of the result. From 4 on
//! erf is 1 in f32. Both halves are computed and one is chosen. The coefficients are found
//! by `scripts/minimax.py` (`erf_near`, `erf_far`, `exp2`).
//!
//! **Special values**: ±1 at ±∞; erf(±0) = ±0.
//!
//! **Largest error** in ULP: see the table in [`crate::math`].

use super::exp::power;
use super::{Function, MAGIC, horner};
use crate::simd::Simd;

/// p, lowest power of x² first.
const NEAR: [f32; 7] =
    [0.12837917, -0.37612626, 0.11283579, -0.026853347, 0.005187162, -0.00079978525, 7.8068966e-05];
/// -w, lowest power first.
const FAR: [f32; 7] =
    [-0.00051034155, -1.6259749, -0.9207654, -0.1486511, 0.031458195, -0.0042408933, 0.00026772005];
/// 2^r for |r| <= 1/2, lowest power first.
const EXP2: [f32; 6] = [1.0000001, 0.6931474, 0.24021919, 0.055496804, 0.009684809, 0.001366939];

/// `erf(x)`.
#[inline(always)]
pub(crate) fn erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let a = s.min(s.splat(4.0), s.abs(x));
    let near = s.mul_add(a, horner(s, s.mul(a, a), NEAR), a);
    let exponent = horner(s, a, FAR);
    let magic = s.splat(MAGIC + 127.0);
    let biased = s.add(exponent, magic);
    let r = s.sub(exponent, s.sub(biased, magic));
    let far = s.neg_mul_add(power(s, biased), horner(s, r, EXP2), s.splat(1.0));
    s.copysign(s.select(s.lt(a, s.splat(1.0)), near, far), x)
}

/// [`erf`] of each element.
#[derive(Clone, Copy)]
pub(super) struct Erf;

impl Function for Erf {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        erf(s, x)
    }
}
