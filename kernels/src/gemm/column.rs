//! C with one column: dot products, where a tile would fill one lane of sixteen.
//!
//! Element i is summed over sixteen virtual lanes, lane l taking the p with p mod 16 = l, which the
//! fixed tree of [`Simd::sum_block`] adds up. With rows of A contiguous a register holds lanes of
//! one row. With columns contiguous it holds the same lane of neighbouring rows, sixteen registers
//! make the lanes, and the tree runs over registers: the same sums either way.

use super::blocking::Problem;
use super::epilogue::{self, After};
use super::packing::Source;
use crate::simd::{BLOCK, Kernel, Simd};

/// Rows summed side by side: enough chains to hide the latency of a multiply-add.
const ROWS: usize = 8;

/// Computes the product of `problem`, whose n is 1.
///
/// # Safety
/// As for [`super::blocking::run`], without scratch.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(s: S, problem: &Problem) {
    let Problem { m, k, lhs, rhs, out, out_row, finish, after, .. } = *problem;
    let mut row = 0;
    while row < m {
        let rows = BLOCK.min(m - row);
        let mut sums = [0.0_f32; BLOCK];
        s.call(Dots { rows, k, lhs: lhs.at(row, 0), rhs, sums: &mut sums });
        let mut before = [0.0_f32; BLOCK];
        if finish.beta != 0.0 {
            for (i, x) in before.iter_mut().take(rows).enumerate() {
                // SAFETY: row + i < m, an element of C.
                *x = unsafe { *out.wrapping_add((row + i) * out_row) };
            }
        }
        let bias = if finish.bias.is_null() {
            -0.0
        } else {
            // SAFETY: not null, so it has a value for the one column.
            unsafe { *finish.bias }
        };
        let (before, _) = s.chunks(&before);
        let (chunks, _) = s.chunks_mut(&mut sums);
        for (chunk, before) in chunks.iter_mut().zip(before) {
            let sum = s.load(chunk);
            let x = if finish.beta == 0.0 {
                s.mul(s.splat(finish.alpha), sum)
            } else {
                let before = s.mul(s.splat(finish.beta), s.load(before));
                s.mul_add(s.splat(finish.alpha), sum, before)
            };
            s.store(s.max(s.splat(finish.floor), s.add(x, s.splat(bias))), chunk);
        }
        // SAFETY: `sums` read as one contiguous row, beside one column of the saved matrix turned
        // into a row.
        unsafe {
            let after = match after.at(row, 0) {
                After::Backward(activation, saved) => After::Backward(activation, saved.t()),
                other => other,
            };
            epilogue::run(s, after, sums.as_mut_ptr(), BLOCK, 1, rows);
        }
        for (i, x) in sums.iter().take(rows).enumerate() {
            // SAFETY: row + i < m, an element of C.
            unsafe { out.wrapping_add((row + i) * out_row).write(*x) };
        }
        row += rows;
    }
}

/// Up to sixteen dot products of rows of `lhs` with the column `rhs`.
struct Dots<'a> {
    rows: usize,
    k: usize,
    lhs: Source,
    rhs: Source,
    sums: &'a mut [f32; BLOCK],
}

impl Kernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, k, lhs, rhs, sums } = self;
        // SAFETY: rows x k elements of `lhs` and k of `rhs` are valid by the word of the caller of
        // `run`; each branch has checked the stride that its kernel asks for.
        unsafe {
            if lhs.col == 1 && (rhs.row == 1 || k == 1) {
                let (full, rest) = sums.split_at_mut(rows - rows % ROWS);
                let (full, _) = full.as_chunks_mut::<ROWS>();
                let mut row = 0;
                for sums in full {
                    dot_rows(s, lhs.at(row, 0), k, rhs.ptr, sums);
                    row += ROWS;
                }
                for sum in rest.iter_mut().take(rows % ROWS) {
                    dot_rows(s, lhs.at(row, 0), k, rhs.ptr, core::array::from_mut(sum));
                    row += 1;
                }
            } else if lhs.row == 1 {
                let mut row = 0;
                let (chunks, _) = s.chunks_mut(sums);
                for chunk in chunks {
                    if row < rows {
                        let lanes = S::LANES.min(rows - row);
                        s.store(dot_columns(s, lhs.at(row, 0).ptr, lhs.col, lanes, k, rhs), chunk);
                    }
                    row += S::LANES;
                }
            } else {
                for (row, sum) in sums.iter_mut().take(rows).enumerate() {
                    *sum = dot_strided(s, lhs.at(row, 0), k, rhs);
                }
            }
        }
    }
}

