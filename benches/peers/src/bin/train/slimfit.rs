//! slimfit: `Model::fit`.

use std::ops::ControlFlow;
use std::time::Duration;

use slimfit::dataset::Dataset;
use slimfit::{BatchSize, FitOptions, Model};

use crate::Outcome;
use crate::job::{Job, SEED};
use crate::worker::{Contestant, EPOCHS};

pub struct Slimfit {
    job: &'static Job,
    initial: Model,
    data: Dataset,
    options: FitOptions,
}

impl Slimfit {
    pub fn new(job: &'static Job, threads: usize) -> Outcome<Self> {
        let data = job.data()?;
        let initial = Model::from_params(&job.layers(), job.loss(), data.params)?;
        let names = (0..job.classes()).map(|class| class.to_string()).collect();
        let options = FitOptions {
            batch_size: BatchSize::Fixed(job.batch),
            seed: SEED,
            threads: Some(threads),
            ..FitOptions::default()
        };
        let data = Dataset::classification(data.features, job.inputs(), &data.classes, names)?;
        Ok(Self { job, initial, data, options })
    }
}

impl Contestant for Slimfit {
    fn check(&mut self) -> Outcome<Vec<f64>> {
        let options = FitOptions { epochs: self.job.check_epochs, ..self.options.clone() };
        let go_on = |_: &_| ControlFlow::Continue(());
        let history = self.initial.clone().fit(&self.data, None, &options, go_on)?;
        Ok(history.epochs.iter().map(|epoch| epoch.loss).collect())
    }

    fn turn(&mut self, budget: Duration) -> Outcome<(Duration, usize)> {
        let (mut taken, mut steps) = (Duration::ZERO, 0);
        let options = FitOptions { epochs: EPOCHS + 1, ..self.options.clone() };
        while taken < budget {
            self.initial.clone().fit(&self.data, None, &options, |epoch| {
                // The first epoch makes buffers.
                if epoch.epoch > 0 {
                    taken += epoch.duration;
                    steps += epoch.steps;
                }
                if taken < budget { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok((taken, steps))
    }
}
