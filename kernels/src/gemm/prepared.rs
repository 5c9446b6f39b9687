//! A product whose shape is known long before its operands.

use super::column::Column;
use super::microkernel::{LINE, Strip};
use super::outline::Outline;
use super::row::ShortPlan;
use super::strips::{self, PackedStrips, Small, Stack, Strips};
use super::table::StripFn;
use super::{EpilogueKind, Plan};
use crate::simd::{Pointer, Simd};
use crate::{Error, Layout, Level};

/// C <- epilogue(alpha A B + beta C) for one shape, level and epilogue: [`gemm`](super::gemm) with
/// all checks and choices made once.
///
/// What is left for a call is to compare the lengths of its slices, and to jump to code compiled for
/// the level; where C is one run of equal tiles, straight into the microkernel. Against `gemm` that
/// saves some twenty nanoseconds, as much as a product of 16 x 16 x 16 takes. The bits are the same.
///
/// ```
/// use slimfit_kernels::activation::Activation;
/// use slimfit_kernels::gemm::{EpilogueKind, Prepared};
/// use slimfit_kernels::{Layout, Level};
///
/// let layer = Prepared::new(
///     Level::detect(),
///     1.0,
///     Layout::row_major(2, 3),
///     Layout::row_major(3, 2),
///     0.0,
///     Layout::row_major(2, 2),
///     EpilogueKind::BiasActivation(Activation::Relu),
/// )?;
/// let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let w = [1.0, 0.0, 0.0, 1.0, -1.0, -1.0];
/// let mut y = [f32::NAN; 4];
/// layer.run(&x, &w, &mut y, &[0.5, 3.0], &mut [])?;
/// assert_eq!(y, [0.0, 2.0, 0.0, 2.0]);
/// # Ok::<(), slimfit_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    /// Shortest lengths of the slices, [`LONGEST`] for all that is above it.
    lhs_len: usize,
    rhs_len: usize,
    c_len: usize,
    operand_len: usize,
    scratch_len: usize,
    code: Code,
    outline: Outline,
}

/// Longer than any slice of f32, and so that the sign tells which of two lengths is greater.
const LONGEST: usize = isize::MAX.cast_unsigned();

/// What to jump to.
#[derive(Clone, Copy, Debug)]
enum Code {
    /// One strip is all.
    Strip(StripFn, Strip),
    /// One row.
    Row(Pointer<ShortPlan>, ShortPlan),
    /// Several strips.
    Stack(Stack),
    /// Strips of a B that is packed first.
    Packed(Pointer<PackedStrips>, PackedStrips),
    /// Whatever the outline asks for.
    Product(Pointer<Outline>),
}

impl Prepared {
    /// Prepares the product of an `lhs` of shape m x k and an `rhs` of shape k x n into a `c` of shape
    /// m x n.
    ///
    /// # Errors
    /// As for [`gemm`](super::gemm); [`Error::View`] if no slice could hold one of the matrices,
    /// [`Error::Overlap`] if two elements of `c` share a place.
    pub fn new(
        level: Level,
        alpha: f32,
        lhs: Layout,
        rhs: Layout,
        beta: f32,
        c: Layout,
        epilogue: EpilogueKind,
    ) -> Result<Self, Error> {
        let plan = Plan::new(c.rows(), c.cols(), lhs.cols());
        Outline::check(plan, lhs, rhs, c, epilogue)?;
        let outline = Outline::new(plan, alpha, lhs, rhs, beta, c, epilogue);
        let operand_len = match epilogue {
            EpilogueKind::Bias | EpilogueKind::BiasActivation(_) => c.cols(),
            EpilogueKind::Derivative(_, saved) => saved.check()?,
            EpilogueKind::None | EpilogueKind::DerivativeInPlace(_) => 0,
        };
        // Before the code is chosen, which multiplies strides.
        let (lhs_len, rhs_len, c_len) = (lhs.check()?, rhs.check()?, c.check_mut()?);
        let code = match level {
            Level::Portable(s) => code(s, &outline),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2Fma(s) => code(s, &outline),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(s) => code(s, &outline),
        };
        let [lhs_len, rhs_len, c_len, operand_len, scratch_len] =
            [lhs_len, rhs_len, c_len, operand_len, outline.scratch_len()]
                .map(|len| len.min(LONGEST));
        Ok(Self { lhs_len, rhs_len, c_len, operand_len, scratch_len, code, outline })
    }

