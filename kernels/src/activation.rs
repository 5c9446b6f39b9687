//! Activations, forward beside backward.
//!
//! With z the input, y = f(z) the output and g the gradient of the loss by y, the backward pass
//! computes g·f'(z). For most activations f' follows from y, which the next layer needs
//! anyway ([`Saved::Output`]); gelu, silu and softplus compute f' in the forward pass, where it costs
//! few operations more, and keep that ([`Saved::Derivative`]).
//!
//! | activation | f(z) | f'(z) | from |
//! |---|---|---|---|
//! | identity | z | 1 | |
//! | relu | max(z, 0) | 1 where y > 0, else 0 | y |
//! | leaky relu | z or slope·z | 1 where y > 0, else slope | y |
//! | elu | z or alpha·(exp(z) - 1) | 1 where y > 0, else y + alpha | y |
//! | sigmoid | σ(z) | y·(1 - y) | y |
//! | tanh | tanh z | 1 - y² = (1 - y)·(1 + y) | y |
//! | gelu | z·Φ(z) | Φ(z) + z·φ(z) | z |
//! | silu | z·σ(z) | σ·(1 + z·(1 - σ)) | z |
//! | softplus | ln(1 + exp z) | σ(z) | z |
//!
//! **Kinks.** At z = 0 the left derivative is taken: relu 0, leaky relu its slope, elu alpha.
//!
//! **Parameters** are finite and not negative: the sign of y must tell the sign of z.
//!
//! **Special values.** NaN goes through, forward and backward: a NaN in the saved number makes the
//! gradient NaN, relu's included; only identity's derivative, 1, reads nothing. relu(-∞) = 0, and a
//! leaky relu of slope 0 is relu; elu(-∞) = -alpha; the others tend to the limits in [`crate::math`].
//!
//! **Accuracy** of the forward pass: that of [`crate::math`]. A derivative from y is off by what y is:
//! elu's y + alpha and the 1 - y of sigmoid and tanh are small where f saturates, and have there
//! an absolute error of half an ULP of 1 (of alpha), no relative accuracy.

use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::math::{self, Function, generic, map_in, map_in_place_in};
use crate::simd::{Kernel, Simd, first_lane};

/// An activation that works on each element by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `z`
    Identity,
    /// `max(z, 0)`
    Relu,
    /// `z` where positive, else `slope * z`.
    #[cfg(feature = "all")]
    LeakyRelu(f32),
    /// `z` where positive, else `alpha * (exp(z) - 1)`.
    #[cfg(feature = "all")]
    Elu(f32),
    /// `1 / (1 + exp(-z))`
    Sigmoid,
    /// `tanh(z)`
    #[cfg(feature = "all")]
    Tanh,
    /// `z * Φ(z)`, with the normal distribution function Φ by `erf`.
    #[cfg(feature = "all")]
    Gelu,
    /// `z * sigmoid(z)`
    #[cfg(feature = "all")]
    Silu,
    /// `ln(1 + exp(z))`
    #[cfg(feature = "all")]
    Softplus,
}

/// What the forward pass keeps for the backward pass, in one number an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The output: the derivative follows from it.
    Output,
    /// The derivative itself, computed in the same pass as the output.
    Derivative,
}

impl Activation {
    /// What the backward pass of this activation reads.
    #[must_use]
    pub const fn saves(self) -> Saved {
        match self {
            #[cfg(feature = "all")]
            Self::Gelu | Self::Silu | Self::Softplus => Saved::Derivative,
            _ => Saved::Output,
        }
    }

    /// Whether the parameter, if there is one, is finite and not negative.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is not.
    pub const fn check(self) -> Result<(), Error> {
        let (what, found): (_, f32) = match self {
            #[cfg(feature = "all")]
            Self::LeakyRelu(slope) => ("slope of leaky relu", slope),
            #[cfg(feature = "all")]
            Self::Elu(alpha) => ("alpha of elu", alpha),
            _ => return Ok(()),
        };
        if found.is_finite() && found >= 0.0 {
            Ok(())
        } else {
            Err(Error::Parameter { what, expected: "finite and not negative", found })
        }
    }
}

/// An activation on registers: one type each, so that a kernel is compiled for each.
pub(crate) trait Elementwise: Copy {
    /// f(z)
    fn apply<S: Simd>(self, s: S, z: S::F32) -> S::F32;

    /// f'(z) from what [`Activation::saves`] says.
    fn derivative<S: Simd>(self, s: S, saved: S::F32) -> S::F32;

    /// f(z) and f'(z).
    #[inline(always)]
    fn apply_with_derivative<S: Simd>(self, s: S, z: S::F32) -> (S::F32, S::F32) {
        let y = self.apply(s, z);
        (y, self.derivative(s, y))
    }
}

