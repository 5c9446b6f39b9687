//! Tiles of a C whose rows are not contiguous, or whose values are read by what follows: the microkernel
//! writes them to a buffer, from where they go to their places. Where the columns of C are contiguous, four
//! rows of the buffer at a time are turned in registers: value by value a store takes two cycles on Zen 4, and
//! 256 x 10 values a fifth of the time of their sums of 128 products.

use super::blocking::Columns;
use super::epilogue::{self, After};
use super::microkernel::{MAX_COLS, MAX_ROWS, Strip};
use super::problem::Problem;
use super::table;
use crate::simd::Simd;

/// Where [`stage`] keeps tiles: rows of [`MAX_COLS`].
pub(super) type Buffer = [f32; MAX_ROWS * MAX_COLS];

/// Computes the tiles of `strip`, of `mr` rows each, through a buffer, which is made for the first. `after` is
/// what follows on their elements.
///
/// # Safety
/// As for `run_panel` in `blocking`, for the rows of the strip, from `row` on, with A and B at the first tile;
/// `mr <= MAX_ROWS`.
#[inline(always)]
pub(super) unsafe fn run_strip<S: Simd>(
    s: S,
    problem: &Problem,
    columns: Columns,
    row: usize,
    mr: usize,
    strip: &Strip,
    lhs: *const f32,
    rhs: *const f32,
    bias: *const f32,
    after: After,
    buffer: &mut Option<Buffer>,
) {
    // As many tiles at a time as find room in the buffer.
    let mut tile = 0;
    while tile < strip.tiles {
        let tiles = (MAX_ROWS / mr).min(strip.tiles - tile);
        let lhs = lhs.wrapping_add(tile * strip.lhs_tile);
        let part = Strip { tiles, fetch_rhs: strip.fetch_rhs && tile == 0, ..*strip };
        let done = tile * mr;
        // SAFETY: by the caller's word, for these tiles, whose rows are no more than MAX_ROWS.
        unsafe {
            let after = after.at(done, 0);
            stage(s, problem, columns, row + done, mr, part, lhs, rhs, bias, after, buffer);
        }
        tile += tiles;
    }
}

/// The same for so few tiles that they have room in the buffer.
///
/// # Safety
/// As for [`run_strip`], and `mr * strip.tiles <= MAX_ROWS`.
#[inline(always)]
unsafe fn stage<S: Simd>(
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
    let Problem { out_row, out_col, .. } = *problem;
    let rows = mr * strip.tiles;
    let buffer = buffer.get_or_insert([0.0; MAX_ROWS * MAX_COLS]);
    let element =
        |i: usize, j: usize| problem.out.wrapping_add((row + i) * out_row + (start + j) * out_col);
    if strip.finish.reads() {
        for (i, buffer) in buffer.chunks_exact_mut(MAX_COLS).take(rows).enumerate() {
            for (j, x) in buffer.iter_mut().take(cols).enumerate() {
                // SAFETY: an element of C by the caller's word.
                *x = unsafe { *element(i, j) };
            }
        }
    }
    let out = buffer.as_mut_ptr();
    // SAFETY: the rows are no more than MAX_ROWS; with cols <= MAX_COLS values each they fit into the buffer.
    unsafe {
        let strip = Strip { out_row: MAX_COLS, ahead: 0, next_rows: 0, ..strip };
        table::run_strip(s, mr, vectors, problem.split, &strip, lhs, rhs, out, bias);
        epilogue::run(s, after, out, MAX_COLS, rows, cols);
    }
    if out_row == 1 && out_col != 1 {
        // SAFETY: rows of C by the caller's word, `out_col` apart; cols <= MAX_COLS.
        unsafe { copy_columns(s, buffer, rows, cols, element(0, 0), out_col) };
        return;
    }
    for (i, buffer) in buffer.chunks_exact(MAX_COLS).take(rows).enumerate() {
        if out_col == 1 {
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

/// Copies `rows` rows of `cols` values to columns: value j of row i to `out + j * stride + i`.
///
/// # Safety
/// `rows <= MAX_ROWS`, `cols <= MAX_COLS`; `out + j * stride` is valid for writing `rows` values for every
/// j < cols.
#[inline(always)]
unsafe fn copy_columns<S: Simd>(
    s: S,
    buffer: &Buffer,
    rows: usize,
    cols: usize,
    out: *mut f32,
    stride: usize,
) {
    let whole = cols - cols % S::LANES;
    for col in (0..whole).step_by(S::LANES) {
        let src = buffer.as_ptr().wrapping_add(col);
        let out = out.wrapping_add(col * stride);
        let load = |row: usize| {
            // SAFETY: row < rows of the buffer has LANES values from col on.
            unsafe { s.load_ptr(src.wrapping_add(row * MAX_COLS)) }
        };
        let mut row = 0;
        // SAFETY: LANES columns of C from col on have room for `rows` values.
        unsafe {
            while row + 4 <= rows {
                let v = [row, row + 1, row + 2, row + 3].map(load);
                s.store_columns(v, 4, out.wrapping_add(row), stride);
                row += 4;
            }
            if row < rows {
                let last = rows - 1;
                let v = [row, row + 1, row + 2, last].map(|row| load(row.min(last)));
                s.store_columns(v, rows - row, out.wrapping_add(row), stride);
            }
        }
    }
    for (i, buffer) in buffer.chunks_exact(MAX_COLS).take(rows).enumerate() {
        for (j, x) in buffer.iter().enumerate().take(cols).skip(whole) {
            // SAFETY: row i of column j, by the caller's word.
            unsafe { out.wrapping_add(j * stride + i).write(*x) };
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
