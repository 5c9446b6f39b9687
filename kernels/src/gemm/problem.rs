//! A product with its operands: what the loops, the strategies and the kernels of single rows and columns
//! work on.

use super::epilogue::After;
use super::finish::Finish;
use super::packing::Source;

/// A product to compute; all pointers are at the first element. Of C nothing is touched but its elements:
/// between them may lie those that another thread writes.
#[derive(Clone, Copy)]
pub(super) struct Problem {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    /// Block of k; 0 < kc <= [`KC`](super::strategy::KC).
    pub(super) kc: usize,
    /// Several chains an element.
    pub(super) split: bool,
    pub(super) lhs: Source,
    pub(super) rhs: Source,
    pub(super) out: *mut f32,
    pub(super) out_row: usize,
    pub(super) out_col: usize,
    pub(super) finish: Finish,
    /// One value a column, or null.
    pub(super) bias: *const f32,
    /// What follows on finished elements.
    pub(super) after: After,
    /// Whether the saved matrix of `after` is C: C must not be written before it is read.
    pub(super) in_place: bool,
    /// [`scratch_len`](super::strategy::scratch_len) f32.
    pub(super) scratch: *mut f32,
}

impl Problem {
    /// The columns from `column` on.
    #[inline(always)]
    pub(super) fn columns_from(&self, column: usize) -> Self {
        let bias = self.bias;
        Self {
            n: self.n - column,
            rhs: self.rhs.at(0, column),
            out: self.out.wrapping_add(column * self.out_col),
            bias: if bias.is_null() { bias } else { bias.wrapping_add(column) },
            after: self.after.at(0, column),
            ..*self
        }
    }

    /// The rows from `row` on.
    #[inline(always)]
    pub(super) fn rows_from(&self, row: usize) -> Self {
        Self {
            m: self.m - row,
            lhs: self.lhs.at(row, 0),
            out: self.out.wrapping_add(row.wrapping_mul(self.out_row)),
            after: self.after.at(row, 0),
            ..*self
        }
    }

    /// What becomes of the sums of the block of k that starts at `p`.
    #[inline(always)]
    pub(super) fn block_finish(&self, p: usize, is_last: bool) -> Finish {
        let Finish { alpha, beta, floor, .. } = self.finish;
        let beta = if p == 0 { beta } else { 1.0 };
        if is_last && p == 0 {
            self.finish
        } else if is_last {
            Finish::new(alpha, beta, !self.bias.is_null(), floor)
        } else {
            Finish::new(alpha, beta, false, f32::NEG_INFINITY)
        }
    }

    /// Whether relu's derivative in place is what follows: the microkernel's store does it, where C
    /// passes through registers.
    #[inline(always)]
    pub(super) fn is_gate(&self) -> bool {
        self.in_place && self.after.is_relu_backward()
    }

    /// The problem with relu's derivative in place as part of [`Finish`].
    #[inline(always)]
    pub(super) fn gated(self) -> Self {
        if self.is_gate() {
            let finish = self.finish.gated();
            Self { finish, after: After::NONE, in_place: false, ..self }
        } else {
            self
        }
    }
}
