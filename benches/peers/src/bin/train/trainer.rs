//! What the frameworks in Rust have in common: they train epoch by epoch.

use std::time::{Duration, Instant};

use slimfit::batch::Batches;

use crate::Outcome;
use crate::job::Job;
use crate::worker::{Contestant, EPOCHS};

/// What a framework must be able to do to take part.
pub trait Trainer {
    /// Goes back to the initial weights and a new optimizer.
    fn reset(&mut self) -> Outcome<()>;

    /// Takes the steps of an epoch that was started; returns their mean loss.
    fn epoch(&mut self, batches: &mut Batches) -> Outcome<f64>;
}

/// A [`Trainer`] at its job.
pub struct Epochs<T> {
    pub job: &'static Job,
    pub trainer: T,
}

impl<T: Trainer> Contestant for Epochs<T> {
    fn check(&mut self) -> Outcome<Vec<f64>> {
        self.trainer.reset()?;
        let mut batches = self.job.batches()?;
        (0..self.job.check_epochs)
            .map(|_| {
                batches.start_epoch();
                self.trainer.epoch(&mut batches)
            })
            .collect()
    }

    fn turn(&mut self, budget: Duration) -> Outcome<(Duration, usize)> {
        let (mut taken, mut steps) = (Duration::ZERO, 0);
        let mut batches = self.job.batches()?;
        while taken < budget {
            self.trainer.reset()?;
            // The first epoch makes buffers.
            for epoch in 0..=EPOCHS {
                let start = Instant::now();
                batches.start_epoch();
                self.trainer.epoch(&mut batches)?;
                if epoch > 0 {
                    taken += start.elapsed();
                    steps += self.job.rows.div_ceil(self.job.batch);
                }
                if taken >= budget {
                    break;
                }
            }
        }
        Ok((taken, steps))
    }
}

/// Weights and biases of each layer.
pub fn split<'p>(job: &Job, params: &'p [f32]) -> Vec<(&'p [f32], &'p [f32])> {
    let mut rest = params;
    let layers = job.sizes.windows(2).map(|io| {
        let (weights, tail) = rest.split_at(io[0] * io[1]);
        let (biases, tail) = tail.split_at(io[1]);
        rest = tail;
        (weights, biases)
    });
    layers.collect()
}

/// A `[inputs, outputs]` matrix as `[outputs, inputs]`.
#[cfg(any(feature = "candle", feature = "dfdx"))]
pub fn transposed(weights: &[f32], outputs: usize) -> Vec<f32> {
    (0..outputs).flat_map(|column| weights.iter().skip(column).step_by(outputs)).copied().collect()
}
