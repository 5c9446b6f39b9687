//! How the sums of a tile become elements of C:
//!
//! ```text
//! C <- max(floor, alpha sum + beta C + bias)         bias and floor: relu, or none (-inf)
//! C <- (alpha sum + beta C) relu'(C)                 the gate of a backward product
//! ```
//!
//! Here too are the loads and stores of a row of a tile, whose last vector may be partly filled.

use super::chains::GROUP;
use crate::activation::{Elementwise, Relu};
use crate::simd::Simd;

/// `max(floor, alpha * sum + beta * C + bias)`, times the derivative of relu at C where a gate is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish {
    pub(super) alpha: f32,
    /// Zero: C is not added.
    pub(super) beta: f32,
    /// Lower bound; -inf for none.
    pub(super) floor: f32,
    /// What of it there is to do.
    pub(super) store: Store,
}

/// What there is to do for a [`Finish`], told beforehand. As wide as a pointer, so that it has a
/// place of its own: what lies beside single numbers is loaded together with them, and then waits
/// for the stores of its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(usize)]
pub(super) enum Store {
    /// Nothing: the sums are stored as they are.
    Plain,
    /// The gate: C holds outputs of relu.
    Gate,
    /// Bias and floor.
    Layer,
    /// Alpha and beta.
    General,
    /// Alpha, beta and the gate.
    GeneralGate,
    /// Alpha and beta, bias and floor.
    GeneralLayer,
}

impl Finish {
    /// Without gate; `biased` says that there is a bias, without which there is no floor.
    #[inline(always)]
    pub(super) fn new(alpha: f32, beta: f32, biased: bool, floor: f32) -> Self {
        let store = match (alpha != 1.0 || beta != 0.0, biased) {
            (false, false) => Store::Plain,
            (false, true) => Store::Layer,
            (true, false) => Store::General,
            (true, true) => Store::GeneralLayer,
        };
        Self { alpha, beta, floor, store }
    }

    /// The same with a gate.
    #[inline(always)]
    pub(super) fn gated(self) -> Self {
        let store = if self.store == Store::Plain { Store::Gate } else { Store::GeneralGate };
        Self { store, ..self }
    }

    /// Whether C is read.
    pub(super) fn reads(&self) -> bool {
        self.beta != 0.0 || matches!(self.store, Store::Gate | Store::GeneralGate)
    }
}

/// All of [`Store`], and k of any length.
pub(super) const ANY: usize = usize::MAX;
pub(super) const PLAIN: usize = Store::Plain as usize;
pub(super) const GATE: usize = Store::Gate as usize;
pub(super) const LAYER: usize = Store::Layer as usize;

/// Loads `NV` vectors, of the last only `last` lanes if `TAIL`.
///
/// # Safety
/// Those lanes are valid for reading.
#[inline(always)]
pub(super) unsafe fn load_row<S: Simd, const NV: usize, const TAIL: bool>(
    s: S,
    ptr: *const f32,
    last: usize,
) -> [S::F32; NV] {
    let mut row = [s.splat(0.0); NV];
    for (v, vector) in row.iter_mut().enumerate() {
        // SAFETY: the caller vouches for these lanes.
        *vector = unsafe {
            if TAIL && v + 1 == NV {
                s.load_ptr_first(ptr.add(v * S::LANES), last)
            } else {
                s.load_ptr(ptr.add(v * S::LANES))
            }
        };
    }
    row
}

/// Turns the sums of a tile into elements of C: see [`Finish`]. What the parameters mean is told at
/// [`Tiles`](super::microkernel::Tiles).
///
/// # Safety
/// `MR` rows at `out`, `out_row` apart, are valid for reading and writing `NV` vectors, the bias for
/// reading as many if `finish` adds it; of the last vector, `last` lanes if `TAIL`.
#[inline(always)]
pub(super) unsafe fn write<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const TAIL: bool,
    const STORE: usize,
>(
    s: S,
    sums: &[[S::F32; NV]; MR],
    out: *mut f32,
    bias: *const f32,
    out_row: usize,
    last: usize,
    finish: &Finish,
) {
    let Finish { alpha, beta, floor, store } = *finish;
    let store = if STORE == ANY { store as usize } else { STORE };
    let row = |i: usize| out.wrapping_add(i * out_row);
    // Passes over all sums instead of one over the rows: short loops are unrolled, so that the sums
    // stay in registers.
    let mut sums = *sums;
    if store >= Store::General as usize {
        let alpha = s.splat(alpha);
        if beta == 0.0 {
            for x in sums.as_flattened_mut() {
                *x = s.mul(alpha, *x);
            }
        } else {
            let beta = s.splat(beta);
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: row i < MR, valid by the caller's word.
                let before = unsafe { load_row::<S, NV, TAIL>(s, row(i), last) };
                for (x, before) in sums.iter_mut().zip(before) {
                    *x = s.mul_add(alpha, *x, s.mul(beta, before));
                }
            }
        }
    }
    if store == Store::Layer as usize || store == Store::GeneralLayer as usize {
        // SAFETY: the caller vouches for a bias in every column.
        let biases = unsafe { load_row::<S, NV, TAIL>(s, bias, last) };
        let floor = s.splat(floor);
        for sums in &mut sums {
            for (x, bias) in sums.iter_mut().zip(biases) {
                *x = s.max(floor, s.add(*x, bias));
            }
        }
    }
    if store == Store::Gate as usize || store == Store::GeneralGate as usize {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: row i < MR, valid by the caller's word.
            let outputs = unsafe { load_row::<S, NV, TAIL>(s, row(i), last) };
            for (x, output) in sums.iter_mut().zip(outputs) {
                *x = s.mul(*x, Relu.derivative(s, output));
            }
        }
    }
    let mut first = out;
    for group in sums.chunks(GROUP) {
        for (i, sums) in group.iter().enumerate() {
            // SAFETY: `first` is at the first row of the group.
            unsafe { store_row::<S, NV, TAIL>(s, sums, first.wrapping_add(i * out_row), last) };
        }
        first = s.opaque(first.wrapping_add(GROUP * out_row)).cast_mut();
    }
}

/// Stores `NV` vectors, of the last only `last` lanes if `TAIL`.
///
/// # Safety
/// Those lanes are valid for writing.
#[inline(always)]
pub(super) unsafe fn store_row<S: Simd, const NV: usize, const TAIL: bool>(
    s: S,
    row: &[S::F32; NV],
    ptr: *mut f32,
    last: usize,
) {
    for (v, vector) in row.iter().enumerate() {
        // SAFETY: the caller vouches for these lanes.
        unsafe {
            if TAIL && v + 1 == NV {
                s.store_ptr_first(*vector, ptr.add(v * S::LANES), last);
            } else {
                s.store_ptr(*vector, ptr.add(v * S::LANES));
            }
        }
    }
}
