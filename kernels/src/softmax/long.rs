//! Rows of more than a block, from memory.
//!
//! Up to 1,024 elements, a row stays in the first cache from the search for its largest element to the
//! scaling. By pieces of 128 held in registers, each with the largest element so far, it would be read
//! once before the scaling, but the exponentials of the differences cost more than that saves: on an
//! AMD EPYC (Zen 5) 1.12 to 1.18 times the time with AVX2, 0.95 (256 elements) to 1.24 (129, 400) with
//! AVX-512. A longer one is passed over twice, the first time piece by piece (Milakov and Gimelshein,
//! *Online normalizer calculation for softmax*, 2018, with a piece in place of their element): a piece
//! stays in the first cache while its largest element is found and the exponentials of the
//! differences to the largest so far are written; where that grew, the sum of the pieces before is
//! rescaled. The second pass multiplies each piece by what it needs, so that no exponential is taken
//! twice.

use super::{PIECE, exp_or_zero, store_block};
use crate::math::generic::exp;
use crate::reduce::Total;
use crate::simd::{BLOCK, Simd};

/// Elements of a row whose exponentials have the same shift: they stay in the first cache from the
/// search for the largest to the exponentials. Longer in a row that would have too many [`PIECES`].
const SHIFTED: usize = 4 * PIECE;

/// Pieces of a row at most, each with the largest element that was known when it was read.
pub(crate) const PIECES: usize = 32;

/// The largest of a row. A NaN may go unseen here: the row's sum is NaN all the same.
#[inline(always)]
pub(crate) fn row_max<S: Simd>(s: S, row: &[f32]) -> f32 {
    let (blocks, tail) = row.as_chunks::<BLOCK>();
    let mut acc = s.load_block_tail(tail, f32::NEG_INFINITY);
    for block in blocks {
        for (acc, x) in acc.as_mut().iter_mut().zip(s.load_block(block).as_ref()) {
            *acc = s.max(*acc, *x);
        }
    }
    s.max_block(acc)
}

/// Length of the pieces that a row of `len` elements is taken in: [`PIECES`] at most.
#[inline(always)]
pub(crate) fn piece_len(len: usize) -> usize {
    (SHIFTED * len.div_ceil(SHIFTED * PIECES)).max(SHIFTED)
}

/// The largest element so far, and the sum of exp(x - largest).
pub(crate) struct Running {
    pub(crate) max: f32,
    pub(crate) total: Total,
}

impl Running {
    /// Nothing so far.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { max: f32::NEG_INFINITY, total: Total::default() }
    }

    /// Takes a largest element into account, and returns the shift by it: the largest so far. The
    /// least float stands for -∞ there, from which nothing can be subtracted.
    #[inline(always)]
    pub(crate) fn raise<S: Simd>(&mut self, s: S, max: f32) -> f32 {
        if max > self.max {
            if self.max > f32::NEG_INFINITY {
                self.total.scale(lane(s, exp(s, s.splat(self.max - max))));
            }
            self.max = max;
        }
        self.max.max(f32::MIN)
    }
}

/// The first lane. By way of a whole register: a load waits for what a masked store wrote.
#[inline(always)]
fn lane<S: Simd>(s: S, v: S::F32) -> f32 {
    let mut lanes = [0.0; BLOCK];
    if let Some(chunk) = s.chunks_mut(&mut lanes).0.first_mut() {
        s.store(v, chunk);
    }
    let [x, ..] = lanes;
    x
}

