//! A data set: rows of numbers with what is to be predicted from them.
//!
//! Features and targets are two row-major matrices of `f32`. For regression a target is a number
//! (there may be several columns of them); for classification it is one column with the index of
//! the row's class, 0, 1, 2, ..., and the data set knows the names of the classes.
//!
//! A missing value is NaN. Nothing here fills it in: [`Dataset::drop_missing`] drops the rows that
//! have one and says how many, and [`Dataset::check`] refuses what a network cannot be trained on.
//!
//! [`Dataset::split`] keeps rows for a test, or for validation: shuffled by a seed, and where
//! asked for stratified, so that each class keeps its share in both parts.

#![expect(clippy::cast_sign_loss, reason = "class indices and fractions are checked first")]

use std::collections::HashSet;

use crate::error::{Error, check_len};
use crate::rng::{self, Stream};

/// Features and targets of a number of rows, with the names of their columns.
///
/// ```
/// use slimfit::dataset::{Dataset, Stratify};
///
/// let mut flowers = Dataset::classification(
///     vec![5.1, 3.5, f32::NAN, 3.2, 4.7, 3.2, 6.9, 3.1, 5.5, 2.3],
///     2,
///     &[0, 0, 0, 1, 1],
///     vec!["setosa".into(), "versicolor".into()],
/// )?;
/// assert_eq!(flowers.drop_missing(), 1);
/// assert_eq!(flowers.class_counts(), [2, 2]);
/// let (train, test) = flowers.split(0.5, 42, Stratify::ByClass)?;
/// assert_eq!((train.class_counts(), test.class_counts()), (vec![1, 1], vec![1, 1]));
/// # Ok::<(), slimfit::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    features: Vec<f32>,
    targets: Vec<f32>,
    feature_names: Vec<String>,
    target_names: Vec<String>,
    classes: Vec<String>,
    rows: usize,
}

/// How [`Dataset::split`] draws its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stratify {
    /// From all rows alike.
    Off,
    /// From each class by itself, so that each keeps its share in both parts.
    ByClass,
}

impl Dataset {
    /// A data set of as many feature and target columns as there are names for them.
    ///
    /// `classes` is empty for regression. Otherwise there is one target column, which holds class
    /// indices below the number of classes. NaN marks a missing value in either.
    ///
    /// # Errors
    /// If there are no feature or no target columns, if a length is no multiple of its number of
    /// columns or the two give different numbers of rows, if a name is there twice, if classes
    /// come with several target columns, or if a target is not a class index.
    pub fn new(
        features: Vec<f32>,
        targets: Vec<f32>,
        feature_names: Vec<String>,
        target_names: Vec<String>,
        classes: Vec<String>,
    ) -> Result<Self, Error> {
        if feature_names.is_empty() {
            return Err(Error::Empty { what: "a data set needs a feature column" });
        }
        if target_names.is_empty() {
            return Err(Error::Empty { what: "a data set needs a target column" });
        }
        let rows = features.len() / feature_names.len();
        check_len("features", features.len(), rows * feature_names.len())?;
        check_len("targets", targets.len(), rows.saturating_mul(target_names.len()))?;
        check_distinct("column", feature_names.iter().chain(&target_names))?;
        check_distinct("class", classes.iter())?;
        if let [column, more @ ..] = target_names.as_slice()
            && !classes.is_empty()
        {
            if !more.is_empty() {
                return Err(Error::Task {
                    what: "classes go with one target column, and there are several",
                });
            }
            let is_class = |target: f32| {
                target.is_nan()
                    || (target >= 0.0 && target < classes.len() as f32 && target.fract() == 0.0)
            };
            if let Some(row) = targets.iter().position(|&target| !is_class(target)) {
                return Err(Error::Class {
                    row,
                    column: column.clone(),
                    found: targets[row],
                    classes: classes.len(),
                });
            }
        }
        Ok(Self { features, targets, feature_names, target_names, classes, rows })
    }

    /// A data set for regression with one target column; the columns are named `x0`, `x1`, ...
    /// and `y`.
    ///
    /// # Errors
    /// As [`Dataset::new`], and if there are fewer features than one row has.
    pub fn regression(
        features: Vec<f32>,
        feature_count: usize,
        targets: Vec<f32>,
    ) -> Result<Self, Error> {
        let names = numbered(feature_count, features.len())?;
        Self::new(features, targets, names, vec!["y".into()], Vec::new())
    }

    /// A data set for classification; the columns are named `x0`, `x1`, ... and `y`.
    ///
    /// # Errors
    /// As [`Dataset::new`], if there are fewer features than one row has, and if there are no
    /// classes.
    pub fn classification(
        features: Vec<f32>,
        feature_count: usize,
        labels: &[usize],
        classes: Vec<String>,
    ) -> Result<Self, Error> {
        if classes.is_empty() {
            return Err(Error::Empty { what: "classification needs classes" });
        }
        let targets = labels.iter().map(|&label| label as f32).collect();
        let names = numbered(feature_count, features.len())?;
        Self::new(features, targets, names, vec!["y".into()], classes)
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of feature columns.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.feature_names.len()
    }

