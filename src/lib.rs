//! Trains small dense networks on CPUs, from a server core with AVX-512 down to a microcontroller,
//! with the same code.
//!
//! # What is where
//!
//! | you want to | look at |
//! |---|---|
//! | train on a CSV file or on rows in memory | [`Model`], [`dataset`], [`preprocess`], `csv` (features `std`, `csv`) |
//! | train in buffers of your own, without `std` or an allocator | [`Mlp`], [`Workspace`], [`Optimizer`] |
//! | split a matrix product between threads | [`parallel`] |
//! | use the kernels in other numeric code | [`kernels`], a crate of its own: `slimfit-kernels` |
//!
//! # The classic recipe
//!
//! Drop rows with missing cells, split, standardise by the training rows, train, evaluate:
//!
//! ```
//! # #[cfg(feature = "csv")] fn main() -> Result<(), slimfit::Error> {
//! use std::ops::ControlFlow;
//! use slimfit::csv::{CsvOptions, Task};
//! use slimfit::dataset::Stratify;
//! use slimfit::preprocess::Standardizer;
//! use slimfit::{Activation, FitOptions, Layer, Loss, Metric, Model};
//!
//! let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/breast_cancer.csv");
//! let mut data = slimfit::csv::read_path(path, &CsvOptions::new("diagnosis", Task::Classification))?;
//! data.drop_missing();
//! let (mut train, mut test) = data.split(0.2, 42, Stratify::ByClass)?;
//! let standardizer = Standardizer::fit(&train)?;
//! standardizer.apply(&mut train)?;
//! standardizer.apply(&mut test)?;
//!
//! let layers = [
//!     Layer::new(30, 32, Activation::Relu),
//!     Layer::new(32, 16, Activation::Relu),
//!     Layer::new(16, 1, Activation::Identity), // the loss takes the logit
//! ];
//! let mut model = Model::new(&layers, Loss::BinaryCrossEntropy, 42)?;
//! let options = FitOptions { epochs: 20, ..FitOptions::default() };
//! model.fit(&train, Some(&test), &options, |epoch| {
//!     println!("epoch {}: loss {:.4}", epoch.epoch, epoch.loss);
//!     ControlFlow::Continue(())
//! })?;
//!
//! let Metric::Accuracy(accuracy) = model.evaluate(&test)?.metric else { unreachable!() };
//! assert!(accuracy > 0.9);
//! let probabilities = model.predict(test.features())?;
//! assert_eq!(probabilities.len(), test.rows());
//! # Ok(()) }
//! # #[cfg(not(feature = "csv"))] fn main() {}
//! ```
//!
//! # What can be relied on
//!
//! - **The same bits** for the same input and settings, at any number of threads, and at every
//!   [`Level`] that fuses multiply and add.
//! - **No allocation** in the kernels, in a step of [`Mlp`], or per batch in the trainer; **no
//!   panic** on any input: what does not fit is an `Err` that says what.
//! - **Penalties** are those of Keras: loss + l1·Σ|w| + l2·Σw² over weights, not biases. Decoupled
//!   decay (AdamW) is a setting of its own.
//!
//! # Features
//!
//! `std` (default): the trainer, parallel by rayon. `all` (part of `std`): every activation, loss and
//! optimizer; without it those of the classic recipes, for small flashes. `csv`: reads CSV files. Without both, the crate is
//! `no_std` and uses no allocator.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "std")]
mod aligned;
#[cfg(feature = "std")]
pub mod batch;
#[cfg(feature = "csv")]
pub mod csv;
#[cfg(feature = "std")]
pub mod dataset;
#[cfg(feature = "std")]
mod error;
mod executor;
mod init;
#[cfg(feature = "std")]
pub mod metrics;
pub mod mlp;
mod optimizer;
pub mod parallel;
#[cfg(feature = "std")]
pub mod preprocess;
#[cfg(feature = "std")]
mod rng;
mod schedule;
#[cfg(feature = "std")]
mod train;

/// The examples of the README, as tests.
#[cfg(all(doctest, feature = "csv"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use slimfit_kernels as kernels;
pub use slimfit_kernels::activation::Activation;
pub use slimfit_kernels::loss::Loss;
pub use slimfit_kernels::{Error as KernelError, Level};

#[cfg(feature = "std")]
pub use batch::BatchSize;
#[cfg(feature = "std")]
pub use error::Error;
pub use executor::Executor;
#[cfg(feature = "std")]
pub use executor::Rayon;
pub use init::Initializer;
pub use mlp::{Batch, Layer, LayerProducts, Mlp, OptimizerState, StepLoss, StepOptions, Workspace};
pub use optimizer::Optimizer;
pub use schedule::Schedule;
#[cfg(feature = "std")]
pub use train::{EarlyStopping, EpochReport, Evaluation, FitOptions, History, Metric, Model};
