//! What happens to finished elements of C while they are still in the cache.
//!
//! Bias and relu are part of the microkernel's own store ([`super::microkernel::Finish`]). All
//! others run here, over the rows of a strip that has just been written.

use super::packing::Source;
use crate::activation::{Activation, Saved};
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
        let Self { after, out, stride, rows, cols } = self;
        for i in 0..rows {
            // SAFETY: row i < rows, valid and not shared by the word of the caller of `run`.
            let row =
                unsafe { core::slice::from_raw_parts_mut(out.wrapping_add(i * stride), cols) };
            match after {
                After::None => {}
                After::Forward(activation) => forward(s, activation, row),
                After::Backward(activation, saved) if saved.col == 1 => {
                    // SAFETY: row i of the saved matrix, contiguous; valid as above.
                    let saved = unsafe { core::slice::from_raw_parts(saved.at(i, 0).ptr, cols) };
                    backward(s, activation, row, saved);
                }
                After::Backward(activation, saved) => {
                    for (j, x) in row.iter_mut().enumerate() {
                        // SAFETY: element (i, j) of the saved matrix; valid as above.
                        let saved = unsafe { *saved.at(i, j).ptr };
                        backward(s, activation, core::slice::from_mut(x), &[saved]);
                    }
                }
            }
        }
    }
}

/// row <- f(row)
#[inline(always)]
fn forward<S: Simd>(s: S, activation: Activation, row: &mut [f32]) {
    if let Activation::LeakyRelu(slope) = activation {
        let (chunks, tail) = s.chunks_mut(row);
        let leaky = |v| s.select(s.lt(s.splat(0.0), v), v, s.mul(s.splat(slope), v));
        for chunk in chunks {
            s.store(leaky(s.load(chunk)), chunk);
        }
        let v = leaky(s.load_tail(tail, 0.0));
        s.store_tail(v, tail);
        return;
    }
    for x in row {
        let z = *x;
        *x = match activation {
            Activation::Elu(alpha) if z <= 0.0 => alpha * libm::expm1f(z),
            Activation::Sigmoid => 1.0 / (1.0 + libm::expf(-z)),
            Activation::Tanh => libm::tanhf(z),
            Activation::Gelu => 0.5 * z * libm::erfcf(-z * core::f32::consts::FRAC_1_SQRT_2),
            Activation::Silu => z / (1.0 + libm::expf(-z)),
            Activation::Softplus => {
                let positive = if z > 0.0 { z } else { 0.0 };
                positive + libm::log1pf(libm::expf(-z.abs()))
            }
            _ => z,
        };
    }
}

/// row <- row * f'(saved)
#[inline(always)]
fn backward<S: Simd>(s: S, activation: Activation, row: &mut [f32], saved: &[f32]) {
    let (chunks, tail) = s.chunks_mut(row);
    let (saved_chunks, saved_tail) = s.chunks(saved);
    for (chunk, saved) in chunks.iter_mut().zip(saved_chunks) {
        let v = s.mul(s.load(chunk), derivative(s, activation, s.load(saved)));
        s.store(v, chunk);
    }
    let v = derivative(s, activation, s.load_tail(saved_tail, 0.0));
    s.store_tail(s.mul(s.load_tail(tail, 0.0), v), tail);
}

/// f' from what the forward pass saved.
#[inline(always)]
fn derivative<S: Simd>(s: S, activation: Activation, saved: S::F32) -> S::F32 {
    if activation.saves() == Saved::Derivative {
        return saved;
    }
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let positive = s.lt(zero, saved);
    match activation {
        Activation::Relu => s.select(positive, one, zero),
        Activation::LeakyRelu(slope) => s.select(positive, one, s.splat(slope)),
        Activation::Elu(alpha) => s.select(positive, one, s.add(saved, s.splat(alpha))),
        Activation::Sigmoid => s.mul(saved, s.sub(one, saved)),
        Activation::Tanh => s.neg_mul_add(saved, saved, one),
        _ => one,
    }
}
