//! Losses: value and gradient in one pass.
//!
//! The loss of a batch is a mean, as in PyTorch: over the rows, and for all but the categorical
//! cross-entropy over the columns too,
//!
//! > L = (1 / n) · Σ weight · l(output, target),  n = rows · columns, or rows,
//!
//! with, for the output o (a logit z for the cross-entropies), target t and d = o - t:
//!
//! | | l | ∂l/∂o |
//! |---|---|---|
//! | [`Loss::MeanSquaredError`] | d² | 2d |
//! | [`Loss::MeanAbsoluteError`] | abs(d) | sign(d), and 0 for d = 0 |
//! | [`Loss::Huber`] of δ | d²/2 for abs(d) ≤ δ, else δ·(abs(d) - δ/2) | d, clamped to ±δ |
//! | [`Loss::BinaryCrossEntropy`] | -t·ln σ(z) - (1-t)·ln(1 - σ(z)) | σ(z) - t |
//! | [`Loss::CategoricalCrossEntropy`] of class c | -ln softmax(z)_c | softmax(z) - onehot(c) |
//!
//! # Weights
//! The weight of a row and that of its class multiply; the sum of the weights does not normalise
//! anything, as in Keras. Class weights of the binary cross-entropy are `[w0, w1]`, blended as
//! (1-t)·w0 + t·w1 for a target between the classes. The weights are used as they are: negative
//! ones turn the gradient round, and zero does not hide a NaN or an infinite loss.
//!
//! # Order and error
//! Losses are added over sixteen virtual lanes, 1,024 elements at a time (or sixteen rows of a
//! categorical cross-entropy), and so are the exponentials of a row; the sums of these are added
//! with their rounding errors carried along. The value is within some tens of u = 2^-24 of the sum of
//! its absolute terms, whatever the batch and the number of classes. The order depends on the shape
//! alone. Both cross-entropies are formed without cancellation, so that a loss of 1e-10 has the same
//! relative precision as one of 10, but for the rounding of z less the largest of its row.
//!
//! # Special values
//! A NaN output makes the loss NaN, and the gradients of its element (or of its row, for the
//! categorical cross-entropy). An infinite logit on the right side of a binary cross-entropy has
//! no loss and no gradient, one on the wrong side an infinite loss and a finite gradient. In a
//! categorical row, -∞ is a class of probability zero; +∞, or nothing but -∞, makes the row NaN.

mod binary;
#[cfg(feature = "all")]
mod categorical;
mod pointwise;

use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::simd::Simd;
use binary::BinaryCrossEntropy;
#[cfg(feature = "all")]
use categorical::Rows;
use pointwise::Squared;
#[cfg(feature = "all")]
use pointwise::{Absolute, Huber};

/// Elements that are summed before the compensated total takes over.
const PIECE: usize = 1024;

/// A loss function; see the [module](self) for the formulas.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// Mean of the squared differences.
    MeanSquaredError,
    /// Mean of the absolute differences.
    #[cfg(feature = "all")]
    MeanAbsoluteError,
    /// Squared and halved up to this difference, linear beyond it.
    #[cfg(feature = "all")]
    Huber(f32),
    /// Cross-entropy of logits with targets from 0 to 1.
    BinaryCrossEntropy,
    /// Cross-entropy of rows of logits with class indices, one a row.
    #[cfg(feature = "all")]
    CategoricalCrossEntropy,
}

impl Loss {
    /// Whether the threshold of [`Loss::Huber`] is finite and above zero.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is not.
    pub const fn check(self) -> Result<(), Error> {
        match self {
            #[cfg(feature = "all")]
            Self::Huber(delta) if !(delta > 0.0 && delta.is_finite()) => {
                let (what, expected) = ("Huber threshold", "finite and above 0");
                Err(Error::Parameter { what, expected, found: delta })
            }
            _ => Ok(()),
        }
    }

    /// What turns the outputs that this loss takes into predictions.
    #[must_use]
    pub const fn link(self) -> Link {
        match self {
            #[cfg(feature = "all")]
            Self::MeanAbsoluteError | Self::Huber(_) => Link::Identity,
            Self::MeanSquaredError => Link::Identity,
            Self::BinaryCrossEntropy => Link::Sigmoid,
            #[cfg(feature = "all")]
            Self::CategoricalCrossEntropy => Link::Softmax,
        }
    }
}

/// From outputs to predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The outputs are the predictions.
    Identity,
    /// Each output is the logit of a probability.
    Sigmoid,
    /// Each row holds the logits of the probabilities of the classes.
    Softmax,
}

/// Weights of rows and of classes; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weights<'a> {
    /// One a row.
    pub sample: Option<&'a [f32]>,
    /// One a class; two for the binary cross-entropy. Regression losses have no classes.
    pub class: Option<&'a [f32]>,
}

