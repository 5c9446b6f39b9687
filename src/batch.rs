//! Batches: how many rows a step takes, and which.
//!
//! Each epoch goes through all rows once, in an order that is shuffled anew; a batch is a run of
//! that order. The last batch of an epoch takes the rows that are left and may be shorter. A batch
//! size above the number of rows means one batch of all rows.
//!
//! The batch size may change as training goes on. Larger batches late in training act as a smaller
//! learning rate does, with fewer steps (Smith, Kindermans, Ying & Le, "Don't Decay the Learning
//! Rate, Increase the Batch Size", ICLR 2018); batch sizes drawn at random vary the noise of the
//! gradient.
//!
//! The seed fixes orders and sizes on every platform, and the orders are the same for every
//! [`BatchSize`]. Nothing is allocated after [`Batches::new`].

#![expect(clippy::cast_sign_loss, reason = "batch sizes and factors are positive")]

use rand_chacha::ChaCha8Rng;
use slimfit_kernels::{Level, gather_rows};

use crate::dataset::Dataset;
use crate::error::{Error, check_len};
use crate::executor::Executor;
use crate::parallel::{deal, numbers};
use crate::rng::{self, Stream};

/// How many rows a step takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BatchSize {
    /// Always as many.
    Fixed(usize),
    /// Drawn for each step, each number from `min` to `max` equally likely.
    Random {
        /// The smallest batch.
        min: usize,
        /// The largest batch.
        max: usize,
    },
    /// Grows between epochs.
    Dynamic {
        /// The size in the first epoch.
        initial: usize,
        /// What it is multiplied by, above 1. The product is rounded to nearest and half up; it
        /// grows by one row at least.
        factor: f32,
        /// What it grows up to.
        max: usize,
        /// When it grows.
        grow: Grow,
    },
}

/// When a batch size grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Grow {
    /// After every so many epochs.
    Every {
        /// How many.
        epochs: usize,
    },
    /// When the loss has stopped falling: when so many epochs in a row have not brought it to
    /// `min_delta` below its lowest value. The count then begins again.
    Plateau {
        /// How many epochs.
        patience: usize,
        /// By how much the loss must fall to count as falling; 0 or more.
        min_delta: f32,
    },
}

impl Default for BatchSize {
    /// 32 rows.
    fn default() -> Self {
        Self::Fixed(32)
    }
}

impl BatchSize {
    /// Whether all settings are in their ranges.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first that is not.
    pub fn check(self) -> Result<(), Error> {
        let positive = |what, size: usize| match size {
            0 => Err(Error::Setting { what, expected: "1 or more", found: 0.0 }),
            _ => Ok(()),
        };
        let not_below = |what, max: usize, min: usize, expected| {
            if max >= min {
                Ok(())
            } else {
                Err(Error::Setting { what, expected, found: max as f64 })
            }
        };
        match self {
            Self::Fixed(size) => positive("the batch size", size),
            Self::Random { min, max } => {
                positive("the smallest batch size", min)?;
                not_below("the largest batch size", max, min, "the smallest or more")
            }
            Self::Dynamic { initial, factor, max, grow } => {
                positive("the first batch size", initial)?;
                not_below("the largest batch size", max, initial, "the first or more")?;
                if !(factor > 1.0 && factor.is_finite()) {
                    return Err(Error::Setting {
                        what: "the growth factor of the batch size",
                        expected: "a finite number above 1",
                        found: f64::from(factor),
                    });
                }
                match grow {
                    Grow::Every { epochs } => positive("the epochs between batch sizes", epochs),
                    Grow::Plateau { min_delta, .. } if min_delta.is_nan() || min_delta < 0.0 => {
                        Err(Error::Setting {
                            what: "min_delta of the batch size",
                            expected: "0 or more",
                            found: f64::from(min_delta),
                        })
                    }
                    Grow::Plateau { patience, .. } => {
                        positive("the patience of the batch size", patience)
                    }
                }
            }
        }
    }

    /// The most rows that a batch can have: as large must buffers be.
    #[must_use]
    pub fn most(self, rows: usize) -> usize {
        match self {
            Self::Fixed(size) => size.min(rows),
            Self::Random { max, .. } | Self::Dynamic { max, .. } => max.min(rows),
        }
    }
}

/// Divides the rows of a data set into batches, epoch after epoch.
///
/// ```
/// use slimfit::batch::{BatchSize, Batches};
///
/// let mut batches = Batches::new(10, BatchSize::Fixed(4), 42)?;
/// for epoch in 0..3 {
///     batches.start_epoch();
///     let mut rows = 0;
///     while let Some(batch) = batches.next_batch() {
///         rows += batch.len(); // 4, 4, 2
///     }
///     assert_eq!(rows, 10);
///     batches.end_epoch(0.5);
/// }
/// # Ok::<(), slimfit::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batches {
    size: BatchSize,
    current: usize,
    order: Vec<usize>,
    next: usize,
    order_rng: ChaCha8Rng,
    size_rng: ChaCha8Rng,
    lowest: f64,
    waited: usize,
}

