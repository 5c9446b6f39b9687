//! Binary cross-entropy of a logit z with a target t in [0, 1].
//!
//! With e = exp(-|z|), and h and m for what the target puts on the side of the logit's sign and on
//! the other (t and 1-t for z > 0, else 1-t and t), h + m = 1:
//!
//! > l = m·|z| + ln(1 + e),  ∂l/∂z = sign(z)·(m - h·e) / (1 + e)
//!
//! Nothing overflows, as e ≤ 1. The loss is a sum of two numbers that are not negative, and for
//! targets of 0 and 1 one term of the slope's numerator is zero: so neither cancels, and a
//! confident right answer has a tiny loss and slope with all their digits.

use super::pointwise::Pointwise;
use crate::Error;
use crate::math::generic::{exp, ln_1p_of_fraction};
use crate::simd::{BLOCK, Simd};

/// The loss with weights of the classes 0 and 1.
#[derive(Clone, Copy)]
pub(super) struct BinaryCrossEntropy {
    pub(super) class: [f32; 2],
}

impl Pointwise for BinaryCrossEntropy {
    #[inline(always)]
    fn loss_and_slope<S: Simd>(self, s: S, logit: S::F32, target: S::F32) -> (S::F32, S::F32) {
        let one = s.splat(1.0);
        let size = s.abs(logit);
        let e = exp(s, s.neg(size));
        let positive = s.lt(s.splat(0.0), logit);
        let other = s.sub(one, target);
        let hit = s.select(positive, target, other);
        let miss = s.select(positive, other, target);
        // No miss costs nothing, even at an infinite logit.
        let none = s.eq(miss, s.splat(0.0));
        let linear = s.select(none, s.splat(0.0), s.mul(miss, size));
        let loss = s.add(linear, ln_1p_of_fraction(s, e));
        let slope = s.div(s.neg_mul_add(hit, e, miss), s.add(one, e));
        let slope = s.select(positive, slope, s.neg(slope));
        let [w0, w1] = self.class.map(|w| s.splat(w));
        let weight = s.mul_add(target, w1, s.mul(other, w0));
        (s.mul(weight, loss), s.mul(weight, slope))
    }
}

/// `Ok` if all targets lie in [0, 1].
#[inline(always)]
pub(super) fn check_targets<S: Simd>(s: S, targets: &[f32]) -> Result<(), Error> {
    if S::LANES == 1 {
        return check_one_by_one(targets);
    }
    let mut outside = s.splat_block(0.0);
    let (blocks, tail) = targets.as_chunks::<BLOCK>();
    for block in blocks {
        mark_outside(s, s.load_block(block), &mut outside);
    }
    mark_outside(s, s.load_block_tail(tail, 0.0), &mut outside);
    if s.max_block(outside) == 0.0 { Ok(()) } else { check_one_by_one(targets) }
}

/// The same, and which one it is.
fn check_one_by_one(targets: &[f32]) -> Result<(), Error> {
    match targets.iter().find(|t| !(0.0..=1.0).contains(*t)) {
        None => Ok(()),
        Some(outside) => Err(Error::Parameter {
            what: "target of the binary cross-entropy",
            expected: "at least 0 and at most 1",
            found: *outside,
        }),
    }
}

/// Sets the lanes of `outside` whose target is not in [0, 1] to one.
#[inline(always)]
fn mark_outside<S: Simd>(s: S, targets: S::Block, outside: &mut S::Block) {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    for (outside, t) in outside.as_mut().iter_mut().zip(targets.as_ref()) {
        let inside = s.mask_and(s.le(zero, *t), s.le(*t, one));
        *outside = s.select(inside, *outside, one);
    }
}