stamp! {
    /// The loss of a batch; its gradient by the outputs goes to `grad`.
    ///
    /// `outputs` and `grad` are `[rows, cols]`, row-major, and so is `targets`, except for the
    /// categorical cross-entropy, where it holds `rows` class indices.
    ///
    /// # Errors
    /// [`Error::Length`] if the lengths do not fit, or without rows or columns;
    /// [`Error::Parameter`] for a Huber threshold that is not finite and above zero, or a target of
    /// the binary cross-entropy outside [0, 1]; [`Error::Class`] for a class index that is not a
    /// whole number below `cols`; [`Error::Combination`] for class weights without classes.
    ///
    /// ```
    /// use slimfit_kernels::Level;
    /// use slimfit_kernels::loss::{Loss, Weights, loss_and_gradient};
    ///
    /// let (outputs, targets, mut grad) = ([1.0, 2.0], [0.0, 4.0], [0.0; 2]);
    /// let (level, loss) = (Level::detect(), Loss::MeanSquaredError);
    /// let weights = Weights::default();
    /// let value = loss_and_gradient(level, loss, &outputs, 1, &targets, weights, &mut grad)?;
    /// assert_eq!((value, grad), (2.5, [1.0, -2.0]));
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn loss_and_gradient(
        loss: Loss,
        outputs: &[f32],
        cols: usize,
        targets: &[f32],
        weights: Weights<'_>,
        grad: &mut [f32],
    ) -> Result<f32, Error> = loss_and_gradient_in;

    /// The loss of a batch alone: the same bits as from [`loss_and_gradient`].
    ///
    /// # Errors
    /// As [`loss_and_gradient`].
    ///
    /// ```
    /// use slimfit_kernels::Level;
    /// use slimfit_kernels::loss::{Loss, Weights, value};
    ///
    /// let loss = Loss::CategoricalCrossEntropy;
    /// let logits = [0.0, 0.0, 5.0, 5.0];
    /// let found = value(Level::detect(), loss, &logits, 2, &[1.0, 0.0], Weights::default())?;
    /// assert!((found - 2.0f32.ln()).abs() < 1e-6);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn value(
        loss: Loss,
        outputs: &[f32],
        cols: usize,
        targets: &[f32],
        weights: Weights<'_>,
    ) -> Result<f32, Error> = value_in;
}

#[inline(always)]
fn loss_and_gradient_in<S: Simd>(
    s: S,
    loss: Loss,
    outputs: &[f32],
    cols: usize,
    targets: &[f32],
    weights: Weights<'_>,
    grad: &mut [f32],
) -> Result<f32, Error> {
    check_len("gradient", grad.len(), outputs.len())?;
    run(s, loss, outputs, cols, targets, weights, grad)
}

#[inline(always)]
fn value_in<S: Simd>(
    s: S,
    loss: Loss,
    outputs: &[f32],
    cols: usize,
    targets: &[f32],
    weights: Weights<'_>,
) -> Result<f32, Error> {
    run(s, loss, outputs, cols, targets, weights, &mut [])
}

/// The value, and the gradient unless `grad` is empty.
#[inline(always)]
fn run<S: Simd>(
    s: S,
    loss: Loss,
    outputs: &[f32],
    cols: usize,
    targets: &[f32],
    weights: Weights<'_>,
    grad: &mut [f32],
) -> Result<f32, Error> {
    check_len("columns (at least)", cols.min(1), 1)?;
    check_len("rows (at least)", outputs.len().min(1), 1)?;
    let rows = outputs.len().checked_div(cols).unwrap_or(0);
    // `rows * cols` is the length rounded down to whole rows.
    check_len("outputs in whole rows", outputs.len(), rows * cols)?;
    if let Some(sample) = weights.sample {
        check_len("sample weights", sample.len(), rows)?;
    }
    loss.check()?;
    let batch = pointwise::Batch { outputs, cols, targets, sample: weights.sample };
    match loss {
        #[cfg(feature = "all")]
        Loss::CategoricalCrossEntropy => {
            check_len("class indices", targets.len(), rows)?;
            if let Some(class) = weights.class {
                check_len("class weights", class.len(), cols)?;
            }
            categorical::check_classes(targets, cols)?;
            Ok(categorical::run(s, Rows { outputs, cols, targets, weights }, grad))
        }
        Loss::BinaryCrossEntropy => {
            check_len("targets", targets.len(), outputs.len())?;
            let class = match weights.class {
                None => [1.0; 2],
                Some(&[w0, w1]) => [w0, w1],
                Some(class) => {
                    let (what, found) = ("class weights", class.len());
                    return Err(Error::Length { what, expected: 2, found });
                }
            };
            binary::check_targets(s, targets)?;
            Ok(pointwise::run(s, BinaryCrossEntropy { class }, batch, grad))
        }
        _ => {
            check_len("targets", targets.len(), outputs.len())?;
            if weights.class.is_some() {
                return Err(Error::Combination("class weights need a loss that has classes"));
            }
            match loss {
                #[cfg(feature = "all")]
                Loss::MeanAbsoluteError => Ok(pointwise::run(s, Absolute, batch, grad)),
                #[cfg(feature = "all")]
                Loss::Huber(delta) => Ok(pointwise::run(s, Huber { delta }, batch, grad)),
                _ => Ok(pointwise::run(s, Squared, batch, grad)),
            }
        }
    }
}