    /// Number of target columns.
    #[must_use]
    pub fn target_count(&self) -> usize {
        self.target_names.len()
    }

    /// All features, row by row.
    #[must_use]
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// All features, to be changed in place.
    pub fn features_mut(&mut self) -> &mut [f32] {
        &mut self.features
    }

    /// All targets, row by row.
    #[must_use]
    pub fn targets(&self) -> &[f32] {
        &self.targets
    }

    /// The targets of a regression, to be changed in place. Class indices are not to be changed.
    ///
    /// # Errors
    /// If the data set has classes.
    pub fn targets_mut(&mut self) -> Result<&mut [f32], Error> {
        if self.is_classification() {
            return Err(Error::Task {
                what: "the targets are class indices, which are not to be changed",
            });
        }
        Ok(&mut self.targets)
    }

    /// Features and targets of one row, if there is such a row.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<(&[f32], &[f32])> {
        (row < self.rows).then(|| {
            let (features, targets) = (self.feature_count(), self.target_count());
            (
                &self.features[row * features..(row + 1) * features],
                &self.targets[row * targets..(row + 1) * targets],
            )
        })
    }

    /// Names of the feature columns.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// Names of the target columns.
    #[must_use]
    pub fn target_names(&self) -> &[String] {
        &self.target_names
    }

    /// Names of the classes by index; empty for regression.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Whether targets are class indices.
    #[must_use]
    pub fn is_classification(&self) -> bool {
        !self.classes.is_empty()
    }

    /// How many rows each class has; rows without a target count for none. Empty for regression.
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        if self.is_classification() {
            for target in self.targets.iter().filter(|target| !target.is_nan()) {
                counts[*target as usize] += 1;
            }
        }
        counts
    }

    /// Drops the rows with a missing value (NaN) in a feature or a target, and returns how many
    /// there were. The others keep their order. Classes of which no row is left go too: the others
    /// move up.
    pub fn drop_missing(&mut self) -> usize {
        let kept: Vec<usize> = (0..self.rows)
            .filter(|&row| {
                self.row(row).is_some_and(|(features, targets)| {
                    !features.iter().chain(targets).any(|value| value.is_nan())
                })
            })
            .collect();
        let dropped = self.rows - kept.len();
        if dropped > 0 {
            *self = self.take(&kept);
            self.drop_empty_classes();
        }
        dropped
    }

    /// Takes classes without rows off the list; the targets are finite.
    fn drop_empty_classes(&mut self) {
        let counts = self.class_counts();
        if !counts.contains(&0) || self.rows == 0 {
            return;
        }
        let is_kept = |class: usize| counts.get(class).is_some_and(|&count| count > 0);
        for target in &mut self.targets {
            *target = (0..*target as usize).filter(|&class| is_kept(class)).count() as f32;
        }
        let mut class = 0..;
        self.classes.retain(|_| class.next().is_some_and(is_kept));
    }

    /// Whether all features and targets are finite numbers.
    ///
    /// # Errors
    /// [`Error::Value`] with the first infinite or missing value.
    pub fn check_finite(&self) -> Result<(), Error> {
        find_not_finite(&self.features, &self.feature_names)?;
        find_not_finite(&self.targets, &self.target_names)
    }

    /// Whether two classes or more have rows; a regression passes.
    ///
    /// # Errors
    /// [`Error::Empty`] without rows, [`Error::OneClass`].
    pub fn check_classes(&self) -> Result<(), Error> {
        if !self.is_classification() {
            return Ok(());
        }
        let counts = self.class_counts();
        let mut present = counts.iter().zip(&self.classes).filter(|(count, _)| **count > 0);
        match (present.next(), present.next()) {
            (None, _) => Err(NO_ROWS),
            (Some((&rows, class)), None) => Err(Error::OneClass { class: class.clone(), rows }),
            _ => Ok(()),
        }
    }

    /// Whether a network can be trained on this: there are rows, all values are finite, and a
    /// classification has rows of two classes or more.
    ///
    /// # Errors
    /// As [`Dataset::check_finite`] and [`Dataset::check_classes`], and [`Error::Empty`] without
    /// rows.
    pub fn check(&self) -> Result<(), Error> {
        if self.rows == 0 {
            return Err(NO_ROWS);
        }
        self.check_finite()?;
        self.check_classes()
    }

    /// The rows with these indices, in their order; an index may be there more than once.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such row.
    pub fn subset(&self, rows: &[usize]) -> Result<Self, Error> {
        self.check_rows(rows)?;
        Ok(self.take(rows))
    }

    /// Shuffles the rows and divides them into a training part and a test part, returned in this
    /// order. The seed decides alone which rows go where, on every platform.
    ///
    /// The test part gets `test_fraction * rows` rows, rounded to nearest and half up. Stratified,
    /// each class gets its `test_fraction * count` rounded down, and what is left goes one by one
    /// to the classes that lost most by rounding (the first of equals): each class is within one
    /// row of its share. No class gives its last row away: it keeps one for training, and the
    /// test part may be smaller for that.
    ///
    /// # Errors
    /// [`Error::Setting`] if the fraction does not lie between 0 and 1, [`Error::Empty`] if a part
    /// would have no rows. Stratified also [`Error::Task`] for a regression, [`Error::OneClass`],
    /// and [`Error::Value`] if a target is missing.
    pub fn split(
        &self,
        test_fraction: f64,
        seed: u64,
        stratify: Stratify,
    ) -> Result<(Self, Self), Error> {
        if !(test_fraction > 0.0 && test_fraction < 1.0) {
            return Err(Error::Setting {
                what: "the fraction of rows to split off",
                expected: "between 0 and 1, both excluded",
                found: test_fraction,
            });
        }
        if self.rows == 0 {
            return Err(NO_ROWS);
        }
        let wanted = (test_fraction * self.rows as f64 + 0.5) as usize;
        let mut order: Vec<usize> = (0..self.rows).collect();
        rng::shuffle(&mut rng::generator(seed, Stream::Split), &mut order);
        let (test, train): (Vec<usize>, Vec<usize>) = match stratify {
            Stratify::Off => {
                let (test, train) = order.split_at(wanted.min(self.rows));
                (test.to_vec(), train.to_vec())
            }
            Stratify::ByClass => {
                if !self.is_classification() {
                    return Err(Error::Task {
                        what: "a regression has no classes to stratify a split by",
                    });
                }
                self.check_classes()?;
                find_not_finite(&self.targets, &self.target_names)?;
                let mut quotas = stratified_quotas(&self.class_counts(), test_fraction, wanted);
                order.into_iter().partition(|&row| {
                    let quota = &mut quotas[self.targets[row] as usize];
                    let taken = *quota > 0;
                    *quota -= usize::from(taken);
                    taken
                })
            }
        };
        if train.is_empty() || test.is_empty() {
            return Err(Error::Empty {
                what: "one part of the split would have no rows: there are too few rows for this \
                       fraction",
            });
        }
        Ok((self.take(&train), self.take(&test)))
    }

    /// `Ok` if all indices are those of rows.
    pub(crate) fn check_rows(&self, rows: &[usize]) -> Result<(), Error> {
        match rows.iter().find(|&&row| row >= self.rows) {
            Some(&row) => Err(Error::Setting {
                what: "a row index",
                expected: "below the number of rows",
                found: row as f64,
            }),
            None => Ok(()),
        }
    }

    /// The rows with these indices, all of which exist.
    fn take(&self, rows: &[usize]) -> Self {
        let mut features = Vec::with_capacity(rows.len() * self.feature_count());
        let mut targets = Vec::with_capacity(rows.len() * self.target_count());
        for (x, y) in rows.iter().filter_map(|&row| self.row(row)) {
            features.extend_from_slice(x);
            targets.extend_from_slice(y);
        }
        Self {
            features,
            targets,
            feature_names: self.feature_names.clone(),
            target_names: self.target_names.clone(),
            classes: self.classes.clone(),
            rows: rows.len(),
        }
    }
}

