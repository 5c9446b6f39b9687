//! The product where a register holds one number: no strides to avoid, no lanes to fill, so nothing
//! is packed or staged, and no scratch is needed.
//!
//! A tile is 4 x 4, or a row of 4 where the plan asks for four chains: [`machine`] has their loops.
//! The k products of an element are added in the same order as at the other levels. At a ragged edge
//! a tile begins before it, and some of its sums are not used; what is smaller than a tile, or has
//! strides for which the machine has no loop, is computed element by element. Flash is dear: what
//! the sums become is computed in one place for all of them.

use core::mem::MaybeUninit;

use super::Order;
use super::epilogue::{After, Pass};
use super::finish::{Finish, Store};
use super::microkernel::SPLIT;
use super::packing::Source;
use super::problem::Problem;
use crate::activation::{Activation, Elementwise, ForwardOne, with_elementwise};
use crate::simd::{BLOCK, Kernel, Simd, Tile, first_lane, machine};

/// Rows and columns of a tile.
pub(super) const TILE: usize = 4;

/// A [`Problem`] of any order, k = 0 included.
pub(super) struct Product(pub(super) Problem, pub(super) Order);

impl Kernel for Product {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(problem, order) = &self;
        if problem.kc >= problem.k || *order == Order::Lanes {
            // SAFETY: made by `Outline::run`, whose caller vouches for the problem, or of a part of it.
            unsafe { block(s, problem, *order) };
        } else {
            s.call(Blocks(problem, *order));
        }
    }
}

/// A [`Product`] of several blocks of k.
struct Blocks<'a>(&'a Problem, Order);

impl Kernel for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(problem, order) = self;
        let Problem { k, kc, lhs, rhs, bias, after, .. } = *problem;
        let Finish { alpha, beta, floor, .. } = problem.finish;
        let mut p = 0;
        while p < k {
            let mut part = *problem;
            part.k = kc.min(k - p);
            (part.lhs, part.rhs) = (lhs.at(0, p), rhs.at(p, 0));
            let beta = if p == 0 { beta } else { 1.0 };
            p += part.k;
            (part.bias, part.after, part.finish) = if p == k {
                (bias, after, Finish::new(alpha, beta, !bias.is_null(), floor))
            } else {
                let finish = Finish::new(alpha, beta, false, f32::NEG_INFINITY);
                (core::ptr::null(), After::NONE, finish)
            };
            s.call(Product(part, order));
        }
    }
}

/// What the sums of a product become.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    /// They are C.
    Plain,
    /// Bias and floor: the forward pass of a layer.
    Layer,
    /// The derivative of relu: the backward pass.
    Gate,
    /// Whatever [`Finish`] and [`After`] say.
    Any,
}

/// One block of k.
///
/// # Safety
/// As for [`super::blocking::run`], without scratch; k may be zero.
#[inline(always)]
unsafe fn block<S: Simd>(s: S, problem: &Problem, order: Order) {
    let Problem { m, n, k, lhs, rhs, bias, out, out_row, out_col, finish, after, .. } = *problem;
    let last = match (finish.store, after.pass) {
        _ if k == 0 || out_col != 1 => Last::Any,
        (Store::Plain, Pass::None) => Last::Plain,
        (Store::Layer, Pass::None) if !bias.is_null() => Last::Layer,
        (Store::Plain, _) if after.is_relu_backward() && after.saved.col == 1 => Last::Gate,
        _ => Last::Any,
    };
    let split = order == Order::Split;
    // Rows of a tile, and tiles side by side that are computed together.
    let (height, most) = match (split, last) {
        (true, Last::Plain) => (1, usize::MAX),
        (true, _) => (1, TILE),
        (false, _) => (TILE, 1),
    };
    let whole = k > 0 && order != Order::Lanes && m >= height && n >= TILE;
    let mut sums = MaybeUninit::<[f32; TILE * TILE]>::uninit();
    let sums = sums.as_mut_ptr().cast::<f32>();
    let mut tile = Tile {
        a: lhs.ptr,
        a_row: lhs.row,
        a_col: lhs.col,
        b: rhs.ptr,
        b_row: rhs.row,
        b_col: rhs.col,
        k,
        out: sums,
        out_row: TILE,
    };
    let mut row = 0;
    if m == 1
        && split
        && whole
        && rhs.col == 1
        && lhs.col <= 1
        && n.is_multiple_of(TILE)
        && matches!(last, Last::Plain | Last::Layer)
    {
        // The sums of a layer wait in C for their bias.
        tile.out = out;
        // SAFETY: the tiles lie in C, A and B, as does the bias in its slice.
        unsafe {
            if machine::row(&tile, n / TILE) {
                if last == Last::Layer {
                    machine::layer(out, n / TILE, (bias, TILE), finish.floor, (out, TILE));
                }
                return;
            }
        }
        tile.out = sums;
    }
    if last == Last::Plain {
        (tile.out, tile.out_row) = (out, out_row);
        if whole && !split && n.is_multiple_of(TILE) {
            let strips = m / TILE;
            // SAFETY: the tiles lie in C, A and B.
            if unsafe { machine::grid(&tile, strips, n / TILE) } {
                row = strips * TILE;
            }
        }
    }
    while row < m {
        if !(whole && s.call(Strip { problem, last, split, most, tile: &mut tile, row })) {
            s.call(Elements { problem, last, order, row, rows: height.min(m - row) });
        }
        row += height;
    }
}

