//! Trains small dense networks.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "std")]
pub mod batch;
#[cfg(feature = "csv")]
pub mod csv;
#[cfg(feature = "std")]
pub mod dataset;
mod error;
#[cfg(feature = "std")]
pub mod metrics;
#[cfg(feature = "std")]
pub mod preprocess;
#[cfg(feature = "std")]
mod rng;

pub use error::Error;