    /// Length of the scratch slice that [`Prepared::run`] needs.
    #[must_use]
    pub const fn scratch_len(&self) -> usize {
        self.scratch_len
    }

    /// Computes the product of matrices that begin where the slices do, which may be longer.
    ///
    /// `operand` holds what the epilogue reads: the bias, or what the forward pass saved; it may be
    /// empty where there is nothing to read. `scratch` is at least [`Prepared::scratch_len`] long.
    ///
    /// # Errors
    /// [`Error::Length`] if a slice is too short; `c` is then as it was. Of a length that no slice has, it
    /// names `isize::MAX`.
    #[inline]
    pub fn run(
        &self,
        lhs: &[f32],
        rhs: &[f32],
        c: &mut [f32],
        operand: &[f32],
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        // What is missing shows in the sign: one branch instead of five.
        let spare = lhs.len().wrapping_sub(self.lhs_len)
            | rhs.len().wrapping_sub(self.rhs_len)
            | c.len().wrapping_sub(self.c_len)
            | operand.len().wrapping_sub(self.operand_len)
            | scratch.len().wrapping_sub(self.scratch_len);
        if spare.cast_signed() < 0 {
            return Err(self.misfit([lhs, rhs, c, operand, scratch].map(<[f32]>::len)));
        }
        let (lhs, rhs, c) = (lhs.as_ptr(), rhs.as_ptr(), c.as_mut_ptr());
        let (operand, scratch) = (operand.as_ptr(), scratch.as_mut_ptr());
        // SAFETY: the slices are as long as the layouts, the epilogue and the outline ask for, which
        // `new` took these lengths from (where it cut one to LONGEST, no slice gets here), and `c` is a
        // mutable borrow: so all that is read and written lies in them, and what is written overlaps
        // nothing else. The code was made with a token of its level.
        unsafe {
            match self.code {
                Code::Strip(function, ref strip) => function(strip, lhs, rhs, c, operand, scratch),
                Code::Row(function, ref plan) => function(plan, lhs, rhs, c, operand, scratch),
                Code::Stack(ref stack) => stack.run(lhs, rhs, c, operand, scratch),
                Code::Packed(function, ref strips) => {
                    function(strips, lhs, rhs, c, operand, scratch);
                }
                Code::Product(function) => function(&self.outline, lhs, rhs, c, operand, scratch),
            }
        }
        Ok(())
    }

    /// The slice that is too short.
    #[cold]
    fn misfit(&self, [lhs, rhs, c, operand, scratch]: [usize; 5]) -> Error {
        let slices = [
            ("lhs", self.lhs_len, lhs),
            ("rhs", self.rhs_len, rhs),
            ("c", self.c_len, c),
            ("operand of the epilogue", self.operand_len, operand),
            ("scratch", self.scratch_len, scratch),
        ];
        match slices.iter().find(|(_, expected, found)| found < expected) {
            Some(&(what, expected, found)) => Error::Length { what, expected, found },
            None => Error::Combination("slices of a product"),
        }
    }
}

/// The code for an outline.
fn code<S: Simd>(s: S, outline: &Outline) -> Code {
    // Where nothing lies, at the beginning of a line: a B that begins inside one, as [`gemm`](super::gemm) would see, is
    // taken for one that does not.
    let at = core::ptr::without_provenance(LINE * size_of::<f32>());
    let out = core::ptr::dangling_mut();
    let problem = outline.problem(at, at, out, at, out);
    if S::LANES == 1 || outline.is_empty() {
        return Code::Product(s.pointer::<Outline>());
    }
    match strips::small(s, &problem, outline.order()) {
        Some(Small::Row(function, plan)) => Code::Row(function, plan),
        Some(Small::Direct(Strips::One(function, strip))) => Code::Strip(function, strip),
        Some(Small::Direct(Strips::Stack(stack))) => Code::Stack(stack),
        Some(Small::Packed(strips)) => Code::Packed(s.pointer::<PackedStrips>(), strips),
        None if outline.is_column() => Code::Product(s.pointer::<Column>()),
        None => Code::Product(s.pointer::<Outline>()),
    }
}
