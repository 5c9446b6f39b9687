//! f32 kernels for training small dense networks.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod activation;
#[allow(unsafe_code)]
pub mod dispatch;
mod error;
#[allow(unsafe_code)]
pub mod gemm;
pub mod loss;
pub mod math;
pub mod optim;
pub mod reduce;
#[allow(unsafe_code)]
pub mod simd;
pub mod softmax;
mod view;

pub use dispatch::Level;
pub use error::Error;
pub use view::{MatMut, MatRef};