/// `at_zero` where y <= 0, 1 where y > 0, NaN where y is.
#[cfg(feature = "all")]
#[inline(always)]
fn step<S: Simd>(s: S, y: S::F32, at_zero: S::F32) -> S::F32 {
    let zero = s.splat(0.0);
    let positive = s.select(s.lt(zero, y), s.splat(1.0), y);
    s.select(s.le(y, zero), at_zero, positive)
}

/// [`Activation::Identity`]
#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl Elementwise for Identity {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, z: S::F32) -> S::F32 {
        z
    }
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, _: S::F32) -> S::F32 {
        s.splat(1.0)
    }
}

/// [`Activation::Relu`]
#[derive(Clone, Copy)]
pub(crate) struct Relu;

impl Elementwise for Relu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, z: S::F32) -> S::F32 {
        s.max(s.splat(0.0), z)
    }
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, y: S::F32) -> S::F32 {
        s.unit_step(y)
    }
}

/// [`Activation::LeakyRelu`]
#[cfg(feature = "all")]
#[derive(Clone, Copy)]
pub(crate) struct LeakyRelu(pub(crate) f32);

#[cfg(feature = "all")]
impl Elementwise for LeakyRelu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, z: S::F32) -> S::F32 {
        s.select(s.lt(s.splat(0.0), z), z, s.mul(z, s.splat(self.0)))
    }
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, y: S::F32) -> S::F32 {
        step(s, y, s.splat(self.0))
    }
}

/// [`Activation::Elu`]
#[cfg(feature = "all")]
#[derive(Clone, Copy)]
pub(crate) struct Elu(pub(crate) f32);

#[cfg(feature = "all")]
impl Elementwise for Elu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, z: S::F32) -> S::F32 {
        // A positive z is replaced, so that the exponential does not overflow on the way.
        let zero = s.splat(0.0);
        let left = s.mul(s.splat(self.0), generic::exp_m1(s, s.min(zero, z)));
        s.select(s.lt(zero, z), z, left)
    }
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, y: S::F32) -> S::F32 {
        step(s, y, s.add(y, s.splat(self.0)))
    }
}

/// [`Activation::Sigmoid`]
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

impl Elementwise for Sigmoid {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, z: S::F32) -> S::F32 {
        generic::sigmoid(s, z)
    }
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, y: S::F32) -> S::F32 {
        s.mul(y, s.sub(s.splat(1.0), y))
    }
}

/// [`Activation::Tanh`]
#[cfg(feature = "all")]
#[derive(Clone, Copy)]
pub(crate) struct Tanh;

#[cfg(feature = "all")]
impl Elementwise for Tanh {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, z: S::F32) -> S::F32 {
        generic::tanh(s, z)
    }
    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, y: S::F32) -> S::F32 {
        // The product keeps its relative accuracy where y is near ±1, which 1 - y² would not.
        let one = s.splat(1.0);
        s.mul(s.sub(one, y), s.add(one, y))
    }
}

/// [`Activation::Gelu`]
#[cfg(feature = "all")]
#[derive(Clone, Copy)]
pub(crate) struct Gelu;

#[cfg(feature = "all")]
impl Elementwise for Gelu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, z: S::F32) -> S::F32 {
        generic::gelu(s, z)
    }
    #[inline(always)]
    fn derivative<S: Simd>(self, _: S, saved: S::F32) -> S::F32 {
        saved
    }
    #[inline(always)]
    fn apply_with_derivative<S: Simd>(self, s: S, z: S::F32) -> (S::F32, S::F32) {
        generic::gelu_with_derivative(s, z)
    }
}

/// [`Activation::Silu`]
#[cfg(feature = "all")]
#[derive(Clone, Copy)]
pub(crate) struct Silu;

#[cfg(feature = "all")]
impl Elementwise for Silu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, z: S::F32) -> S::F32 {
        generic::silu(s, z)
    }
    #[inline(always)]
    fn derivative<S: Simd>(self, _: S, saved: S::F32) -> S::F32 {
        saved
    }
    #[inline(always)]
    fn apply_with_derivative<S: Simd>(self, s: S, z: S::F32) -> (S::F32, S::F32) {
        generic::silu_with_derivative(s, z)
    }
}

/// [`Activation::Softplus`]
#[cfg(feature = "all")]
#[derive(Clone, Copy)]
pub(crate) struct Softplus;

