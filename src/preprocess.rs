//! Scaling of columns, so that all features are of a size that a network learns from well.
//!
//! Both scalers map a column by x' = (x - shift) / scale:
//!
//! | scaler | shift | scale | gives |
//! |---|---|---|---|
//! | [`Standardizer`] | mean | standard deviation (of the population: divided by n) | mean 0, variance 1 |
//! | [`MinMax`] | minimum | maximum - minimum | values from 0 to 1 |
//!
//! A **constant column** has no spread to divide by: its scale is 1, so it becomes 0, and so do
//! the targets of a regression whose targets are all equal.
//!
//! A scaler is fitted on the training part only, and applied to any data: what is known of the
//! test part must not leak into training. Fitting refuses missing and infinite values; applying
//! lets NaN through, and rounds to an infinity what no `f32` holds.
//!
//! All arithmetic is in f64, in the order of the rows, so that the results are the same bits
//! everywhere; an f32 is rounded once, at the end. The mean and the variance are taken of the
//! distance to the first value and then to the mean (the corrected two-pass algorithm: Chan, Golub
//! & `LeVeque`, The American Statistician 37, 1983), so that a column far from zero loses
//! nothing, and a constant one has a variance of exactly 0.

use std::fmt::Debug;
use std::marker::PhantomData;

use crate::dataset::{Dataset, find_not_finite};
use crate::error::{Error, check_len};

/// What a scaler makes of a column.
pub trait Rule: Copy + Debug + PartialEq {
    /// Shift and spread of a column with at least one value; all values are finite.
    fn shift_and_spread(column: impl Iterator<Item = f64> + Clone) -> (f64, f64);
}

/// Mean and standard deviation of the population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeanAndDeviation;

impl Rule for MeanAndDeviation {
    fn shift_and_spread(mut column: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
        let all = column.clone();
        let origin = column.next().unwrap_or(0.0);
        let (mut count, mut sum) = (0.0, 0.0);
        for value in all.clone() {
            count += 1.0;
            sum += value - origin;
        }
        let mean = origin + sum / count;
        let (mut squares, mut rest) = (0.0, 0.0);
        for value in all {
            squares += (value - mean) * (value - mean);
            rest += value - mean;
        }
        (mean, ((squares - rest * rest / count) / count).max(0.0).sqrt())
    }
}

/// Minimum, and maximum less minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinimumAndRange;

impl Rule for MinimumAndRange {
    fn shift_and_spread(column: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
        let (min, max) = column.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
            (value.min(min), value.max(max))
        });
        (min, max - min)
    }
}

/// Scales each column to mean 0 and variance 1.
///
/// ```
/// use slimfit::dataset::Dataset;
/// use slimfit::preprocess::Standardizer;
///
/// // Two features, the second of them constant.
/// let mut train = Dataset::regression(vec![1.0, 7.0, 3.0, 7.0], 2, vec![10.0, 30.0])?;
/// let features = Standardizer::fit(&train)?;
/// let targets = Standardizer::fit_targets(&train)?;
/// features.apply(&mut train)?;
/// targets.apply_targets(&mut train)?;
/// assert_eq!(train.features(), [-1.0, 0.0, 1.0, 0.0]);
/// assert_eq!(train.targets(), [-1.0, 1.0]);
///
/// // What a network predicts, back in the units of the targets.
/// let mut predictions = [0.5];
/// targets.inverse_slice(&mut predictions)?;
/// assert_eq!(predictions, [25.0]);
/// # Ok::<(), slimfit::Error>(())
/// ```
pub type Standardizer = Scaler<MeanAndDeviation>;

/// Scales each column to the range from 0 to 1.
///
/// ```
/// use slimfit::dataset::Dataset;
/// use slimfit::preprocess::MinMax;
///
/// let mut train = Dataset::regression(vec![1.0, 2.0, 5.0], 1, vec![0.0; 3])?;
/// let scaler = MinMax::fit(&train)?;
/// scaler.apply(&mut train)?;
/// assert_eq!(train.features(), [0.0, 0.25, 1.0]);
/// # Ok::<(), slimfit::Error>(())
/// ```
pub type MinMax = Scaler<MinimumAndRange>;

/// A shift and a scale for each column: see [`Standardizer`] and [`MinMax`].
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler<R: Rule> {
    shift: Vec<f64>,
    scale: Vec<f64>,
    rule: PhantomData<R>,
}

