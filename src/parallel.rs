//! Products and sums split between threads.
//!
//! A product is cut into blocks of rows or of columns of C, each computed under the [`Plan`] of the whole,
//! which fixes the order of summation: so the cut does not show in the bits. By rows each thread reads, and
//! packs, all of B, by columns all of A: it is by columns where B is the larger by so much that it counts
//! (`LARGE_RHS`) or one second cache would hardly keep all of it (`KEPT_RHS`), and where C has one row or is
//! stored by columns.
//!
//! Where k has two blocks and B is larger than C, two threads take a block each instead, and with it its
//! rows of B: a layer's weights are then read by the thread alone that updates them. Lines of cache that
//! both have read would have to be taken back from the other before they are written, which can cost as
//! much as the update itself.
//!
//! A fork costs some microseconds and a thread that is woken some more, so a product is cut only
//! into pieces of two million multiply-adds or more ([`Executor::piece`]): what is too small runs on the
//! caller's thread as if there were no other.

use slimfit_kernels::activation::{self, Activation};
use slimfit_kernels::gemm::{self, Epilogue, Plan};
use slimfit_kernels::{Error, MatMut, MatRef, reduce};

use crate::Executor;

/// Multiply-adds that a thread must get for a fork to pay: some tens of microseconds.
pub(crate) const PIECE: usize = 1 << 21;

/// Length of the scratch slice of [`gemm()`] for a product of shape m x n with k products an
/// element on `threads` threads, in f32: one [`kernels::gemm::scratch_len`](gemm::scratch_len) for
/// each thread that the product keeps busy.
///
/// It never falls when one of the four grows; lengths past `usize::MAX` are `usize::MAX`.
#[must_use]
pub const fn scratch_len(m: usize, n: usize, k: usize, threads: usize) -> usize {
    gemm::scratch_len(m, n, k).saturating_mul(pieces(m, n, k, PIECE, threads))
}

/// Pieces of `piece` multiply-adds: at least one.
const fn pieces(m: usize, n: usize, k: usize, piece: usize, threads: usize) -> usize {
    let mut pieces = m.saturating_mul(n).saturating_mul(k) / piece;
    if pieces > threads {
        pieces = threads;
    }
    if pieces == 0 { 1 } else { pieces }
}

/// Whether the executor computes such a product in one piece.
pub(crate) fn is_whole<E: Executor>(executor: &E, m: usize, n: usize, k: usize) -> bool {
    pieces(m, n, k, executor.piece().max(1), executor.threads()) == 1
}

/// C <- epilogue(alpha A B + beta C), as [`kernels::gemm::gemm`](gemm::gemm), on as many of the
/// executor's threads as pay.
///
/// The bits are those of one thread, whatever the number of threads. `scratch` has at least
/// [`kernels::gemm::scratch_len`](gemm::scratch_len)`(m, n, k)` elements; with fewer than
/// [`scratch_len`]`(m, n, k, threads)` fewer threads take part.
///
/// ```
/// # #[cfg(feature = "std")] fn main() -> Result<(), slimfit::KernelError> {
/// use slimfit::kernels::gemm::Epilogue;
/// use slimfit::kernels::{MatMut, MatRef};
/// use slimfit::{Level, Rayon, parallel};
///
/// let (m, n, k) = (300, 200, 100);
/// let (a, b, bias) = (vec![0.5; m * k], vec![0.25; k * n], vec![1.0; n]);
/// let mut c = vec![f32::NAN; m * n];
/// let executor = Rayon::here(Level::detect());
/// let mut scratch = vec![0.0; parallel::scratch_len(m, n, k, executor.threads)];
/// parallel::gemm(
///     &executor,
///     1.0,
///     MatRef::new(&a, m, k)?,
///     MatRef::new(&b, k, n)?,
///     0.0,
///     MatMut::new(&mut c, m, n)?,
///     Epilogue::Bias(&bias),
///     &mut scratch,
/// )?;
/// assert!(c.iter().all(|&x| x == 13.5));
/// # Ok(()) }
/// # #[cfg(not(feature = "std"))] fn main() {}
/// ```
///
/// # Errors
/// As for [`kernels::gemm::gemm`](gemm::gemm); C is then as it was.
pub fn gemm<E: Executor>(
    executor: &E,
    alpha: f32,
    lhs: MatRef<'_>,
    rhs: MatRef<'_>,
    beta: f32,
    c: MatMut<'_>,
    epilogue: Epilogue<'_>,
    scratch: &mut [f32],
) -> Result<(), Error> {
    let ((m, n), k) = (c.shape(), lhs.cols());
    let worth = pieces(m, n, k, executor.piece().max(1), executor.threads());
    if worth == 1 {
        return gemm::gemm(executor.level(), alpha, lhs, rhs, beta, c, epilogue, scratch);
    }
    let plan = Plan::new(m, n, k);
    let scratch_len = if rhs.col_stride() == 1 {
        gemm::row_major_scratch_len(m, n, k)
    } else {
        gemm::scratch_len(m, n, k)
    };
    let room = scratch.len().checked_div(scratch_len).unwrap_or(usize::MAX);
    // What does not fit together is left to a single product, which refuses it in one voice.
    let fits = lhs.rows() == m
        && rhs.shape() == (k, n)
        && match epilogue {
            Epilogue::Bias(bias) | Epilogue::BiasActivation(bias, _) => bias.len() == n,
            Epilogue::Derivative(_, saved) => saved.shape() == (m, n),
            _ => true,
        };
    let pieces = if fits { worth.min(room) } else { 1 };
    let is_by_columns = n > 1 && c.row_stride() < c.col_stride();
    let axis = if m == 1 || is_by_columns { Axis::Columns } else { Axis::Rows };
    let piece = Piece { plan, axis, alpha, lhs, rhs, beta, epilogue, scratch_len };
    if pieces == 2 && piece.crosses(m, n, k) {
        return piece.run_crossed(executor, c, scratch);
    }
    let axis = if has_large_rhs(m, n, k, pieces) { Axis::Columns } else { axis };
    let piece = Piece { axis, ..piece };
    piece.run(executor, pieces, c, scratch)
}

