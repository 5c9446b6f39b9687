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
//! elements at a time; the sums of these are added with their rounding errors carried along. How a row
//! is passed over depends on its length and the level, but the order of its sum on the length alone:
//!
//! | elements | passes over a row |
//! |---|---|
//! | up to 16 | one: groups of rows transposed, one row a lane (`softmax/short.rs`) |
//! | up to 128 (AVX2: 96) | one, from registers; log-softmax a second, after the logarithms of a group of rows at once (`softmax/held.rs`) |
//! | up to 1,024 | maximum, exponentials and scaling, all of them in the first cache (`softmax/long.rs`) |
//! | more | two over memory, the first by pieces that stay in the first cache |
//!
//! On one core of an AMD EPYC (Zen 5) softmax of rows of 64 takes 0.20 ns an element with AVX-512, where
//! three passes over the first cache took 0.25. Of 1,048,576 elements it takes 0.20 ns an element (0.37
//! with AVX2), where a pass for the maximum, one for the exponentials and one for the scaling took 0.19
//! (0.37) in place, and 0.26 (0.43) with the copy to another slice before them.
//!
//! **Special values.** -∞ has probability 0. A row with a NaN or with +∞, and a row of -∞ only, have
//! no softmax: the whole row becomes NaN. Log-sum-exp is +∞, -∞ and NaN in these cases as the formula
//! Σ exp has it.
//!
//! **Accuracy.** exp and ln as in [`crate::math`]; x - m is rounded, so that the relative error of
//! exp(x - m) also holds half an ULP of x - m; in a row of more than 4,096 elements that of two such
//! differences, to the largest element so far and from there to m. A sum is within some tens of
//! u = 2^-24 of that of its absolute terms, whatever the length of the row.

mod gradient;
pub(crate) mod held;
mod long;
mod short;

pub(crate) use long::{PIECES, Running, piece_len, row_max, scale_pieces, scale_row};
pub(crate) use short::{LANE, columns_mut, load_row, max_columns, store_row, sum_columns};

use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::math::generic::{exp, ln};
use crate::math::{Function, map_in, map_in_place_in};
use crate::simd::{BLOCK, Kernel, Simd};
use long::row_exp_sum;
use short::Tile;

/// Elements of a row that are summed before the compensated total takes over.
const PIECE: usize = 1024;

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

/// A function of rows.
trait Row: Copy {
    /// A row of at most [`BLOCK`] elements; missing lanes are -∞.
    fn block<S: Simd>(self, s: S, row: S::Block) -> S::Block;
    /// As many such rows as there are lanes, one a lane; the columns are the first `cols` of `tile`.
    fn columns<S: Simd>(self, s: S, tile: &mut Tile, spare: &mut Tile, cols: usize);
    /// Rows of more than [`BLOCK`] elements, from `x`, or in place if that is empty.
    fn long_rows<S: Simd>(self, s: S, x: &[f32], cols: usize, out: &mut [f32])
    -> Result<(), Error>;
}

#[derive(Clone, Copy)]
struct Softmax;

impl Row for Softmax {
    #[inline(always)]
    fn block<S: Simd>(self, s: S, row: S::Block) -> S::Block {
        short::softmax(s, row)
    }
    #[inline(always)]
    fn columns<S: Simd>(self, s: S, tile: &mut Tile, _: &mut Tile, cols: usize) {
        short::softmax_columns(s, tile, cols);
    }
    #[inline(always)]
    fn long_rows<S: Simd>(
        self,
        s: S,
        x: &[f32],
        cols: usize,
        out: &mut [f32],
    ) -> Result<(), Error> {
        long_softmax(s, x, cols, out);
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct LogSoftmax;

impl Row for LogSoftmax {
    #[inline(always)]
    fn block<S: Simd>(self, s: S, row: S::Block) -> S::Block {
        short::log_softmax(s, row)
    }
    #[inline(always)]
    fn columns<S: Simd>(self, s: S, tile: &mut Tile, spare: &mut Tile, cols: usize) {
        short::log_softmax_columns(s, tile, spare, cols);
    }
    #[inline(always)]
    fn long_rows<S: Simd>(
        self,
        s: S,
        x: &[f32],
        cols: usize,
        out: &mut [f32],
    ) -> Result<(), Error> {
        long_log_softmax(s, x, cols, out)
    }
}

/// Rows of more than a block, from `x`, or in place if that is empty: in a function of their own, apart
/// from the short ones, whose loops would not be unrolled in one that large.
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
        let Self { function, x, cols, out } = self;
        function.long_rows(s, x, cols, out)
    }
}

