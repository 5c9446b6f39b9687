//! The flags, and the settings that they stand for.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use slimfit::batch::{BatchSize, Grow};
use slimfit::csv::Task;
use slimfit::kernels::optim::{AdaGrad, Adam, Momentum, Penalty, Sgd};
use slimfit::{Activation, EarlyStopping, FitOptions, Optimizer, Schedule};

/// The data set that is trained on without arguments, wherever in the checkout one stands.
const BREAST_CANCER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/breast_cancer.csv");

/// Trains a small dense network on a CSV file, evaluates it on rows kept for the test, and writes
/// the learning curve.
///
/// The header of the file names the columns. Rows with a missing cell (empty, NA, ? or NaN) are
/// dropped; columns of text become one feature for each value.
#[derive(Debug, Parser)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Args {
    /// The CSV file
    #[arg(default_value = BREAST_CANCER, hide_default_value = true)]
    pub(crate) data: PathBuf,
    /// The column to predict [default: the last one]
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// What to learn of it; auto takes whole numbers with at most 20 values for classes
    #[arg(long, value_enum, default_value_t = TaskArg::Auto)]
    task: TaskArg,
    /// Columns of numbers that are categories
    #[arg(long, value_delimiter = ',')]
    pub(crate) categorical: Vec<String>,
    /// Columns to leave out
    #[arg(long, value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// What separates the fields: one character of ASCII
    #[arg(long, default_value = ",", value_parser = ascii)]
    delimiter: u8,
    /// Share of the rows kept for the test
    #[arg(long, default_value_t = 0.2)]
    pub(crate) test: f64,
    /// Share of the other rows to validate on after each epoch; 0 for none
    #[arg(long, default_value_t = 0.1)]
    pub(crate) validation: f64,

    /// Units of the hidden layers
    #[arg(long, value_delimiter = ',', default_value = "32,16")]
    pub(crate) hidden: Vec<usize>,
    /// Activation of the hidden layers
    #[arg(long, value_enum, default_value_t = ActivationArg::Relu)]
    pub(crate) activation: ActivationArg,

    /// Passes over the training rows
    #[arg(long, default_value_t = 50)]
    pub(crate) epochs: usize,
    /// Rows of a step; of a batch size that varies: the smallest
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// How the batch size varies
    #[arg(long, value_enum, default_value_t = BatchArg::Fixed)]
    batch_strategy: BatchArg,
    /// The largest batch, of a batch size that varies [default: four times the smallest]
    #[arg(long)]
    batch_max: Option<usize>,
    /// Epochs after which a batch size doubles: in all (scheduled), or without progress (plateau)
    #[arg(long, default_value_t = 10)]
    batch_epochs: usize,
    /// The optimizer
    #[arg(long, value_enum, default_value_t = OptimizerArg::Adam)]
    pub(crate) optimizer: OptimizerArg,
    /// How far a step goes [default: 0.001 for adam and adamw, 0.01 for the others]
    #[arg(long)]
    learning_rate: Option<f32>,
    /// How the learning rate changes
    #[arg(long, value_enum, default_value_t = ScheduleArg::Constant)]
    schedule: ScheduleArg,
    /// What the learning rate is multiplied by: every epoch (exponential), or every so many (step)
    #[arg(long, default_value_t = 0.95)]
    decay: f32,
    /// Epochs between two steps of the learning rate
    #[arg(long, default_value_t = 10)]
    decay_epochs: u32,
    /// Factor of the sum of the absolute weights, added to the loss
    #[arg(long, default_value_t = 0.0)]
    l1: f32,
    /// Factor of the sum of the squared weights, added to the loss
    #[arg(long, default_value_t = 0.0)]
    l2: f32,
    /// Decoupled decay of adamw
    #[arg(long, default_value_t = 0.01)]
    weight_decay: f32,
    /// Largest norm of a gradient; longer ones are shortened to it
    #[arg(long)]
    clip_norm: Option<f32>,
    /// Stop after so many epochs without a lower validation loss, and go back to the best
    #[arg(long)]
    patience: Option<usize>,
    /// Fixes splits, initial weights and the order of the rows
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Threads; any number gives the same bits [default: one for each core]
    #[arg(long)]
    pub(crate) threads: Option<usize>,

    /// Where to write the learning curve, an SVG picture
    #[arg(long, default_value = "learning_curve.svg")]
    curve: PathBuf,
    /// Write no learning curve
    #[arg(long)]
    no_curve: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TaskArg {
    Auto,
    Classification,
    Regression,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ActivationArg {
    Identity,
    Relu,
    LeakyRelu,
    Elu,
    Sigmoid,
    Tanh,
    Gelu,
    Silu,
    Softplus,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BatchArg {
    /// Always the same
    Fixed,
    /// Drawn for each step
    Random,
    /// Doubles every so many epochs
    Scheduled,
    /// Doubles when the loss stops falling
    Plateau,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OptimizerArg {
    Sgd,
    Momentum,
    Nesterov,
    Adam,
    Adamw,
    Adagrad,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScheduleArg {
    Constant,
    Exponential,
    Step,
}

fn ascii(text: &str) -> Result<u8, String> {
    match *text.as_bytes() {
        [byte] => Ok(byte),
        _ => Err("one character of ASCII is needed".into()),
    }
}

impl Args {
    /// The task, unless it is to be guessed.
    pub(crate) fn task(&self) -> Option<Task> {
        match self.task {
            TaskArg::Auto => None,
            TaskArg::Classification => Some(Task::Classification),
            TaskArg::Regression => Some(Task::Regression),
        }
    }

    pub(crate) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    pub(crate) fn activation(&self) -> Activation {
        match self.activation {
            ActivationArg::Identity => Activation::Identity,
            ActivationArg::Relu => Activation::Relu,
            ActivationArg::LeakyRelu => Activation::LeakyRelu(0.01),
            ActivationArg::Elu => Activation::Elu(1.0),
            ActivationArg::Sigmoid => Activation::Sigmoid,
            ActivationArg::Tanh => Activation::Tanh,
            ActivationArg::Gelu => Activation::Gelu,
            ActivationArg::Silu => Activation::Silu,
            ActivationArg::Softplus => Activation::Softplus,
        }
    }

    /// Where the learning curve goes, if it is wanted: a folder that is not there, or is there in
    /// place of the file, is found out before the training, not after it.
    pub(crate) fn curve_path(&self) -> Result<Option<&Path>, String> {
        if self.no_curve {
            return Ok(None);
        }
        match self.curve.parent() {
            Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                Err(format!("{}: there is no such folder for the curve", folder.display()))
            }
            _ if self.curve.is_dir() => {
                Err(format!("{}: a folder, where the curve needs a file", self.curve.display()))
            }
            _ => Ok(Some(&self.curve)),
        }
    }

    pub(crate) fn fit_options(&self) -> FitOptions {
        FitOptions {
            epochs: self.epochs,
            batch_size: self.batch_size(),
            optimizer: self.optimizer(),
            schedule: match self.schedule {
                ScheduleArg::Constant => Schedule::Constant,
                ScheduleArg::Exponential => Schedule::Exponential { decay: self.decay },
                ScheduleArg::Step => {
                    Schedule::Step { every: self.decay_epochs, factor: self.decay }
                }
            },
            penalty: Penalty { l1: self.l1, l2: self.l2 },
            clip_norm: self.clip_norm,
            early_stopping: self
                .patience
                .map(|patience| EarlyStopping { patience, min_delta: 0.0 }),
            seed: self.seed,
            threads: self.threads,
            ..FitOptions::default()
        }
    }

    fn batch_size(&self) -> BatchSize {
        let max = self.batch_max.unwrap_or(self.batch.saturating_mul(4));
        let dynamic = |grow| BatchSize::Dynamic { initial: self.batch, factor: 2.0, max, grow };
        match self.batch_strategy {
            BatchArg::Fixed => BatchSize::Fixed(self.batch),
            BatchArg::Random => BatchSize::Random { min: self.batch, max },
            BatchArg::Scheduled => dynamic(Grow::Every { epochs: self.batch_epochs }),
            BatchArg::Plateau => {
                dynamic(Grow::Plateau { patience: self.batch_epochs, min_delta: 0.0 })
            }
        }
    }

    fn optimizer(&self) -> Optimizer {
        let momentum = |nesterov| Optimizer::Momentum(Momentum { nesterov, ..Momentum::default() });
        let optimizer = match self.optimizer {
            OptimizerArg::Sgd => Optimizer::Sgd(Sgd::default()),
            OptimizerArg::Momentum => momentum(false),
            OptimizerArg::Nesterov => momentum(true),
            OptimizerArg::Adam => Optimizer::Adam(Adam::default()),
            OptimizerArg::Adamw => {
                Optimizer::Adam(Adam { decay: self.weight_decay, ..Adam::default() })
            }
            OptimizerArg::Adagrad => Optimizer::AdaGrad(AdaGrad::default()),
        };
        match self.learning_rate {
            Some(rate) => optimizer.with_learning_rate(rate),
            None => optimizer,
        }
    }
}
