//! Sums, norms and moments in a fixed order.
//!
//! # Order
//! A slice is cut into pieces of 16,384 elements. A piece is summed over sixteen virtual lanes:
//! element i belongs to lane i mod 16. Four blocks of sixteen make one small tree,
//! `(b0 + b1) + (b2 + b3)`, and the tree goes to the accumulator in one dependent addition, so that
//! the additions of one tree overlap with those of the next. Blocks that are left over are added
//! one by one, the last one padded with zeros; then the lanes are added by the tree of
//! [`Simd::sum_block`]. The sums of the pieces are added with the rounding errors carried along
//! (two-sum: Knuth, The Art of Computer Programming 2, 4.2.2, theorem B). All of this follows from
//! the length alone, so every fused [`Level`](crate::Level) gives the same bits, and those that
//! only add or compare ([`sum`], [`sum_abs`], the column sums and extremes) give them at any level.
//!
//! # Error
//! With u = 2^-24, at most about `(16384 / 64 + 10) * u * Σ|term|` whatever the length, and in
//! practice near the root of that factor.
//!
//! # Special values
//! A NaN anywhere gives NaN, as do infinities of both signs; one kind of infinity gives that
//! infinity. A sum beyond the range of f32 is infinite, and a partial sum beyond it counts as an infinity
//! among the elements: finite ones whose parts overflow to both sides give NaN. No element at all
//! gives zero.

mod columns;

pub use columns::{column_extremes, column_moments, column_sums};

use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::math;
use crate::simd::{BLOCK, Simd};

/// Elements that are summed before the compensated total takes over.
pub(crate) const PIECE: usize = 16_384;

/// Elements of four blocks.
const QUAD: usize = 4 * BLOCK;

stamp! {
    /// Sum of all elements; zero for an empty slice.
    ///
    /// ```
    /// use slimfit_kernels::{Level, reduce};
    ///
    /// assert_eq!(reduce::sum(Level::detect(), &[1.0, 2.0, 4.0]), 7.0);
    /// ```
    #[must_use]
    pub fn sum(x: &[f32]) -> f32 = sum_in;

    /// Sum of the absolute values, `Σ|x|`.
    ///
    /// ```
    /// use slimfit_kernels::{Level, reduce};
    ///
    /// assert_eq!(reduce::sum_abs(Level::detect(), &[1.0, -2.0, 4.0]), 7.0);
    /// ```
    #[must_use]
    pub fn sum_abs(x: &[f32]) -> f32 = sum_abs_in;

    /// Sum of the squares, `Σx²`.
    ///
    /// The square of an element above 1.8e19 is infinite, and one below 2.6e-23 rounds to zero.
    ///
    /// ```
    /// use slimfit_kernels::{Level, reduce};
    ///
    /// assert_eq!(reduce::sum_squares(Level::detect(), &[1.0, -2.0, 4.0]), 21.0);
    /// ```
    #[must_use]
    pub fn sum_squares(x: &[f32]) -> f32 = sum_squares_in;

    /// Euclidean norm, `√(Σx²)`.
    ///
    /// The squares are not rescaled: the result is infinite from a norm of 1.8e19 on, and elements
    /// below about 1e-19 lose precision or vanish.
    ///
    /// ```
    /// use slimfit_kernels::{Level, reduce};
    ///
    /// assert_eq!(reduce::norm(Level::detect(), &[3.0, -4.0]), 5.0);
    /// ```
    #[must_use]
    pub fn norm(x: &[f32]) -> f32 = norm_in;

    /// Inner product, `Σ lhs·rhs`.
    ///
    /// # Errors
    /// [`Error::Length`] if the lengths differ.
    ///
    /// ```
    /// use slimfit_kernels::{Level, reduce};
    ///
    /// assert_eq!(reduce::dot(Level::detect(), &[1.0, 2.0], &[3.0, 4.0])?, 11.0);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn dot(lhs: &[f32], rhs: &[f32]) -> Result<f32, Error> = dot_in;
}

#[inline(always)]
fn sum_in<S: Simd>(s: S, x: &[f32]) -> f32 {
    sum_terms(s, Plain, x, x)
}

#[inline(always)]
fn sum_abs_in<S: Simd>(s: S, x: &[f32]) -> f32 {
    sum_terms(s, Absolute, x, x)
}

#[inline(always)]
pub(crate) fn sum_squares_in<S: Simd>(s: S, x: &[f32]) -> f32 {
    sum_terms(s, Product, x, x)
}

#[inline(always)]
fn norm_in<S: Simd>(s: S, x: &[f32]) -> f32 {
    math::sqrt(sum_squares_in(s, x))
}

#[inline(always)]
fn dot_in<S: Simd>(s: S, lhs: &[f32], rhs: &[f32]) -> Result<f32, Error> {
    check_len("rhs", rhs.len(), lhs.len())?;
    Ok(sum_terms(s, Product, lhs, rhs))
}

/// What is summed: a number made of one element of each of two slices; zero for two zeros.
pub(crate) trait Term: Copy {
    /// The term.
    fn of<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32;
    /// `sum` plus the term, fused where that is one operation.
    #[inline(always)]
    fn add_to<S: Simd>(self, s: S, a: S::F32, b: S::F32, sum: S::F32) -> S::F32 {
        s.add(sum, self.of(s, a, b))
    }
}

/// `a`
#[derive(Clone, Copy)]
struct Plain;
impl Term for Plain {
    #[inline(always)]
    fn of<S: Simd>(self, _: S, a: S::F32, _: S::F32) -> S::F32 {
        a
    }
}

