//! What happens to finished elements of C while they are still in the cache.
//!
//! Bias and relu are part of the microkernel's own store ([`super::microkernel::Finish`]). All
//! others run here, over the rows of a strip that has just been written.

use super::packing::Source;
use crate::activation::{Activation, Elementwise, with_elementwise};
use crate::simd::{Kernel, Simd};

/// What is left to do after the microkernel's store.
#[derive(Clone, Copy)]
pub(super) enum After {
    /// Nothing.
    None,
    /// C <- f(C)
    Forward(Activation),
    /// C <- C * f'(saved)
    Backward(Activation, Source),
}

impl After {
    /// The same for the part of C from (row, column) on.
    #[inline(always)]
    pub(super) fn at(self, row: usize, column: usize) -> Self {
        match self {
            Self::Backward(activation, saved) => Self::Backward(activation, saved.at(row, column)),
            other => other,
        }
    }
}

/// Applies `after` to `rows` rows of `cols` contiguous values.
///
/// # Safety
/// The rows at `out`, `stride` apart, are valid for reading and writing, the saved matrix for
/// reading, and they do not overlap.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(
    s: S,
    after: After,
    out: *mut f32,
    stride: usize,
    rows: usize,
    cols: usize,
) {
    if !matches!(after, After::None) {
        s.call(Strip { after, out, stride, rows, cols });
    }
}

/// The call of [`run`] as a value.
struct Strip {
    after: After,
    out: *mut f32,
    stride: usize,
    rows: usize,
    cols: usize,
}

impl Kernel for Strip {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.after {
            After::None => {}
            After::Forward(activation) => with_elementwise!(activation, f => {
                for i in 0..self.rows {
                    // SAFETY: i < rows.
                    forward(s, f, unsafe { self.row(i) });
                }
            }),
            After::Backward(activation, saved) => with_elementwise!(activation, f => {
                for i in 0..self.rows {
                    // SAFETY: i < rows.
                    let row = unsafe { self.row(i) };
                    if saved.col == 1 {
                        // SAFETY: row i of the saved matrix, contiguous and not part of C; valid by
                        // the word of the caller of `run`.
                        let saved =
                            unsafe { core::slice::from_raw_parts(saved.at(i, 0).ptr, self.cols) };
                        backward(s, f, row, saved);
                    } else {
                        for (j, x) in row.iter_mut().enumerate() {
                            // SAFETY: element (i, j) of the saved matrix; valid as above.
                            let saved = unsafe { *saved.at(i, j).ptr };
                            backward(s, f, core::slice::from_mut(x), &[saved]);
                        }
                    }
                }
            }),
        }
    }
}

impl Strip {
    /// Row `i` of C.
    ///
    /// # Safety
    /// `i < rows`, and no other reference to the row is alive.
    #[inline(always)]
    unsafe fn row<'a>(&self, i: usize) -> &'a mut [f32] {
        // SAFETY: the caller of `run` vouches for the rows, that of this function for i.
        unsafe {
            core::slice::from_raw_parts_mut(self.out.wrapping_add(i * self.stride), self.cols)
        }
    }
}

/// row <- f(row)
#[inline(always)]
fn forward<S: Simd, F: Elementwise>(s: S, f: F, row: &mut [f32]) {
    let (chunks, tail) = s.chunks_mut(row);
    for chunk in chunks {
        s.store(f.apply(s, s.load(chunk)), chunk);
    }
    if !tail.is_empty() {
        s.store_tail(f.apply(s, s.load_tail(tail, 0.0)), tail);
    }
}

/// row <- row * f'(saved)
#[inline(always)]
fn backward<S: Simd, F: Elementwise>(s: S, f: F, row: &mut [f32], saved: &[f32]) {
    let (chunks, tail) = s.chunks_mut(row);
    let (saved_chunks, saved_tail) = s.chunks(saved);
    for (chunk, saved) in chunks.iter_mut().zip(saved_chunks) {
        let v = s.mul(s.load(chunk), f.derivative(s, s.load(saved)));
        s.store(v, chunk);
    }
    if !tail.is_empty() {
        let derivative = f.derivative(s, s.load_tail(saved_tail, 0.0));
        s.store_tail(s.mul(s.load_tail(tail, 0.0), derivative), tail);
    }
}
