//! A C of few columns by a row-major A: registers are filled by a column of A, not by a row of B.
//!
//! ```text
//! 16 rows, 10 columns, 16 lanes      a row of B in a register    a column of A in a register
//!   multiply-adds a step of k            16, of 10 lanes             10, of 16 lanes
//!   broadcasts                           16, of A                    10, of B
//! ```
//!
//! The rows of such an A are contiguous, not its columns: [`STEPS`] of them at a time are put together from as
//! many values of each row, and turned in registers ([`Simd::load_columns`]). What that takes, two shuffles and
//! three inserts a column of 16 rows on Zen 4, goes to units that multiply-adds leave idle: 128 x 10 products of
//! 256 steps take two thirds of the time.
//!
//! A transposed B is read so only where it is packed whole, for small products.
//!
//! Each element is the chain of multiply-adds over p that it is in the microkernel. The sums are columns of C:
//! they are finished as such, and turned back as they are stored ([`Simd::store_columns`]).

use super::epilogue;
use super::finish::{Finish, Store};
use super::microkernel::Strip;
use super::packing::Source;
use super::problem::Problem;
use super::strategy::{aliases, packs_rows};
use super::table::{Halved, StripFn};
use crate::activation::{Elementwise, Relu};
use crate::simd::{Kernel, Routine, Simd};

/// Columns of A that are loaded at a time.
const STEPS: usize = 4;

/// From so many elements on A comes from afar, and is fetched ahead.
const FAR_LHS: usize = 1 << 18;
/// Columns to fetch ahead: a machine foresees no more than a few of as many rows, and late.
const AHEAD: usize = 64;

/// Columns whose sums stay in registers, beside [`STEPS`] columns of A and what turns them.
const fn max_cols(registers: usize) -> usize {
    if registers >= 32 { 24 } else { 11 }
}

/// The same for tiles of half as many rows: with 13 columns they take no less time than rows of B in whole registers.
const MAX_HALF_COLS: usize = 12;

/// So many lanes, over all steps, are to be empty in a tile of rows of B: a tile of columns takes longer to write.
const MIN_EMPTY: usize = 96;

/// From so many rows on AVX2 takes those that fill no register into the bargain: few of them, in few columns, wait
/// for their own multiply-adds.
const MIN_ROWS: usize = 24;

/// Rows of a tile: as many as a register has lanes, or as half of it has, of rows of A a multiple of a page apart,
/// as the first cache keeps a line of no more than eight.
#[inline(always)]
fn height<S: Simd>(lhs: Source) -> usize {
    if aliases(lhs.row) { S::Half::LANES } else { S::LANES }
}

/// Whether columns of A take less time than rows of B, as measured on Zen 4.
#[inline(always)]
fn is_worth<S: Simd>(problem: &Problem, height: usize) -> bool {
    let Problem { m, n, k, .. } = *problem;
    let max = if height < S::LANES { MAX_HALF_COLS } else { max_cols(S::REGISTERS) };
    if n < 2 || n > max || k < STEPS {
        return false;
    }
    if S::REGISTERS >= 32 {
        return (n.next_multiple_of(S::LANES) - n).saturating_mul(k) > MIN_EMPTY;
    }
    // Parts of registers are slow to store at AVX2. Whole ones are quicker as rows of B, which take fewer loads, and
    // so is a B that is packed.
    n != S::LANES && (m.is_multiple_of(height) || m >= MIN_ROWS) && !packs_rows::<S>(problem)
}

/// The rows of a product that are computed like that, all its columns: whole tiles. The rest fill no register.
/// Where there are some, rows of A, B and C are contiguous.
#[inline(always)]
pub(super) fn rows<S: Simd>(problem: &Problem) -> usize {
    let Problem { m, split, lhs, rhs, out_col, in_place, .. } = *problem;
    let is_readable = lhs.col == 1 && rhs.col == 1 && out_col == 1;
    let height = height::<S>(lhs);
    let takes = S::LOADS_COLUMNS && is_readable && !split && !in_place;
    if takes && is_worth::<S>(problem, height) { m - m % height } else { 0 }
}

