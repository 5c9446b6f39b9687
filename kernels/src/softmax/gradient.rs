//! Gradients of softmax and log-softmax, from the output and the upstream gradient.

use super::{LogSoftmax, PIECE, Softmax, check_rows};
use crate::Error;
use crate::error::check_len;
use crate::math::generic::exp;
use crate::reduce::Total;
use crate::simd::{BLOCK, Simd};

/// A gradient of a row: what is summed, and what an element becomes.
pub(super) trait RowGradient: Copy {
    /// `acc` plus the term of an element with output `y` and upstream gradient `g`.
    fn accumulate<S: Simd>(self, s: S, y: S::F32, g: S::F32, acc: S::F32) -> S::F32;
    /// The gradient of the element, from the sum.
    fn apply<S: Simd>(self, s: S, y: S::F32, g: S::F32, sum: S::F32) -> S::F32;
}

impl RowGradient for Softmax {
    #[inline(always)]
    fn accumulate<S: Simd>(self, s: S, y: S::F32, g: S::F32, acc: S::F32) -> S::F32 {
        s.mul_add(y, g, acc)
    }
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, y: S::F32, g: S::F32, sum: S::F32) -> S::F32 {
        s.mul(y, s.sub(g, sum))
    }
}

impl RowGradient for LogSoftmax {
    #[inline(always)]
    fn accumulate<S: Simd>(self, s: S, _: S::F32, g: S::F32, acc: S::F32) -> S::F32 {
        s.add(acc, g)
    }
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, y: S::F32, g: S::F32, sum: S::F32) -> S::F32 {
        s.neg_mul_add(exp(s, y), sum, g)
    }
}

/// `grad` by the output becomes `grad` by the input, row by row.
#[inline(always)]
pub(super) fn rows<S: Simd, F: RowGradient>(
    s: S,
    function: F,
    y: &[f32],
    cols: usize,
    grad: &mut [f32],
) -> Result<(), Error> {
    check_rows("y", y.len(), cols)?;
    check_len("grad", grad.len(), y.len())?;
    if y.is_empty() {
        return Ok(());
    }
    for (y, grad) in y.chunks_exact(cols).zip(grad.chunks_exact_mut(cols)) {
        let mut total = Total::default();
        for (y, grad) in y.chunks(PIECE).zip(grad.chunks(PIECE)) {
            let mut acc = s.splat_block(0.0);
            for (y, grad) in y.chunks(BLOCK).zip(grad.chunks(BLOCK)) {
                let (y, grad) = (s.load_block_tail(y, 0.0), s.load_block_tail(grad, 0.0));
                let terms = y.as_ref().iter().zip(grad.as_ref());
                for (acc, (y, g)) in acc.as_mut().iter_mut().zip(terms) {
                    *acc = function.accumulate(s, *y, *g, *acc);
                }
            }
            total.add(s.sum_block(acc));
        }
        let sum = s.splat(total.value());
        let (y_chunks, y_tail) = s.chunks(y);
        let (grad_chunks, grad_tail) = s.chunks_mut(grad);
        for (y, grad) in y_chunks.iter().zip(grad_chunks) {
            s.store(function.apply(s, s.load(y), s.load(grad), sum), grad);
        }
        if !y_tail.is_empty() {
            let (y, g) = (s.load_tail(y_tail, 0.0), s.load_tail(grad_tail, 0.0));
            s.store_tail(function.apply(s, y, g, sum), grad_tail);
        }
    }
    Ok(())
}