impl<R: Rule> Scaler<R> {
    /// Fits a scaler on the feature columns.
    ///
    /// # Errors
    /// [`Error::Empty`] without rows, [`Error::Value`] if a feature is missing or infinite.
    pub fn fit(data: &Dataset) -> Result<Self, Error> {
        Self::fit_columns(data.features(), data.feature_names())
    }

    /// Fits a scaler on the target columns of a regression.
    ///
    /// # Errors
    /// As [`Scaler::fit`], and [`Error::Task`] if the data set has classes.
    pub fn fit_targets(data: &Dataset) -> Result<Self, Error> {
        if data.is_classification() {
            return Err(Error::Task { what: "the targets are class indices: there is no scale" });
        }
        Self::fit_columns(data.targets(), data.target_names())
    }

    fn fit_columns(values: &[f32], names: &[String]) -> Result<Self, Error> {
        if values.is_empty() {
            return Err(Error::Empty { what: "there are no rows to fit a scaler on" });
        }
        find_not_finite(values, names)?;
        let (shift, scale) = (0..names.len())
            .map(|column| {
                let column = values.iter().skip(column).step_by(names.len());
                let (shift, spread) = R::shift_and_spread(column.map(|&value| f64::from(value)));
                (shift, if spread == 0.0 { 1.0 } else { spread })
            })
            .unzip();
        Ok(Self { shift, scale, rule: PhantomData })
    }

    /// What is subtracted from each column: its mean, or its minimum.
    #[must_use]
    pub fn shift(&self) -> &[f64] {
        &self.shift
    }

    /// What each column is divided by then: its standard deviation, or its range; 1 if constant.
    #[must_use]
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// Scales the features.
    ///
    /// # Errors
    /// If there are not as many columns as the scaler was fitted on.
    pub fn apply(&self, data: &mut Dataset) -> Result<(), Error> {
        check_len("feature columns", data.feature_count(), self.shift.len())?;
        self.apply_slice(data.features_mut())
    }

    /// Scales the targets of a regression.
    ///
    /// # Errors
    /// As [`Scaler::apply`], and [`Error::Task`] if the data set has classes.
    pub fn apply_targets(&self, data: &mut Dataset) -> Result<(), Error> {
        check_len("target columns", data.target_count(), self.shift.len())?;
        self.apply_slice(data.targets_mut()?)
    }

    /// Scales rows of as many values as the scaler has columns.
    ///
    /// # Errors
    /// If the length is no multiple of the number of columns.
    pub fn apply_slice(&self, rows: &mut [f32]) -> Result<(), Error> {
        self.map(rows, |value, shift, scale| (value - shift) / scale)
    }

    /// Undoes [`Scaler::apply`], up to rounding.
    ///
    /// # Errors
    /// As [`Scaler::apply`].
    pub fn inverse(&self, data: &mut Dataset) -> Result<(), Error> {
        check_len("feature columns", data.feature_count(), self.shift.len())?;
        self.inverse_slice(data.features_mut())
    }

    /// Undoes [`Scaler::apply_targets`], up to rounding.
    ///
    /// # Errors
    /// As [`Scaler::apply_targets`].
    pub fn inverse_targets(&self, data: &mut Dataset) -> Result<(), Error> {
        check_len("target columns", data.target_count(), self.shift.len())?;
        self.inverse_slice(data.targets_mut()?)
    }

    /// Undoes [`Scaler::apply_slice`], up to rounding: brings predictions back to the units of the
    /// targets.
    ///
    /// # Errors
    /// As [`Scaler::apply_slice`].
    pub fn inverse_slice(&self, rows: &mut [f32]) -> Result<(), Error> {
        self.map(rows, |value, shift, scale| value * scale + shift)
    }

    fn map(&self, rows: &mut [f32], f: impl Fn(f64, f64, f64) -> f64) -> Result<(), Error> {
        let columns = self.shift.len();
        check_len("values to scale", rows.len(), rows.len().next_multiple_of(columns))?;
        for row in rows.chunks_exact_mut(columns) {
            for ((value, &shift), &scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
                *value = f(f64::from(*value), shift, scale) as f32;
            }
        }
        Ok(())
    }
}

impl Standardizer {
    /// Mean of each column.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.shift
    }
}

impl MinMax {
    /// Smallest value of each column.
    #[must_use]
    pub fn min(&self) -> &[f64] {
        &self.shift
    }
}
