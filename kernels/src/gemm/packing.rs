//! Packing: copies of A and B in the order in which the microkernel reads them.
//!
//! A panel of B is k rows of `width` values one after another, the last vector filled up with
//! zeros: no stride that maps every row to the same cache sets, no page a row. A block of A is its rows, each along
//! k, as far apart as the first cache likes. What lies the other way (a transpose) is turned by square transposes in
//! registers.

use super::microkernel::LINE;
use crate::simd::{Kernel, Simd};

/// Rows to fetch ahead: often a page apart, which the machine does not foresee.
const AHEAD: usize = 16;

/// Elements from one row to the next and from one column to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strides {
    pub(super) row: usize,
    pub(super) col: usize,
}

impl Strides {
    /// The matrix with these strides at `ptr`.
    #[inline(always)]
    pub(super) fn from(self, ptr: *const f32) -> Source {
        Source { ptr, row: self.row, col: self.col }
    }
}

/// A matrix by pointer: element (i, j) at `i * row + j * col`.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) ptr: *const f32,
    pub(super) row: usize,
    pub(super) col: usize,
}

impl Source {
    /// The matrix from element (i, j) on.
    #[inline(always)]
    pub(super) fn at(self, i: usize, j: usize) -> Self {
        Self { ptr: self.ptr.wrapping_add(i * self.row + j * self.col), ..self }
    }

    /// Whether rows begin elsewhere than at lines of the cache, which tears a register that is as long as a line in two.
    #[inline(always)]
    pub(super) fn is_torn(self) -> bool {
        let begins_torn = !self.ptr.addr().is_multiple_of(LINE * size_of::<f32>());
        begins_torn || !self.row.is_multiple_of(LINE)
    }

    /// The transpose.
    #[inline(always)]
    pub(super) fn t(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }
}

/// Packs the `rows` x `cols` matrix `source` into vectors in rows `dst_row` apart.
struct Pack {
    source: Source,
    rows: usize,
    cols: usize,
    dst: *mut f32,
    dst_row: usize,
}

/// Packs the `rows` x `cols` matrix `source` into rows `dst_row` apart, the last vector of each filled up with zeros.
///
/// # Safety
/// `source` is valid for reading, and `cols > 0`; `dst_row` is a multiple of `LANES` and no less than `cols`, and `dst`
/// is valid for writing `rows * dst_row` f32, none of them in `source`.
#[inline(always)]
pub(super) unsafe fn pack<S: Simd>(
    s: S,
    source: Source,
    rows: usize,
    cols: usize,
    dst: *mut f32,
    dst_row: usize,
) {
    s.call(Pack { source, rows, cols, dst, dst_row });
}

impl Kernel for Pack {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { source, rows, cols, dst, dst_row } = self;
        let vectors = cols.div_ceil(S::LANES);
        if source.col == 1 {
            // Row by row: a row is one page and a few neighbouring cache lines.
            let last = cols - (vectors - 1) * S::LANES;
            for i in 0..rows {
                let (row, dst) = (source.at(i, 0).ptr, dst.wrapping_add(i * dst_row));
                for v in 0..vectors {
                    let first = v * S::LANES;
                    s.prefetch(source.at(i + AHEAD, first).ptr);
                    // SAFETY: the columns from `first` on, `last` of them for the last vector, are
                    // in row i < rows of `source`; row i of `dst` has LANES values from `first` on. The
                    // caller of `pack` vouches for both.
                    unsafe {
                        let row = row.wrapping_add(first);
                        let vector = if v + 1 == vectors {
                            s.load_ptr_first(row, last)
                        } else {
                            s.load_ptr(row)
                        };
                        s.store_ptr(vector, dst.wrapping_add(first));
                    }
                }
            }
            return;
        }
        for v in 0..vectors {
            let first = v * S::LANES;
            let lanes = if cols - first < S::LANES { cols - first } else { S::LANES };
            let dst = dst.wrapping_add(first);
            if source.row == 1 {
                let mut i = 0;
                while i < rows {
                    let steps = if rows - i < S::LANES { rows - i } else { S::LANES };
                    // SAFETY: `lanes` columns of `source` from `first` on, of which rows i to
                    // i + steps <= rows are contiguous, become `steps` rows of `dst`, each with LANES
                    // values from `first` on. The caller of `pack` vouches.
                    unsafe {
                        let (src, dst) = (source.at(i, first).ptr, dst.wrapping_add(i * dst_row));
                        if lanes == S::LANES && steps == S::LANES {
                            // With constants there is nothing to ask in it.
                            s.transpose_ptr(src, source.col, S::LANES, S::LANES, dst, dst_row);
                        } else {
                            s.transpose_ptr(src, source.col, lanes, steps, dst, dst_row);
                        }
                    }
                    i += S::LANES;
                }
            } else {
                for i in 0..rows {
                    for j in 0..S::LANES {
                        // SAFETY: as for contiguous rows, value by value.
                        unsafe {
                            let value = if j < lanes { *source.at(i, first + j).ptr } else { 0.0 };
                            dst.wrapping_add(i * dst_row + j).write(value);
                        }
                    }
                }
            }
        }
    }
}