/// The rows of C from `row` on that a tile has, by tiles. Says whether it did so.
struct Strip<'a> {
    problem: &'a Problem,
    last: Last,
    split: bool,
    most: usize,
    /// Where the sums go, unless they are C.
    tile: &'a mut Tile,
    row: usize,
}

impl Kernel for Strip<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let Self { problem, last, split, most, tile, row } = self;
        let Problem { m, n, lhs, rhs, bias, out, out_row, ref finish, after, .. } = *problem;
        let height = if split { 1 } else { TILE };
        let top = row.min(m - height);
        let sums = tile.out;
        tile.a = lhs.at(top, 0).ptr;
        let mut column = 0;
        while column < n {
            let tiles = most.min((n - column) / TILE);
            // What is narrower than a tile ends one that begins before it.
            let left = if tiles == 0 { n - TILE } else { column };
            tile.b = rhs.at(0, left).ptr;
            if last == Last::Plain {
                // C is not read: where tiles overlap, its elements are written twice.
                tile.out = out.wrapping_add(top * out_row + left);
            }
            // SAFETY: the rows from `top` and the columns from `left` on exist; the sums are written
            // before they are read, as many as a tile has; what follows on them is as it is told.
            unsafe {
                let done = if split {
                    machine::row(tile, tiles.max(1))
                } else {
                    machine::square(tile) || machine::grid(tile, 1, 1)
                };
                if !done {
                    return false;
                }
                let corner = out.wrapping_add(row * out_row + column);
                let saved = after.saved.at(row, column);
                let first = sums.wrapping_add((row - top) * TILE + column - left);
                // The tiles side by side of one row are like the rows of one.
                let (rows, bias_row, saved_row, out_row) = if split {
                    (tiles, TILE, TILE, TILE)
                } else {
                    (height.min(m - row), 0, saved.row, out_row)
                };
                let to = (corner, out_row);
                if last == Last::Plain {
                } else if tiles > 0 && last == Last::Layer {
                    let bias = (bias.wrapping_add(column), bias_row);
                    machine::layer(first, rows, bias, finish.floor, to);
                } else if tiles > 0 && last == Last::Gate {
                    machine::gate(first, rows, (saved.ptr, saved_row), to);
                } else {
                    for i in 0..height.min(m - row) {
                        for j in 0..if tiles == 0 { n - column } else { tiles * TILE } {
                            let sum = *first.wrapping_add(i * TILE + j);
                            s.call(Element { problem, sum, row: row + i, column: column + j });
                        }
                    }
                }
            }
            column += if tiles == 0 { TILE } else { tiles * TILE };
        }
        true
    }
}

/// Some rows of C, element by element.
struct Elements<'a> {
    problem: &'a Problem,
    last: Last,
    order: Order,
    row: usize,
    rows: usize,
}

impl Kernel for Elements<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { problem, last, order, row, rows } = self;
        let Problem { n, k, lhs, rhs, out, out_row, .. } = *problem;
        for row in row..row + rows {
            for column in 0..n {
                // SAFETY: these are elements of C.
                unsafe {
                    let (a, b) = (lhs.at(row, 0), rhs.at(0, column));
                    let sum = if k == 1 {
                        let product = machine::mul_add(*a.ptr, *b.ptr, 0.0);
                        if order == Order::Chain { product } else { product + 0.0 }
                    } else {
                        element(a, b, k, order)
                    };
                    if last == Last::Plain {
                        *out.wrapping_add(row * out_row + column) = sum;
                    } else {
                        s.call(Element { problem, sum, row, column });
                    }
                }
            }
        }
    }
}