#[cfg(feature = "all")]
impl Elementwise for Softplus {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, z: S::F32) -> S::F32 {
        generic::softplus(s, z)
    }
    #[inline(always)]
    fn derivative<S: Simd>(self, _: S, saved: S::F32) -> S::F32 {
        saved
    }
    #[inline(always)]
    fn apply_with_derivative<S: Simd>(self, s: S, z: S::F32) -> (S::F32, S::F32) {
        (generic::softplus(s, z), generic::sigmoid(s, z))
    }
}

/// Runs an expression with `$f` bound to the type that stands for `$activation`.
macro_rules! with_elementwise {
    ($activation:expr, $f:ident => $body:expr) => {{
        use $crate::activation as act;
        match $activation {
            act::Activation::Identity => {
                let $f = act::Identity;
                $body
            }
            // A slope of zero is relu, to which -∞ times zero is no NaN.
            #[cfg(feature = "all")]
            act::Activation::LeakyRelu(0.0) => {
                let $f = act::Relu;
                $body
            }
            act::Activation::Relu => {
                let $f = act::Relu;
                $body
            }
            #[cfg(feature = "all")]
            act::Activation::LeakyRelu(slope) => {
                let $f = act::LeakyRelu(slope);
                $body
            }
            #[cfg(feature = "all")]
            act::Activation::Elu(alpha) => {
                let $f = act::Elu(alpha);
                $body
            }
            act::Activation::Sigmoid => {
                let $f = act::Sigmoid;
                $body
            }
            #[cfg(feature = "all")]
            act::Activation::Tanh => {
                let $f = act::Tanh;
                $body
            }
            #[cfg(feature = "all")]
            act::Activation::Gelu => {
                let $f = act::Gelu;
                $body
            }
            #[cfg(feature = "all")]
            act::Activation::Silu => {
                let $f = act::Silu;
                $body
            }
            #[cfg(feature = "all")]
            act::Activation::Softplus => {
                let $f = act::Softplus;
                $body
            }
        }
    }};
}
pub(crate) use with_elementwise;

/// The forward pass of an [`Elementwise`] as a function to map.
#[derive(Clone, Copy)]
struct Forward<F>(F);

impl<F: Elementwise> Function for Forward<F> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        self.0.apply(s, x)
    }
}

/// `out = f(z)`; the lengths are equal.
#[inline(always)]
fn forward_kernel<S: Simd>(
    s: S,
    activation: Activation,
    z: &[f32],
    out: &mut [f32],
) -> Result<(), Error> {
    activation.check()?;
    check_len("out", out.len(), z.len())?;
    // In groups of registers, which is quicker.
    if activation == Activation::Sigmoid {
        return map_in(s, math::Sigmoid, z, out);
    }
    with_elementwise!(activation, f => map_in(s, Forward(f), z, out))
}

/// `z = f(z)`, the parameter of the activation having been checked.
#[inline(always)]
pub(crate) fn forward_in_place_in<S: Simd>(s: S, activation: Activation, z: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        _ if S::LANES == 1 => {
            for z in z {
                *z = s.call(ForwardOne(activation, *z));
            }
        }
        // In groups of registers, which is quicker.
        Activation::Sigmoid => map_in_place_in(s, math::Sigmoid, z),
        _ => with_elementwise!(activation, f => map_in_place_in(s, Forward(f), z)),
    }
}

#[inline(always)]
fn forward_in_place_kernel<S: Simd>(
    s: S,
    activation: Activation,
    z: &mut [f32],
) -> Result<(), Error> {
    activation.check()?;
    forward_in_place_in(s, activation, z);
    Ok(())
}

/// f(z) of one number: without vectors, where flash is dear, the code of all functions once for all
/// callers.
pub(crate) struct ForwardOne(pub(crate) Activation, pub(crate) f32);

impl Kernel for ForwardOne {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        with_elementwise!(self.0, f => first_lane(s, f.apply(s, s.splat(self.1))))
    }
}

/// `out = f(z)`, `z = f'(z)`; the lengths are equal.
#[inline(always)]
fn with_derivative<S: Simd, F: Elementwise>(s: S, f: F, z: &mut [f32], out: &mut [f32]) {
    let (z_chunks, z_tail) = s.chunks_mut(z);
    let (out_chunks, out_tail) = s.chunks_mut(out);
    for (z, out) in z_chunks.iter_mut().zip(out_chunks) {
        let (y, derivative) = f.apply_with_derivative(s, s.load(z));
        s.store(y, out);
        s.store(derivative, z);
    }
    if !z_tail.is_empty() {
        let (y, derivative) = f.apply_with_derivative(s, s.load_tail(z_tail, 0.0));
        s.store_tail(y, out_tail);
        s.store_tail(derivative, z_tail);
    }
}

