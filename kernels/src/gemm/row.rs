//! One row times a large B: little is computed with each value of B, and what counts is how it is read.
//!
//! A tile holds the four chains of an element side by side, and so reads narrow pieces of every row of
//! B. Here the chains are summed one after another, each over the rows of B that are its own, in
//! panels of columns as wide as half the registers: long runs, which the machine foresees.

use super::blocking::Problem;
use super::epilogue;
use super::microkernel::{ANY, SPLIT, prefetch_row, write};
use super::packing::Source;
use crate::simd::{Kernel, Simd};

/// From these on it pays: B then does not lie in the first cache.
const MIN_K: usize = 128;
const MIN_LEN: usize = 1 << 15;
/// Rows of B to fetch ahead.
const AHEAD: usize = 2 * SPLIT;

/// Vectors of a panel for a register file of this size.
const fn width(registers: usize) -> usize {
    if registers >= 32 { 16 } else { 8 }
}

/// The columns of a product that [`Row`] computes; the rest is too narrow for a panel.
#[inline(always)]
pub(super) fn cols<S: Simd>(problem: &Problem) -> usize {
    let Problem { m, n, k, split, rhs, out_col, in_place, .. } = *problem;
    let pays = k >= MIN_K && n.saturating_mul(k) >= MIN_LEN;
    if split && m == 1 && pays && rhs.col == 1 && out_col == 1 && !in_place && S::REGISTERS >= 16 {
        n - n % (width(S::REGISTERS) * S::LANES)
    } else {
        0
    }
}

/// The first [`cols`] columns of a [`Problem`].
pub(super) struct Row<'a>(pub(super) &'a Problem);

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: made by `blocking::run` alone, whose caller vouches for the problem.
        unsafe {
            if const { width(S::REGISTERS) == 16 } {
                run::<S, 16>(s, self.0);
            } else {
                run::<S, 8>(s, self.0);
            }
        }
    }
}

/// # Safety
/// As for [`super::blocking::run`].
#[inline(always)]
unsafe fn run<S: Simd, const NV: usize>(s: S, problem: &Problem) {
    let Problem { k, kc, lhs, rhs, bias, out, after, .. } = *problem;
    for column in (0..cols::<S>(problem)).step_by(NV * S::LANES) {
        let out = out.wrapping_add(column);
        let mut p = 0;
        while p < k {
            let (lhs, rhs) = (lhs.at(0, p), rhs.at(p, column));
            let steps = kc.min(k - p);
            // SAFETY: `steps` elements of A, and NV vectors in as many rows of B.
            let chain = |first| unsafe { chain::<S, NV>(s, lhs, rhs, first, steps) };
            let low = add(s, &chain(0), &chain(1));
            let sums = add(s, &low, &add(s, &chain(2), &chain(3)));
            let finish = problem.block_finish(p, p + steps == k);
            // SAFETY: NV vectors of C from `column` on, and of a bias that the finish adds.
            unsafe {
                let bias = bias.wrapping_add(column);
                write::<S, 1, NV, false, ANY>(s, &[sums], out, bias, 1, S::LANES, &finish);
            }
            p += steps;
        }
        // SAFETY: the columns of the panel lie in C and in the saved matrix.
        unsafe { epilogue::run(s, after.at(0, column), out, 1, 1, NV * S::LANES) };
    }
}

/// The sums of one chain.
///
/// # Safety
/// `steps` elements in the row `lhs`, and NV contiguous vectors in each of as many rows of `rhs`, are valid
/// for reading.
#[inline(always)]
unsafe fn chain<S: Simd, const NV: usize>(
    s: S,
    lhs: Source,
    rhs: Source,
    first: usize,
    steps: usize,
) -> [S::F32; NV] {
    let mut sums = [s.splat(0.0); NV];
    let mut p = first;
    while p < steps {
        prefetch_row::<S, NV>(s, rhs.at(p + AHEAD, 0).ptr);
        // SAFETY: p < steps.
        unsafe {
            let (a, b) = (s.splat(*lhs.at(0, p).ptr), rhs.at(p, 0).ptr);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = s.mul_add(a, s.load_ptr(b.add(v * S::LANES)), *sum);
            }
        }
        p += SPLIT;
    }
    sums
}

/// Sums of two chains.
#[inline(always)]
fn add<S: Simd, const NV: usize>(s: S, x: &[S::F32; NV], y: &[S::F32; NV]) -> [S::F32; NV] {
    let mut sums = *x;
    for (sum, y) in sums.iter_mut().zip(y) {
        *sum = s.add(*sum, *y);
    }
    sums
}