/// Softmax of [`LongRows`].
#[inline(always)]
fn long_softmax<S: Simd>(s: S, x: &[f32], cols: usize, out: &mut [f32]) {
    if held::holds::<S>(cols) {
        return s.call(held::Softmax { x, cols, out });
    }
    let mut sources = x.chunks_exact(cols);
    for row in out.chunks_exact_mut(cols) {
        long::softmax(s, sources.next().unwrap_or_default(), row);
    }
}

/// Log-softmax of [`LongRows`], in two passes over a row that is held. As many rows at a time as there
/// are lanes for their logarithms, fewer if they would not stay in the first cache.
#[inline(always)]
fn long_log_softmax<S: Simd>(s: S, x: &[f32], cols: usize, out: &mut [f32]) -> Result<(), Error> {
    let group = cols * (8 * PIECE / cols).clamp(1, S::LANES);
    let mut sources = x.chunks(group);
    for out in out.chunks_mut(group) {
        let x = sources.next().unwrap_or_default();
        let (mut largest, mut sums) = ([0.0; BLOCK], [1.0; BLOCK]);
        exp_sums(s, if x.is_empty() { out } else { x }, cols, &mut largest, &mut sums);
        for sum in &mut sums {
            // With +∞ in the row.
            *sum = if *sum == f32::INFINITY { f32::NAN } else { *sum };
        }
        let mut logs = [0.0; BLOCK];
        s.store_tail(ln(s, s.load_tail(&sums, 1.0)), &mut logs);
        let mut sources = x.chunks_exact(cols);
        for (row, (max, log)) in out.chunks_exact_mut(cols).zip(largest.into_iter().zip(logs)) {
            let difference = Difference { max, log };
            match sources.next() {
                Some(x) => map_in(s, difference, x, row)?,
                None => map_in_place_in(s, difference, row),
            }
        }
    }
    Ok(())
}

/// The largest element M of each row, at most [`f32::MAX`], and the sum of exp(x - M).
#[inline(always)]
fn exp_sums<S: Simd>(s: S, x: &[f32], cols: usize, largest: &mut [f32], sums: &mut [f32]) {
    if held::holds::<S>(cols) {
        return s.call(held::ExpSums { x, cols, largest, sums });
    }
    for (row, (max, sum)) in x.chunks_exact(cols).zip(largest.iter_mut().zip(sums)) {
        (*max, *sum) = row_exp_sum(s, row);
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
        short::rows(s, function, x, 10, out);
    } else if cols <= BLOCK {
        short::rows(s, function, x, cols, out);
    } else {
        return s.call(LongRows { function, x, cols, out });
    }
    Ok(())
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
        short::rows_in_place(s, function, x, 10);
    } else if cols <= BLOCK {
        short::rows_in_place(s, function, x, cols);
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
        exp_sums(s, x, cols, out, &mut sums);
        let logs = ln(s, s.load_tail(&sums, 1.0));
        s.store_tail(s.add(s.load_tail(out, 0.0), logs), out);
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
    gradient::rows(s, Softmax, y, cols, grad)
}

#[inline(always)]
fn log_softmax_backward_in<S: Simd>(
    s: S,
    y: &[f32],
    cols: usize,
    grad: &mut [f32],
) -> Result<(), Error> {
    gradient::rows(s, LogSoftmax, y, cols, grad)
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