#[inline(always)]
fn forward_with_derivative_kernel<S: Simd>(
    s: S,
    activation: Activation,
    z: &mut [f32],
    out: &mut [f32],
) -> Result<(), Error> {
    activation.check()?;
    check_len("out", out.len(), z.len())?;
    with_elementwise!(activation, f => with_derivative(s, f, z, out));
    Ok(())
}

/// `grad = grad · f'`; the lengths are equal.
#[inline(always)]
fn times_derivative<S: Simd, F: Elementwise>(s: S, f: F, saved: &[f32], grad: &mut [f32]) {
    let (saved_chunks, saved_tail) = s.chunks(saved);
    let (grad_chunks, grad_tail) = s.chunks_mut(grad);
    for (saved, grad) in saved_chunks.iter().zip(grad_chunks) {
        s.store(s.mul(s.load(grad), f.derivative(s, s.load(saved))), grad);
    }
    if !saved_tail.is_empty() {
        let derivative = f.derivative(s, s.load_tail(saved_tail, 0.0));
        s.store_tail(s.mul(s.load_tail(grad_tail, 0.0), derivative), grad_tail);
    }
}

/// `grad = grad · f'` from `saved`, the parameter and the lengths having been checked.
#[inline(always)]
pub(crate) fn backward_in<S: Simd>(s: S, activation: Activation, saved: &[f32], grad: &mut [f32]) {
    if activation == Activation::Identity {
        return;
    }
    with_elementwise!(activation, f => times_derivative(s, f, saved, grad));
}

#[inline(always)]
fn backward_kernel<S: Simd>(
    s: S,
    activation: Activation,
    saved: &[f32],
    grad: &mut [f32],
) -> Result<(), Error> {
    activation.check()?;
    check_len("grad", grad.len(), saved.len())?;
    backward_in(s, activation, saved, grad);
    Ok(())
}

stamp! {
    /// `out = f(z)`, element by element.
    ///
    /// # Errors
    /// [`Error::Length`] if `z` and `out` differ in length, [`Error::Parameter`] if the parameter of the
    /// activation is negative, infinite or NaN.
    ///
    /// ```
    /// use slimfit_kernels::{Level, activation::{self, Activation}};
    ///
    /// let mut out = [0.0; 3];
    /// activation::forward(Level::detect(), Activation::Relu, &[-1.0, 0.0, 2.0], &mut out)?;
    /// assert_eq!(out, [0.0, 0.0, 2.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn forward(activation: Activation, z: &[f32], out: &mut [f32]) -> Result<(), Error> = forward_kernel;

    /// `z = f(z)`, element by element.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the parameter of the activation is negative, infinite or NaN.
    ///
    /// ```
    /// use slimfit_kernels::{Level, activation::{self, Activation}};
    ///
    /// let mut z = [-2.0, 0.0, 2.0];
    /// activation::forward_in_place(Level::detect(), Activation::LeakyRelu(0.5), &mut z)?;
    /// assert_eq!(z, [-1.0, 0.0, 2.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn forward_in_place(activation: Activation, z: &mut [f32]) -> Result<(), Error> = forward_in_place_kernel;

    /// `out = f(z)` and `z = f'(z)` in one pass, element by element: what training needs where
    /// [`Activation::saves`] says [`Saved::Derivative`]. It works for all activations.
    ///
    /// # Errors
    /// [`Error::Length`] if `z` and `out` differ in length, [`Error::Parameter`] if the parameter of the
    /// activation is negative, infinite or NaN.
    ///
    /// ```
    /// use slimfit_kernels::{Level, activation::{self, Activation}};
    ///
    /// let (mut z, mut out) = ([0.0], [0.0]);
    /// activation::forward_with_derivative(Level::detect(), Activation::Silu, &mut z, &mut out)?;
    /// assert_eq!((z, out), ([0.5], [0.0]));
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn forward_with_derivative(activation: Activation, z: &mut [f32], out: &mut [f32]) -> Result<(), Error> = forward_with_derivative_kernel;

    /// `grad = grad · f'`, element by element: in, the gradient by the output; out, by the input.
    /// `saved` is the output or the derivative, as [`Activation::saves`] says.
    ///
    /// # Errors
    /// [`Error::Length`] if `saved` and `grad` differ in length, [`Error::Parameter`] if the parameter
    /// of the activation is negative, infinite or NaN.
    ///
    /// ```
    /// use slimfit_kernels::{Level, activation::{self, Activation}};
    ///
    /// let mut grad = [8.0, 8.0];
    /// activation::backward(Level::detect(), Activation::Sigmoid, &[0.5, 1.0], &mut grad)?;
    /// assert_eq!(grad, [2.0, 0.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn backward(activation: Activation, saved: &[f32], grad: &mut [f32]) -> Result<(), Error> = backward_kernel;
}
