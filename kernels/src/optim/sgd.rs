//! Gradient descent: w ← w - lr·g.

use super::pass::{Rule, no_state};
use super::penalty::{Penalty, Total};
use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::simd::Simd;

/// Settings of [`sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Length of the step for a gradient of one.
    pub learning_rate: f32,
}

impl Default for Sgd {
    /// A learning rate of 0.01.
    fn default() -> Self {
        Self { learning_rate: 0.01 }
    }
}

stamp! {
    /// One step of gradient descent on `params`; see [`optim`](crate::optim) for `penalty` and
    /// `grad_scale`.
    ///
    /// # Errors
    /// [`Error::Length`] if there is not one gradient a parameter, [`Error::Parameter`] for a
    /// negative, infinite or NaN learning rate or penalty.
    ///
    /// ```
    /// use slimfit_kernels::{Level, optim};
    ///
    /// let mut params = [1.0, 2.0];
    /// let sgd = optim::Sgd { learning_rate: 0.5 };
    /// optim::sgd(Level::detect(), &sgd, optim::Penalty::NONE, 1.0, &[2.0, -2.0], &mut params)?;
    /// assert_eq!(params, [0.0, 3.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn sgd(
        sgd: &Sgd,
        penalty: Penalty,
        grad_scale: f32,
        grad: &[f32],
        params: &mut [f32],
    ) -> Result<(), Error> = sgd_in;
}

#[inline(always)]
fn sgd_in<S: Simd>(
    s: S,
    sgd: &Sgd,
    penalty: Penalty,
    grad_scale: f32,
    grad: &[f32],
    params: &mut [f32],
) -> Result<(), Error> {
    super::check_rate("learning rate", sgd.learning_rate)?;
    let total = Total::new(penalty, grad_scale)?;
    check_len("gradient", grad.len(), params.len())?;
    no_state(s, *sgd, total, grad, params);
    Ok(())
}

impl Rule<0> for Sgd {
    #[inline(always)]
    fn step<S: Simd>(
        self,
        s: S,
        grad: S::F32,
        param: S::F32,
        []: [S::F32; 0],
    ) -> (S::F32, [S::F32; 0]) {
        (s.neg_mul_add(s.splat(self.learning_rate), grad, param), [])
    }
}
