//! AdaGrad: s ← s + g²; w ← w - lr·g / (√s + ε).
//!
//! Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and stochastic
//! optimization", 2011: a parameter's steps shrink with the gradients that it has seen.

use super::pass::{Rule, one_state};
use super::penalty::{Penalty, Total};
use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::simd::Simd;

/// Settings of [`adagrad`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaGrad {
    /// Length of the first step.
    pub learning_rate: f32,
    /// Keeps the quotient finite: above 0.
    pub epsilon: f32,
}

impl Default for AdaGrad {
    /// A learning rate of 0.01, an epsilon of 1e-10.
    fn default() -> Self {
        Self { learning_rate: 0.01, epsilon: 1e-10 }
    }
}

stamp! {
    /// One step of AdaGrad on `params` and the `sum` of their squared gradients, which starts as
    /// zeros; see [`optim`](crate::optim) for `penalty` and `grad_scale`.
    ///
    /// # Errors
    /// [`Error::Length`] if there is not one gradient and one sum a parameter,
    /// [`Error::Parameter`] for a negative, infinite or NaN learning rate or penalty or an epsilon
    /// that is not finite and above zero.
    ///
    /// ```
    /// use slimfit_kernels::{Level, optim};
    ///
    /// let (mut params, mut sum) = ([1.0], [9.0]);
    /// let adagrad = optim::AdaGrad { learning_rate: 0.5, ..Default::default() };
    /// let none = optim::Penalty::NONE;
    /// optim::adagrad(Level::detect(), &adagrad, none, 1.0, &[4.0], &mut params, &mut sum)?;
    /// assert_eq!((params, sum), ([0.6], [25.0]));
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn adagrad(
        adagrad: &AdaGrad,
        penalty: Penalty,
        grad_scale: f32,
        grad: &[f32],
        params: &mut [f32],
        sum: &mut [f32],
    ) -> Result<(), Error> = adagrad_in;
}

#[inline(always)]
fn adagrad_in<S: Simd>(
    s: S,
    adagrad: &AdaGrad,
    penalty: Penalty,
    grad_scale: f32,
    grad: &[f32],
    params: &mut [f32],
    sum: &mut [f32],
) -> Result<(), Error> {
    super::check_rate("learning rate", adagrad.learning_rate)?;
    super::check_epsilon(adagrad.epsilon)?;
    let total = Total::new(penalty, grad_scale)?;
    check_len("gradient", grad.len(), params.len())?;
    check_len("sum of squares", sum.len(), params.len())?;
    one_state(s, *adagrad, total, grad, params, sum);
    Ok(())
}

impl Rule<1> for AdaGrad {
    #[inline(always)]
    fn step<S: Simd>(
        self,
        s: S,
        grad: S::F32,
        param: S::F32,
        [sum]: [S::F32; 1],
    ) -> (S::F32, [S::F32; 1]) {
        let sum = s.mul_add(grad, grad, sum);
        let root = s.add(s.sqrt(sum), s.splat(self.epsilon));
        // The quotient first: the product of rate and gradient could overflow.
        let step = s.mul(s.splat(self.learning_rate), s.div(grad, root));
        (s.sub(param, step), [sum])
    }
}
