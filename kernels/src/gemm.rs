//! General matrix product, C <- alpha A B + beta C, with what a dense layer does next.
//!
//! C is m x n, A (`lhs`) is m x k, B (`rhs`) is k x n: strided views, so that a transpose costs no
//! copy. An [`Epilogue`] adds a bias, applies an activation or multiplies by its derivative before
//! C leaves the cache. Nothing is allocated: [`scratch_len`] says how much the caller lends.
//!
//! # Order of summation
//!
//! The order in which the k products of an element are added follows from (m, n, k) alone; the
//! [`Plan`] holds it. Nothing else enters: no instruction set, no stride, no number of threads. So
//! all fused levels give the same bits, and a part of C computed by [`gemm_part`] has the bits it
//! has in the whole.
//!
//! - In general k is cut into the fewest even blocks of at most 512. A block is one chain of
//!   multiply-adds from zero, and the blocks are added to C one after another.
//! - If C has so few elements that one chain would wait for itself (one row, or fewer than four
//!   vectors of sixteen), a block is four chains, p modulo four, added as `(c0 + c1) + (c2 + c3)`.
//! - If C has one column, an element is a dot product over the sixteen virtual lanes of
//!   [`crate::simd`].
//!
//! Each element is `alpha * sum`, or one fused multiply-add `alpha * sum + beta * c` (`beta * c`
//! rounded first) if beta is not zero; later blocks use 1 for beta. Barring overflow and underflow,
//! the error of an element is bounded by `(min(k, 512) + k / 512 + 3) * 2^-24 * Σ |alpha a b|`, for
//! a single column by `(k / 16 + 8) * 2^-24 * Σ |alpha a b|`, plus the rounding of beta c.
//!
//! # Special values
//!
//! NaN and infinities in A and B spread as in the sum; zero times infinity is NaN. The sum is formed
//! before alpha: one that overflows is infinite whatever alpha is, and one whose parts overflow to
//! both sides is NaN. If `beta` is zero, C is not read, and a NaN in it vanishes. If `alpha` is zero
//! or k is, A and B are not read, and C <- beta C, followed by the epilogue.
//!
//! # How it is fast
//!
//! `microkernel` keeps a tile of C in registers, up to 12 x 32 or 8 x 48 for AVX-512; `table` holds the shapes of
//! tiles there are. A and B are read where they lie; `packing` copies them if a transpose, the stride or much use
//! asks for it, which `strategy` decides; B is copied by tiles on their way where there are `packing_tiles`.
//! `blocking` cuts the product such that A stays in the second-level cache, or B where `sweep` goes along it; of a
//! small one `strips` chooses the very code. `column` is for a single column, `few_columns` for those that would leave
//! lanes empty, `row` for a single row, `scale` for k = 0, `staging` for a C whose rows are not contiguous, `epilogue`
//! for what follows, `scalar` for levels without vectors. What is checked and chosen before the operands are known is
//! an `outline`, with them a `problem`; who multiplies the same shape again and again keeps it: see [`Prepared`].

mod blocking;
mod chains;
mod column;
mod dense_row;
mod epilogue;
mod few_columns;
mod finish;
mod microkernel;
mod outline;
mod packing;
mod packing_tiles;
mod prepared;
mod problem;
mod row;
mod scalar;
mod scale;
mod staging;
mod strategy;
mod strips;
mod sweep;
mod table;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

use crate::activation::Activation;
use crate::dispatch::stamp;
use crate::simd::Simd;
use crate::{Error, Layout, Level, MatMut, MatRef};
use outline::Outline;

pub use dense_row::dense_row;
pub use prepared::Prepared;

/// What is done to each element of `alpha A B + beta C` before it is stored.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Epilogue<'a> {
    /// Nothing.
    None,
    /// Adds one value a column: length n.
    Bias(&'a [f32]),
    /// Adds one value a column, then applies the activation: the forward pass of a layer.
    BiasActivation(&'a [f32], Activation),
    /// Multiplies by the derivative of the activation, taken from what the forward pass saved (see
    /// [`Activation::saves`]), a matrix of the shape of C: the backward pass.
    Derivative(Activation, MatRef<'a>),
    /// The same where C itself holds what the forward pass saved, and is overwritten by the product:
    /// a backward pass without a second buffer. k is at most [`IN_PLACE_K`].
    DerivativeInPlace(Activation),
}

impl Epilogue<'_> {
    /// The epilogue without its values.
    #[must_use]
    pub const fn kind(&self) -> EpilogueKind {
        match *self {
            Self::None => EpilogueKind::None,
            Self::Bias(_) => EpilogueKind::Bias,
            Self::BiasActivation(_, activation) => EpilogueKind::BiasActivation(activation),
            Self::Derivative(activation, saved) => {
                EpilogueKind::Derivative(activation, saved.layout())
            }
            Self::DerivativeInPlace(activation) => EpilogueKind::DerivativeInPlace(activation),
        }
    }
}

/// An [`Epilogue`] whose values are not known yet: see [`Prepared`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum EpilogueKind {
    /// [`Epilogue::None`]
    None,
    /// [`Epilogue::Bias`]
    Bias,
    /// [`Epilogue::BiasActivation`]
    BiasActivation(Activation),
    /// [`Epilogue::Derivative`], with the layout of what the forward pass saved.
    Derivative(Activation, Layout),
    /// [`Epilogue::DerivativeInPlace`]
    DerivativeInPlace(Activation),
}

