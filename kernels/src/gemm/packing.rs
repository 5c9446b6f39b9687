//! Packing: copies of A and B in the order in which the microkernel reads them.
//!
//! A panel of B is k rows of `width` values one after another, the last vector filled up with
//! zeros: no stride that maps every row to the same cache sets, no page a row. A block of A is one
//! tile after another, each with its rows side by side for every p. B that is contiguous along k (a
//! transpose) is turned by square transposes in registers.

use crate::simd::{Kernel, Simd};

/// Rows of B to fetch ahead: often a page apart, which the machine does not foresee.
const RHS_AHEAD: usize = 16;
/// Columns of a transposed A that are packed together, and fetched ahead: a few, which the first
/// cache holds, so that each tile is written in runs.
const LHS_STEPS: usize = 8;

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

    /// The transpose.
    #[inline(always)]
    pub(super) fn t(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }
}

/// Packs the `k` x `cols` matrix `rhs` into rows of `width` values.
struct PackRhs {
    rhs: Source,
    k: usize,
    cols: usize,
    width: usize,
    dst: *mut f32,
}

/// Packs the `k` x `cols` matrix `rhs` into rows of `width` values, the rest zero.
///
/// # Safety
/// `rhs` is valid for reading; `cols <= width`, `width` is a multiple of `LANES`, and `dst` is
/// valid for writing `k * width` f32, none of them in `rhs`.
#[inline(always)]
pub(super) unsafe fn pack_rhs<S: Simd>(
    s: S,
    rhs: Source,
    k: usize,
    cols: usize,
    width: usize,
    dst: *mut f32,
) {
    s.call(PackRhs { rhs, k, cols, width, dst });
}

impl Kernel for PackRhs {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rhs, k, cols, width, dst } = self;
        let vectors = width / S::LANES;
        if rhs.col == 1 {
            // Row by row: a row is one page and a few neighbouring cache lines.
            let last = cols - (vectors - 1) * S::LANES;
            for p in 0..k {
                let (row, dst) = (rhs.at(p, 0).ptr, dst.wrapping_add(p * width));
                for v in 0..vectors {
                    let first = v * S::LANES;
                    s.prefetch(rhs.at(p + RHS_AHEAD, first).ptr);
                    // SAFETY: the columns from `first` on, `last` of them for the last vector, are
                    // in row p < k of `rhs`; row p of `dst` has LANES values from `first` on. The
                    // caller of `pack_rhs` vouches for both.
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
            if rhs.row == 1 {
                let mut p = 0;
                while p < k {
                    let steps = if k - p < S::LANES { k - p } else { S::LANES };
                    // SAFETY: `lanes` columns of `rhs` from `first` on, of which rows p to
                    // p + steps <= k are contiguous, become `steps` rows of `dst`, each with LANES
                    // values from `first` on. The caller of `pack_rhs` vouches.
                    unsafe {
                        let (src, dst) = (rhs.at(p, first).ptr, dst.wrapping_add(p * width));
                        if lanes == S::LANES && steps == S::LANES {
                            // With constants there is nothing to ask in it.
                            s.transpose_ptr(src, rhs.col, S::LANES, S::LANES, dst, width);
                        } else {
                            s.transpose_ptr(src, rhs.col, lanes, steps, dst, width);
                        }
                    }
                    p += S::LANES;
                }
            } else {
                for p in 0..k {
                    for j in 0..S::LANES {
                        // SAFETY: as for contiguous rows, value by value.
                        unsafe {
                            let value = if j < lanes { *rhs.at(p, first + j).ptr } else { 0.0 };
                            dst.wrapping_add(p * width + j).write(value);
                        }
                    }
                }
            }
        }
    }
}

/// Packs `tiles` tiles of `mr` rows of the block `lhs`, `k` columns wide.
struct PackLhs {
    lhs: Source,
    tiles: usize,
    mr: usize,
    k: usize,
    dst: *mut f32,
}

/// Packs the first `tiles * mr` rows of `lhs`, `k` columns wide, tile by tile: value (i, p) of a
/// tile at `p * mr + i`.
///
/// # Safety
/// `lhs` is valid for reading, and `dst` for writing `tiles * mr * k` f32, none of them in
/// `lhs`.
#[inline(always)]
pub(super) unsafe fn pack_lhs<S: Simd>(
    s: S,
    lhs: Source,
    tiles: usize,
    mr: usize,
    k: usize,
    dst: *mut f32,
) {
    s.call(PackLhs { lhs, tiles, mr, k, dst });
}

impl Kernel for PackLhs {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { lhs, tiles, mr, k, dst } = self;
        if lhs.row == 1 && mr <= S::LANES {
            // A whole register is stored for mr values; what it writes too much is the next
            // column's of the same tile, which comes later, and near the end of a tile it is not
            // written.
            for start in (0..k).step_by(LHS_STEPS) {
                for tile in 0..tiles {
                    for p in start..k.min(start + LHS_STEPS) {
                        let whole = (k - p) * mr >= S::LANES;
                        s.prefetch(lhs.at(tile * mr, p + LHS_STEPS).ptr);
                        // SAFETY: mr rows in column p of `lhs`, contiguous, become mr values in
                        // `dst`, with those after them in the same tile if `whole`. The caller of
                        // `pack_lhs` vouches for both.
                        unsafe {
                            let rows = s.load_ptr_first(lhs.at(tile * mr, p).ptr, mr);
                            let dst = dst.wrapping_add((tile * k + p) * mr);
                            if whole {
                                s.store_ptr(rows, dst);
                            } else {
                                s.store_ptr_first(rows, dst, mr);
                            }
                        }
                    }
                }
            }
            return;
        }
        for tile in 0..tiles {
            for p in 0..k {
                for i in 0..mr {
                    // SAFETY: row tile * mr + i and column p are in `lhs`, their place in `dst` is
                    // below tiles * mr * k. The caller of `pack_lhs` vouches for both.
                    unsafe {
                        let value = *lhs.at(tile * mr + i, p).ptr;
                        dst.wrapping_add((tile * k + p) * mr + i).write(value);
                    }
                }
            }
        }
    }
}
