//! A product without its operands: what is checked and chosen before they are known.

use super::blocking;
use super::epilogue::{After, Pass};
use super::finish::Finish;
use super::packing::Strides;
use super::problem::Problem;
use super::scale::Scale;
use super::{EpilogueKind, IN_PLACE_K, Order, Plan, column, scalar, strategy};
use crate::activation::Activation;
use crate::simd::{Kernel, Routine, Simd};
use crate::{Error, Layout};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline {
    m: usize,
    n: usize,
    /// Zero if alpha is.
    k: usize,
    kc: usize,
    order: Order,
    lhs: Strides,
    rhs: Strides,
    out: Strides,
    /// Of what the forward pass saved.
    saved: Strides,
    finish: Finish,
    /// Whether a bias is added.
    biased: bool,
    pass: Pass,
    activation: Activation,
    in_place: bool,
    scratch_len: usize,
}

impl Outline {
    /// `Ok` if operands with these layouts make the product `gemm_part` is asked for.
    #[inline(always)]
    pub(super) fn check(
        plan: Plan,
        lhs: Layout,
        rhs: Layout,
        c: Layout,
        epilogue: EpilogueKind,
    ) -> Result<(), Error> {
        let ((m, n), k) = (c.shape(), lhs.cols());
        check_shape("lhs", lhs.shape(), (m, k))?;
        check_shape("rhs", rhs.shape(), (k, n))?;
        if m > plan.m || n > plan.n {
            return Err(Error::Shape {
                what: "part of C, at most",
                expected: (plan.m, plan.n),
                found: (m, n),
            });
        }
        if k != plan.k {
            return Err(Error::Length { what: "columns of lhs", expected: plan.k, found: k });
        }
        match epilogue {
            EpilogueKind::None | EpilogueKind::Bias => Ok(()),
            EpilogueKind::Derivative(activation, saved) => {
                activation.check()?;
                check_shape("saved", saved.shape(), (m, n))
            }
            EpilogueKind::DerivativeInPlace(_) if k > IN_PLACE_K => {
                let what = "columns of lhs for a derivative in place (at most)";
                Err(Error::Length { what, expected: IN_PLACE_K, found: k })
            }
            EpilogueKind::BiasActivation(activation)
            | EpilogueKind::DerivativeInPlace(activation) => activation.check(),
        }
    }

    /// The outline of a product that has passed [`Outline::check`]. Apart from it, as a `Result` would
    /// take the outline through memory.
    #[inline(always)]
    pub(super) fn new(
        plan: Plan,
        alpha: f32,
        lhs: Layout,
        rhs: Layout,
        beta: f32,
        c: Layout,
        epilogue: EpilogueKind,
    ) -> Self {
        let ((m, n), k) = (c.shape(), lhs.cols());
        let out = strides(c);
        let mut floor = f32::NEG_INFINITY;
        let (mut biased, mut in_place) = (false, false);
        let (mut pass, mut after, mut saved) = (Pass::None, Activation::Identity, out);
        match epilogue {
            EpilogueKind::Bias => biased = true,
            EpilogueKind::BiasActivation(activation) => {
                biased = true;
                match activation {
                    Activation::Relu => floor = 0.0,
                    Activation::Identity => {}
                    _ => (pass, after) = (Pass::Forward, activation),
                }
            }
            EpilogueKind::None
            | EpilogueKind::Derivative(Activation::Identity, _)
            | EpilogueKind::DerivativeInPlace(Activation::Identity) => {}
            EpilogueKind::Derivative(activation, layout) => {
                (pass, after, saved) = (Pass::Backward, activation, strides(layout));
            }
            EpilogueKind::DerivativeInPlace(activation) => {
                (pass, after, in_place) = (Pass::Backward, activation, true);
            }
        }
        Self {
            m,
            n,
            k: if alpha == 0.0 { 0 } else { k },
            kc: plan.block_len(),
            order: plan.order,
            lhs: strides(lhs),
            rhs: strides(rhs),
            out,
            saved,
            finish: Finish::new(alpha, beta, biased, floor),
            biased,
            pass,
            activation: after,
            in_place,
            scratch_len: strategy::scratch_len(m, n, k, rhs.col_stride() == 1),
        }
    }

    /// f32 of scratch that the product needs.
    #[inline(always)]
    pub(super) fn scratch_len(&self) -> usize {
        self.scratch_len
    }

    /// Whether C has no elements.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.m == 0 || self.n == 0
    }

    /// Whether C is a column of dot products.
    #[inline(always)]
    pub(super) fn is_column(&self) -> bool {
        self.order == Order::Lanes && self.k > 0 && !self.is_empty()
    }

    /// The order of summation.
    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// The product of these operands.
    #[inline(always)]
    pub(super) fn problem(
        &self,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        operand: *const f32,
        scratch: *mut f32,
    ) -> Problem {
        Problem {
            m: self.m,
            n: self.n,
            k: self.k,
            kc: self.kc,
            split: self.order == Order::Split,
            lhs: self.lhs.from(lhs),
            rhs: self.rhs.from(rhs),
            out,
            out_row: self.out.row,
            out_col: self.out.col,
            finish: self.finish,
            bias: if self.biased { operand } else { core::ptr::null() },
            after: After {
                pass: self.pass,
                activation: self.activation,
                saved: self.saved.from(if self.in_place { out } else { operand }),
            },
            in_place: self.in_place,
            scratch,
        }
    }

    /// Computes the product.
    ///
    /// # Safety
    /// The matrices with the layouts that the outline was made of lie at `lhs`, `rhs` and `out`,
    /// valid for reading, that at `out` for writing; `operand` is valid for reading n values for a
    /// bias, the saved matrix for a derivative that is not in place; `scratch` for writing
    /// [`Outline::scratch_len`]; what is written overlaps nothing else.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(
        &self,
        s: S,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        operand: *const f32,
        scratch: *mut f32,
    ) {
        if self.is_empty() {
            return;
        }
        let problem = self.problem(lhs, rhs, out, operand, scratch);
        // SAFETY: by the caller's word; C is not empty, and the saved matrix is C itself only if
        // `in_place` says so, where k is a single block.
        unsafe {
            if S::LANES == 1 {
                s.call(scalar::Product(problem, self.order));
            } else if strategy::is_direct::<S>(&problem, self.order) {
                blocking::run_direct(s, problem);
            } else if self.is_column() {
                s.call(column::Column(problem));
            } else {
                s.call(Large(problem));
            }
        }
    }
}

impl Routine for Outline {
    type Plan = Self;

    /// [`Outline::run`]
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        plan: &Self,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        operand: *const f32,
        scratch: *mut f32,
    ) {
        // SAFETY: by the caller's word.
        unsafe { plan.run(s, lhs, rhs, out, operand, scratch) }
    }
}

/// `Ok` if a matrix has the shape it should have.
fn check_shape(
    what: &'static str,
    found: (usize, usize),
    expected: (usize, usize),
) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Shape { what, expected, found }) }
}

/// The strides: what stands for a single row or column does not matter, and may be huge.
const fn strides(of: Layout) -> Strides {
    const fn stride(stride: usize, count: usize) -> usize {
        if count > 1 { stride } else { 1 }
    }
    Strides { row: stride(of.row_stride(), of.rows()), col: stride(of.col_stride(), of.cols()) }
}

/// A product that is not small, or has k = 0, as a function of its own.
struct Large(Problem);

impl Kernel for Large {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: made by `Outline::run` alone, whose caller vouches for the problem.
        unsafe {
            if self.0.k == 0 {
                s.call(Scale(&self.0));
            } else {
                blocking::run(s, &self.0);
            }
        }
    }
}
