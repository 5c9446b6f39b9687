//! C with one column: dot products, where a tile would fill one lane of sixteen.
//!
//! Element i is summed over sixteen virtual lanes, lane l taking the p with p mod 16 = l, which the
//! fixed tree of [`Simd::sum_block`] adds up. With rows of A contiguous a register holds lanes of
//! one row, and sixteen rows are added up together. With columns contiguous it holds the same lane
//! of neighbouring rows, sixteen registers make the lanes, and the tree runs over registers: the
//! same sums either way.

use super::epilogue::{self, Pass};
use super::finish::Finish;
use super::outline::Outline;
use super::packing::Source;
use super::problem::Problem;
use crate::simd::{BLOCK, Kernel, Routine, Simd};

/// Up to this k sixteen rows are read side by side: what is saved beside the products counts then.
const SHORT: usize = 4 * BLOCK;

/// The product of a [`Problem`] whose n is 1.
pub(super) struct Column(pub(super) Problem);

impl Kernel for Column {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: made by `Outline::run` alone, whose caller vouches for the problem.
        unsafe { run(s, &self.0) }
    }
}

impl Routine for Column {
    type Plan = Outline;

    /// The product of an outline with one column, whose k is not zero.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        outline: &Outline,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        operand: *const f32,
        scratch: *mut f32,
    ) {
        // SAFETY: by the caller's word.
        unsafe { run(s, &outline.problem(lhs, rhs, out, operand, scratch)) }
    }
}

/// # Safety
/// As for [`super::blocking::run`], without scratch.
#[inline(always)]
unsafe fn run<S: Simd>(s: S, problem: &Problem) {
    let Problem { m, k, lhs, rhs, bias, out, out_row, ref finish, after, in_place, .. } = *problem;
    let mut row = 0;
    let is_dense = lhs.col == 1 && rhs.row == 1 && out_row == 1 && !in_place;
    if S::LANES == BLOCK && k <= BLOCK && is_dense && after.pass == Pass::None {
        // SAFETY: by the caller's word: k <= BLOCK values a row and in the column, both contiguous.
        row = unsafe { short_rows(s, problem) };
    }
    while row < m {
        let rows = if m - row < BLOCK { m - row } else { BLOCK };
        // SAFETY: `rows` rows of A from `row` on and the column of B have k elements each.
        let sums = unsafe { dots(s, lhs.at(row, 0), rows, k, rhs) };
        let out = out.wrapping_add(row * out_row);
        // As a row of n = 1: the saved matrix is turned with it.
        let after = after.at(row, 0).t();
        // SAFETY: element row + i of C, i < rows, is at `out + i * out_row`; the buffer has room
        // for all of them.
        unsafe {
            if out_row == 1 && !in_place {
                write(s, sums, finish, bias, out, rows);
                epilogue::run(s, after, out, 0, 1, rows);
            } else {
                let mut buffer = [0.0_f32; BLOCK];
                if finish.beta != 0.0 {
                    for (i, x) in buffer.iter_mut().take(rows).enumerate() {
                        *x = *out.wrapping_add(i * out_row);
                    }
                }
                write(s, sums, finish, bias, buffer.as_mut_ptr(), rows);
                epilogue::run(s, after, buffer.as_mut_ptr(), 0, 1, rows);
                for (i, x) in buffer.iter().take(rows).enumerate() {
                    out.wrapping_add(i * out_row).write(*x);
                }
            }
        }
        row += rows;
    }
}

/// Computes whole blocks of rows of no more than a register each; returns the number of these rows. The
/// rows are reached one from the other: offsets to sixteen would not find room in the registers.
///
/// # Safety
/// As for [`run`], for rows and a column of `k <= BLOCK` contiguous values and a contiguous C.
#[inline(always)]
unsafe fn short_rows<S: Simd>(s: S, problem: &Problem) -> usize {
    let Problem { m, k, lhs, rhs, bias, out, ref finish, .. } = *problem;
    // SAFETY: `k` values at each pointer that it is called with, by the caller's word.
    let load = |ptr: *const f32| unsafe {
        if k == BLOCK {
            s.load_block(&*ptr.cast())
        } else {
            s.load_block_tail(core::slice::from_raw_parts(ptr, k), 0.0)
        }
    };
    let whole = m - m % BLOCK;
    let column = load(rhs.ptr);
    let mut row = lhs.ptr;
    for first in (0..whole).step_by(BLOCK) {
        let mut sums = [s.splat_block(0.0); BLOCK];
        for sum in &mut sums {
            add_products(s, sum, load(row), column);
            row = s.opaque(row.wrapping_add(lhs.row));
        }
        // SAFETY: BLOCK elements of C from `first` on.
        unsafe { write(s, s.sum_blocks(&sums), finish, bias, out.wrapping_add(first), BLOCK) };
    }
    whole
}

/// Turns `rows` sums into contiguous elements of C: see [`Finish`].
///
/// # Safety
/// `rows <= BLOCK` elements at `out` are valid for reading and writing; the bias is null or has a
/// value.
#[inline(always)]
unsafe fn write<S: Simd>(
    s: S,
    sums: S::Block,
    finish: &Finish,
    bias: *const f32,
    out: *mut f32,
    rows: usize,
) {
    // x + (-0) is x for every x: the neutral bias.
    // SAFETY: not null, so it has a value for the one column.
    let bias = if bias.is_null() { -0.0 } else { unsafe { *bias } };
    let mut done = 0;
    for sum in sums.as_ref() {
        if done < rows {
            let lanes = if rows - done < S::LANES { rows - done } else { S::LANES };
            let out = out.wrapping_add(done);
            let x = if finish.beta == 0.0 {
                s.mul(s.splat(finish.alpha), *sum)
            } else {
                // SAFETY: done + lanes <= rows.
                let before = unsafe { s.load_ptr_first(out, lanes) };
                s.mul_add(s.splat(finish.alpha), *sum, s.mul(s.splat(finish.beta), before))
            };
            let x = s.max(s.splat(finish.floor), s.add(x, s.splat(bias)));
            // SAFETY: done + lanes <= rows.
            unsafe {
                if lanes == S::LANES {
                    s.store_ptr(x, out);
                } else {
                    s.store_ptr_first(x, out, lanes);
                }
            }
        }
        done += S::LANES;
    }
}

