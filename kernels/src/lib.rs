//! f32 kernels for training small dense networks: no allocation, no panic, no `std`.
//!
//! | module | what it computes |
//! |---|---|
//! | [`gemm`] | `C <- alpha A B + beta C` on strided views, with bias, activation or derivative fused |
//! | [`activation`] | activations, forward beside backward |
//! | [`softmax`] | softmax, log-softmax and log-sum-exp of rows |
//! | [`loss`] | value and gradient in one pass |
//! | [`optim`] | one-pass updates of parameters and state, with L1 and L2 |
//! | [`gather_rows`] | rows by their indices: a batch of a shuffled data set |
//! | [`reduce`] | sums, norms, column sums and moments in a fixed order |
//! | [`math`] | exp, ln, tanh, erf and the like, with the largest error of each |
//! | [`dispatch`] | [`Level`]: which instruction set, detected at run time |
//! | [`simd`] | the trait over which every kernel is written once |
//!
//! ```
//! use slimfit_kernels::loss::{Loss, Weights, loss_and_gradient};
//! use slimfit_kernels::optim::{Penalty, Sgd, sgd};
//! use slimfit_kernels::Level;
//!
//! // One step of logistic regression on one feature that is always 1: the logit is the weight.
//! let level = Level::detect();
//! let (mut weight, mut grad) = ([0.0], [0.0]);
//! let loss = Loss::BinaryCrossEntropy;
//! let before = loss_and_gradient(level, loss, &weight, 1, &[1.0], Weights::default(), &mut grad)?;
//! sgd(level, &Sgd { learning_rate: 2.0 }, Penalty::NONE, 1.0, &grad, &mut weight)?;
//! let after = loss_and_gradient(level, loss, &weight, 1, &[1.0], Weights::default(), &mut grad)?;
//! assert_eq!(weight, [1.0]);
//! assert!(after < before);
//! # Ok::<(), slimfit_kernels::Error>(())
//! ```
//!
//! # Contracts
//!
//! - **Levels.** Every kernel takes a [`Level`] first. A level other than [`Level::PORTABLE`] comes
//!   from detection alone, so no call can reach an instruction that the machine lacks.
//! - **Shapes.** Matrices are [`MatRef`] and [`MatMut`], whose bounds are checked once. What does
//!   not fit is an [`Error`] that names what was expected and found, returned before anything is
//!   written. No input makes a kernel panic.
//! - **Memory.** Nothing is allocated. Scratch is the caller's, its length a `const fn`.
//! - **Bits.** A result depends on the input and the settings alone, up to the payload and sign of a
//!   NaN: not on alignment, not on how work is cut into pieces (under one [`gemm::Plan`]), not on
//!   which of the fused levels ran. Sums go over sixteen virtual lanes and a fixed tree. The portable
//!   level is deterministic too; where the target it was compiled for cannot fuse multiply and add,
//!   its bits are others.
//! - **Special values.** NaN propagates; infinities, signed zeros and subnormals behave as the
//!   documented formula does in the limit. Lanes past the end of a slice hold harmless values.
//! - **Accuracy.** The tables of [`math`] give the largest error of each function over all 2³²
//!   inputs; sums and products state their bounds.
#![no_std]
#![cfg_attr(
    not(feature = "all"),
    allow(dead_code, unreachable_code, unused_imports, reason = "used by what is left out")
)]
#![cfg_attr(slimfit_nightly, allow(unused_features), feature(core_float_math))]

#[cfg(test)]
extern crate std;

pub mod activation;
#[allow(unsafe_code)]
pub mod dispatch;
mod error;
mod gather;
#[allow(unsafe_code)]
pub mod gemm;
pub mod loss;
pub mod math;
pub mod optim;
pub mod reduce;
#[allow(unsafe_code)]
pub mod simd;
pub mod softmax;
#[allow(unsafe_code)]
mod view;

pub use dispatch::Level;
pub use error::Error;
pub use gather::gather_rows;
pub use view::{Layout, MatMut, MatRef};

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