/// The largest element M of a row, at most [`f32::MAX`], and the sum of exp(x - M).
#[inline(always)]
pub(super) fn row_exp_sum<S: Simd>(s: S, row: &[f32]) -> (f32, f32) {
    let mut running = Running::new();
    for piece in row.chunks(piece_len(row.len())) {
        let shift = s.splat(running.raise(s, row_max(s, piece).min(f32::MAX)));
        for part in piece.chunks(PIECE) {
            let (blocks, tail) = part.as_chunks::<BLOCK>();
            let mut acc = s.splat_block(0.0);
            for block in blocks {
                for (acc, x) in acc.as_mut().iter_mut().zip(s.load_block(block).as_ref()) {
                    *acc = s.add(*acc, exp(s, s.sub(*x, shift)));
                }
            }
            if !tail.is_empty() {
                let tail = s.load_block_tail(tail, f32::NEG_INFINITY);
                for (acc, x) in acc.as_mut().iter_mut().zip(tail.as_ref()) {
                    *acc = s.add(*acc, exp_or_zero(s, *x, shift));
                }
            }
            running.total.add(s.sum_block(acc));
        }
    }
    (running.max, running.total.value())
}

/// Multiplies the pieces of a row, exp(x - shift) each with its own shift, by exp(shift - max)·factor.
#[inline(always)]
pub(crate) fn scale_pieces<S: Simd>(
    s: S,
    row: &mut [f32],
    shifts: &[f32; PIECES],
    max: f32,
    factor: f32,
) {
    for (piece, shift) in row.chunks_mut(piece_len(row.len())).zip(shifts) {
        let power = if *shift == max { 1.0 } else { lane(s, exp(s, s.splat(*shift - max))) };
        scale_row(s, power * factor, piece);
    }
}

/// `row = factor * row`
#[inline(always)]
pub(crate) fn scale_row<S: Simd>(s: S, factor: f32, row: &mut [f32]) {
    let factor = s.splat(factor);
    let (chunks, tail) = s.chunks_mut(row);
    for chunk in chunks {
        s.store(s.mul(s.load(chunk), factor), chunk);
    }
    if !tail.is_empty() {
        s.store_tail(s.mul(s.load_tail(tail, 0.0), factor), tail);
    }
}

/// Softmax of a row, from `x` of its length, or in place if that is empty.
#[inline(always)]
pub(super) fn softmax<S: Simd>(s: S, x: &[f32], row: &mut [f32]) {
    if row.len() <= PIECE {
        let max = row_max(s, if x.is_empty() { row } else { x });
        let sum = exponentials(s, max, x, row);
        return scale_row(s, 1.0 / sum, row);
    }
    let mut running = Running::new();
    let mut shifts = [0.0; PIECES];
    let len = piece_len(row.len());
    let mut x_pieces = x.chunks(len);
    for (piece, shift) in row.chunks_mut(len).zip(&mut shifts) {
        let x = x_pieces.next().unwrap_or_default();
        *shift = running.raise(s, row_max(s, if x.is_empty() { piece } else { x }));
        let mut x_parts = x.chunks(PIECE);
        for part in piece.chunks_mut(PIECE) {
            let x = x_parts.next().unwrap_or_default();
            running.total.add(exponentials(s, *shift, x, part));
        }
    }
    scale_pieces(s, row, &shifts, running.max, 1.0 / running.total.value());
}

/// `out = exp(x - shift)`, from `out` itself if `x` is empty; their sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, shift: f32, x: &[f32], out: &mut [f32]) -> f32 {
    let shift = s.splat(shift);
    let (x_blocks, x_tail) = x.as_chunks::<BLOCK>();
    let (blocks, tail) = out.as_chunks_mut::<BLOCK>();
    let mut x_blocks = x_blocks.iter();
    let mut acc = s.splat_block(0.0);
    for block in blocks {
        let mut e = s.load_block(x_blocks.next().unwrap_or(block));
        for (acc, e) in acc.as_mut().iter_mut().zip(e.as_mut()) {
            *e = exp(s, s.sub(*e, shift));
            *acc = s.add(*acc, *e);
        }
        store_block(s, e, block);
    }
    if !tail.is_empty() {
        let x_tail = if x_tail.is_empty() { &*tail } else { x_tail };
        let mut e = s.load_block_tail(x_tail, f32::NEG_INFINITY);
        for (acc, e) in acc.as_mut().iter_mut().zip(e.as_mut()) {
            *e = exp_or_zero(s, *e, shift);
            *acc = s.add(*acc, *e);
        }
        store_block(s, e, tail);
    }
    s.sum_block(acc)
}
