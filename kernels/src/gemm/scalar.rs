//! The product where a register holds one number: no strides to avoid, no lanes to fill, so nothing
//! is packed or staged, and no scratch is needed.
//!
//! A tile is 4 x 4: sixteen sums and eight operands in the 32 registers of an FPU. The k products
//! of an element are added in the same order as at the other levels. Flash is dear: there is a tile
//! for each of the three layouts that a layer's passes have (A and B along k or across it), one row
//! of four for batches of one, and one element for all the rest. Where C is not read a tile may
//! overlap the one before, which then computes the same numbers twice; so a ragged edge needs no
//! tile of its own.

use super::Order;
use super::blocking::Problem;
use super::epilogue::{After, Pass};
use super::microkernel::{Finish, SPLIT};
use super::packing::Source;
use crate::activation::{Activation, Elementwise, Relu, with_elementwise};
use crate::simd::{BLOCK, Kernel, Simd};

/// Rows and columns of a tile.
const TILE: usize = 4;

/// How the operands of a tile lie in memory.
/// Along k: the next p is the next number.
const ALONG: u8 = 0;
/// Across: the next row of A, or column of B, is the next number.
const ACROSS: u8 = 1;
/// With any strides.
const ANY: u8 = 2;

/// What a tile can do by itself with its sums, besides storing them. Nothing.
const NONE: u8 = 0;
/// Bias and floor: the forward pass.
const BIAS: u8 = 1;
/// The derivative of relu: the backward pass.
const GATE: u8 = 2;

/// A [`Problem`] of any order, k = 0 included.
pub(super) struct Product(pub(super) Problem, pub(super) Order);

impl Kernel for Product {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: made by `super::product_in` alone, which vouches for the problem.
        unsafe { run(s, &self.0, self.1) }
    }
}

/// # Safety
/// As for [`super::blocking::run`], without scratch; k may be zero.
#[inline(always)]
unsafe fn run<S: Simd>(s: S, problem: &Problem, order: Order) {
    let Problem { m, k, kc, lhs, rhs, .. } = *problem;
    if order == Order::Lanes && k > 0 {
        for row in 0..m {
            // SAFETY: row < m, and C has one column.
            unsafe {
                let sums = [value(s, dot(s, lhs.at(row, 0), rhs, k))];
                s.call(Store { problem, sums: &sums, cols: 1, row, column: 0 });
            }
        }
        return;
    }
    let mut p = 0;
    loop {
        let block = kc.min(k - p);
        let last = p + block == k;
        let beta = if p == 0 { problem.finish.beta } else { 1.0 };
        let finish = Finish { beta, ..problem.finish };
        let mut part =
            Problem { k: block, lhs: lhs.at(0, p), rhs: rhs.at(p, 0), finish, ..*problem };
        if !last {
            part.bias = core::ptr::null();
            part.finish = Finish { floor: f32::NEG_INFINITY, ..finish };
            part.after = After::NONE;
        }
        // SAFETY: the block lies in the matrices.
        unsafe { tiles(s, &part) };
        if last {
            break;
        }
        p += block;
    }
}

/// One block of k.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn tiles<S: Simd>(s: S, problem: &Problem) {
    let Problem { m, n, k, split, lhs, rhs, finish, in_place, after, .. } = *problem;
    // An overlapping tile must not read what it has written.
    let reads = finish.beta != 0.0 || in_place;
    let whole = |len: usize| len >= TILE && (!reads || len.is_multiple_of(TILE));
    let square = !split && k > 0 && whole(m) && whole(n);
    let row = split && k > 0 && whole(n);
    // Both ways if k is one; then the pass of the layer decides.
    let backward = after.pass == Pass::Backward;
    let (rhs_across, rhs_along) = (rhs.col == 1 && !(backward && rhs.row == 1), rhs.row == 1);
    // SAFETY: the tiles lie in C, A and B lie as they are told to, and each tile has its order.
    unsafe {
        if square && lhs.col == 1 && rhs_across {
            cover::<S, TILE, TILE, ALONG, ACROSS, 1, BIAS>(s, problem);
        } else if square && lhs.row == 1 && rhs_across {
            cover::<S, TILE, TILE, ACROSS, ACROSS, 1, NONE>(s, problem);
        } else if square && lhs.col == 1 && rhs_along {
            cover::<S, TILE, TILE, ALONG, ALONG, 1, GATE>(s, problem);
        } else if row && rhs_across {
            cover::<S, 1, TILE, ANY, ACROSS, SPLIT, BIAS>(s, problem);
        } else if row && rhs_along {
            cover::<S, 1, TILE, ANY, ALONG, SPLIT, GATE>(s, problem);
        } else if split {
            cover::<S, 1, 1, ANY, ANY, SPLIT, NONE>(s, problem);
        } else {
            cover::<S, 1, 1, ANY, ANY, 1, NONE>(s, problem);
        }
    }
}

