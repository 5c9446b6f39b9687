//! Products and updates of a machine of which nothing is known.

use super::Tile;

/// Whether [`mul_add`] rounds once.
pub(crate) const FUSED: bool = cfg!(slimfit_scalar);

/// `a * b + c`
#[inline(always)]
pub(crate) fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { libm::fmaf(a, b, c) } else { a * b + c }
}

/// The root, correctly rounded.
#[inline(always)]
pub(crate) fn sqrt(a: f32) -> f32 {
    libm::sqrtf(a)
}

/// Tiles side by side and below each other, in one call: does nothing, and says so.
#[inline(always)]
pub(crate) unsafe fn grid(_: &Tile, _: usize, _: usize) -> bool {
    false
}

/// Four rows of A times four columns of B, one chain of k products an element. Says whether it did so,
/// as not every machine does for all strides.
///
/// # Safety
/// Four rows and k columns of A are valid for reading, so are k rows and four columns of B, and four
/// rows of four numbers of `out` for writing, `out_row` apart, which are not part of A or B.
#[inline(never)]
pub(crate) unsafe fn square(tile: &Tile) -> bool {
    let Tile { a, a_row, a_col, b, b_row, b_col, k, out, out_row } = *tile;
    let mut a: [_; 4] = core::array::from_fn(|i| a.wrapping_add(i * a_row));
    let mut b: [_; 4] = core::array::from_fn(|j| b.wrapping_add(j * b_col));
    let mut sums = [[0.0; 4]; 4];
    for _ in 0..k {
        // SAFETY: step p < k of both, by the caller's word.
        let (x, y) = unsafe { (a.map(|a| *a), b.map(|b| *b)) };
        for (sums, x) in sums.iter_mut().zip(x) {
            for (sum, y) in sums.iter_mut().zip(y) {
                *sum = mul_add(x, y, *sum);
            }
        }
        a = a.map(|a| a.wrapping_add(a_col));
        b = b.map(|b| b.wrapping_add(b_row));
    }
    for (i, sums) in sums.iter().enumerate() {
        // SAFETY: row i < 4, by the caller's word.
        unsafe { out.wrapping_add(i * out_row).cast::<[f32; 4]>().write_unaligned(*sums) };
    }
    true
}

/// One row of A times four columns of B for each of `tiles`, side by side; four chains of products an
/// element, p modulo four. Says whether it did so.
///
/// # Safety
/// As for [`square`], with one row, and four columns of B and of `out` a tile.
#[inline(never)]
pub(crate) unsafe fn row(tile: &Tile, tiles: usize) -> bool {
    let Tile { a, a_col, b, b_row, b_col, k, out, .. } = *tile;
    for column in (0..4 * tiles).step_by(4) {
        let mut a = a;
        let mut b: [_; 4] = core::array::from_fn(|j| b.wrapping_add((column + j) * b_col));
        let mut chains = [[0.0; 4]; 4];
        let mut left = k;
        while left > 0 {
            for (chain, sums) in chains.iter_mut().enumerate() {
                if chain < left {
                    // SAFETY: step p < k of both, by the caller's word.
                    let (x, y) = unsafe { (*a, b.map(|b| *b)) };
                    for (sum, y) in sums.iter_mut().zip(y) {
                        *sum = mul_add(x, y, *sum);
                    }
                    a = a.wrapping_add(a_col);
                    b = b.map(|b| b.wrapping_add(b_row));
                }
            }
            left = left.saturating_sub(4);
        }
        let [c0, c1, c2, c3] = chains;
        let sums: [f32; 4] = core::array::from_fn(|j| (c0[j] + c1[j]) + (c2[j] + c3[j]));
        // SAFETY: four numbers by the caller's word.
        unsafe { out.wrapping_add(column).cast::<[f32; 4]>().write_unaligned(sums) };
    }
    true
}

/// The sum of products over sixteen virtual lanes, if there is a loop for it: there is none.
#[inline(always)]
pub(crate) unsafe fn lanes(
    _: *const f32,
    _: usize,
    _: *const f32,
    _: usize,
    _: usize,
) -> Option<f32> {
    None
}

/// `rows` rows of four of `max(floor, sums + bias)` to `out`.
///
/// # Safety
/// The rows of `sums`, one after the other, and of `bias`, `bias_row` apart, are valid for reading, those
/// of `out` for writing.
#[inline(always)]
pub(crate) unsafe fn layer(
    sums: *const f32,
    rows: usize,
    (bias, bias_row): (*const f32, usize),
    floor: f32,
    (out, out_row): (*mut f32, usize),
) {
    for i in 0..rows {
        for j in 0..4 {
            // SAFETY: row i < rows, column j < 4, by the caller's word.
            unsafe {
                let x = *sums.wrapping_add(4 * i + j) + *bias.wrapping_add(i * bias_row + j);
                *out.wrapping_add(i * out_row + j) = if floor > x { floor } else { x };
            }
        }
    }
}

/// `rows` rows of four of `sums` to `out`, each times the derivative of relu at what it saved.
///
/// # Safety
/// As for [`layer`], with rows of `saved` instead of a bias; `saved` may be `out`.
#[inline(always)]
pub(crate) unsafe fn gate(
    sums: *const f32,
    rows: usize,
    (saved, saved_row): (*const f32, usize),
    (out, out_row): (*mut f32, usize),
) {
    for i in 0..rows {
        for j in 0..4 {
            // SAFETY: row i < rows, column j < 4, by the caller's word.
            unsafe {
                let sum = *sums.wrapping_add(4 * i + j);
                let saved = *saved.wrapping_add(i * saved_row + j);
                // NaN stays.
                let closed = if saved <= 0.0 { 0.0 } else { saved };
                *out.wrapping_add(i * out_row + j) = if saved > 0.0 { sum } else { sum * closed };
            }
        }
    }
}

/// Numbers of the front of four slices that [`adam`] has updated: none.
#[inline(always)]
pub(crate) fn adam(_: &[f32; 7], _: &[f32], _: &mut [f32], _: &mut [f32], _: &mut [f32]) -> usize {
    0
}
