//! What happens to finished elements of C while they are still in the cache.
//!
//! Bias and relu are part of the microkernel's own store ([`super::finish::Finish`]). All
//! others run here, over the rows of a strip that has just been written.

use super::packing::Source;
use crate::activation::{Activation, Elementwise, with_elementwise};
use crate::simd::{Kernel, Simd};

/// What is left to do after the microkernel's store.
///
/// Not an enum with the fields in its variants: that would go through memory piece by piece and come
/// back in one load, which waits for the pieces.
#[derive(Clone, Copy)]
pub(super) struct After {
    pub(super) pass: Pass,
    pub(super) activation: Activation,
    /// What the forward pass saved.
    pub(super) saved: Source,
}

/// The formula of [`After`], with its activation f.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pass {
    /// Nothing.
    None,
    /// C <- f(C)
    Forward,
    /// C <- C * f'(saved)
    Backward,
}

impl After {
    pub(super) const NONE: Self = Self {
        pass: Pass::None,
        activation: Activation::Identity,
        saved: Source { ptr: core::ptr::null(), row: 0, col: 0 },
    };

    /// Whether it is relu's derivative.
    #[inline(always)]
    pub(super) fn is_relu_backward(self) -> bool {
        self.pass == Pass::Backward && self.activation == Activation::Relu
    }

    /// The same for the part of C from (row, column) on.
    #[inline(always)]
    pub(super) fn at(self, row: usize, column: usize) -> Self {
        Self { saved: self.saved.at(row, column), ..self }
    }

    /// The same for the transpose of C.
    #[inline(always)]
    pub(super) fn t(self) -> Self {
        Self { saved: self.saved.t(), ..self }
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
    if after.pass != Pass::None {
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
        let After { pass, activation, saved } = self.after;
        match pass {
            Pass::None => {}
            Pass::Forward => with_elementwise!(activation, f => {
                for i in 0..self.rows {
                    // SAFETY: i < rows.
                    forward(s, f, unsafe { self.row(i) });
                }
            }),
            Pass::Backward => with_elementwise!(activation, f => {
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
