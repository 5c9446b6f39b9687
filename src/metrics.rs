//! How good predictions are.
//!
//! **Classification.** The outputs of a network are a row-major matrix with one column (the
//! probability of class 1, or its logit) or one column for each class. [`predicted_class`] turns a
//! row into a class: with one column class 1 if the probability is above 0.5, or the logit above
//! 0; with several the class of the largest. A tie goes to the lower class. A row with a NaN is of
//! no class: it counts as wrong.
//!
//! **Regression.** With predictions p and targets y over n elements: RMSE = sqrt(Σ(p - y)² / n),
//! MAE = Σ|p - y| / n, R² = 1 - Σ(p - y)² / Σ(y - mean(y))². NaN propagates.
//!
//! Sums are in f64, in the order of the elements.

#![expect(clippy::cast_sign_loss, reason = "class indices are checked first")]

use crate::error::{Error, check_len, zeros};

/// What the outputs of a classifier are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// Probabilities: what `predict` returns.
    Probabilities,
    /// Before the last sigmoid or softmax.
    Logits,
}

/// The class that one row of outputs says, or `None` if there is a NaN (or nothing) in it.
///
/// ```
/// use slimfit::metrics::{Outputs, predicted_class};
///
/// assert_eq!(predicted_class(&[0.7], Outputs::Probabilities), Some(1));
/// assert_eq!(predicted_class(&[0.2, 0.4, 0.4], Outputs::Probabilities), Some(1));
/// assert_eq!(predicted_class(&[f32::NAN, 0.4], Outputs::Logits), None);
/// ```
#[must_use]
pub fn predicted_class(row: &[f32], outputs: Outputs) -> Option<usize> {
    match *row {
        [value] => {
            let threshold = match outputs {
                Outputs::Probabilities => 0.5,
                Outputs::Logits => 0.0,
            };
            (!value.is_nan()).then_some(usize::from(value > threshold))
        }
        [first, ..] if !row.iter().any(|value| value.is_nan()) => {
            let mut best = (0, first);
            for (class, &value) in row.iter().enumerate() {
                if value > best.1 {
                    best = (class, value);
                }
            }
            Some(best.0)
        }
        _ => None,
    }
}

/// The share of rows of which the right class is predicted, from 0 to 1.
///
/// `predictions` is row-major with `columns` columns; `targets` has one class index a row.
///
/// # Errors
/// [`Error::Empty`] without rows or columns, [`Error::Kernel`] if the lengths do not fit,
/// [`Error::Class`] if a target is not a class index (below 2 for one column).
///
/// ```
/// use slimfit::metrics::{Outputs, accuracy};
///
/// let share = accuracy(&[0.9, 0.2, 0.4], 1, &[1.0, 0.0, 1.0], Outputs::Probabilities)?;
/// assert_eq!(share, 2.0 / 3.0);
/// # Ok::<(), slimfit::Error>(())
/// ```
pub fn accuracy(
    predictions: &[f32],
    columns: usize,
    targets: &[f32],
    outputs: Outputs,
) -> Result<f64, Error> {
    check_rows(predictions, columns, targets)?;
    let mut right = 0_usize;
    for (row, (prediction, &target)) in predictions.chunks_exact(columns).zip(targets).enumerate() {
        let class = class_of(row, target, columns.max(2))?;
        right += usize::from(predicted_class(prediction, outputs) == Some(class));
    }
    Ok(right as f64 / targets.len() as f64)
}

/// The root of the mean squared error, in the units of the targets; over all columns alike.
///
/// # Errors
/// [`Error::Empty`] without elements, [`Error::Kernel`] if the lengths differ.
pub fn rmse(predictions: &[f32], targets: &[f32]) -> Result<f64, Error> {
    mean(predictions, targets, |error| error * error).map(f64::sqrt)
}

/// The mean absolute error, in the units of the targets; over all columns alike.
///
/// # Errors
/// As [`rmse`].
pub fn mae(predictions: &[f32], targets: &[f32]) -> Result<f64, Error> {
    mean(predictions, targets, f64::abs)
}

/// The coefficient of determination R²: 1 for perfect predictions, 0 for as good as the mean of the
/// targets, negative for worse. With several columns it is the mean of theirs.
///
/// If all targets of a column are equal the quotient has no meaning; R² is then 1 if the
/// predictions are exactly right, and 0 otherwise.
///
/// # Errors
/// [`Error::Empty`] without rows or columns, [`Error::Kernel`] if the lengths do not fit.
///
/// ```
/// use slimfit::metrics::{mae, r2, rmse};
///
/// let (predictions, targets) = ([1.0, 2.0, 6.0], [1.0, 3.0, 5.0]);
/// assert_eq!(mae(&predictions, &targets)?, 2.0 / 3.0);
/// assert_eq!(rmse(&predictions, &targets)?, (2.0_f64 / 3.0).sqrt());
/// assert_eq!(r2(&predictions, 1, &targets)?, 0.75);
/// # Ok::<(), slimfit::Error>(())
/// ```
pub fn r2(predictions: &[f32], columns: usize, targets: &[f32]) -> Result<f64, Error> {
    check_len("predictions", predictions.len(), targets.len())?;
    if columns == 0 || targets.is_empty() {
        return Err(NOTHING);
    }
    check_len("targets", targets.len(), targets.len().div_ceil(columns).saturating_mul(columns))?;
    let rows = (targets.len() / columns) as f64;
    let of_column = |column| {
        let values = || targets.iter().skip(column).step_by(columns).map(|&y| f64::from(y));
        let predicted = predictions.iter().skip(column).step_by(columns).map(|&p| f64::from(p));
        // From the first value on, so that equal targets have a mean that equals them.
        let origin = f64::from(targets[column]);
        let mean = origin + values().map(|y| y - origin).sum::<f64>() / rows;
        let total: f64 = values().map(|y| (y - mean) * (y - mean)).sum();
        let error: f64 = predicted.zip(values()).map(|(p, y)| (p - y) * (p - y)).sum();
        if total != 0.0 || error.is_nan() {
            1.0 - error / total
        } else {
            f64::from(u8::from(error == 0.0))
        }
    };
    Ok((0..columns).map(of_column).sum::<f64>() / columns as f64)
}