/// The first `rows` rows of a product, as many as [`rows`] says: one strip.
#[inline(always)]
pub(super) fn strip<S: Simd>(s: S, problem: &Problem, rows: usize) -> Option<(StripFn, Strip)> {
    let Problem { m, n, k, lhs, rhs, out_row, finish, .. } = *problem;
    if const { !S::LOADS_COLUMNS } {
        return None;
    }
    let height = height::<S>(lhs);
    macro_rules! pick {
        ($($cols:literal)*) => {
            match n {
                $($cols
                    if const { $cols <= MAX_HALF_COLS && S::Half::LANES < S::LANES }
                        && height < S::LANES =>
                {
                    s.pointer::<Halved<Tiles<$cols>>>()
                }
                // Never instantiated where the register file is too small.
                $cols if const { $cols <= max_cols(S::REGISTERS) } => s.pointer::<Tiles<$cols>>(),)*
                _ => return None,
            }
        };
    }
    // Sixteen are never few: they fill whole registers.
    let function = pick!(2 3 4 5 6 7 8 9 10 11 12 13 14 15 17 18 19 20 21 22 23 24);
    let strip = Strip {
        tiles: rows / height,
        panels: 1,
        k,
        lhs_row: lhs.row,
        lhs_col: lhs.col,
        lhs_tile: height.wrapping_mul(lhs.row),
        rhs_row: rhs.row,
        rhs_panel: 0,
        out_row,
        last: 0,
        finish,
        ahead: 0,
        fetch_rhs: false,
        fetch_lhs: m.saturating_mul(k) >= FAR_LHS,
        next_panel: 0,
        next_rows: 0,
    };
    Some((function, strip))
}

/// The first `rows` rows of a product, as many as [`rows`] says.
pub(super) struct FewColumns {
    pub(super) problem: Problem,
    pub(super) rows: usize,
}

impl Kernel for FewColumns {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { problem, rows } = self;
        let Problem { n, k, kc, lhs, rhs, bias, out, out_row, after, .. } = problem;
        let Some((function, strip)) = strip(s, &problem, rows) else {
            debug_assert!(false, "no tile of {n} columns");
            return;
        };
        let mut p = 0;
        while p < k {
            let steps = kc.min(k - p);
            let finish = problem.block_finish(p, p + steps == k);
            let block = Strip { k: steps, finish, ..strip };
            let (lhs, rhs) = (lhs.at(0, p), rhs.at(p, 0));
            // SAFETY: made in `blocking` alone, whose callers vouch for the problem. `rows` says that its rows are
            // contiguous, and so many of them whole tiles; of a block of k there are `steps` columns of A and rows
            // of B, with STEPS columns in the first block, before any shorter one.
            unsafe { function(&block, lhs.ptr, rhs.ptr, out, bias, core::ptr::null_mut()) };
            p += steps;
        }
        // SAFETY: these rows lie in C and in the saved matrix.
        unsafe { epilogue::run(s, after, out, out_row, rows, n) };
    }
}

/// Computes a [`Strip`] of tiles of `COLS` columns and as many rows as a register has lanes.
struct Tiles<const COLS: usize>;

impl<const COLS: usize> Routine for Tiles<COLS> {
    type Plan = Strip;

    /// Operands are A, B and C at the first tile, and the bias there if the strip adds one.
    ///
    /// # Safety
    /// As for the [`Tiles`](super::microkernel::Tiles) of the microkernel, for `tiles * LANES` rows and `COLS`
    /// columns, with rows of A that are contiguous; of fewer than [`STEPS`] columns the ones before, as many as
    /// are missing, are valid for reading too.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        strip: &Strip,
        mut lhs: *const f32,
        rhs: *const f32,
        mut out: *mut f32,
        bias: *const f32,
        _: *mut f32,
    ) {
        for _ in 0..strip.tiles {
            // SAFETY: `lhs` and `out` are at a tile that the strip has.
            unsafe {
                let sums = accumulate::<S, COLS>(s, lhs, rhs, strip);
                write::<S, COLS>(s, sums, out, bias, strip.out_row, &strip.finish);
            }
            lhs = lhs.wrapping_add(strip.lhs_tile);
            out = out.wrapping_add(S::LANES * strip.out_row);
        }
    }
}

