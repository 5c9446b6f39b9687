//! Tests of the network and the trainer, one program: as many, they would each compile what is generic anew.

mod batch;
mod bits;
mod common;
mod csv;
mod dataset;
mod metrics;
mod mlp;
mod parallel;
mod preprocess;
mod recipe;
mod traces;
mod train;
