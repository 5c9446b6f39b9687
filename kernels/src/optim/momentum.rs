//! Gradient descent with momentum: v ← μ·v + g; w ← w - lr·v.
//!
//! Nesterov's form looks one step ahead: w ← w - lr·(g + μ·v) with the new v (Sutskever et al.,
//! "On the importance of initialization and momentum in deep learning", 2013, in the form that
//! PyTorch gave it). The learning rate multiplies the velocity, not the gradient in it, so that a
//! new rate acts at once.

use super::pass::{Rule, one_state};
use super::penalty::{Penalty, Total};
use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::simd::Simd;

/// Settings of [`momentum`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// Length of the step for a velocity of one.
    pub learning_rate: f32,
    /// Share of the velocity that a step keeps: at least 0, below 1.
    pub momentum: f32,
    /// Whether to look one step ahead.
    pub nesterov: bool,
}

impl Default for Momentum {
    /// A learning rate of 0.01, a momentum of 0.9, not Nesterov's.
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.9, nesterov: false }
    }
}

stamp! {
    /// One step with momentum on `params` and their `velocity`, which starts as zeros; see
    /// [`optim`](crate::optim) for `penalty` and `grad_scale`.
    ///
    /// # Errors
    /// [`Error::Length`] if there is not one gradient and one velocity a parameter,
    /// [`Error::Parameter`] for a negative, infinite or NaN learning rate or penalty or a momentum
    /// outside [0, 1).
    ///
    /// ```
    /// use slimfit_kernels::{Level, optim};
    ///
    /// let (mut params, mut velocity) = ([1.0], [4.0]);
    /// let momentum = optim::Momentum { learning_rate: 0.5, momentum: 0.5, nesterov: false };
    /// let none = optim::Penalty::NONE;
    /// optim::momentum(Level::detect(), &momentum, none, 1.0, &[1.0], &mut params, &mut velocity)?;
    /// assert_eq!((params, velocity), ([-0.5], [3.0]));
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn momentum(
        momentum: &Momentum,
        penalty: Penalty,
        grad_scale: f32,
        grad: &[f32],
        params: &mut [f32],
        velocity: &mut [f32],
    ) -> Result<(), Error> = momentum_in;
}

#[inline(always)]
fn momentum_in<S: Simd>(
    s: S,
    momentum: &Momentum,
    penalty: Penalty,
    grad_scale: f32,
    grad: &[f32],
    params: &mut [f32],
    velocity: &mut [f32],
) -> Result<(), Error> {
    super::check_rate("learning rate", momentum.learning_rate)?;
    super::check_decay("momentum", momentum.momentum)?;
    let total = Total::new(penalty, grad_scale)?;
    check_len("gradient", grad.len(), params.len())?;
    check_len("velocity", velocity.len(), params.len())?;
    one_state(s, *momentum, total, grad, params, velocity);
    Ok(())
}

impl Rule<1> for Momentum {
    #[inline(always)]
    fn step<S: Simd>(
        self,
        s: S,
        grad: S::F32,
        param: S::F32,
        [velocity]: [S::F32; 1],
    ) -> (S::F32, [S::F32; 1]) {
        let momentum = s.splat(self.momentum);
        let velocity = s.mul_add(momentum, velocity, grad);
        let step = if self.nesterov { s.mul_add(momentum, velocity, grad) } else { velocity };
        (s.neg_mul_add(s.splat(self.learning_rate), step, param), [velocity])
    }
}