const NO_ROWS: Error =
    Error::Empty { what: "the data set has no rows (did every row have a missing value?)" };

/// How many rows of each class go to the test part (the largest remainder method).
fn stratified_quotas(counts: &[usize], fraction: f64, wanted: usize) -> Vec<usize> {
    let share = |count: usize| fraction * count as f64;
    // Below the count even rounded to f64, as the fraction is below 1: each class keeps a row.
    let mut quotas: Vec<usize> = counts.iter().map(|&count| share(count) as usize).collect();
    let mut by_remainder: Vec<usize> =
        (0..counts.len()).filter(|&class| quotas[class] + 1 < counts[class]).collect();
    // A stable sort: equals stay in the order of their indices.
    by_remainder.sort_by(|&a, &b| share(counts[b]).fract().total_cmp(&share(counts[a]).fract()));
    let left = wanted.saturating_sub(quotas.iter().sum());
    for class in by_remainder.into_iter().take(left) {
        quotas[class] += 1;
    }
    quotas
}

/// `Ok` if all values of a row-major matrix are finite; otherwise the first that is not.
pub(crate) fn find_not_finite(values: &[f32], names: &[String]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::Value {
            row: index / names.len(),
            column: names[index % names.len()].clone(),
            found: values[index],
            expected: if values[index].is_nan() {
                "a value is needed: drop rows with missing values first".into()
            } else {
                "a finite number is needed".into()
            },
        }),
        None => Ok(()),
    }
}

fn check_distinct<'a>(
    what: &'static str,
    mut names: impl Iterator<Item = &'a String>,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(Error::Duplicate { what, name: name.clone() }),
        None => Ok(()),
    }
}

/// The names `x0`, `x1`, ... of the columns of a matrix, which must have a row.
fn numbered(count: usize, len: usize) -> Result<Vec<String>, Error> {
    if len < count {
        check_len("features", len, count)?;
    }
    Ok((0..count).map(|index| format!("x{index}")).collect())
}
