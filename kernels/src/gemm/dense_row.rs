//! One row through a dense layer: a product without matrices to describe, and without scratch.
//!
//! With vectors it is that of [`super::product`]. Where a register holds one number it is for small
//! flashes, and nothing else of the products is linked for it: the sums of all columns go to `out`,
//! those of later blocks of k are added there, then come bias and activation.

use core::mem::MaybeUninit;

use super::packing::Source;
use super::scalar::{TILE, element};
use super::{Epilogue, Order, Plan, product_in};
use crate::activation::{Activation, forward_in_place_in};
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::simd::{Kernel, Simd, Tile, machine};
use crate::{Error, MatMut, MatRef};

stamp! {
    /// One row through a dense layer: out <- f(x W + b).
    ///
    /// `weights` is W, `x.len()` x `out.len()`, row-major; `bias` is as long as `out`. The bits are
    /// those of [`gemm`](super::gemm) with [`Epilogue::BiasActivation`], alpha 1 and beta 0 for a
    /// single row. There is no scratch to lend, and on a processor without vectors less than half the
    /// code is linked.
    ///
    /// ```
    /// use slimfit_kernels::Level;
    /// use slimfit_kernels::activation::Activation;
    /// use slimfit_kernels::gemm::dense_row;
    ///
    /// let x = [1.0, 2.0, 3.0];
    /// let w = [1.0, 0.0, 0.0, 1.0, -1.0, -1.0]; // 3 x 2
    /// let mut y = [f32::NAN; 2];
    /// dense_row(Level::detect(), &x, &w, &[0.5, 3.0], Activation::Relu, &mut y)?;
    /// assert_eq!(y, [0.0, 2.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] if `weights` or `bias` do not fit, [`Error::Parameter`] if that of the
    /// activation is negative or not finite. `out` is then as it was.
    pub fn dense_row(
        x: &[f32],
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
        out: &mut [f32],
    ) -> Result<(), Error> = dense_row_in;
}

#[inline(always)]
fn dense_row_in<S: Simd>(
    s: S,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    activation: Activation,
    out: &mut [f32],
) -> Result<(), Error> {
    let (k, n) = (x.len(), out.len());
    // What overflows becomes a length that no slice has.
    check_len("weights", weights.len(), k.saturating_mul(n))?;
    check_len("bias", bias.len(), n)?;
    activation.check()?;
    if S::LANES == 1 {
        s.call(Row { x, weights, bias, activation, out });
        return Ok(());
    }
    let (lhs, rhs, c) =
        (MatRef::new(x, 1, k)?, MatRef::new(weights, k, n)?, MatMut::new(out, 1, n)?);
    let epilogue = Epilogue::BiasActivation(bias, activation);
    product_in(s, Plan::new(1, n, k), 1.0, lhs, rhs, 0.0, c, epilogue, &mut [])
}

/// [`dense_row`] where a register holds one number; all fits.
struct Row<'a> {
    x: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    activation: Activation,
    out: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, weights, bias, activation, out } = self;
        let relu = activation == Activation::Relu;
        // SAFETY: made by `dense_row_in` alone, which has compared the lengths.
        unsafe { sums(x, weights.as_ptr(), out) };
        finish(bias, if relu { 0.0 } else { f32::NEG_INFINITY }, out);
        if !relu {
            forward_in_place_in(s, activation, out);
        }
    }
}

/// out <- x W, in the order that the [`Plan`] says.
///
/// # Safety
/// `x.len() * out.len()` numbers at `weights` are valid for reading.
#[inline(always)]
unsafe fn sums(x: &[f32], weights: *const f32, out: &mut [f32]) {
    let (k, n) = (x.len(), out.len());
    let plan = Plan::new(1, n, k);
    let block = if plan.order == Order::Lanes { k } else { plan.block_len() };
    let lhs = Source { ptr: x.as_ptr(), row: k, col: 1 };
    let rhs = Source { ptr: weights, row: n, col: 1 };
    let out = out.as_mut_ptr();
    // Of a block after the first.
    let mut later = MaybeUninit::<[f32; TILE * TILE]>::uninit();
    let later = later.as_mut_ptr().cast::<f32>();
    let (a, b) = (lhs.ptr, rhs.ptr);
    let mut tile = Tile { a, a_row: k, a_col: 1, b, b_row: n, b_col: 1, k, out, out_row: n };
    let mut p = 0;
    loop {
        tile.k = block.min(k - p);
        tile.a = lhs.at(0, p).ptr;
        let most = if p == 0 { usize::MAX } else { TILE };
        let mut column = 0;
        while column < n {
            let tiles = most.min((n - column) / TILE);
            // What is narrower than a tile ends one that begins before it, as far as there is one.
            let whole = n >= TILE && k > 0;
            let left = if whole && tiles == 0 { n - TILE } else { column };
            let end = match tiles {
                _ if !whole => column + 1,
                0 => n,
                _ => column + tiles * TILE,
            };
            // SAFETY: the columns from `left` to `end` exist, and the rows of W from p on that the block
            // has; there is room for the sums of `most` tiles.
            unsafe {
                let to = if p == 0 { out.wrapping_add(left) } else { later };
                if whole {
                    (tile.b, tile.out) = (rhs.at(p, left).ptr, to);
                    machine::row(&tile, tiles.max(1));
                } else {
                    *to = element(lhs.at(0, p), rhs.at(p, column), tile.k, plan.order);
                }
                if p > 0 {
                    for j in column..end {
                        *out.wrapping_add(j) += *later.wrapping_add(j - left);
                    }
                }
            }
            column = end;
        }
        p += tile.k;
        if p == k {
            return;
        }
    }
}

/// out <- max(floor, out + bias)
#[inline(always)]
fn finish(bias: &[f32], floor: f32, out: &mut [f32]) {
    let (tiles, rest) = out.as_chunks_mut::<TILE>();
    let (bias_tiles, bias_rest) = bias.as_chunks::<TILE>();
    let rows = tiles.len().min(bias_tiles.len());
    if rows > 0 {
        let (sums, bias) = (tiles.as_mut_ptr().cast(), bias_tiles.as_ptr().cast());
        // SAFETY: both have so many rows of four.
        unsafe { machine::layer(sums, rows, (bias, TILE), floor, (sums, TILE)) };
    }
    for (x, bias) in rest.iter_mut().zip(bias_rest) {
        let sum = *x + bias;
        *x = if floor > sum { floor } else { sum };
    }
}
