//! Products split between threads.
//!
//! A product is cut into blocks of rows of C, each computed as the whole would be: the order of
//! summation comes from the shape of the whole product.

use slimfit_kernels::gemm::{self, Epilogue};
use slimfit_kernels::{Error, MatMut, MatRef};

use crate::Executor;

/// `c = epilogue(lhs · rhs)`, on as many of the executor's threads as pay.
pub(crate) fn gemm<E: Executor>(
    executor: &E,
    lhs: MatRef<'_>,
    rhs: MatRef<'_>,
    c: MatMut<'_>,
    epilogue: Epilogue<'_>,
    scratch: &mut [f32],
) -> Result<(), Error> {
    gemm::gemm(executor.level(), 1.0, lhs, rhs, 0.0, c, epilogue, scratch)
}
