//! Tiles of a C whose rows are not contiguous, or whose values are read by what follows: the microkernel
//! writes them to a buffer, from where they go to their places one by one.

use super::blocking::Columns;
use super::epilogue::{self, After};
use super::microkernel::{MAX_COLS, MAX_ROWS, Strip};
use super::problem::Problem;
use super::table;
use crate::simd::Simd;

/// Where [`stage`] keeps a tile: rows of [`MAX_COLS`].
pub(super) type Buffer = [f32; MAX_ROWS * MAX_COLS];

/// Computes one tile, of a strip of one, through a buffer, which is made for the first. `after` is what
/// follows on its elements.
///
/// # Safety
/// As for `run_panel` in `blocking`, for the rows `row..row + mr`, with A and B at the tile.
#[inline(always)]
pub(super) unsafe fn stage<S: Simd>(
    s: S,
    problem: &Problem,
    columns: Columns,
    row: usize,
    mr: usize,
    strip: Strip,
    lhs: *const f32,
    rhs: *const f32,
    bias: *const f32,
    after: After,
    buffer: &mut Option<Buffer>,
) {
    let Columns { start, count: cols, vectors, .. } = columns;
    let buffer = buffer.get_or_insert([0.0; MAX_ROWS * MAX_COLS]);
    let element = |i: usize, j: usize| {
        problem.out.wrapping_add((row + i) * problem.out_row + (start + j) * problem.out_col)
    };
    if strip.finish.reads() {
        for (i, buffer) in buffer.chunks_exact_mut(MAX_COLS).take(mr).enumerate() {
            for (j, x) in buffer.iter_mut().take(cols).enumerate() {
                // SAFETY: an element of C by the caller's word.
                *x = unsafe { *element(i, j) };
            }
        }
    }
    let out = buffer.as_mut_ptr();
    // SAFETY: mr <= MAX_ROWS rows of cols <= MAX_COLS values fit into the buffer.
    unsafe {
        let strip = Strip { out_row: MAX_COLS, ahead: 0, next_rows: 0, ..strip };
        table::run_strip(s, mr, vectors, problem.split, &strip, lhs, rhs, out, bias);
        epilogue::run(s, after, out, MAX_COLS, mr, cols);
    }
    for (i, buffer) in buffer.chunks_exact(MAX_COLS).take(mr).enumerate() {
        if problem.out_col == 1 {
            // SAFETY: a row of C by the caller's word, as long as `cols <= MAX_COLS`.
            unsafe { copy_row(s, buffer, element(i, 0), cols) };
            continue;
        }
        for (j, x) in buffer.iter().take(cols).enumerate() {
            // SAFETY: an element of C by the caller's word.
            unsafe { element(i, j).write(*x) };
        }
    }
}

/// Copies the first `len` values of `row` to `out`.
///
/// # Safety
/// `len <= row.len()`, and `out` is valid for writing so many.
#[inline(always)]
unsafe fn copy_row<S: Simd>(s: S, row: &[f32], out: *mut f32, len: usize) {
    for (v, chunk) in row.chunks_exact(S::LANES).enumerate() {
        let done = v * S::LANES;
        if done < len {
            // SAFETY: the chunk has LANES values, and `out` room for len - done more.
            unsafe {
                let values = s.load_ptr(chunk.as_ptr());
                s.store_ptr_first(values, out.wrapping_add(done), (len - done).min(S::LANES));
            }
        }
    }
}