/// Elements of B, times those that it has for each of A, from which on it is B that is read in parts.
const LARGE_RHS: u64 = 1 << 19;
/// So many are half of a second cache, or all of it: a part of them is kept where all of them hardly are.
const KEPT_RHS: core::ops::RangeInclusive<u64> = 1 << 17..=1 << 18;

/// Rows or columns of a piece that has many.
const WIDE: usize = 64;
/// Columns, a multiple of [`WIDE`], of a piece whose rows of C are hardly short.
const VERY_WIDE: usize = 4 * WIDE;

/// Whether each of the threads rather reads all of A and a part of B than the other way round: what it saves
/// is the rest of B, the price are shorter rows of C and more of A.
///
/// (On two threads of Granite Rapids 512 cubed takes 4 % less so, 384 512 384 6 %, 2048 1024 256 2 %; 600 and 700 cubed, whose
/// halves tear lines, would take 5 % more.)
fn has_large_rhs(m: usize, n: usize, k: usize, pieces: usize) -> bool {
    // Such numbers as 32 bits do not hold.
    let (rows, cols, steps) = (m as u64, n as u64, k as u64);
    let len = cols.saturating_mul(steps);
    let is_large = n / WIDE >= pieces && len.saturating_mul(cols) >= rows.saturating_mul(LARGE_RHS);
    let has_whole_pieces = n.is_multiple_of(WIDE.saturating_mul(pieces)) && n / VERY_WIDE >= pieces;
    is_large || has_whole_pieces && KEPT_RHS.contains(&len) && rows <= cols.saturating_mul(4)
}

/// Numbers that are as much work as [`Executor::piece`] multiply-adds where each takes a copy, a sum or
/// a function of it: as many as one piece must have.
pub(crate) fn numbers<E: Executor>(executor: &E) -> usize {
    (executor.piece() / 16).max(1)
}

/// Deals `work` out to `pieces` pieces: `split` cuts off the front so many of so many shares.
#[inline(always)]
pub(crate) fn deal<E: Executor, W: Send, X: Send>(
    executor: &E,
    pieces: usize,
    work: W,
    split: &(impl Fn(W, usize, usize) -> Result<(W, W), X> + Sync),
    run: &(impl Fn(W) -> Result<(), X> + Sync),
) -> Result<(), X> {
    // The first is a constant where there are no threads: nothing more is linked then.
    if executor.threads() == 1 || pieces <= 1 {
        return run(work);
    }
    fork(executor, pieces, work, split, run)
}

fn fork<E: Executor, W: Send, X: Send>(
    executor: &E,
    pieces: usize,
    work: W,
    split: &(impl Fn(W, usize, usize) -> Result<(W, W), X> + Sync),
    run: &(impl Fn(W) -> Result<(), X> + Sync),
) -> Result<(), X> {
    let front_pieces = pieces / 2;
    let (front, back) = split(work, front_pieces, pieces)?;
    let (front, back) = executor.join(
        || deal(executor, front_pieces, front, split, run),
        || deal(executor, pieces - front_pieces, back, split, run),
    );
    front.and(back)
}

