//! Adam, and AdamW by its decoupled decay.
//!
//! Kingma & Ba, "Adam: a method for stochastic optimization", 2015, Algorithm 1, at step t = 1, 2, …:
//!
//! > m ← β₁·m + (1 - β₁)·g
//! > v ← β₂·v + (1 - β₂)·g²
//! > w ← w - lr · (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)
//!
//! and with decay (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019)
//! w ← w - lr·decay·w besides. The third line is computed as
//!
//! > w ← w - rate · m / (√v + ε'),  rate = lr·√(1 - β₂ᵗ) / (1 - β₁ᵗ),  ε' = ε·√(1 - β₂ᵗ),
//!
//! which is the same number by one division and one root an element. The corrections
//! 1 - βᵗ = -expm1(t · ln β) have full relative precision at every t, in f32 alone: the difference
//! itself would have lost half the digits of 1 - 0.999 at t = 1. [`AdamStep`] holds what depends
//! on t, computed once a step however many slices the step covers.
//!
//! A mean gradient m below the normal range, 1.2e-38, becomes zero. Where the gradient has become zero,
//! as that of a dead unit has, m would otherwise stop at a few times the smallest number for good (0.9
//! of it rounds to itself), and every later step take four times as long. A step of such an m is
//! shorter than 1e-27 for the usual settings.

use super::pass::{Rule, two_states};
use super::penalty::{Penalty, Total};
use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::math;
use crate::simd::{Simd, machine};

/// Settings of Adam; see the [step](AdamStep) and the [update](adam).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// About the length of a step.
    pub learning_rate: f32,
    /// Share of the mean gradient that a step keeps: at least 0, below 1.
    pub beta1: f32,
    /// Share of the mean squared gradient that a step keeps: at least 0, below 1.
    pub beta2: f32,
    /// Keeps the quotient finite, added outside the bias-corrected root: above 0.
    pub epsilon: f32,
    /// Decoupled decay, as in AdamW: the parameters shrink by `learning_rate * decay` a step.
    pub decay: f32,
}

impl Default for Adam {
    /// The paper's settings: 1e-3, 0.9, 0.999, 1e-8; no decay.
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 }
    }
}

impl Adam {
    /// Prepares step number `step`, counted from 1.
    ///
    /// # Errors
    /// [`Error::Parameter`] for step 0, a negative, infinite or NaN learning rate or decay, a beta
    /// outside [0, 1), an epsilon that is not finite and above zero, or a learning rate whose
    /// product with the corrections or the decay exceeds f32.
    ///
    /// ```
    /// use slimfit_kernels::optim::Adam;
    ///
    /// assert!(Adam::default().at_step(1).is_ok());
    /// assert!(Adam { beta1: 1.0, ..Default::default() }.at_step(1).is_err());
    /// ```
    pub fn at_step(&self, step: u32) -> Result<AdamStep, Error> {
        super::check_rate("learning rate", self.learning_rate)?;
        super::check_decay("beta1", self.beta1)?;
        super::check_decay("beta2", self.beta2)?;
        super::check_epsilon(self.epsilon)?;
        super::check_rate("decay", self.decay)?;
        super::check("step", step as f32, "at least 1", step >= 1)?;
        let correction = |beta: f32| {
            // The power, at most e^-20 as ln β <= β - 1, no longer shows in its difference to 1.
            if step as f32 * (1.0 - beta) >= 20.0 {
                return 1.0;
            }
            -libm::expm1f(step as f32 * libm::logf(beta))
        };
        let root = math::sqrt(correction(self.beta2));
        let rate = self.learning_rate * root / correction(self.beta1);
        let shrink = self.learning_rate * self.decay;
        let expected = "small enough for a finite rate";
        super::check("learning rate", self.learning_rate, expected, rate.is_finite())?;
        super::check("decay", self.decay, expected, shrink.is_finite())?;
        Ok(AdamStep {
            rate,
            // A subnormal product could round to zero, and zero state then divide by it.
            epsilon: (self.epsilon * root).max(f32::MIN_POSITIVE),
            beta1: self.beta1,
            beta2: self.beta2,
            shrink,
        })
    }
}

/// What [`adam`] needs of one step, from [`Adam::at_step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    rate: f32,
    epsilon: f32,
    beta1: f32,
    beta2: f32,
    shrink: f32,
}

impl AdamStep {
    /// Whether parameters shrink by themselves.
    ///
    /// ```
    /// use slimfit_kernels::optim::Adam;
    ///
    /// let step = Adam { decay: 0.01, ..Default::default() }.at_step(1)?;
    /// assert!(step.decays() && !step.without_decay().decays());
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    #[must_use]
    pub fn decays(&self) -> bool {
        self.shrink != 0.0
    }