/// Largest k of [`Epilogue::DerivativeInPlace`]: one block, as the sums of several would have to
/// wait in C for each other.
pub const IN_PLACE_K: usize = strategy::KC;

/// The order of summation of a product, which depends on its shape alone.
///
/// Parts of C have the bits of the whole if each is computed by [`gemm_part`] with the plan of the
/// whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    m: usize,
    n: usize,
    k: usize,
    order: Order,
}

/// How the products of one element are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Blocks of k, each of one chain.
    Chain,
    /// Blocks of k, each of four chains.
    Split,
    /// Sixteen virtual lanes.
    Lanes,
}

impl Plan {
    /// The plan of a product of shape m x n with k products an element.
    #[must_use]
    pub const fn new(m: usize, n: usize, k: usize) -> Self {
        let order = if n <= 1 {
            Order::Lanes
        } else if m <= 1 || m < 4 && m * n.div_ceil(16) < 4 {
            Order::Split
        } else {
            Order::Chain
        };
        Self { m, n, k, order }
    }

    /// Length of the blocks of k, the last of which may be shorter. Each is summed by itself, and
    /// added to the sum of those before it.
    #[must_use]
    pub const fn block_len(self) -> usize {
        if self.k <= strategy::KC {
            return self.k;
        }
        self.k.div_ceil(self.k.div_ceil(strategy::KC))
    }
}

/// Length of the scratch slice for a product of shape m x n with k products an element, in f32.
///
/// It never falls when one of the three grows: what serves the largest serves all. 33 000 at most
/// where m < 48, 118 000 where m <= 128, 1 200 000 for any shape, half of that where the target is not x86-64.
#[must_use]
pub const fn scratch_len(m: usize, n: usize, k: usize) -> usize {
    strategy::scratch_len(m, n, k, false)
}

/// [`scratch_len`] for a product whose B has contiguous rows (column stride 1): zero where m < 24 or
/// k < 128, since B is then read where it lies.
#[must_use]
pub const fn row_major_scratch_len(m: usize, n: usize, k: usize) -> usize {
    strategy::scratch_len(m, n, k, true)
}

/// C <- epilogue(alpha A B + beta C).
///
/// `lhs` is m x k, `rhs` k x n, `c` m x n, `scratch` has at least [`scratch_len`]`(m, n, k)` elements
/// ([`row_major_scratch_len`] is enough where the rows of `rhs` are contiguous), whose values before
/// do not matter and after are unspecified. See the [module](self) for special values and the order
/// of summation.
///
/// ```
/// use slimfit_kernels::activation::Activation;
/// use slimfit_kernels::gemm::{Epilogue, gemm, scratch_len};
/// use slimfit_kernels::{Level, MatMut, MatRef};
///
/// let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2 x 3
/// let w = [1.0, 0.0, 0.0, 1.0, -1.0, -1.0]; // 3 x 2
/// let mut y = [f32::NAN; 4];
/// let mut scratch = [0.0; scratch_len(2, 2, 3)];
/// gemm(
///     Level::detect(),
///     1.0,
///     MatRef::new(&x, 2, 3)?,
///     MatRef::new(&w, 3, 2)?,
///     0.0,
///     MatMut::new(&mut y, 2, 2)?,
///     Epilogue::BiasActivation(&[0.5, 3.0], Activation::Relu),
///     &mut scratch,
/// )?;
/// assert_eq!(y, [0.0, 2.0, 0.0, 2.0]);
/// # Ok::<(), slimfit_kernels::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] or [`Error::Length`] if the shapes do not fit together, `scratch` is too short or
/// k too long for [`Epilogue::DerivativeInPlace`], [`Error::Parameter`] if that of an activation is
/// negative or not finite. C is then as it was.
pub fn gemm(
    level: Level,
    alpha: f32,
    lhs: MatRef<'_>,
    rhs: MatRef<'_>,
    beta: f32,
    c: MatMut<'_>,
    epilogue: Epilogue<'_>,
    scratch: &mut [f32],
) -> Result<(), Error> {
    let plan = Plan::new(c.rows(), c.cols(), lhs.cols());
    product(level, plan, alpha, lhs, rhs, beta, c, epilogue, scratch)
}

