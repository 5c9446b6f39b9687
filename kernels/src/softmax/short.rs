//! Rows of at most a block: read and written once.
//!
//! Groups of as many rows as there are lanes are transposed, one row a lane, so that what is reduced over
//! a row takes one operation a column for all of them, in the order of the tree of [`crate::simd`]. The
//! last rows go one by one.

use super::{Row, exp_or_zero, store_block};
use crate::math::generic::{exp, ln};
use crate::simd::{BLOCK, Simd};

/// The number of each virtual lane.
pub(crate) const LANE: [f32; BLOCK] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

/// The row of `cols` elements, at most [`BLOCK`], that `x` begins with; the other lanes are -∞. What
/// follows the row is read along where it can be, as that is quicker than a masked load.
#[inline(always)]
pub(crate) fn load_row<S: Simd>(s: S, x: &[f32], cols: usize) -> S::Block {
    let none = s.splat(f32::NEG_INFINITY);
    match x.first_chunk() {
        Some(block) => {
            let mut row = s.load_block(block);
            for (x, lane) in row.as_mut().iter_mut().zip(s.load_block(&LANE).as_ref()) {
                *x = s.select(s.lt(*lane, s.splat(cols as f32)), *x, none);
            }
            row
        }
        None => s.load_block_tail(x.get(..cols).unwrap_or(&[]), f32::NEG_INFINITY),
    }
}

/// A group of rows, transposed: its columns, of which as many elements count as there are lanes.
pub(crate) type Tile = [[f32; BLOCK]; BLOCK];

/// The columns as registers.
#[inline(always)]
pub(crate) fn columns<S: Simd>(s: S, tile: &Tile, cols: usize) -> impl Iterator<Item = S::F32> {
    tile.iter().take(cols).filter_map(move |column| Some(s.load(s.chunks(column).0.first()?)))
}

/// The columns, to be written.
#[inline(always)]
pub(crate) fn columns_mut<S: Simd>(
    s: S,
    tile: &mut Tile,
    cols: usize,
) -> impl Iterator<Item = &mut S::Chunk> {
    tile.iter_mut().take(cols).filter_map(move |column| s.chunks_mut(column).0.first_mut())
}

/// Largest of each row.
#[inline(always)]
pub(crate) fn max_columns<S: Simd>(s: S, tile: &Tile, cols: usize) -> S::F32 {
    let mut max = s.splat(f32::NEG_INFINITY);
    for x in columns(s, tile, cols) {
        max = s.max(max, x);
    }
    max
}

/// Sum of each row, by the tree of [`Simd::sum_block`].
#[inline(always)]
pub(crate) fn sum_columns<S: Simd>(s: S, tile: &Tile, cols: usize) -> S::F32 {
    let mut sums = [s.splat(0.0); BLOCK];
    for (sum, x) in sums.iter_mut().zip(columns(s, tile, cols)) {
        *sum = x;
    }
    for half in [8, 4, 2, 1] {
        let (low, high) = sums.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low = s.add(*low, *high);
        }
    }
    let [sum, ..] = sums;
    sum
}

/// Softmax of a row; missing lanes are -∞.
#[inline(always)]
pub(super) fn softmax<S: Simd>(s: S, mut x: S::Block) -> S::Block {
    let max = s.splat(s.max_block(x));
    for x in x.as_mut() {
        *x = exp_or_zero(s, *x, max);
    }
    let scale = s.splat(1.0 / s.sum_block(x));
    for x in x.as_mut() {
        *x = s.mul(*x, scale);
    }
    x
}

/// Softmax of rows that are the lanes of the columns.
#[inline(always)]
pub(super) fn softmax_columns<S: Simd>(s: S, tile: &mut Tile, cols: usize) {
    let max = max_columns(s, tile, cols);
    for x in columns_mut(s, tile, cols) {
        s.store(exp(s, s.sub(s.load(x), max)), x);
    }
    let scale = s.div(s.splat(1.0), sum_columns(s, tile, cols));
    for x in columns_mut(s, tile, cols) {
        s.store(s.mul(s.load(x), scale), x);
    }
}

