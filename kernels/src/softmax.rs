//! Softmax, log-softmax and log-sum-exp of the rows of a matrix, with gradients.
//!
//! A matrix is a slice of rows of `cols` elements. With m the largest of a row and
//! s = Σ exp(x - m), which lies between 1 and `cols`:
//!
//! - softmax: exp(x - m) / s
//! - log-softmax: (x - m) - ln s
//! - log-sum-exp: m + ln s
//!
//! so that nothing overflows. The gradients follow from the output y and the upstream gradient g:
//!
//! - softmax: y·(g - Σ g·y)
//! - log-softmax: g - exp(y)·Σ g
//!
//! Maximum and sums run over sixteen virtual lanes and the fixed tree of [`crate::simd`], 1,024
//! elements at a time; the sums of these are added with their rounding errors carried along. Rows of
//! at most sixteen elements are read and written once: groups of them are transposed, one row a lane,
//! so that what is reduced over a row takes one operation a column for all of them, in the order of
//! the tree.
//!
//! A longer row is passed over twice, the first time piece by piece (Milakov and Gimelshein, *Online
//! normalizer calculation for softmax*, 2018, with a piece in place of their element): a piece stays in
//! the first cache while its largest element is found and the exponentials of the differences to the
//! largest so far are written; where that grew, the sum of the pieces before is rescaled. The second pass
//! multiplies each piece by what it needs, so that no exponential is taken twice. A row of up to
//! 1,024 elements is one piece, with nothing to rescale. On one core of an AMD EPYC (Zen 5) softmax
//! of 1,048,576 elements takes 0.20 ns an element so with AVX-512 (0.37 with AVX2), where a
//! pass for the maximum, one for the exponentials and one for the scaling took 0.19 (0.37) in place, and
//! 0.26 (0.43) with the copy to another slice before them.
//!
//! **Special values.** -∞ has probability 0. A row with a NaN or with +∞, and a row of -∞ only, have
//! no softmax: the whole row becomes NaN. Log-sum-exp is +∞, -∞ and NaN in these cases as the formula
//! Σ exp has it.
//!
//! **Accuracy.** exp and ln as in [`crate::math`]; x - m is rounded, so that the relative error of
//! exp(x - m) also holds half an ULP of x - m; in a row of more than 4,096 elements that of two such
//! differences, to the largest element so far and from there to m. A sum is within some tens of
//! u = 2^-24 of that of its absolute terms, whatever the length of the row.

use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::math::generic::{exp, ln};
use crate::math::{Function, map_in, map_in_place_in};
use crate::reduce::Total;
use crate::simd::{BLOCK, Kernel, Simd};

/// Elements of a row that are summed before the compensated total takes over.
const PIECE: usize = 1024;

/// Elements of a row whose exponentials have the same shift: they stay in the first cache from the
/// search for the largest to the exponentials. Longer in a row that would have too many [`PIECES`].
const SHIFTED: usize = 4 * PIECE;

/// Pieces of a row at most, each with the largest element that was known when it was read.
pub(crate) const PIECES: usize = 32;

/// `Ok` if `len` is a whole number of rows.
fn check_rows(what: &'static str, len: usize, cols: usize) -> Result<(), Error> {
    check_len(what, len, len - len.checked_rem(cols).unwrap_or(len))
}