/// Adds the products of sixteen virtual lanes to `acc`.
#[inline(always)]
fn add_products<S: Simd>(s: S, acc: &mut S::Block, a: S::Block, b: S::Block) {
    for ((acc, a), b) in acc.as_mut().iter_mut().zip(a.as_ref()).zip(b.as_ref()) {
        *acc = s.mul_add(*a, *b, *acc);
    }
}

/// `N` rows with contiguous elements by a contiguous column.
///
/// # Safety
/// `N` rows of `k` elements at `lhs` and `k` at `rhs` are valid for reading.
#[inline(always)]
unsafe fn dot_rows<S: Simd, const N: usize>(
    s: S,
    lhs: Source,
    k: usize,
    rhs: *const f32,
    sums: &mut [f32; N],
) {
    let mut acc = [s.splat_block(0.0); N];
    let whole = k - k % BLOCK;
    let mut p = 0;
    while p < whole {
        // SAFETY: p + BLOCK <= k, in the column and in each of the N rows.
        unsafe {
            let b = s.load_block(&*rhs.add(p).cast());
            for (i, acc) in acc.iter_mut().enumerate() {
                add_products(s, acc, s.load_block(&*lhs.at(i, p).ptr.cast()), b);
            }
        }
        p += BLOCK;
    }
    if whole < k {
        // SAFETY: k - whole elements are left, in the column and in each of the N rows.
        unsafe {
            let tail = |ptr| s.load_block_tail(core::slice::from_raw_parts(ptr, k - whole), 0.0);
            let b = tail(rhs.add(whole));
            for (i, acc) in acc.iter_mut().enumerate() {
                add_products(s, acc, tail(lhs.at(i, whole).ptr), b);
            }
        }
    }
    for (sum, acc) in sums.iter_mut().zip(acc) {
        *sum = s.sum_block(acc);
    }
}

/// `lanes` rows whose columns are contiguous, `stride` apart.
///
/// # Safety
/// `lanes <= LANES`; `lanes` values in each of `k` columns at `lhs`, and the `k` of `rhs`, are
/// valid for reading.
#[inline(always)]
unsafe fn dot_columns<S: Simd>(
    s: S,
    lhs: *const f32,
    stride: usize,
    lanes: usize,
    k: usize,
    rhs: Source,
) -> S::F32 {
    let mut acc = [s.splat(0.0); BLOCK];
    let mut p = 0;
    while p < k {
        for (l, acc) in acc.iter_mut().enumerate() {
            *acc = if l < k - p {
                // SAFETY: column p + l < k, element p + l of the right-hand side.
                let (a, b) = unsafe {
                    let a = s.load_ptr_first(lhs.wrapping_add((p + l) * stride), lanes);
                    (a, *rhs.at(p + l, 0).ptr)
                };
                s.mul_add(a, s.splat(b), *acc)
            } else {
                // As in a row's tail, whose missing lanes are zero: this turns -0 into 0.
                s.add(*acc, s.splat(0.0))
            };
        }
        // k may be as large as an index where the strides are zero.
        p = p.saturating_add(BLOCK);
    }
    for half in [8, 4, 2, 1] {
        let (low, high) = acc.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low = s.add(*low, *high);
        }
    }
    acc[0]
}

/// One row with any strides.
///
/// # Safety
/// `k` elements of the row at `lhs` and of `rhs` are valid for reading.
#[inline(always)]
unsafe fn dot_strided<S: Simd>(s: S, lhs: Source, k: usize, rhs: Source) -> f32 {
    let mut acc = s.splat_block(0.0);
    let mut p = 0;
    while p < k {
        let (mut a, mut b) = ([0.0_f32; BLOCK], [0.0_f32; BLOCK]);
        for (l, (a, b)) in a.iter_mut().zip(&mut b).take(k - p).enumerate() {
            // SAFETY: p + l < k.
            unsafe { (*a, *b) = (*lhs.at(0, p + l).ptr, *rhs.at(p + l, 0).ptr) };
        }
        add_products(s, &mut acc, s.load_block(&a), s.load_block(&b));
        p = p.saturating_add(BLOCK);
    }
    s.sum_block(acc)
}