impl Batches {
    /// Plans batches for a number of rows.
    ///
    /// # Errors
    /// As [`BatchSize::check`], and [`Error::Empty`] without rows.
    pub fn new(rows: usize, size: BatchSize, seed: u64) -> Result<Self, Error> {
        size.check()?;
        if rows == 0 {
            return Err(Error::Empty { what: "there are no rows to make batches of" });
        }
        let current = match size {
            BatchSize::Fixed(size) => size,
            BatchSize::Random { min, .. } => min,
            BatchSize::Dynamic { initial, .. } => initial,
        };
        Ok(Self {
            size,
            current,
            order: (0..rows).collect(),
            next: rows,
            order_rng: rng::generator(seed, Stream::Order),
            size_rng: rng::generator(seed, Stream::BatchSize),
            lowest: f64::INFINITY,
            waited: 0,
        })
    }

    /// The batch size in force: for a random one, that of the last batch, as drawn. It may be
    /// above the number of rows.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.current
    }

    /// Shuffles the rows and begins at the first.
    pub fn start_epoch(&mut self) {
        rng::shuffle(&mut self.order_rng, &mut self.order);
        self.next = 0;
    }

    /// Row indices of the next batch, or `None` at the end of the epoch, and before the first.
    pub fn next_batch(&mut self) -> Option<&[usize]> {
        let start = self.next;
        let left = self.order.len() - start;
        if left == 0 {
            return None;
        }
        if let BatchSize::Random { min, max } = self.size {
            let sizes = (max - min) as u64 + 1;
            self.current = min + rng::below(&mut self.size_rng, sizes) as usize;
        }
        self.next += left.min(self.current);
        self.order.get(start..self.next)
    }

    /// Takes note of the loss that is watched, and lets a dynamic batch size grow. A NaN does not
    /// count as falling.
    pub fn end_epoch(&mut self, loss: f64) {
        let BatchSize::Dynamic { factor, max, grow, .. } = self.size else { return };
        self.waited += 1;
        let wait = match grow {
            Grow::Every { epochs } => epochs,
            Grow::Plateau { patience, min_delta } => {
                if loss < self.lowest - f64::from(min_delta) {
                    self.lowest = loss;
                    self.waited = 0;
                }
                patience
            }
        };
        if self.waited >= wait {
            self.waited = 0;
            // Rounds to nearest: the cast cuts off, and saturates.
            let grown = (self.current as f64 * f64::from(factor) + 0.5) as usize;
            self.current = grown.max(self.current.saturating_add(1)).min(max);
        }
    }
}

impl Dataset {
    /// Copies the rows with these indices, one after the other, into the buffers of a batch.
    /// Allocates nothing.
    ///
    /// # Errors
    /// If a buffer has not exactly the length of these rows, or if there is no such row; the
    /// buffers are as they were then.
    pub fn gather(
        &self,
        rows: &[usize],
        features: &mut [f32],
        targets: &mut [f32],
    ) -> Result<(), Error> {
        let (x, y) = (self.feature_count(), self.target_count());
        check_len("batch features", features.len(), rows.len().saturating_mul(x))?;
        check_len("batch targets", targets.len(), rows.len().saturating_mul(y))?;
        self.gather_on(&Level::detect(), rows, features, targets)
    }

    /// [`Dataset::gather`] on the executor's threads, where that pays.
    pub(crate) fn gather_on<E: Executor>(
        &self,
        executor: &E,
        rows: &[usize],
        features: &mut [f32],
        targets: &mut [f32],
    ) -> Result<(), Error> {
        let (x, y) = (self.feature_count(), self.target_count());
        let pieces = (features.len() / numbers(executor)).min(executor.threads()).min(rows.len());
        if pieces > 1 {
            // A piece that finds that a row is missing could not undo another.
            self.check_rows(rows)?;
        }
        deal(
            executor,
            pieces,
            (rows, features, targets),
            &|(rows, features, targets), front, pieces| {
                let at = rows.len() / pieces * front;
                let (front, back) = rows.split_at(at);
                let (front_x, back_x) = features.split_at_mut(at * x);
                let (front_y, back_y) = targets.split_at_mut(at * y);
                Ok(((front, front_x, front_y), (back, back_x, back_y)))
            },
            &|(rows, features, targets)| {
                if gather_rows(executor.level(), self.features(), x, rows, features).is_err() {
                    self.check_rows(rows)?;
                }
                gather_rows(executor.level(), self.targets(), y, rows, targets)?;
                Ok(())
            },
        )
    }
}
