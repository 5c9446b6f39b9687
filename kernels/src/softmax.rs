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
//! elements at a time; the sums of these are added with their rounding errors carried along. A row
//! of at most sixteen elements stays in registers from load to store.
//!
//! **Special values.** -∞ has probability 0. A row with a NaN or with +∞, and a row of -∞ only, have
//! no softmax: the whole row becomes NaN. Log-sum-exp is +∞, -∞ and NaN in these cases as the formula
//! Σ exp has it.
//!
//! **Accuracy.** exp and ln as in [`crate::math`]; x - m is rounded, so that the relative error of
//! exp(x - m) also holds half an ULP of x - m. A sum is within some tens of u = 2^-24 of that of its
//! absolute terms, whatever the length of the row.

use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::math::generic::{exp, ln};
use crate::reduce::Total;
use crate::simd::{BLOCK, Simd};

/// Elements of a row that are summed before the compensated total takes over.
const PIECE: usize = 1024;

/// `Ok` if `len` is a whole number of rows.
fn check_rows(what: &'static str, len: usize, cols: usize) -> Result<(), Error> {
    check_len(what, len, len - len.checked_rem(cols).unwrap_or(len))
}

/// exp(x - shift), and 0 for an x of -∞, which missing lanes hold, without passing through subnormals:
/// these are slow on many machines.
#[inline(always)]
fn exp_or_zero<S: Simd>(s: S, x: S::F32, shift: S::F32) -> S::F32 {
    let zero = s.splat(0.0);
    let none = s.eq(x, s.splat(f32::NEG_INFINITY));
    s.select(none, zero, exp(s, s.select(none, zero, s.sub(x, shift))))
}

/// Largest element of a row.
#[inline(always)]
fn row_max<S: Simd>(s: S, row: &[f32]) -> f32 {
    let (blocks, tail) = row.as_chunks::<BLOCK>();
    let mut acc = s.load_block_tail(tail, f32::NEG_INFINITY);
    for block in blocks {
        for (acc, x) in acc.as_mut().iter_mut().zip(s.load_block(block).as_ref()) {
            *acc = s.max(*acc, *x);
        }
    }
    s.max_block(acc)
}

/// Sum of exp(x - shift) over a row.
#[inline(always)]
fn row_exp_sum<S: Simd>(s: S, row: &[f32], shift: f32) -> f32 {
    let shift = s.splat(shift);
    let mut total = Total::default();
    for piece in row.chunks(PIECE) {
        let (blocks, tail) = piece.as_chunks::<BLOCK>();
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
        total.add(s.sum_block(acc));
    }
    total.value()
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

/// A function of a row, by a block where the row fits one, else in place.
trait Row: Copy {
    /// A row of at most [`BLOCK`] elements.
    fn block<S: Simd>(self, s: S, row: &[f32]) -> S::Block;
    /// Any row.
    fn in_place<S: Simd>(self, s: S, row: &mut [f32]);
}

#[derive(Clone, Copy)]
struct Softmax;

impl Row for Softmax {
    #[inline(always)]
    fn block<S: Simd>(self, s: S, row: &[f32]) -> S::Block {
        let mut x = s.load_block_tail(row, f32::NEG_INFINITY);
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
    fn in_place<S: Simd>(self, s: S, row: &mut [f32]) {
        let max = s.splat(row_max(s, row));
        let mut total = Total::default();
        for piece in row.chunks_mut(PIECE) {
            let (blocks, tail) = piece.as_chunks_mut::<BLOCK>();
            let mut acc = s.splat_block(0.0);
            for block in &mut *blocks {
                let mut e = s.load_block(block);
                for (acc, e) in acc.as_mut().iter_mut().zip(e.as_mut()) {
                    *e = exp(s, s.sub(*e, max));
                    *acc = s.add(*acc, *e);
                }
                store_block(s, e, block);
            }
            if !tail.is_empty() {
                let mut e = s.load_block_tail(tail, f32::NEG_INFINITY);
                for (acc, e) in acc.as_mut().iter_mut().zip(e.as_mut()) {
                    *e = exp_or_zero(s, *e, max);
                    *acc = s.add(*acc, *e);
                }
                store_block(s, e, tail);
            }
            total.add(s.sum_block(acc));
        }
        let scale = s.splat(1.0 / total.value());
        let (chunks, tail) = s.chunks_mut(row);
        for chunk in chunks {
            s.store(s.mul(s.load(chunk), scale), chunk);
        }
        if !tail.is_empty() {
            s.store_tail(s.mul(s.load_tail(tail, 0.0), scale), tail);
        }
    }
}

#[derive(Clone, Copy)]
struct LogSoftmax;

impl Row for LogSoftmax {
    #[inline(always)]
    fn block<S: Simd>(self, s: S, row: &[f32]) -> S::Block {
        let mut x = s.load_block_tail(row, f32::NEG_INFINITY);
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
    fn in_place<S: Simd>(self, s: S, row: &mut [f32]) {
        let max = row_max(s, row);
        let log = ln(s, s.splat(row_exp_sum(s, row, max)));
        let max = s.splat(max);
        let (chunks, tail) = s.chunks_mut(row);
        for chunk in chunks {
            s.store(s.sub(s.sub(s.load(chunk), max), log), chunk);
        }
        if !tail.is_empty() {
            s.store_tail(s.sub(s.sub(s.load_tail(tail, 0.0), max), log), tail);
        }
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
    let rows = x.chunks_exact(cols).zip(out.chunks_exact_mut(cols));
    if cols <= BLOCK {
        for (x, out) in rows {
            store_block(s, function.block(s, x), out);
        }
    } else {
        for (x, out) in rows {
            out.copy_from_slice(x);
            function.in_place(s, out);
        }
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
    for row in x.chunks_exact_mut(cols) {
        if cols <= BLOCK {
            store_block(s, function.block(s, row), row);
        } else {
            function.in_place(s, row);
        }
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
            let max = row_max(s, row);
            // Without a finite maximum the terms are infinite or 0 as they stand.
            *out = if max.is_finite() { max } else { 0.0 };
            *sum = row_exp_sum(s, row, *out);
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
