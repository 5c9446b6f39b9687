//! The product of nothing: C <- epilogue(beta C), where k is zero.

use super::epilogue;
use super::microkernel::MAX_COLS;
use super::problem::Problem;
use crate::simd::{Kernel, Simd};

/// C <- epilogue(beta C): the product of a [`Problem`] whose k is zero.
pub(super) struct Scale<'a>(pub(super) &'a Problem);

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: made by `Large` in `outline` alone, where the caller of `Outline::run` vouches.
        unsafe { scale(s, self.0) }
    }
}

/// # Safety
/// As for [`super::blocking::run`], but nothing is asked of `lhs` and `rhs`, and k is zero.
#[inline(always)]
unsafe fn scale<S: Simd>(s: S, problem: &Problem) {
    let Problem { m, n, bias, out, out_row, out_col, finish, after, .. } = *problem;
    for i in 0..m {
        let mut column = 0;
        while column < n {
            let cols = MAX_COLS.min(n - column);
            let mut buffer = [0.0_f32; MAX_COLS];
            let element = |j| out.wrapping_add(i * out_row + (column + j) * out_col);
            for (j, x) in buffer.iter_mut().take(cols).enumerate() {
                // SAFETY: row i < m, column + j < n, in C and in the bias if there is one.
                unsafe {
                    if finish.beta != 0.0 {
                        *x = finish.beta * *element(j);
                    }
                    if !bias.is_null() {
                        *x += *bias.wrapping_add(column + j);
                    }
                }
                *x = if finish.floor > *x { finish.floor } else { *x };
            }
            // SAFETY: the buffer holds `cols` values; the saved matrix is valid from here on.
            unsafe { epilogue::run(s, after.at(i, column), buffer.as_mut_ptr(), 0, 1, cols) };
            for (j, x) in buffer.iter().take(cols).enumerate() {
                // SAFETY: as above.
                unsafe { element(j).write(*x) };
            }
            column += cols;
        }
    }
}