    /// The same step without decay, as biases take it.
    #[must_use]
    pub fn without_decay(self) -> Self {
        Self { shrink: 0.0, ..self }
    }
}

stamp! {
    /// One step of Adam on `params` and their mean gradient `first` and mean squared gradient
    /// `second`, which start as zeros; see [`optim`](crate::optim) for `penalty` and `grad_scale`.
    ///
    /// # Errors
    /// [`Error::Length`] if there is not one gradient and one number of each state a parameter,
    /// [`Error::Parameter`] for a negative, infinite or NaN penalty.
    ///
    /// ```
    /// use slimfit_kernels::{Level, optim};
    ///
    /// let (mut params, mut first, mut second) = ([1.0], [0.0], [0.0]);
    /// let step = optim::Adam { learning_rate: 0.5, ..Default::default() }.at_step(1)?;
    /// let (level, none) = (Level::detect(), optim::Penalty::NONE);
    /// optim::adam(level, &step, none, 1.0, &[7.0], &mut params, &mut first, &mut second)?;
    /// // The first step is the learning rate long, whatever the gradient.
    /// assert!((params[0] - 0.5).abs() < 1e-6);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn adam(
        step: &AdamStep,
        penalty: Penalty,
        grad_scale: f32,
        grad: &[f32],
        params: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
    ) -> Result<(), Error> = adam_in;
}

#[inline(always)]
fn adam_in<S: Simd>(
    s: S,
    step: &AdamStep,
    penalty: Penalty,
    grad_scale: f32,
    grad: &[f32],
    params: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
) -> Result<(), Error> {
    let total = Total::new(penalty, grad_scale)?;
    check_len("gradient", grad.len(), params.len())?;
    check_len("first moment", first.len(), params.len())?;
    check_len("second moment", second.len(), params.len())?;
    if S::LANES == 1 {
        // One loop for both, as flash is dear, and before it that of the machine, if it has one.
        let mut done = 0;
        if penalty.is_none() && step.shrink == 0.0 {
            let AdamStep { rate, epsilon, beta1, beta2, .. } = *step;
            let factors = [grad_scale, 1.0 - beta1, beta1, 1.0 - beta2, beta2, epsilon, rate];
            done = machine::adam(&factors, grad, params, first, second);
        }
        let grad = grad.get(done..).unwrap_or_default();
        let params = params.get_mut(done..).unwrap_or_default();
        let first = first.get_mut(done..).unwrap_or_default();
        let second = second.get_mut(done..).unwrap_or_default();
        two_states(s, Update::<true>(*step), total, grad, params, first, second);
    } else if step.shrink == 0.0 {
        two_states(s, Update::<false>(*step), total, grad, params, first, second);
    } else {
        two_states(s, Update::<true>(*step), total, grad, params, first, second);
    }
    Ok(())
}

/// `x`, or zero if it is subnormal.
#[inline(always)]
fn without_subnormals<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.select(s.lt(s.abs(x), s.splat(f32::MIN_POSITIVE)), s.splat(0.0), x)
}

/// The rule with or without decay, in two loops where there are vectors: without, an infinite parameter
/// stays.
#[derive(Clone, Copy)]
struct Update<const DECAY: bool>(AdamStep);

impl<const DECAY: bool> Rule<2> for Update<DECAY> {
    #[inline(always)]
    fn step<S: Simd>(
        self,
        s: S,
        grad: S::F32,
        param: S::F32,
        [first, second]: [S::F32; 2],
    ) -> (S::F32, [S::F32; 2]) {
        let AdamStep { rate, epsilon, beta1, beta2, shrink } = self.0;
        let (new1, new2) = (s.splat(1.0 - beta1), s.splat(1.0 - beta2));
        let first = s.mul_add(s.splat(beta1), first, s.mul(new1, grad));
        let square = s.mul(grad, grad);
        let second = s.mul_add(s.splat(beta2), second, s.mul(new2, square));
        let first = without_subnormals(s, first);
        let root = s.add(s.sqrt(second), s.splat(epsilon));
        // The quotient first: the product of rate and mean could overflow.
        let step = s.mul(s.splat(rate), s.div(first, root));
        // Decay and step together, so that the parameter is rounded once.
        let decays = DECAY && (S::LANES > 1 || shrink != 0.0);
        let step = if decays { s.mul_add(s.splat(shrink), param, step) } else { step };
        (s.sub(param, step), [first, second])
    }
}