/// Dot products of up to sixteen rows of `lhs` with the column `rhs`, one a virtual lane; lanes
/// past `rows` hold anything.
///
/// # Safety
/// `0 < rows <= BLOCK`; `rows` x `k` elements at `lhs` and `k` at `rhs` are valid for reading.
#[inline(always)]
unsafe fn dots<S: Simd>(s: S, lhs: Source, rows: usize, k: usize, rhs: Source) -> S::Block {
    let mut acc = [s.splat_block(0.0); BLOCK];
    // SAFETY: by the caller's word; each branch has checked the stride that its function asks for.
    unsafe {
        if lhs.col == 1 && (rhs.row == 1 || k == 1) {
            if rows == 1 {
                let [first, ..] = &mut acc;
                dot_rows(s, lhs, rows, k, rhs.ptr, core::array::from_mut(first));
            } else if S::LANES == BLOCK && rows == BLOCK && k <= SHORT {
                // The sums of all rows stay in registers.
                dot_rows(s, lhs, BLOCK, k, rhs.ptr, &mut acc);
            } else if S::REGISTERS >= 32 {
                let (groups, _) = acc.as_chunks_mut::<8>();
                dot_groups(s, lhs, rows, k, rhs.ptr, groups);
            } else {
                let (groups, _) = acc.as_chunks_mut::<4>();
                dot_groups(s, lhs, rows, k, rhs.ptr, groups);
            }
            s.sum_blocks(&acc)
        } else if lhs.row == 1 {
            let mut sums = s.splat_block(0.0);
            let mut done = 0;
            for sum in sums.as_mut() {
                if done < rows {
                    let lanes = if rows - done < S::LANES { rows - done } else { S::LANES };
                    *sum = dot_columns(s, lhs.at(done, 0).ptr, lhs.col, lanes, k, rhs);
                }
                done += S::LANES;
            }
            sums
        } else {
            for (row, acc) in acc.iter_mut().take(rows).enumerate() {
                *acc = dot_strided(s, lhs.at(row, 0), k, rhs);
            }
            s.sum_blocks(&acc)
        }
    }
}

/// [`dot_rows`] for groups of rows below one another, as many as have rows.
///
/// # Safety
/// As for [`dots`], with contiguous rows and a contiguous column.
#[inline(always)]
unsafe fn dot_groups<S: Simd, const N: usize>(
    s: S,
    lhs: Source,
    rows: usize,
    k: usize,
    rhs: *const f32,
    groups: &mut [[S::Block; N]],
) {
    let mut row = 0;
    for acc in groups {
        if row < rows {
            // SAFETY: the rows from `row < rows` on.
            unsafe { dot_rows(s, lhs.at(row, 0), rows - row, k, rhs, acc) };
        }
        row += N;
    }
}

/// Adds the products of sixteen virtual lanes to `acc`.
#[inline(always)]
fn add_products<S: Simd>(s: S, acc: &mut S::Block, a: S::Block, b: S::Block) {
    for ((acc, a), b) in acc.as_mut().iter_mut().zip(a.as_ref()).zip(b.as_ref()) {
        *acc = s.mul_add(*a, *b, *acc);
    }
}

/// Products of up to `N` rows with contiguous elements and a contiguous column, by virtual lanes;
/// rows past `rows` repeat the last.
///
/// # Safety
/// `rows > 0` rows of `k` elements at `lhs` and `k` at `rhs` are valid for reading.
#[inline(always)]
unsafe fn dot_rows<S: Simd, const N: usize>(
    s: S,
    lhs: Source,
    rows: usize,
    k: usize,
    rhs: *const f32,
    acc: &mut [S::Block; N],
) {
    let mut row = [lhs.ptr; N];
    for (i, row) in row.iter_mut().enumerate() {
        *row = lhs.at(if i < rows { i } else { rows - 1 }, 0).ptr;
    }
    let mut sums = [s.splat_block(0.0); N];
    let whole = k - k % BLOCK;
    let mut p = 0;
    while p < whole {
        // SAFETY: p + BLOCK <= k, in the column and in each row.
        unsafe {
            let b = s.load_block(&*rhs.add(p).cast());
            for (sum, row) in sums.iter_mut().zip(row) {
                add_products(s, sum, s.load_block(&*row.add(p).cast()), b);
            }
        }
        p += BLOCK;
    }
    if whole < k {
        // SAFETY: k - whole elements are left, in the column and in each row.
        unsafe {
            let tail = |ptr| s.load_block_tail(core::slice::from_raw_parts(ptr, k - whole), 0.0);
            let b = tail(rhs.add(whole));
            for (sum, row) in sums.iter_mut().zip(row) {
                add_products(s, sum, tail(row.add(whole)), b);
            }
        }
    }
    *acc = sums;
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

/// Products of one row with any strides, by virtual lanes.
///
/// # Safety
/// `k` elements of the row at `lhs` and of `rhs` are valid for reading.
#[inline(always)]
unsafe fn dot_strided<S: Simd>(s: S, lhs: Source, k: usize, rhs: Source) -> S::Block {
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
    acc
}
