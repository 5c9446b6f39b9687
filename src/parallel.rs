//! Products split between threads.
//!
//! A product is cut into blocks of rows of C, each computed under the [`Plan`] of the whole, which
//! fixes the order of summation: so the cut does not show in the bits.

use slimfit_kernels::gemm::{self, Epilogue, Plan};
use slimfit_kernels::{Error, MatMut, MatRef};

use crate::Executor;

/// Multiply-adds that a thread must get for a fork to pay: some tens of microseconds.
const PIECE: usize = 1 << 21;

/// A product on its way to the threads.
#[derive(Clone, Copy)]
struct Piece<'a> {
    plan: Plan,
    lhs: MatRef<'a>,
    rhs: MatRef<'a>,
    epilogue: Epilogue<'a>,
    /// Scratch of one piece.
    scratch_len: usize,
}

/// `c = epilogue(lhs · rhs)`, on as many of the executor's threads as pay and as `scratch` has room
/// for: each takes what [`gemm::scratch_len`] says of the whole.
pub(crate) fn gemm<E: Executor>(
    executor: &E,
    lhs: MatRef<'_>,
    rhs: MatRef<'_>,
    c: MatMut<'_>,
    epilogue: Epilogue<'_>,
    scratch: &mut [f32],
) -> Result<(), Error> {
    let ((m, n), k) = (c.shape(), lhs.cols());
    let plan = Plan::new(m, n, k);
    let scratch_len = gemm::scratch_len(m, n, k);
    let work = m.saturating_mul(n).saturating_mul(k);
    let pieces = (work / PIECE)
        .min(scratch.len().checked_div(scratch_len).unwrap_or(usize::MAX))
        .min(executor.threads())
        .min(m);
    Piece { plan, lhs, rhs, epilogue, scratch_len }.run(executor, pieces, c, scratch)
}

impl Piece<'_> {
    fn run<E: Executor>(
        self,
        executor: &E,
        pieces: usize,
        c: MatMut<'_>,
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        let Self { plan, lhs, rhs, epilogue, scratch_len } = self;
        if pieces <= 1 {
            let level = executor.level();
            return gemm::gemm_part(level, plan, 1.0, lhs, rhs, 0.0, c, epilogue, scratch);
        }
        let rows = c.rows();
        let front_pieces = pieces / 2;
        let front_rows = rows * front_pieces / pieces;
        let (front_c, back_c) = c.split_at_row(front_rows)?;
        let (front_scratch, back_scratch) = scratch.split_at_mut(front_pieces * scratch_len);
        let front = self.rows(0, front_rows)?;
        let back = self.rows(front_rows, rows - front_rows)?;
        let (front, back) = executor.join(
            || front.run(executor, front_pieces, front_c, front_scratch),
            || back.run(executor, pieces - front_pieces, back_c, back_scratch),
        );
        front.and(back)
    }

    /// The piece of `count` rows of C from row `start` on.
    fn rows(self, start: usize, count: usize) -> Result<Self, Error> {
        let lhs = self.lhs.row_range(start, count)?;
        let epilogue = match self.epilogue {
            Epilogue::Derivative(activation, saved) => {
                Epilogue::Derivative(activation, saved.row_range(start, count)?)
            }
            other => other,
        };
        Ok(Self { lhs, epilogue, ..self })
    }
}