/// [`activation::forward_with_derivative`], split where that pays; the bits are those of one thread.
///
/// # Errors
/// As for [`activation::forward_with_derivative`].
pub(crate) fn forward_with_derivative<E: Executor>(
    executor: &E,
    activation: Activation,
    z: &mut [f32],
    out: &mut [f32],
) -> Result<(), Error> {
    let pieces = (z.len() / numbers(executor)).min(executor.threads());
    deal(
        executor,
        pieces,
        (z, out),
        &|(z, out), front, pieces| {
            let at = cut(z.len(), front, pieces);
            let (front_z, back_z) = z.split_at_mut(at);
            let (front_out, back_out) = out.split_at_mut(at);
            Ok(((front_z, front_out), (back_z, back_out)))
        },
        &|(z, out)| activation::forward_with_derivative(executor.level(), activation, z, out),
    )
}

/// [`reduce::column_sums`], split by columns where that pays; the bits are those of one thread.
///
/// # Errors
/// As for [`reduce::column_sums`].
pub fn column_sums<E: Executor>(executor: &E, x: MatRef<'_>, out: &mut [f32]) -> Result<(), Error> {
    let worth = x.rows().saturating_mul(x.cols()) / numbers(executor);
    let pieces = worth.min(executor.threads()).min(x.cols());
    // What does not fit together is left to one piece, which refuses it.
    let pieces = if out.len() == x.cols() { pieces } else { 1 };
    deal(
        executor,
        pieces,
        (x, out),
        &|(x, out), front, pieces| {
            let at = cut(x.cols(), front, pieces);
            let (front_out, back_out) = out.split_at_mut(at);
            let front = x.t().row_range(0, at)?.t();
            let back = x.t().row_range(at, x.cols() - at)?.t();
            Ok(((front, front_out), (back, back_out)))
        },
        &|(x, out)| reduce::column_sums(executor.level(), x, out),
    )
}

/// What is dealt out.
#[derive(Clone, Copy, PartialEq)]
enum Axis {
    Rows,
    Columns,
}

/// Rows of C from which on each sum, that of a half too, is of one chain.
const MIN_CROSSED: usize = 16;

/// One of two blocks of k.
#[derive(Clone, Copy)]
enum Block {
    First,
    Second,
}

/// A product on its way to the threads.
#[derive(Clone, Copy)]
struct Piece<'a> {
    plan: Plan,
    axis: Axis,
    alpha: f32,
    lhs: MatRef<'a>,
    rhs: MatRef<'a>,
    beta: f32,
    epilogue: Epilogue<'a>,
    /// Scratch of one piece.
    scratch_len: usize,
}

impl<'a> Piece<'a> {
    fn run<E: Executor>(
        self,
        executor: &E,
        pieces: usize,
        c: MatMut<'_>,
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        let len = if self.axis == Axis::Rows { c.rows() } else { c.cols() };
        let pieces = pieces.min(len);
        if pieces <= 1 {
            let Self { plan, alpha, lhs, rhs, beta, epilogue, .. } = self;
            let level = executor.level();
            return gemm::gemm_part(level, plan, alpha, lhs, rhs, beta, c, epilogue, scratch);
        }
        let front_pieces = pieces / 2;
        let front_len = cut(len, front_pieces, pieces);
        let (front_c, back_c) = match self.axis {
            Axis::Rows => c.split_at_row(front_len)?,
            Axis::Columns => c.split_at_col(front_len)?,
        };
        let (front_scratch, back_scratch) = scratch.split_at_mut(front_pieces * self.scratch_len);
        let front = self.part(0, front_len)?;
        let back = self.part(front_len, len - front_len)?;
        let (front, back) = executor.join(
            || front.run(executor, front_pieces, front_c, front_scratch),
            || back.run(executor, pieces - front_pieces, back_c, back_scratch),
        );
        front.and(back)
    }

    /// Whether two threads take a block of k each.
    fn crosses(&self, m: usize, n: usize, k: usize) -> bool {
        let block = self.plan.block_len();
        // A sum of two does not depend on their order if it is rounded once.
        let is_sum = self.alpha == 1.0 && self.beta == 0.0 && n > 1;
        // What a second pass would refuse is left to a single one.
        let is_allowed = match self.epilogue {
            Epilogue::None | Epilogue::Bias(_) => true,
            Epilogue::BiasActivation(_, activation) => activation.check().is_ok(),
            _ => false,
        };
        let two_blocks = block < k && k <= 2 * block;
        let of_rows = self.axis == Axis::Rows && self.rhs.col_stride() == 1 && MIN_CROSSED <= m;
        two_blocks && of_rows && m < k && is_sum && is_allowed
    }