/// `|a|`
#[derive(Clone, Copy)]
struct Absolute;
impl Term for Absolute {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, a: S::F32, _: S::F32) -> S::F32 {
        s.abs(a)
    }
}

/// `a * b`
#[derive(Clone, Copy)]
struct Product;
impl Term for Product {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, a: S::F32, b: S::F32) -> S::F32 {
        s.mul(a, b)
    }
    #[inline(always)]
    fn add_to<S: Simd>(self, s: S, a: S::F32, b: S::F32, sum: S::F32) -> S::F32 {
        s.mul_add(a, b, sum)
    }
}

/// Sum of the terms of two slices of one length, in the order of this module.
#[inline(always)]
pub(crate) fn sum_terms<S: Simd, T: Term>(s: S, term: T, mut a: &[f32], mut b: &[f32]) -> f32 {
    let mut total = Total::default();
    // Not by `chunks`, whose division a compiler for size takes for one that could panic.
    while !a.is_empty() {
        let (piece, rest) = a.split_at(a.len().min(PIECE));
        let (other, other_rest) = b.split_at(b.len().min(PIECE));
        (a, b) = (rest, other_rest);
        total.add(sum_piece(s, term, piece, other));
    }
    total.value()
}

#[inline(always)]
fn sum_piece<S: Simd, T: Term>(s: S, term: T, a: &[f32], b: &[f32]) -> f32 {
    if S::LANES == 1 {
        return sum_one_by_one(s, term, a, b);
    }
    let mut acc = s.splat_block(0.0);
    let (a_quads, a) = a.as_chunks::<QUAD>();
    let (b_quads, b) = b.as_chunks::<QUAD>();
    for (a, b) in a_quads.iter().zip(b_quads) {
        if let ([a0, a1, a2, a3], [b0, b1, b2, b3]) =
            (a.as_chunks::<BLOCK>().0, b.as_chunks::<BLOCK>().0)
        {
            let low = sum_two(s, term, [a0, a1], [b0, b1]);
            let high = sum_two(s, term, [a2, a3], [b2, b3]);
            let acc = acc.as_mut().iter_mut();
            for ((acc, low), high) in acc.zip(low.as_ref()).zip(high.as_ref()) {
                *acc = s.add(*acc, s.add(*low, *high));
            }
        }
    }
    let (a_blocks, a) = a.as_chunks::<BLOCK>();
    let (b_blocks, b) = b.as_chunks::<BLOCK>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        add_block(s, term, s.load_block(a), s.load_block(b), &mut acc);
    }
    if !a.is_empty() {
        add_block(s, term, s.load_block_tail(a, 0.0), s.load_block_tail(b, 0.0), &mut acc);
    }
    s.sum_block(acc)
}

/// [`sum_piece`] where a register holds one number: lane by lane, as flash is dear there.
#[inline(always)]
fn sum_one_by_one<S: Simd, T: Term>(s: S, term: T, a: &[f32], b: &[f32]) -> f32 {
    let mut acc = s.splat_block(0.0);
    let (a_quads, a) = a.as_chunks::<QUAD>();
    let (b_quads, b) = b.as_chunks::<QUAD>();
    for (a, b) in a_quads.iter().zip(b_quads) {
        for (lane, acc) in acc.as_mut().iter_mut().enumerate() {
            // The remainder says that no index is out of bounds.
            let at = |x: &[f32; QUAD], block| s.splat(x[(block * BLOCK + lane) % QUAD]);
            let two = |block| {
                let sum = term.of(s, at(a, block), at(b, block));
                term.add_to(s, at(a, block + 1), at(b, block + 1), sum)
            };
            *acc = s.add(*acc, s.add(two(0), two(2)));
        }
    }
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        if let Some(acc) = acc.as_mut().get_mut(i % BLOCK) {
            *acc = term.add_to(s, s.splat(*a), s.splat(*b), *acc);
        }
    }
    s.sum_block(acc)
}

/// Terms of one pair of blocks plus those of another.
#[inline(always)]
fn sum_two<S: Simd, T: Term>(
    s: S,
    term: T,
    a: [&[f32; BLOCK]; 2],
    b: [&[f32; BLOCK]; 2],
) -> S::Block {
    let mut sum = s.load_block(a[0]);
    for (a, b) in sum.as_mut().iter_mut().zip(s.load_block(b[0]).as_ref()) {
        *a = term.of(s, *a, *b);
    }
    add_block(s, term, s.load_block(a[1]), s.load_block(b[1]), &mut sum);
    sum
}

#[inline(always)]
fn add_block<S: Simd, T: Term>(s: S, term: T, a: S::Block, b: S::Block, sum: &mut S::Block) {
    for ((sum, a), b) in sum.as_mut().iter_mut().zip(a.as_ref()).zip(b.as_ref()) {
        *sum = term.add_to(s, *a, *b, *sum);
    }
}

/// A sum and, apart from it, what its additions rounded away.
#[derive(Clone, Copy, Default)]
pub(crate) struct Total {
    sum: f32,
    lost: f32,
}

impl Total {
    #[inline(always)]
    pub(crate) fn add(&mut self, x: f32) {
        let sum = self.sum + x;
        let added = sum - self.sum;
        self.lost += (self.sum - (sum - added)) + (x - added);
        self.sum = sum;
    }

    /// Multiplies the sum.
    #[inline(always)]
    pub(crate) fn scale(&mut self, factor: f32) {
        self.sum *= factor;
        self.lost *= factor;
    }

    /// Once the sum is infinite, the loss is a NaN that says nothing.
    #[inline(always)]
    pub(crate) fn value(self) -> f32 {
        if self.lost.is_nan() { self.sum } else { self.sum + self.lost }
    }
}