/// How often each class was taken for which.
///
/// ```
/// use slimfit::metrics::{ConfusionMatrix, Outputs};
///
/// let outputs = [0.1, 0.9, 0.8, 0.3];
/// let targets = [0.0, 1.0, 0.0, 0.0];
/// let confusion = ConfusionMatrix::new(&outputs, 1, &targets, Outputs::Probabilities)?;
/// assert_eq!(confusion.count(0, 1), 1); // a 0 taken for a 1
/// assert_eq!(confusion.accuracy(), 0.75);
/// assert_eq!(confusion.precision(1), Some(0.5));
/// assert_eq!(confusion.recall(1), Some(1.0));
/// # Ok::<(), slimfit::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Counts predictions, as [`accuracy`] does: one column stands for two classes.
    ///
    /// # Errors
    /// As [`accuracy`], and [`Error::Value`] for a row with a NaN, which is of no class.
    pub fn new(
        predictions: &[f32],
        columns: usize,
        targets: &[f32],
        outputs: Outputs,
    ) -> Result<Self, Error> {
        check_rows(predictions, columns, targets)?;
        let classes = columns.max(2);
        let mut counts: Vec<u64> = zeros("confusion matrix", classes.saturating_mul(classes))?;
        for (row, (prediction, &target)) in
            predictions.chunks_exact(columns).zip(targets).enumerate()
        {
            let actual = class_of(row, target, classes)?;
            let predicted = predicted_class(prediction, outputs).ok_or_else(|| Error::Value {
                row,
                column: "prediction".into(),
                found: f32::NAN,
                expected: "a number is needed to tell the class".into(),
            })?;
            counts[actual * classes + predicted] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many rows of class `actual` were taken for class `predicted`; 0 for no such class.
    #[must_use]
    pub fn count(&self, actual: usize, predicted: usize) -> u64 {
        if actual < self.classes && predicted < self.classes {
            self.counts[actual * self.classes + predicted]
        } else {
            0
        }
    }

    /// How many rows a class has.
    #[must_use]
    pub fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|predicted| self.count(class, predicted)).sum()
    }

    /// The share of rows that are on the diagonal.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        right as f64 / self.counts.iter().sum::<u64>() as f64
    }

    /// Of the rows taken for a class, the share that is of it; `None` if none was taken for it.
    #[must_use]
    pub fn precision(&self, class: usize) -> Option<f64> {
        share(self.count(class, class), (0..self.classes).map(|actual| self.count(actual, class)))
    }

    /// Of the rows of a class, the share that was taken for it; `None` if there are none.
    #[must_use]
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.count(class, class), [self.support(class)])
    }

    /// The harmonic mean of precision and recall; `None` if there are neither rows of the class
    /// nor rows taken for it.
    #[must_use]
    pub fn f1(&self, class: usize) -> Option<f64> {
        let taken: u64 = (0..self.classes).map(|actual| self.count(actual, class)).sum();
        share(2 * self.count(class, class), [taken, self.support(class)])
    }
}

const NOTHING: Error = Error::Empty { what: "there are no predictions to measure" };

fn share(part: u64, whole: impl IntoIterator<Item = u64>) -> Option<f64> {
    let whole: u64 = whole.into_iter().sum();
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn check_rows(predictions: &[f32], columns: usize, targets: &[f32]) -> Result<(), Error> {
    if columns == 0 || targets.is_empty() {
        return Err(NOTHING);
    }
    check_len("predictions", predictions.len(), targets.len().saturating_mul(columns))
}

fn class_of(row: usize, target: f32, classes: usize) -> Result<usize, Error> {
    if target >= 0.0 && target < classes as f32 && target.fract() == 0.0 {
        Ok(target as usize)
    } else {
        Err(Error::Class { row, column: "target".into(), found: target, classes })
    }
}

fn mean(predictions: &[f32], targets: &[f32], f: impl Fn(f64) -> f64) -> Result<f64, Error> {
    check_len("predictions", predictions.len(), targets.len())?;
    if targets.is_empty() {
        return Err(NOTHING);
    }
    let sum: f64 =
        predictions.iter().zip(targets).map(|(&p, &y)| f(f64::from(p) - f64::from(y))).sum();
    Ok(sum / targets.len() as f64)
}