    /// One block of k a thread: first for its own half of the rows, then for the other's, where it adds
    /// to what that has left there.
    fn run_crossed<E: Executor>(
        self,
        executor: &E,
        c: MatMut<'_>,
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        let m = c.rows();
        let at = cut(m, 1, 2);
        let (above, below) = (self.part(0, at)?, self.part(at, m - at)?);
        let (mut above_c, mut below_c) = c.split_at_row(at)?;
        let (scratch, other_scratch) = scratch.split_at_mut(self.scratch_len);
        let (first, second) = executor.join(
            || above.block(executor, Block::First, false, above_c.reborrow(), scratch),
            || below.block(executor, Block::Second, false, below_c.reborrow(), other_scratch),
        );
        first.and(second)?;
        let (first, second) = executor.join(
            || below.block(executor, Block::First, true, below_c, scratch),
            || above.block(executor, Block::Second, true, above_c, other_scratch),
        );
        first.and(second)
    }

    /// The sum of a block of k, by itself or, if it is the `last`, with what is in C and the epilogue.
    fn block<E: Executor>(
        self,
        executor: &E,
        block: Block,
        last: bool,
        c: MatMut<'_>,
        scratch: &mut [f32],
    ) -> Result<(), Error> {
        let Self { plan, lhs, rhs, epilogue, .. } = self;
        let (k, len) = (lhs.cols(), plan.block_len());
        let (start, count) = match block {
            Block::First => (0, len),
            Block::Second => (len, k - len),
        };
        let lhs = lhs.t().row_range(start, count)?.t();
        let rhs = rhs.row_range(start, count)?;
        let (beta, epilogue) = if last { (1.0, epilogue) } else { (0.0, Epilogue::None) };
        let plan = Plan::new(c.rows(), c.cols(), count);
        gemm::gemm_part(executor.level(), plan, 1.0, lhs, rhs, beta, c, epilogue, scratch)
    }

    /// The piece of `count` rows or columns of C from `start` on.
    fn part(self, start: usize, count: usize) -> Result<Self, Error> {
        let Self { mut lhs, mut rhs, mut epilogue, axis, .. } = self;
        let part = |of: MatRef<'a>| match axis {
            Axis::Rows => of.row_range(start, count),
            Axis::Columns => of.t().row_range(start, count).map(MatRef::t),
        };
        match axis {
            Axis::Rows => lhs = part(lhs)?,
            Axis::Columns => rhs = part(rhs)?,
        }
        epilogue = match epilogue {
            Epilogue::Derivative(activation, saved) => {
                Epilogue::Derivative(activation, part(saved)?)
            }
            Epilogue::Bias(bias) if axis == Axis::Columns => {
                Epilogue::Bias(values(bias, start, count)?)
            }
            Epilogue::BiasActivation(bias, activation) if axis == Axis::Columns => {
                Epilogue::BiasActivation(values(bias, start, count)?, activation)
            }
            other => other,
        };
        Ok(Self { lhs, rhs, epilogue, ..self })
    }
}

/// Where to cut `len` rows or columns so that the front gets `front` of `pieces` shares: on a
/// multiple of a register where there are [many](WIDE), so that no piece has a ragged edge in the middle
/// of C.
const fn cut(len: usize, front: usize, pieces: usize) -> usize {
    let share = len / pieces * front + len % pieces * front / pieces;
    if len >= WIDE * pieces { share.next_multiple_of(16) } else { share }
}

/// The part of the bias that belongs to a piece.
fn values(bias: &[f32], start: usize, count: usize) -> Result<&[f32], Error> {
    let end = start.saturating_add(count);
    let found = bias.len();
    bias.get(start..end).ok_or(Error::Length { what: "bias", expected: end, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_dealt_out_where_b_is_much_the_larger() {
        for (m, n, k, pieces, of_columns) in [
            (1024, 2048, 2048, 2, true),
            (1024, 1024, 1024, 2, true),
            (32, 2048, 2048, 2, true),
            (128, 512, 256, 2, true),
            // A B that one second cache hardly keeps, in pieces of whole lines, and not.
            (512, 512, 512, 2, true),
            (512, 512, 512, 3, false),
            (2048, 1024, 256, 2, true),
            (4097, 1024, 256, 2, false),
            (1024, 256, 512, 2, false),
            (700, 700, 370, 2, false),
            (512, 512, 255, 2, false),
            (600, 640, 410, 2, false),
            (784, 512, 128, 2, false),
            (9000, 1700, 1700, 2, true),
            (9_000_000, 1700, 1700, 2, false),
            // Too few columns for all.
            (16, 128, 4000, 2, true),
            (16, 127, 4000, 2, false),
            (16, 128, 4000, 3, false),
            (usize::MAX, usize::MAX, usize::MAX, usize::MAX, false),
        ] {
            assert_eq!(has_large_rhs(m, n, k, pieces), of_columns, "{m} {n} {k} {pieces}");
        }
    }
}