/// Computes C by tiles of one shape. What they become is computed in registers where it is their
/// sums alone, or what `FINISH` says, else by [`Store`].
///
/// # Safety
/// As for [`run`]; m and n are multiples of R and V, or at least R and V with C not read; A and B
/// lie as `A` and `B` say.
#[inline(always)]
unsafe fn cover<
    S: Simd,
    const R: usize,
    const V: usize,
    const A: u8,
    const B: u8,
    const CHAINS: usize,
    const FINISH: u8,
>(
    s: S,
    problem: &Problem,
) {
    let Problem { m, n, k, lhs, rhs, bias, out, out_row, out_col, ref finish, after, .. } =
        *problem;
    let sums_alone = k > 0 && out_col == 1 && finish.alpha == 1.0 && finish.beta == 0.0;
    let unbound = bias.is_null() && finish.floor == f32::NEG_INFINITY;
    let none = sums_alone && after.pass == Pass::None;
    let (plain, biased) = (none && unbound, none && !bias.is_null());
    let gate = sums_alone && unbound && after.is_relu_backward();
    for row in (0..m).step_by(R) {
        let row = row.min(m - R);
        for column in (0..n).step_by(V) {
            let column = column.min(n - V);
            let out = |i, j| out.wrapping_add((row + i) * out_row + column + j);
            // SAFETY: the rows up to row + R and the columns up to column + V exist.
            unsafe {
                let (lhs, rhs) = (lhs.at(row, 0), rhs.at(0, column));
                let sums = accumulate::<S, R, V, A, B, CHAINS>(s, lhs, rhs, k);
                if plain {
                    for (i, sums) in sums.iter().enumerate() {
                        for (j, sum) in sums.iter().enumerate() {
                            s.store_ptr(*sum, out(i, j));
                        }
                    }
                } else if FINISH == BIAS && biased {
                    let bias = bias.wrapping_add(column);
                    let bias = next::<S, V, ACROSS>(s, &mut [bias; V], 0);
                    for (i, sums) in sums.iter().enumerate() {
                        for (j, (sum, bias)) in sums.iter().zip(bias).enumerate() {
                            let x = s.max(s.splat(finish.floor), s.add(*sum, bias));
                            s.store_ptr(x, out(i, j));
                        }
                    }
                } else if FINISH == GATE && gate {
                    for (i, sums) in sums.iter().enumerate() {
                        for (j, sum) in sums.iter().enumerate() {
                            let saved = s.load_ptr(after.saved.at(row + i, column + j).ptr);
                            s.store_ptr(s.mul(*sum, Relu.derivative(s, saved)), out(i, j));
                        }
                    }
                } else {
                    let sums = sums.map(|row| row.map(|sum| value(s, sum)));
                    s.call(Store { problem, sums: sums.as_flattened(), cols: V, row, column });
                }
            }
        }
    }
}

/// The sums of one tile.
///
/// # Safety
/// `R` x `k` elements at `lhs` and `k` x `V` at `rhs` are valid for reading, and lie as `A` and
/// `B` say.
#[inline(always)]
unsafe fn accumulate<
    S: Simd,
    const R: usize,
    const V: usize,
    const A: u8,
    const B: u8,
    const CHAINS: usize,
>(
    s: S,
    lhs: Source,
    rhs: Source,
    k: usize,
) -> [[S::F32; V]; R] {
    let mut operands = Operands::<R, V, A, B> {
        lhs: core::array::from_fn(|i| lhs.at(i, 0).ptr),
        rhs: core::array::from_fn(|j| rhs.at(0, j).ptr),
        lhs_step: lhs.col,
        rhs_step: rhs.row,
    };
    let mut chains = [[[s.splat(0.0); V]; R]; CHAINS];
    let mut left = k;
    while left >= CHAINS {
        for sums in &mut chains {
            // SAFETY: `left` steps are left.
            unsafe { operands.add_products(s, sums) };
        }
        left -= CHAINS;
    }
    for (chain, sums) in chains.iter_mut().enumerate() {
        if chain < left {
            // SAFETY: as above.
            unsafe { operands.add_products(s, sums) };
        }
    }
    let mut sums = chains[0];
    if CHAINS == SPLIT {
        for (i, row) in sums.iter_mut().enumerate() {
            for (j, sum) in row.iter_mut().enumerate() {
                let [first, second, third, fourth] =
                    [0, 1, 2, 3].map(|chain: usize| chains[chain % CHAINS][i][j]);
                *sum = s.add(s.add(first, second), s.add(third, fourth));
            }
        }
    }
    sums
}

/// Where the next products of a tile stand.
struct Operands<const R: usize, const V: usize, const A: u8, const B: u8> {
    lhs: [*const f32; R],
    rhs: [*const f32; V],
    lhs_step: usize,
    rhs_step: usize,
}