/// The sum of one element.
///
/// # Safety
/// `k` elements of the row at `lhs` and of the column at `rhs` are valid for reading.
#[inline(always)]
pub(super) unsafe fn element(lhs: Source, rhs: Source, k: usize, order: Order) -> f32 {
    if order == Order::Lanes {
        // SAFETY: by the caller's word.
        if let Some(sum) = unsafe { machine::lanes(lhs.ptr, lhs.col, rhs.ptr, rhs.row, k) } {
            return sum;
        }
    }
    let (all, lanes): (usize, usize) = match order {
        Order::Chain => (1, 1),
        Order::Split => (SPLIT, SPLIT),
        // Those that have no product are zero, of which this saves adding some.
        Order::Lanes => (BLOCK, k.min(BLOCK).next_power_of_two()),
    };
    let mut sums = MaybeUninit::<[f32; BLOCK]>::uninit();
    let sums = sums.as_mut_ptr().cast::<f32>();
    let (mut a, mut b) = (lhs.ptr, rhs.ptr);
    // SAFETY: what is read are products p < k, and lanes that were written before.
    unsafe {
        for lane in 0..lanes {
            let product = if lane < k { machine::mul_add(*a, *b, 0.0) } else { 0.0 };
            *sums.wrapping_add(lane) = product;
            (a, b) = (a.wrapping_add(lhs.col), b.wrapping_add(rhs.row));
        }
        for p in lanes..k {
            let sum = sums.wrapping_add(p & (all - 1));
            *sum = machine::mul_add(*a, *b, *sum);
            (a, b) = (a.wrapping_add(lhs.col), b.wrapping_add(rhs.row));
        }
        // (c0 + c1) + (c2 + c3) of four chains, lane i + lane i + 8 and so on of sixteen.
        if order == Order::Split {
            sums.wrapping_add(1).swap(sums.wrapping_add(2));
        }
        let mut half = lanes / 2;
        while half > 0 {
            for lane in 0..half {
                let sum = sums.wrapping_add(lane);
                *sum += *sum.wrapping_add(half);
            }
            half /= 2;
        }
        // The zeros of lanes without a product turn -0 into 0.
        if k.is_multiple_of(all) { *sums } else { *sums + 0.0 }
    }
}

/// One element of C of its sum: all that [`Finish`] and [`After`] may say.
struct Element<'a> {
    problem: &'a Problem,
    sum: f32,
    row: usize,
    column: usize,
}

impl Kernel for Element<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { problem, sum, row, column } = self;
        let Problem { k, bias, out, out_row, out_col, ref finish, after, .. } = *problem;
        let out = out.wrapping_add(row * out_row + column * out_col);
        // SAFETY: made by this file alone, for elements that C has; the caller of `Outline::run` vouches
        // for C, for a bias, unless null, in each column, and for a saved matrix of the same shape.
        unsafe {
            let x = finished(s, finish, (k > 0).then_some(sum), out, bias, column);
            *out = match after.pass {
                Pass::None => x,
                Pass::Forward => s.call(ForwardOne(after.activation, x)),
                Pass::Backward => {
                    let saved = *after.saved.at(row, column).ptr;
                    x * s.call(Derivative(after.activation, saved))
                }
            };
        }
    }
}

/// An element of C of its sum, or of none where k is zero: see [`Finish`].
///
/// # Safety
/// `out` is valid for reading, and the bias, unless null, in column `column`.
#[inline(always)]
unsafe fn finished<S: Simd>(
    s: S,
    finish: &Finish,
    sum: Option<f32>,
    out: *const f32,
    bias: *const f32,
    column: usize,
) -> f32 {
    // x + (-0) is x for every x: where C is not added, and for the neutral bias.
    // SAFETY: by the caller's word.
    let (before, bias) = unsafe {
        (
            if finish.beta == 0.0 { -0.0 } else { finish.beta * *out },
            if bias.is_null() { -0.0 } else { *bias.wrapping_add(column) },
        )
    };
    let x = match sum {
        Some(sum) => first_lane(s, s.mul_add(s.splat(finish.alpha), s.splat(sum), s.splat(before))),
        None if finish.beta == 0.0 => 0.0,
        None => before,
    };
    first_lane(s, s.max(s.splat(finish.floor), s.splat(x + bias)))
}

/// f' from what the forward pass saved.
struct Derivative(Activation, f32);

impl Kernel for Derivative {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        with_elementwise!(self.0, f => first_lane(s, f.derivative(s, s.splat(self.1))))
    }
}