/// exp(x - shift), and 0 for an x of -∞, which missing lanes hold, without passing through subnormals:
/// these are slow on many machines.
#[inline(always)]
pub(crate) fn exp_or_zero<S: Simd>(s: S, x: S::F32, shift: S::F32) -> S::F32 {
    let zero = s.splat(0.0);
    let none = s.eq(x, s.splat(f32::NEG_INFINITY));
    s.select(none, zero, exp(s, s.select(none, zero, s.sub(x, shift))))
}

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
fn row_exp_sum<S: Simd>(s: S, row: &[f32]) -> (f32, f32) {
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

/// Stores the first `min(out.len(), BLOCK)` virtual lanes; only what is less than a register is
/// masked, as masked stores are slow where they are not native.
#[inline(always)]
fn store_block<S: Simd>(s: S, v: S::Block, out: &mut [f32]) {
    let (chunks, tail) = s.chunks_mut(out);
    let mut v = v.as_ref().iter();
    for (chunk, v) in chunks.iter_mut().zip(v.by_ref()) {
        s.store(*v, chunk);
    }
    if let Some(v) = v.next()
        && !tail.is_empty()
    {
        s.store_tail(*v, tail);
    }
}

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

/// A function of a row, by a block where the row fits one, else in place.
trait Row: Copy {
    /// A row of at most [`BLOCK`] elements; missing lanes are -∞.
    fn block<S: Simd>(self, s: S, row: S::Block) -> S::Block;
    /// As many rows as there are lanes, one a lane; the columns are the first `cols` of `tile`.
    fn columns<S: Simd>(self, s: S, tile: &mut Tile, spare: &mut Tile, cols: usize);
    /// Any row, from `x` of its length, or in place if `x` is empty.
    fn any<S: Simd>(self, s: S, x: &[f32], row: &mut [f32]) -> Result<(), Error>;
}

#[derive(Clone, Copy)]
struct Softmax;

impl Row for Softmax {
    #[inline(always)]
    fn block<S: Simd>(self, s: S, mut x: S::Block) -> S::Block {
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

    #[inline(always)]
    fn columns<S: Simd>(self, s: S, tile: &mut Tile, _: &mut Tile, cols: usize) {
        let max = max_columns(s, tile, cols);
        for x in columns_mut(s, tile, cols) {
            s.store(exp(s, s.sub(s.load(x), max)), x);
        }
        let scale = s.div(s.splat(1.0), sum_columns(s, tile, cols));
        for x in columns_mut(s, tile, cols) {
            s.store(s.mul(s.load(x), scale), x);
        }
    }

    #[inline(always)]
    fn any<S: Simd>(self, s: S, x: &[f32], row: &mut [f32]) -> Result<(), Error> {
        if row.len() <= PIECE {
            let max = row_max(s, if x.is_empty() { row } else { x });
            let sum = exponentials(s, max, x, row);
            scale_row(s, 1.0 / sum, row);
            return Ok(());
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
        Ok(())
    }
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

#[derive(Clone, Copy)]
struct LogSoftmax;

impl Row for LogSoftmax {
    #[inline(always)]
    fn block<S: Simd>(self, s: S, mut x: S::Block) -> S::Block {
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

    #[inline(always)]
    fn columns<S: Simd>(self, s: S, tile: &mut Tile, spare: &mut Tile, cols: usize) {
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

    #[inline(always)]
    fn any<S: Simd>(self, s: S, x: &[f32], row: &mut [f32]) -> Result<(), Error> {
        let (max, sum) = row_exp_sum(s, if x.is_empty() { row } else { x });
        // With +∞ in the row, its sum is infinite.
        let log = ln(s, s.splat(if sum == f32::INFINITY { f32::NAN } else { sum }));
        let difference = Difference { max, log: lane(s, log) };
        if x.is_empty() {
            map_in_place_in(s, difference, row);
        } else {
            map_in(s, difference, x, row)?;
        }
        Ok(())
    }
}

/// `(x - max) - log`
#[derive(Clone, Copy)]
struct Difference {
    max: f32,
    log: f32,
}

impl Function for Difference {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.sub(s.sub(x, s.splat(self.max)), s.splat(self.log))
    }
}

/// Each row of `x` through `function` into the same row of `out`.
#[inline(always)]
fn rows<S: Simd, F: Row>(
    s: S,
    function: F,
    x: &[f32],
    cols: usize,
    out: &mut [f32],
) -> Result<(), Error> {
    check_rows("x", x.len(), cols)?;
    check_len("out", out.len(), x.len())?;
    if x.is_empty() {
        return Ok(());
    }
    if cols == 10 {
        // The classes of many data sets: loops of known length.
        short_rows(s, function, x, 10, out);
    } else if cols <= BLOCK {
        short_rows(s, function, x, cols, out);
    } else {
        return s.call(LongRows { function, x, cols, out });
    }
    Ok(())
}

/// Rows of more than a block, from `x`, or in place if that is empty: apart from the short ones, whose
/// loops would not be unrolled in a function that large.
struct LongRows<'a, F> {
    function: F,
    x: &'a [f32],
    cols: usize,
    out: &'a mut [f32],
}

impl<F: Row> Kernel for LongRows<'_, F> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<(), Error> {
        let mut sources = self.x.chunks_exact(self.cols);
        for row in self.out.chunks_exact_mut(self.cols) {
            self.function.any(s, sources.next().unwrap_or_default(), row)?;
        }
        Ok(())
    }
}

/// Rows of one block: groups of as many as there are lanes go transposed, one row a lane, so that
/// maximum and sum take one operation a column; the last ones go one by one.
///
/// Whole blocks are stored: lanes past a row's end are written anew by the rows after it.
#[inline(always)]
fn short_rows<S: Simd, F: Row>(s: S, function: F, x: &[f32], cols: usize, out: &mut [f32]) {
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

/// As [`short_rows`], in place.
#[inline(always)]
fn short_rows_in_place<S: Simd, F: Row>(s: S, function: F, x: &mut [f32], cols: usize) {
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

/// Each row of `x` through `function`, in place.
#[inline(always)]
fn rows_in_place<S: Simd, F: Row>(
    s: S,
    function: F,
    x: &mut [f32],
    cols: usize,
) -> Result<(), Error> {
    check_rows("x", x.len(), cols)?;
    if x.is_empty() {
        return Ok(());
    }
    if cols == 10 {
        short_rows_in_place(s, function, x, 10);
    } else if cols <= BLOCK {
        short_rows_in_place(s, function, x, cols);
    } else {
        return s.call(LongRows { function, x: &[], cols, out: x });
    }
    Ok(())
}

#[inline(always)]
fn softmax_in<S: Simd>(s: S, x: &[f32], cols: usize, out: &mut [f32]) -> Result<(), Error> {
    rows(s, Softmax, x, cols, out)
}

#[inline(always)]
fn softmax_in_place_in<S: Simd>(s: S, x: &mut [f32], cols: usize) -> Result<(), Error> {
    rows_in_place(s, Softmax, x, cols)
}

#[inline(always)]
fn log_softmax_in<S: Simd>(s: S, x: &[f32], cols: usize, out: &mut [f32]) -> Result<(), Error> {
    rows(s, LogSoftmax, x, cols, out)
}

#[inline(always)]
fn log_softmax_in_place_in<S: Simd>(s: S, x: &mut [f32], cols: usize) -> Result<(), Error> {
    rows_in_place(s, LogSoftmax, x, cols)
}

#[inline(always)]
fn log_sum_exp_in<S: Simd>(s: S, x: &[f32], cols: usize, out: &mut [f32]) -> Result<(), Error> {
    check_rows("x", x.len(), cols)?;
    check_len("out", out.len(), x.len().checked_div(cols).unwrap_or(0))?;
    if x.is_empty() {
        return Ok(());
    }
    // As many rows at a time as there are lanes for their logarithms.
    for (x, out) in x.chunks(cols.saturating_mul(S::LANES)).zip(out.chunks_mut(S::LANES)) {
        let mut sums = [1.0; BLOCK];
        for ((row, out), sum) in x.chunks_exact(cols).zip(&mut *out).zip(&mut sums) {
            (*out, *sum) = row_exp_sum(s, row);
        }
        let logs = ln(s, s.load_tail(&sums, 1.0));
        s.store_tail(s.add(s.load_tail(out, 0.0), logs), out);
    }
    Ok(())
}

/// A gradient of a row: what is summed, and what an element becomes.
trait RowGradient: Copy {
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

#[inline(always)]
fn gradient_rows<S: Simd, F: RowGradient>(
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

#[inline(always)]
fn softmax_backward_in<S: Simd>(
    s: S,
    y: &[f32],
    cols: usize,
    grad: &mut [f32],
) -> Result<(), Error> {
    gradient_rows(s, Softmax, y, cols, grad)
}

#[inline(always)]
fn log_softmax_backward_in<S: Simd>(
    s: S,
    y: &[f32],
    cols: usize,
    grad: &mut [f32],
) -> Result<(), Error> {
    gradient_rows(s, LogSoftmax, y, cols, grad)
}

stamp! {
    /// Softmax of each row of `cols` elements.
    ///
    /// # Errors
    /// [`Error::Length`] if `x` is not a whole number of rows, or `out` has another length.
    ///
    /// ```
    /// use slimfit_kernels::{Level, softmax};
    ///
    /// let mut out = [0.0; 4];
    /// softmax::softmax(Level::detect(), &[0.0, 0.0, 1000.0, -1000.0], 2, &mut out)?;
    /// assert_eq!(out, [0.5, 0.5, 1.0, 0.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn softmax(x: &[f32], cols: usize, out: &mut [f32]) -> Result<(), Error> = softmax_in;

    /// Softmax of each row of `cols` elements, in place; the same bits as [`softmax`].
    ///
    /// # Errors
    /// [`Error::Length`] if `x` is not a whole number of rows.
    ///
    /// ```
    /// use slimfit_kernels::{Level, softmax};
    ///
    /// let mut x = [3.0, 3.0];
    /// softmax::softmax_in_place(Level::detect(), &mut x, 2)?;
    /// assert_eq!(x, [0.5, 0.5]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn softmax_in_place(x: &mut [f32], cols: usize) -> Result<(), Error> = softmax_in_place_in;

    /// Logarithm of the softmax of each row of `cols` elements.
    ///
    /// # Errors
    /// [`Error::Length`] if `x` is not a whole number of rows, or `out` has another length.
    ///
    /// ```
    /// use slimfit_kernels::{Level, softmax};
    ///
    /// let mut out = [0.0; 2];
    /// softmax::log_softmax(Level::detect(), &[0.0, 1000.0], 2, &mut out)?;
    /// assert_eq!(out, [-1000.0, 0.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn log_softmax(x: &[f32], cols: usize, out: &mut [f32]) -> Result<(), Error> = log_softmax_in;

    /// Logarithm of the softmax of each row of `cols` elements, in place; the same bits as
    /// [`log_softmax`].
    ///
    /// # Errors
    /// [`Error::Length`] if `x` is not a whole number of rows.
    ///
    /// ```
    /// use slimfit_kernels::{Level, softmax};
    ///
    /// let mut x = [0.0, 1000.0];
    /// softmax::log_softmax_in_place(Level::detect(), &mut x, 2)?;
    /// assert_eq!(x, [-1000.0, 0.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn log_softmax_in_place(x: &mut [f32], cols: usize) -> Result<(), Error> = log_softmax_in_place_in;

    /// `ln Σ exp(x)` of each row of `cols` elements; `out` has one element a row.
    ///
    /// # Errors
    /// [`Error::Length`] if `x` is not a whole number of rows, or `out` is not of their number.
    ///
    /// ```
    /// use slimfit_kernels::{Level, softmax};
    ///
    /// let mut out = [0.0];
    /// softmax::log_sum_exp(Level::detect(), &[1000.0, 0.0], 2, &mut out)?;
    /// assert_eq!(out, [1000.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn log_sum_exp(x: &[f32], cols: usize, out: &mut [f32]) -> Result<(), Error> = log_sum_exp_in;

    /// Gradient of [`softmax`]: `grad` holds that by the output `y` before, that by the input after.
    ///
    /// # Errors
    /// [`Error::Length`] if `y` is not a whole number of rows, or `grad` has another length.
    ///
    /// ```
    /// use slimfit_kernels::{Level, softmax};
    ///
    /// let mut grad = [4.0, 0.0];
    /// softmax::softmax_backward(Level::detect(), &[0.5, 0.5], 2, &mut grad)?;
    /// assert_eq!(grad, [1.0, -1.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn softmax_backward(y: &[f32], cols: usize, grad: &mut [f32]) -> Result<(), Error> = softmax_backward_in;

    /// Gradient of [`log_softmax`]: `grad` holds that by the output `y` before, that by the input
    /// after.
    ///
    /// # Errors
    /// [`Error::Length`] if `y` is not a whole number of rows, or `grad` has another length.
    ///
    /// ```
    /// use slimfit_kernels::{Level, softmax};
    ///
    /// let mut grad = [1.0, 0.0];
    /// softmax::log_softmax_backward(Level::detect(), &[0.0, -1000.0], 2, &mut grad)?;
    /// assert_eq!(grad, [0.0, 0.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn log_softmax_backward(y: &[f32], cols: usize, grad: &mut [f32]) -> Result<(), Error> = log_softmax_backward_in;
}