impl<const R: usize, const V: usize, const A: u8, const B: u8> Operands<R, V, A, B> {
    /// Adds the products of one step of k, and goes on to the next.
    ///
    /// # Safety
    /// The step exists.
    #[inline(always)]
    unsafe fn add_products<S: Simd>(&mut self, s: S, sums: &mut [[S::F32; V]; R]) {
        // SAFETY: the caller vouches for the step.
        let (a, b) = unsafe {
            (
                next::<S, R, A>(s, &mut self.lhs, self.lhs_step),
                next::<S, V, B>(s, &mut self.rhs, self.rhs_step),
            )
        };
        for (sums, a) in sums.iter_mut().zip(a) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = s.mul_add(a, b, *sum);
            }
        }
    }
}

/// Loads `N` numbers, and moves the pointers to the next.
///
/// # Safety
/// They are valid for reading.
#[inline(always)]
unsafe fn next<S: Simd, const N: usize, const LAYOUT: u8>(
    s: S,
    pointers: &mut [*const f32; N],
    step: usize,
) -> [S::F32; N] {
    let mut numbers = [s.splat(0.0); N];
    if LAYOUT == ACROSS {
        for (i, number) in numbers.iter_mut().enumerate() {
            // SAFETY: the numbers stand side by side, by the caller's word.
            *number = unsafe { s.load_ptr(pointers[0].wrapping_add(i)) };
        }
        pointers[0] = pointers[0].wrapping_add(step);
    } else {
        for (number, pointer) in numbers.iter_mut().zip(pointers) {
            // SAFETY: by the caller's word.
            *number = unsafe { s.load_ptr(*pointer) };
            *pointer = pointer.wrapping_add(if LAYOUT == ALONG { 1 } else { step });
        }
    }
    numbers
}

/// The sum of one element by sixteen virtual lanes; k > 0.
///
/// # Safety
/// `k` elements of the row at `lhs` and of the column at `rhs` are valid for reading.
#[inline(always)]
unsafe fn dot<S: Simd>(s: S, lhs: Source, rhs: Source, k: usize) -> S::F32 {
    let zero = s.splat(0.0);
    let mut operands = Operands::<1, 1, ANY, ANY> {
        lhs: [lhs.ptr],
        rhs: [rhs.ptr],
        lhs_step: lhs.col,
        rhs_step: rhs.row,
    };
    let mut lanes = [[[zero]]; BLOCK];
    let mut left = k;
    while left >= BLOCK {
        for lane in &mut lanes {
            // SAFETY: `left` steps are left.
            unsafe { operands.add_products(s, lane) };
        }
        left -= BLOCK;
    }
    if left > 0 {
        for (l, lane) in lanes.iter_mut().enumerate() {
            if l < left {
                // SAFETY: as above.
                unsafe { operands.add_products(s, lane) };
            } else {
                // As where missing lanes are zero: this turns -0 into 0.
                *lane = [[s.add(lane[0][0], zero)]];
            }
        }
    }
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low = [[s.add(low[0][0], high[0][0])]];
        }
    }
    lanes[0][0][0]
}

/// Turns the sums of a tile of `cols` columns from (row, column) on into elements of C: all that
/// [`Finish`] and [`After`] may say. One copy for all tiles.
struct Store<'a> {
    problem: &'a Problem,
    sums: &'a [f32],
    cols: usize,
    row: usize,
    column: usize,
}

impl Kernel for Store<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Problem { k, bias, out, out_row, out_col, ref finish, after, .. } = *self.problem;
        let (mut row, mut column) = (self.row, self.column);
        for sum in self.sums {
            let out = out.wrapping_add(row * out_row + column * out_col);
            // SAFETY: made by this file alone, for elements that C has; `super::product_in` vouches
            // for C, for a bias, unless null, in each column, and for a saved matrix of the same
            // shape.
            unsafe {
                let x = finished(s, finish, (k > 0).then_some(*sum), out, bias, column);
                *out = match after.pass {
                    Pass::None => x,
                    Pass::Forward => s.call(Forward(after.activation, x)),
                    Pass::Backward => {
                        let saved = *after.saved.at(row, column).ptr;
                        x * s.call(Derivative(after.activation, saved))
                    }
                };
            }
            column += 1;
            if column == self.column + self.cols {
                (row, column) = (row + 1, self.column);
            }
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
        Some(sum) => value(s, s.mul_add(s.splat(finish.alpha), s.splat(sum), s.splat(before))),
        None if finish.beta == 0.0 => 0.0,
        None => before,
    };
    value(s, s.max(s.splat(finish.floor), s.splat(x + bias)))
}

/// What the one lane holds.
#[inline(always)]
fn value<S: Simd>(s: S, x: S::F32) -> f32 {
    let mut lane = [0.0];
    s.store_tail(x, &mut lane);
    lane[0]
}

/// f(z)
struct Forward(Activation, f32);

impl Kernel for Forward {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        with_elementwise!(self.0, f => value(s, f.apply(s, s.splat(self.1))))
    }
}

/// f' from what the forward pass saved.
struct Derivative(Activation, f32);

impl Kernel for Derivative {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        with_elementwise!(self.0, f => value(s, f.derivative(s, s.splat(self.1))))
    }
}
