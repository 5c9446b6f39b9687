//! L1 and L2: the penalty, its gradient, and the norm that clipping looks at.
//!
//! The penalty of the weights is l1·Σ|w| + l2·Σw², as in Keras, and its gradient
//! l1·sign(w) + 2·l2·w, with sign(0) = 0. Biases have none: give them [`Penalty::NONE`].

use super::check_rate;
use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::math;
use crate::reduce::{Term, sum_squares_in, sum_terms};
use crate::simd::Simd;

/// Strengths of the penalties on the weights: finite and not negative, twice `l2` finite too; none by
/// default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalty {
    /// Factor of Σ|w|.
    pub l1: f32,
    /// Factor of Σw².
    pub l2: f32,
}

impl Penalty {
    /// No penalty.
    pub const NONE: Self = Self { l1: 0.0, l2: 0.0 };

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub(super) fn check(self) -> Result<(), Error> {
        check_rate("l1", self.l1)?;
        check_rate("l2", self.l2)?;
        // The gradient has it twice.
        super::check("l2", self.l2, "at most half the largest f32", self.l2 <= f32::MAX / 2.0)
    }
}

stamp! {
    /// The penalty of some weights, l1·Σ|w| + l2·Σw², summed in the order of [`crate::reduce`].
    ///
    /// # Errors
    /// [`Error::Parameter`] for a negative, infinite or NaN strength.
    ///
    /// ```
    /// use slimfit_kernels::{Level, optim};
    ///
    /// let penalty = optim::Penalty { l1: 0.5, l2: 0.25 };
    /// assert_eq!(optim::penalty(Level::detect(), &[2.0, -4.0], penalty)?, 3.0 + 5.0);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn penalty(weights: &[f32], penalty: Penalty) -> Result<f32, Error> = penalty_in;

    /// Sum of the squares of the gradient with the penalty's part: Σ(gradient + l1·sign(w) +
    /// 2·l2·w)², in the order of [`crate::reduce`]. Add those of all layers, then [`clip_scale`].
    ///
    /// # Errors
    /// [`Error::Length`] if there is not one gradient a weight, [`Error::Parameter`] for a
    /// negative, infinite or NaN strength of the penalty.
    ///
    /// ```
    /// use slimfit_kernels::{Level, optim};
    ///
    /// let penalty = optim::Penalty { l1: 1.0, l2: 0.0 };
    /// let found = optim::gradient_sum_squares(Level::detect(), &[2.0, 5.0], &[0.5, -0.5], penalty)?;
    /// assert_eq!(found, 9.0 + 16.0);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn gradient_sum_squares(grad: &[f32], weights: &[f32], penalty: Penalty)
        -> Result<f32, Error> = gradient_sum_squares_in;
}

/// The gradient scale that clips the global norm to `max_norm`: `max_norm / √sum_squares` where
/// that is below one, else one. A NaN norm gives NaN, an infinite one zero.
///
/// # Errors
/// [`Error::Parameter`] if `max_norm` is not finite and above zero.
///
/// ```
/// use slimfit_kernels::optim::clip_scale;
///
/// assert_eq!(clip_scale(25.0, 1.0)?, 0.2);
/// assert_eq!(clip_scale(25.0, 6.0)?, 1.0);
/// # Ok::<(), slimfit_kernels::Error>(())
/// ```
pub fn clip_scale(sum_squares: f32, max_norm: f32) -> Result<f32, Error> {
    let within = max_norm > 0.0 && max_norm.is_finite();
    super::check("largest norm", max_norm, "finite and above 0", within)?;
    let norm = math::sqrt(sum_squares);
    Ok(if norm <= max_norm { 1.0 } else { max_norm / norm })
}

#[inline(always)]
fn penalty_in<S: Simd>(s: S, weights: &[f32], penalty: Penalty) -> Result<f32, Error> {
    penalty.check()?;
    Ok(if penalty.is_none() { 0.0 } else { sum_terms(s, PenaltyTerm(penalty), weights, weights) })
}

#[inline(always)]
fn gradient_sum_squares_in<S: Simd>(
    s: S,
    grad: &[f32],
    weights: &[f32],
    penalty: Penalty,
) -> Result<f32, Error> {
    check_len("weights", weights.len(), grad.len())?;
    penalty.check()?;
    Ok(if penalty.is_none() {
        sum_squares_in(s, grad)
    } else {
        sum_terms(s, SquareTerm(penalty), grad, weights)
    })
}

/// `|w| * (l1 + l2 * |w|)`
#[derive(Clone, Copy)]
struct PenaltyTerm(Penalty);
impl Term for PenaltyTerm {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, w: S::F32, _: S::F32) -> S::F32 {
        let (w, Penalty { l1, l2 }) = (s.abs(w), self.0);
        let factor = if l2 == 0.0 { s.splat(l1) } else { s.mul_add(s.splat(l2), w, s.splat(l1)) };
        s.mul(w, factor)
    }
}

/// The square of the gradient with its penalty.
#[derive(Clone, Copy)]
struct SquareTerm(Penalty);
impl Term for SquareTerm {
    #[inline(always)]
    fn of<S: Simd>(self, s: S, grad: S::F32, w: S::F32) -> S::F32 {
        let grad = penalised(s, self.0, grad, w);
        s.mul(grad, grad)
    }
    #[inline(always)]
    fn add_to<S: Simd>(self, s: S, grad: S::F32, w: S::F32, sum: S::F32) -> S::F32 {
        let grad = penalised(s, self.0, grad, w);
        s.mul_add(grad, grad, sum)
    }
}

/// `grad + l1 * sign(w) + 2 * l2 * w`; a NaN weight is its own sign.
#[inline(always)]
fn penalised<S: Simd>(s: S, penalty: Penalty, grad: S::F32, w: S::F32) -> S::F32 {
    let has_sign = s.lt(s.splat(0.0), s.abs(w));
    let l1 = s.select(has_sign, s.copysign(s.splat(penalty.l1), w), w);
    let grad = s.add(grad, l1);
    // Zero times an infinite weight would be NaN.
    if penalty.l2 == 0.0 { grad } else { s.mul_add(s.splat(2.0 * penalty.l2), w, grad) }
}

/// What makes the total gradient of a step.
#[derive(Clone, Copy)]
pub(super) struct Total {
    penalty: Penalty,
    is_penalised: bool,
    scale: f32,
}

impl Total {
    pub(super) fn new(penalty: Penalty, scale: f32) -> Result<Self, Error> {
        penalty.check()?;
        Ok(Self { penalty, is_penalised: !penalty.is_none(), scale })
    }

    /// `scale * (grad + the penalty's part)`
    #[inline(always)]
    pub(super) fn of<S: Simd>(self, s: S, grad: S::F32, w: S::F32) -> S::F32 {
        let grad = if self.is_penalised { penalised(s, self.penalty, grad, w) } else { grad };
        s.mul(s.splat(self.scale), grad)
    }
}