/// A part of a product: some rows or columns of C, with the bits they have in the whole.
///
/// `plan` is made from the shape of the whole. `lhs` holds the rows of A, `rhs` the columns of B, the
/// epilogue the values that belong to the part; k is that of the whole. `scratch` is as for
/// [`gemm`], by the shape of the part.
///
/// ```
/// use slimfit_kernels::gemm::{Epilogue, Plan, gemm, gemm_part, scratch_len};
/// use slimfit_kernels::{Level, MatMut, MatRef};
///
/// let (a, b) = ([0.1; 5 * 3], [0.7; 3 * 4]);
/// let (lhs, rhs) = (MatRef::new(&a, 5, 3)?, MatRef::new(&b, 3, 4)?);
/// let mut scratch = [0.0; scratch_len(5, 4, 3)];
/// let (mut whole, mut parts) = ([0.0; 20], [0.0; 20]);
/// let level = Level::detect();
/// let c = MatMut::new(&mut whole, 5, 4)?;
/// gemm(level, 1.0, lhs, rhs, 0.0, c, Epilogue::None, &mut scratch)?;
///
/// let plan = Plan::new(5, 4, 3);
/// let (above, below) = MatMut::new(&mut parts, 5, 4)?.split_at_row(2)?;
/// for (c, lhs) in [(above, lhs.row_range(0, 2)?), (below, lhs.row_range(2, 3)?)] {
///     gemm_part(level, plan, 1.0, lhs, rhs, 0.0, c, Epilogue::None, &mut scratch)?;
/// }
/// assert_eq!(whole, parts);
/// # Ok::<(), slimfit_kernels::Error>(())
/// ```
///
/// # Errors
/// As for [`gemm`], and if the part does not fit into the plan.
pub fn gemm_part(
    level: Level,
    plan: Plan,
    alpha: f32,
    lhs: MatRef<'_>,
    rhs: MatRef<'_>,
    beta: f32,
    c: MatMut<'_>,
    epilogue: Epilogue<'_>,
    scratch: &mut [f32],
) -> Result<(), Error> {
    product(level, plan, alpha, lhs, rhs, beta, c, epilogue, scratch)
}

stamp! {
    /// [`gemm_part`]: checks and product in one function a level, since calls and what they pass
    /// through memory cost as much as a product of 8 x 8.
    fn product(
        plan: Plan,
        alpha: f32,
        lhs: MatRef<'_>,
        rhs: MatRef<'_>,
        beta: f32,
        c: MatMut<'_>,
        epilogue: Epilogue<'_>,
        scratch: &mut [f32],
    ) -> Result<(), Error> = product_in;
}

#[inline(always)]
fn product_in<S: Simd>(
    s: S,
    plan: Plan,
    alpha: f32,
    lhs: MatRef<'_>,
    rhs: MatRef<'_>,
    beta: f32,
    mut c: MatMut<'_>,
    epilogue: Epilogue<'_>,
    scratch: &mut [f32],
) -> Result<(), Error> {
    let (a, b, out) = (lhs.layout(), rhs.layout(), c.layout());
    Outline::check(plan, a, b, out, epilogue.kind())?;
    let outline = Outline::new(plan, alpha, a, b, beta, out, epilogue.kind());
    let operand = match epilogue {
        Epilogue::Bias(values) | Epilogue::BiasActivation(values, _) => {
            crate::error::check_len("bias", values.len(), out.cols())?;
            values
        }
        Epilogue::Derivative(_, saved) => saved.data(),
        Epilogue::None | Epilogue::DerivativeInPlace(_) => &[],
    };
    let needed = outline.scratch_len();
    if scratch.len() < needed {
        return Err(Error::Length { what: "scratch", expected: needed, found: scratch.len() });
    }
    // SAFETY: the outline is made from the layouts of views, which lie in their slices by
    // construction; the lengths of bias and scratch were compared above. C was lent to be written, so
    // that no element of it is one of anything else.
    unsafe {
        let out = c.as_mut_ptr();
        let (lhs, rhs) = (lhs.data().as_ptr(), rhs.data().as_ptr());
        outline.run(s, lhs, rhs, out, operand.as_ptr(), scratch.as_mut_ptr());
    }
    Ok(())
}
