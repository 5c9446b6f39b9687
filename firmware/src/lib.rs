//! What the programs of this package share; each of them runs on a host too, by the same code.
#![cfg_attr(target_os = "none", no_std)]

pub mod board;
pub mod cancer;
pub mod kernels;
pub mod xor;