/// Log-softmax of a row; missing lanes are -∞.
#[inline(always)]
pub(super) fn log_softmax<S: Simd>(s: S, mut x: S::Block) -> S::Block {
    let max = s.splat(s.max_block(x));
    let mut e = x;
    for (x, e) in x.as_mut().iter_mut().zip(e.as_mut()) {
        *e = exp_or_zero(s, *x, max);
        *x = s.sub(*x, max);
    }
    let log = ln(s, s.splat(s.sum_block(e)));
    for x in x.as_mut() {
        *x = s.sub(*x, log);
    }
    x
}

/// Log-softmax of rows that are the lanes of the columns.
#[inline(always)]
pub(super) fn log_softmax_columns<S: Simd>(s: S, tile: &mut Tile, spare: &mut Tile, cols: usize) {
    let max = max_columns(s, tile, cols);
    for (x, term) in columns_mut(s, tile, cols).zip(columns_mut(s, spare, cols)) {
        let shifted = s.sub(s.load(x), max);
        s.store(shifted, x);
        s.store(exp(s, shifted), term);
    }
    let log = ln(s, sum_columns(s, spare, cols));
    for x in columns_mut(s, tile, cols) {
        s.store(s.sub(s.load(x), log), x);
    }
}

/// Rows of one block: groups of as many as there are lanes go transposed, one row a lane, so that
/// maximum and sum take one operation a column; the last ones go one by one.
///
/// Whole blocks are stored: lanes past a row's end are written anew by the rows after it.
#[inline(always)]
pub(super) fn rows<S: Simd, F: Row>(s: S, function: F, x: &[f32], cols: usize, out: &mut [f32]) {
    let group = cols * S::LANES;
    let (groups, mut rest) = x.split_at(x.len() - x.len() % group);
    let (out_groups, mut out) = out.split_at_mut(groups.len());
    let mut tiles = [[[0.0; BLOCK]; BLOCK]; 2];
    for (x, out) in groups.chunks_exact(group).zip(out_groups.chunks_exact_mut(group)) {
        s.transpose(x, cols, (S::LANES, cols), &mut tiles[0]);
        transposed_rows(s, function, &mut tiles, cols, out);
    }
    while !rest.is_empty() {
        let y = function.block(s, load_row(s, rest, cols));
        store_row(s, y, cols, out);
        rest = rest.get(cols..).unwrap_or_default();
        out = out.get_mut(cols..).unwrap_or_default();
    }
}

/// The rows of a group, from `tile` transposed, to `out`.
#[inline(always)]
fn transposed_rows<S: Simd, F: Row>(
    s: S,
    function: F,
    [tile, spare]: &mut [Tile; 2],
    cols: usize,
    mut out: &mut [f32],
) {
    function.columns(s, tile, spare, cols);
    s.transpose(tile.as_flattened(), BLOCK, (cols, S::LANES), spare);
    for row in spare.iter().take(S::LANES) {
        store_row(s, s.load_block(row), cols, out);
        out = out.get_mut(cols..).unwrap_or_default();
    }
}

/// As [`rows`], in place.
#[inline(always)]
pub(super) fn rows_in_place<S: Simd, F: Row>(s: S, function: F, x: &mut [f32], cols: usize) {
    let mut tiles = [[[0.0; BLOCK]; BLOCK]; 2];
    let mut groups = x.chunks_exact_mut(cols * S::LANES);
    for group in &mut groups {
        s.transpose(group, cols, (S::LANES, cols), &mut tiles[0]);
        transposed_rows(s, function, &mut tiles, cols, group);
    }
    for row in groups.into_remainder().chunks_exact_mut(cols) {
        store_block(s, function.block(s, load_row(s, row, cols)), row);
    }
}

/// Stores a row at the start of `out`, and what is in the lanes past its end where there is room.
#[inline(always)]
pub(crate) fn store_row<S: Simd>(s: S, row: S::Block, cols: usize, out: &mut [f32]) {
    match out.first_chunk_mut::<BLOCK>() {
        Some(out) => store_block(s, row, out),
        None => store_block(s, row, out.get_mut(..cols).unwrap_or_default()),
    }
}