/// The sums of a tile, column by column.
///
/// # Safety
/// As for [`Tiles`]; `lhs` and `rhs` are at a tile of the strip.
#[inline(always)]
unsafe fn accumulate<S: Simd, const COLS: usize>(
    s: S,
    mut lhs: *const f32,
    mut rhs: *const f32,
    strip: &Strip,
) -> [S::F32; COLS] {
    let Strip { k: mut left, lhs_row, rhs_row, .. } = *strip;
    let mut sums = [s.splat(0.0); COLS];
    // Adds the products of a column of A with a row of B.
    macro_rules! step {
        ($column:expr, $row:expr) => {
            for (j, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller vouches for COLS values in a row of B.
                let b = s.splat(unsafe { *$row.wrapping_add(j) });
                *sum = s.mul_add($column, b, *sum);
            }
        };
    }
    let reach = AHEAD.min(left);
    let next_tile = strip.lhs_tile.wrapping_sub(left);
    let quarter = S::LANES / 4;
    let mut rows = 0;
    while left >= STEPS {
        if strip.fetch_lhs {
            // A line has columns for four times so many steps: each time a quarter of the rows.
            let ahead = if left > reach { reach } else { next_tile.wrapping_add(reach) };
            let first = lhs.wrapping_add(ahead).wrapping_add(rows * lhs_row);
            for i in 0..quarter {
                s.prefetch(first.wrapping_add(i.wrapping_mul(lhs_row)));
            }
            rows = (rows + quarter) % S::LANES;
        }
        // SAFETY: so many columns of A are left, in LANES rows.
        let columns = unsafe { s.load_columns(lhs, lhs_row) };
        for (ahead, column) in columns.into_iter().enumerate() {
            step!(column, rhs.wrapping_add(ahead * rhs_row));
        }
        lhs = lhs.wrapping_add(STEPS);
        rhs = rhs.wrapping_add(STEPS * rhs_row);
        left -= STEPS;
    }
    if left > 0 {
        // With the columns before them, those that are left are as many again.
        let done = STEPS - left;
        // SAFETY: `done` columns of A lie before the ones that are left, in this block of k or in those before it.
        let columns = unsafe { s.load_columns(lhs.wrapping_sub(done), lhs_row) };
        for column in columns.into_iter().skip(done) {
            step!(column, rhs);
            rhs = rhs.wrapping_add(rhs_row);
        }
    }
    sums
}

/// Turns the sums of a tile into elements of C: see [`Finish`].
///
/// # Safety
/// LANES rows at `out`, `out_row` apart, are valid for reading and writing COLS values, the bias for reading as
/// many if `finish` adds it.
#[inline(always)]
unsafe fn write<S: Simd, const COLS: usize>(
    s: S,
    mut sums: [S::F32; COLS],
    out: *mut f32,
    bias: *const f32,
    out_row: usize,
    finish: &Finish,
) {
    let Finish { alpha, beta, floor, store } = *finish;
    if store as usize >= Store::General as usize {
        let alpha = s.splat(alpha);
        if beta == 0.0 {
            for x in &mut sums {
                *x = s.mul(alpha, *x);
            }
        } else {
            let beta = s.splat(beta);
            // SAFETY: the caller vouches for these columns of C.
            let before = unsafe { load::<S, COLS>(s, out, out_row) };
            for (x, before) in sums.iter_mut().zip(before) {
                *x = s.mul_add(alpha, *x, s.mul(beta, before));
            }
        }
    }
    if matches!(store, Store::Layer | Store::GeneralLayer) {
        let floor = s.splat(floor);
        for (j, x) in sums.iter_mut().enumerate() {
            // SAFETY: the caller vouches for a bias in every column.
            let bias = s.splat(unsafe { *bias.wrapping_add(j) });
            *x = s.max(floor, s.add(*x, bias));
        }
    }
    if matches!(store, Store::Gate | Store::GeneralGate) {
        // SAFETY: the caller vouches for these columns of C.
        let outputs = unsafe { load::<S, COLS>(s, out, out_row) };
        for (x, output) in sums.iter_mut().zip(outputs) {
            *x = s.mul(*x, Relu.derivative(s, output));
        }
    }
    for first in (0..COLS).step_by(4) {
        let group = [0, 1, 2, 3].map(|i| sums[(first + i).min(COLS - 1)]);
        let count = (COLS - first).min(4);
        // SAFETY: `count` columns from `first` on, in LANES rows.
        unsafe { s.store_columns(group, count, out.wrapping_add(first), out_row) };
    }
}

/// The columns of C in a tile.
///
/// # Safety
/// LANES rows at `out`, `out_row` apart, are valid for reading COLS values.
#[inline(always)]
unsafe fn load<S: Simd, const COLS: usize>(
    s: S,
    out: *const f32,
    out_row: usize,
) -> [S::F32; COLS] {
    let mut columns = [s.splat(0.0); COLS];
    if COLS < 4 {
        for (j, column) in columns.iter_mut().enumerate() {
            // SAFETY: column j < COLS.
            *column = unsafe { s.load_apart(out.wrapping_add(j), out_row) };
        }
        return columns;
    }
    for first in (0..COLS).step_by(4) {
        // The last four where fewer are left, some of them a second time.
        let first = first.min(COLS - 4);
        // SAFETY: `first + 4 <= COLS`.
        let group = unsafe { s.load_columns(out.wrapping_add(first), out_row) };
        columns[first..first + 4].copy_from_slice(&group);
    }
    columns
}
