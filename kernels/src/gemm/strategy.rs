//! The choice of strategy: what is packed, what is read where it lies, how C is dealt out to tiles, and the
//! scratch that takes.
//!
//! Packing copies; it pays where what lies as it is would be read badly (rows that fall onto few cache
//! sets, columns of a transposed matrix, rows that tear lines) and so often that it makes up for the copy.
//! The limits were found by measuring shapes around them on Zen 4 and Zen 5, with AVX2 and AVX-512, and where
//! multiply-adds outrun the caches ([`Simd::outruns_caches`]) on Cascade Lake and, where caches are larger, on Granite
//! Rapids.
//!
//! Rows and vectors are dealt out evenly: 30 rows are three tiles of ten, not two of twelve and one
//! of six, since a short tile waits for its own multiply-adds.
//!
//! Nothing here shows in the bits but [`KC`], which the plan takes the blocks of k from: the order of
//! summation is the plan's.

use super::chains::PREFETCH_K;
use super::epilogue::Pass;
use super::microkernel::{LINE, MAX_COLS, max_rows, max_split_rows, max_vectors};
use super::problem::Problem;
use super::{Order, row};
use crate::simd::{Portable, Simd};

/// Largest block of k.
pub(super) const KC: usize = 512;
/// Largest block of rows.
const MC: usize = 264;

/// f32 of A in a block of rows at most, but for what keeps packed rows apart: a quarter of a megabyte, as a second
/// cache of one holds a panel of B as well, and a neighbour on the same core takes its part.
const LHS_BLOCK: usize = 1 << 16;
/// The same of one of several blocks, where caches are not told. (On Zen 4 1024 2048 2048 takes 0.9 % less, 2048 1024 2048
/// 0.4 %, others as long.)
const LOW_LHS_BLOCK: usize = 3 << 14;

/// Where k is that short, time goes into writing C, of which a block of so many rows is to lie on few
/// pages.
pub(super) const SHORT_K: usize = 64;
const SHORT_MC: usize = 48;

/// The longest k of which C is fetched ahead on processors of Intel, where B is not packed. (On Granite Rapids 1024 2048 32
/// takes 4 to 12 % more if it is, 1024 2048 48 13 to 17 %, 1024 1000 16 8 to 15 % less.)
pub(super) const FETCH_C_K: usize = 16;

/// From so many elements on C comes from afar.
pub(super) const FAR: usize = 1 << 19;
/// From so many elements on B comes from afar whenever a panel of it is first read: beside A and C a
/// second cache keeps less than that.
const FAR_RHS: usize = 1 << 17;
/// The same at AVX-512 where caches are not told: there the machine foresees rows of four lines.
/// (On Zen 4 128 512 256 takes 0.8 % less than if they are fetched ahead, 128 256 512 0.3 %.)
const WIDE_FAR_RHS: usize = 1 << 18;

/// Largest block of columns, unless they are swept: with KC, two megabytes of packed B, which each block of rows reads
/// from the third cache.
const NC: usize = 1024;
/// The same on x86-64 where the caches are not told. (On Zen 4 2048 cubed takes 1 % less, 2048
/// 2048 1024 with A transposed, which is packed half as often, 1.4 %.)
const WIDE_NC: usize = 2 * NC;

/// The same where tiles sweep and a second cache of [`LARGE_SECOND`] keeps all that is packed, and A is not packed anew
/// for each block.
/// (On Granite Rapids 1024 and 2048 cubed take 1 to 3 % less.)
const LARGE_NC: usize = NC / 2;
/// So short a k leaves room for more columns, and sweeps write longer rows of C. (On Granite Rapids 1024 2048 128
/// takes 2 to 3 % less, 512 2048 256 would take 3 % more.)
const LONG_ROWS_K: usize = 128;

/// Rows that lie a multiple of so many f32 apart (a page) fall onto few cache sets. That matters for
/// rows of which a panel reads a few values each: those of B, and the columns of a transposed A. Rows of A are
/// read from end to end, of no more at a time than [`WAYS`], but where registers hold columns of it
/// ([`few_columns`](super::few_columns)), and where multiply-adds outrun a first cache of fewer ways than [`LARGE_WAYS`]:
/// they are packed then.
const ALIAS: usize = 1024;
/// Rows of A that alias and still find room in the first cache, beside B.
pub(super) const WAYS: usize = 10;
/// Ways of a larger first cache, which keeps the aliasing rows of A of the highest tiles of a panel of [`HIGH_VECTORS`], and
/// lines of B beside them. (On Granite Rapids 1024 cubed takes 5 % less than with A packed, 128 256 1024 7 %.)
const LARGE_WAYS: usize = 12;
/// f32 of a large second cache: two megabytes.
const LARGE_SECOND: usize = 1 << 19;
/// Those of one that is not told: half a megabyte, as the Zens before the fourth have.
const SMALL_SECOND: usize = 1 << 17;
/// Below these, aliasing rows are too few to matter, and A is not packed.
const PACK_MIN_ROWS: usize = 48;
const PACK_MIN_COLS: usize = 128;
const PACK_MIN_K: usize = 128;
/// The same for panels of one cache line, which suffer from rows half a page apart already.
const LINE_ALIAS: usize = 512;
const LINE_PACK_MIN_ROWS: usize = 128;
const LINE_PACK_MIN_K: usize = 256;
/// Rows of B that do not alias are packed from so many rows of A on, and so many elements of B: fewer stay in
/// the second cache. Panels of several lines, of a B below [`far_rhs`], are worth it later, and so are, where caches
/// are not told, rows of whole lines of one above (on Zen 4 640 and 800 cubed take 2 % less unpacked, 900 cubed 2 %
/// more). Rows that tear the lines of a panel in two, as most that are no multiple of one, cost more where they lie.
const FAR_PACK_MIN_ROWS: usize = 640;
const LATE_PACK_MIN_ROWS: usize = 1280;
const TORN_PACK_MIN_ROWS: usize = 256;
const FAR_PACK_MIN_RHS: usize = 1 << 16;
/// The same, whatever the rows are like, where multiply-adds outrun the caches.
const OUTRUN_PACK_MIN_ROWS: usize = 96;
/// And where tiles pack it there beside their multiply-adds; rows that tear lines also of so small a B.
const TILES_PACK_MIN_ROWS: usize = 24;
const TILES_TORN_PACK_MIN_RHS: usize = 1 << 15;
/// And of rows that do not, where a second cache of [`LARGE_SECOND`] holds all of a smaller one. (On Granite Rapids
/// 128 512 784 takes 3 % less, 32 512 784 6 %.)
const LARGE_PACK_MIN_RHS: usize = LARGE_SECOND;
/// f32 of a B across which tiles sweep, at most: half of [`LARGE_SECOND`], or of a smaller second cache. (On Granite
/// Rapids 1024 and 2048 cubed take 1 to 6 % less by it; 128 512 784, whose B is larger, 2 to 3 % more.)
/// Panels are wider then where rows of B lie half a page apart: 512 cubed takes 2 % less, 1024 512 512 2 to 4 %.
const SWEEP_MAX_RHS: usize = LARGE_SECOND / 2;
/// Panels across which tiles sweep because k is short, at least: of fewer, all tiles are as low as the widest asks for, and
/// each costs a call. (On Zen 4 300 72 50 takes 13 % more with AVX-512, 1000 200 50 5 %, 1000 256 64 nothing; 1024 24 10 9 %
/// with AVX2.)
const SWEEP_MIN_PANELS: usize = 4;
// Wide panels are of a B that is not packed.
const _: () = assert!(SWEEP_MAX_RHS < LARGE_PACK_MIN_RHS);
/// The tiles of a panel pack the next one from so many rows of A on, as they are many then, and of a B of so many
/// elements, of which the second cache keeps little: of a smaller one, which is near, the first tile of a panel does
/// not wait long for its rows.
const AHEAD_MIN_ROWS: usize = 96;
const AHEAD_MIN_RHS: usize = 1 << 18;
/// And up to so many: the more rows come back to packed B, the less it counts who packed it, and the first block of rows
/// has more to do than the others. (On Granite Rapids 512 1024 512 takes 1 to 3 % less, 768 cubed 2 % more.)
const AHEAD_MAX_ROWS: usize = 640;
// Scratch must not fall where m grows: so many rows are more than one block.
const _: () = assert!(AHEAD_MAX_ROWS >= MC);
/// Columns of two panels, then. (Wider ones are of a B that is not packed: see [`panel_limit`].)
const AHEAD_COLS: usize = 2 * HIGH_VECTORS * LINE;
/// From these on a transposed A is packed whatever its stride: a tile would touch as many pages as
/// k has steps, and that for many panels.
const PACK_LHS_COLS: usize = 1024;
const PACK_LHS_K: usize = 256;

/// C of at most so many columns and at least so many rows is computed as its transpose where the
/// columns of A are contiguous.
const NARROW_COLS: usize = 12;
const NARROW_ROWS: usize = 32;

/// Leftover columns get a panel of half registers from so many rows on, which hide the latency of its
/// multiply-adds, and so many products an element and a column, which make up for another loop.
const HALF_MIN_ROWS: usize = 8;
const HALF_MIN_K: usize = 40;
const HALF_MIN_PRODUCTS: usize = 1 << 10;

/// Accumulators that keep two units of multiply-adds with a latency of four busy, and two to spare.
pub(super) const ENOUGH: usize = 10;

/// Sets of a first cache of 32 kilobytes, and lines in each.
const CACHE_SETS: usize = 64;
const CACHE_WAYS: usize = 8;
/// f32 that it holds.
const CACHE_LEN: usize = CACHE_SETS * CACHE_WAYS * LINE;

/// Vectors in a panel where multiply-adds outrun the caches.
const HIGH_VECTORS: usize = 3;
/// Rows of two tiles of four vectors: with fewer, narrower panels with higher tiles gain nothing.
const HIGH_MIN_ROWS: usize = 2 * max_rows(32, 4);

/// `min`, for const functions.
const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

/// `max`, for const functions.
const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Largest block of rows for so large a k, of which a block is taken to be [`KC`] long: scratch must not
/// fall where a k that is a little larger is dealt out to shorter blocks.
pub(super) const fn rows_of_block(k: usize) -> usize {
    if k <= LHS_BLOCK / MC { MC } else { LHS_BLOCK / min(k, KC) }
}

/// Largest block of rows of a product of `m`: at most [`rows_of_block`], and one block if that holds all.
#[inline(always)]
pub(super) fn mc<S: Simd>(m: usize, k: usize) -> usize {
    let most = rows_of_block(k);
    if m <= most {
        most
    } else if k <= SHORT_K {
        SHORT_MC
    } else if guesses_caches::<S>() {
        min(most, LOW_LHS_BLOCK / min(k, KC))
    } else {
        most
    }
}

/// f32 that [`blocking::run`](super::blocking::run) may pack panels of B into.
pub(super) const fn rhs_scratch(m: usize, n: usize, k: usize) -> usize {
    let steps = min(k, KC);
    if m > rows_of_block(k) {
        let (cols, swept) =
            if cfg!(target_arch = "x86_64") { (WIDE_NC, SWEEP_MAX_RHS) } else { (NC, 0) };
        let all = steps * min(n, NC * KC).next_multiple_of(16);
        return min(all, max(steps * cols, swept));
    }
    let cols = if repays_packing_ahead(m, n, k) { AHEAD_COLS } else { MAX_COLS };
    steps * min(n, cols).next_multiple_of(16)
}

/// f32 from one row of a packed block of A, `k` columns wide, to the next: an odd number of lines, so that the rows of
/// a tile fall onto different sets of the first cache.
pub(super) const fn packed_lhs_row(k: usize) -> usize {
    (k.div_ceil(LINE) | 1) * LINE
}

/// f32 that [`blocking::run`](super::blocking::run) may pack a block of A into.
const fn lhs_scratch(m: usize, n: usize, k: usize) -> usize {
    if m >= PACK_MIN_ROWS && n >= PACK_MIN_COLS && k >= PACK_MIN_K {
        // As many rows as a block has at such a k have LHS_BLOCK values, and less than two lines each to be apart.
        min(min(m, MC) * packed_lhs_row(min(k, KC)), LHS_BLOCK + MC * 2 * LINE)
    } else {
        0
    }
}

/// Whether this is x86-64, and the caches are not told: on processors of AMD, and at the narrowest level on all. What was
/// measured on Zen 4 alone is for these.
#[inline(always)]
pub(super) fn guesses_caches<S: Simd>() -> bool {
    cfg!(target_arch = "x86_64") && S::caches().is_none()
}

/// [`FAR_RHS`] of a level.
#[inline(always)]
pub(super) fn far_rhs<S: Simd>() -> usize {
    if S::REGISTERS >= 32 && guesses_caches::<S>() { WIDE_FAR_RHS } else { FAR_RHS }
}

/// Whether so many rows of A and of B may make up for copying B, at some level.
#[inline(always)]
const fn repays_packing(m: usize, k: usize) -> bool {
    m >= TILES_PACK_MIN_ROWS && k >= PACK_MIN_K
}

/// Whether A has so many rows and B so many elements that the tiles of a panel may pack the next one, at some level.
#[inline(always)]
const fn repays_packing_ahead(m: usize, n: usize, k: usize) -> bool {
    let has_rows = m >= AHEAD_MIN_ROWS && m <= AHEAD_MAX_ROWS;
    cfg!(target_arch = "x86_64") && has_rows && n.saturating_mul(k) >= AHEAD_MIN_RHS
}

/// Whether all levels of the target have one number a register, and read A and B where they lie.
const SCALAR: bool = !cfg!(target_arch = "x86_64") && Portable::LANES == 1;

/// f32 of scratch for a product of this shape; `row_major` says that B has contiguous rows.
pub(super) const fn scratch_len(m: usize, n: usize, k: usize, row_major: bool) -> usize {
    if SCALAR || m == 0 || n <= 1 || row_major && !repays_packing(m, k) {
        0
    } else {
        LINE + rhs_scratch(m, n, k) + lhs_scratch(m, n, k)
    }
}

/// `total` dealt out to `parts` parts that differ by one at most, the larger first.
#[derive(Clone, Copy)]
pub(super) struct Deal {
    pub(super) small: usize,
    pub(super) larger: usize,
}

impl Deal {
    /// As few parts as possible, none above `max`.
    #[inline(always)]
    pub(super) fn new(total: usize, max: usize) -> (Self, usize) {
        // Small products are one part each way: no division then.
        if total <= max {
            return (Self { small: total, larger: 0 }, 1);
        }
        let parts = total.div_ceil(max);
        (Self { small: total / parts, larger: total % parts }, parts)
    }

    /// Length of part `i`.
    #[inline(always)]
    pub(super) fn part(self, i: usize) -> usize {
        self.small + usize::from(i < self.larger)
    }
}

/// The columns of C, dealt out to panels.
#[derive(Clone, Copy)]
pub(super) struct Panels {
    /// Vectors in each of the panels of whole registers; the last may be partly filled if `half` is 0.
    pub(super) vectors: Deal,
    /// Number of these panels.
    pub(super) full: usize,
    /// Columns of one more panel, in half a register; 0: there is none.
    pub(super) half: usize,
}

impl Panels {
    #[inline(always)]
    pub(super) fn new<S: Simd>(problem: &Problem) -> Self {
        Self::with_half::<S>(problem, half_columns::<S>(problem))
    }

    /// Panels of whole registers alone.
    #[inline(always)]
    pub(super) fn whole<S: Simd>(problem: &Problem) -> Self {
        Self::with_half::<S>(problem, 0)
    }

    #[inline(always)]
    fn with_half<S: Simd>(problem: &Problem, half: usize) -> Self {
        let rest = problem.n - half;
        let (vectors, full) = Deal::new(rest.div_ceil(S::LANES), panel_limit::<S>(problem));
        Self { vectors, full: if rest > 0 { full } else { 0 }, half }
    }

    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.full + usize::from(self.half > 0)
    }
}

/// Columns left over by whole registers that half a register holds, if it is worth a panel of its own: a
/// processor may do two halves in the time of a whole. 0 if not. (Where multiply-adds outrun the caches it does as many
/// wholes as halves: 32 50 50 takes 13 % less without such a panel, 256 100 256 6 %.)
#[inline(always)]
pub(super) fn half_columns<S: Simd>(problem: &Problem) -> usize {
    let Problem { m, n, k, split, .. } = *problem;
    let left = n % S::LANES;
    let is_worth =
        m >= HALF_MIN_ROWS && k >= HALF_MIN_K && m.saturating_mul(k) >= HALF_MIN_PRODUCTS;
    let fits = S::Half::LANES < S::LANES && left <= S::Half::LANES;
    if fits && is_worth && !split && !S::outruns_caches() { left } else { 0 }
}

/// Whether the first cache has [`LARGE_WAYS`].
#[inline(always)]
fn has_large_first<S: Simd>() -> bool {
    S::caches().is_some_and(|caches| caches.first_ways >= LARGE_WAYS)
}

/// Whether the second cache has [`LARGE_SECOND`].
#[inline(always)]
fn has_large_second<S: Simd>() -> bool {
    S::caches().is_some_and(|caches| caches.second_len >= LARGE_SECOND)
}

/// Whether multiply-adds outrun the caches, and a panel of four vectors leaves no room in the first: the second would
/// have to hand on more with each step of k than it can. There must be rows for higher tiles; and of an A whose rows
/// alias, or are no runs, the first cache does not keep so many unless they are packed.
#[inline(always)]
fn outruns_panels<S: Simd>(problem: &Problem) -> bool {
    let Problem { m, n, k, split, lhs, .. } = *problem;
    let is_large = m >= HIGH_MIN_ROWS && n >= MAX_COLS && k.saturating_mul(MAX_COLS) >= CACHE_LEN;
    if S::REGISTERS < 32 || split || !is_large || !S::outruns_caches() {
        return false;
    }
    let keeps_rows = lhs.col == 1 && (!aliases(lhs.row) || has_large_first::<S>());
    keeps_rows || packs_lhs::<S>(problem)
}

/// Vectors in the widest panel: of one that leaves no room in the first cache fewer than there could be, with higher
/// tiles, unless tiles sweep along a B, not packed, whose rows lie half a page apart.
#[inline(always)]
pub(super) fn panel_limit<S: Simd>(problem: &Problem) -> usize {
    let Problem { n, k, split, rhs, .. } = *problem;
    if outruns_panels::<S>(problem) {
        let len = n.saturating_mul(k);
        let is_half_page = rhs.col == 1 && rhs.row % ALIAS == LINE_ALIAS && !rhs.is_torn();
        let is_wide = is_half_page && len >= FAR_RHS && sweeps::<S>(problem, len);
        return if is_wide { max_vectors(S::REGISTERS) } else { HIGH_VECTORS };
    }
    match (split, S::REGISTERS) {
        (false, registers) => max_vectors(registers),
        (true, 32..) => 4,
        (true, 16..) => 3,
        (true, _) => 1,
    }
}

/// Rows of the highest tile of so many vectors.
#[inline(always)]
pub(super) fn rows_limit<S: Simd>(split: bool, vectors: usize) -> usize {
    if split { max_split_rows(S::REGISTERS, vectors) } else { max_rows(S::REGISTERS, vectors) }
}

/// Whether rows `stride` apart fall onto few cache sets.
#[inline(always)]
pub(super) fn aliases(stride: usize) -> bool {
    stride > 0 && stride.is_multiple_of(ALIAS)
}

/// Whether the first cache keeps a line of each of `k` rows `stride` apart: those that are several lines apart
/// reach but a part of its sets.
#[inline(always)]
pub(super) const fn keeps_lines(k: usize, stride: usize) -> bool {
    let apart = if stride > 0 && stride.is_multiple_of(LINE) { stride / LINE } else { 1 };
    let sets = CACHE_SETS >> min(apart.trailing_zeros() as usize, CACHE_SETS.ilog2() as usize);
    k <= sets * CACHE_WAYS
}

/// Whether B, of contiguous rows, is worth packing: its rows fall onto few cache sets, or so many rows of A
/// come back to it from a slower cache that it is worth bringing into their order.
#[inline(always)]
pub(super) fn packs_rows<S: Simd>(problem: &Problem) -> bool {
    let Problem { m, n, k, rhs, .. } = *problem;
    let stride = rhs.row;
    // Before anything else, as small products ask too.
    if !repays_packing(m, k) {
        return false;
    }
    let len = n.saturating_mul(k);
    if outruns_panels::<S>(problem) {
        let min_len = if rhs.is_torn() {
            TILES_TORN_PACK_MIN_RHS
        } else if has_large_second::<S>() {
            LARGE_PACK_MIN_RHS
        } else {
            FAR_PACK_MIN_RHS
        };
        return aliases(stride) || len >= min_len;
    }
    if m < PACK_MIN_ROWS {
        return false;
    }
    let width = max_vectors(S::REGISTERS) * S::LANES;
    let is_line = width <= LINE;
    let has_line_alias = is_line && stride > 0 && stride.is_multiple_of(LINE_ALIAS);
    // A panel that begins anywhere in a line has a part in the next one. (Where B begins is not
    // asked: it gains and loses as much.)
    let is_torn = is_line && !stride.is_multiple_of(width);
    let pays_later = if len >= far_rhs::<S>() {
        guesses_caches::<S>() && stride.is_multiple_of(LINE)
    } else {
        !is_line
    };
    let many_rows = if S::outruns_caches() {
        OUTRUN_PACK_MIN_ROWS
    } else if is_torn {
        TORN_PACK_MIN_ROWS
    } else if pays_later {
        LATE_PACK_MIN_ROWS
    } else {
        FAR_PACK_MIN_ROWS
    };
    aliases(stride)
        || has_line_alias && m >= LINE_PACK_MIN_ROWS && k >= LINE_PACK_MIN_K
        || m >= many_rows && len >= FAR_PACK_MIN_RHS
}

/// f32 of a B across which tiles may sweep, at most. (Whether other architectures gain by it was not measured.)
#[inline(always)]
fn swept_max<S: Simd>() -> usize {
    let second = S::caches().map_or(SMALL_SECOND, |caches| caches.second_len);
    if cfg!(target_arch = "x86_64") { min(second / 2, SWEEP_MAX_RHS) } else { 0 }
}

/// Whether so short a k is worth sweeping for: what takes time is to write C, in whole rows, which the machine foresees, or
/// a few lines of each row at a time. Else there must be much to read of B.
///
/// (On Granite Rapids 1024 2048 10 takes 30 % less with AVX-512, 33 % with AVX2, 1024 2048 16 25 % with either, 400 512 16
/// a fifth with AVX2. There longer sums take up to 8 % more with AVX2.
/// On Zen 4 1024 2048 10 takes 23 % less with AVX-512, 45 % with AVX2, 1024 2048 32 8 and 24 %, 400 512 16 4 and 22 %.)
#[inline(always)]
fn repays_sweeping<S: Simd>(problem: &Problem) -> bool {
    let Problem { n, k, .. } = *problem;
    let is_wide = n >= SWEEP_MIN_PANELS * max_vectors(S::REGISTERS) * S::LANES;
    let repays_writing = k <= SHORT_K && is_wide && swept_max::<S>() > 0;
    repays_writing || S::outruns_caches() && has_large_second::<S>()
}

/// Columns of the largest block of columns.
#[inline(always)]
pub(super) fn cols_of_block<S: Simd>(problem: &Problem, pack_lhs: bool) -> usize {
    let k = problem.k;
    if pack_lhs || !repays_sweeping::<S>(problem) {
        if guesses_caches::<S>() { WIDE_NC } else { NC }
    } else if k <= LONG_ROWS_K {
        // Whatever the processor says of its caches, there is a panel.
        (swept_max::<S>() / k).max(LARGE_NC)
    } else {
        LARGE_NC
    }
}

/// Whether tiles may sweep across panels and return to what they read of B, `rhs_len` elements, if the second cache keeps
/// it: a block, or, if it is not packed and k is not short, all of B.
#[inline(always)]
pub(super) fn sweeps<S: Simd>(problem: &Problem, rhs_len: usize) -> bool {
    let Problem { split, out_col, in_place, .. } = *problem;
    let is_kept = rhs_len <= swept_max::<S>() && repays_sweeping::<S>(problem);
    is_kept && !split && out_col == 1 && (!in_place || problem.is_gate())
}

/// Whether a product of few rows and a short k is worth sweeping for: if C comes from afar. (On Granite Rapids 256 2048 10
/// takes 20 % less, 128 4096 16 10 %, 256 4096 10 30 %; 200 1500 30 would take 10 % more.)
#[inline(always)]
fn sweeps_far<S: Simd>(problem: &Problem) -> bool {
    let Problem { m, n, k, .. } = *problem;
    // Blocks of columns are as wide as fits.
    k <= SHORT_K && m.saturating_mul(n) >= FAR && sweeps::<S>(problem, 0)
}

/// Whether the tiles of a panel of B, which is to be packed, pack the next one. Not if its rows tear lines, as a vector
/// is two reads then. (On Granite Rapids 700 cubed takes 2 % more so, 1500 cubed 7 %.)
#[inline(always)]
pub(super) fn packs_ahead<S: Simd>(problem: &Problem) -> bool {
    let Problem { m, n, k, lhs, rhs, out_col, in_place, .. } = *problem;
    let can_pack =
        rhs.col == 1 && out_col == 1 && !in_place && (lhs.col == 1 || packs_lhs::<S>(problem));
    can_pack && !rhs.is_torn() && repays_packing_ahead(m, n, k) && outruns_panels::<S>(problem)
}

/// Whether [`blocking::run_direct`](super::blocking::run_direct) takes the product.
///
/// A B from afar is left to the loops, which fetch it ahead where k is not short, and so is a C that they sweep.
#[inline(always)]
pub(super) fn is_direct<S: Simd>(problem: &Problem, order: Order) -> bool {
    let Problem { m, n, k, rhs, .. } = *problem;
    let rhs_is_ready =
        if rhs.col == 1 { !packs_rows::<S>(problem) } else { rhs.row == 1 && n <= MAX_COLS };
    0 < k
        && k <= KC
        && (k < PREFETCH_K || n.saturating_mul(k) < far_rhs::<S>())
        && m <= rows_of_block(k)
        && !sweeps_far::<S>(problem)
        && order != Order::Lanes
        && problem.out_col == 1
        && (!problem.in_place || problem.is_gate())
        && !packs_lhs::<S>(problem)
        && rhs_is_ready
        && !is_narrow(problem)
        && row::cols::<S>(problem) == 0
}

/// Whether A is worth packing: its rows, or what of it lies side by side, fall onto few cache sets; or it is
/// transposed, and a tile would read a line of it for each step of k. (On Granite Rapids, with a transposed A, 256
/// cubed takes 14 % less at AVX2, 784 200 300 17 %, 48 128 128 4 % more.)
#[inline(always)]
pub(super) fn packs_lhs<S: Simd>(problem: &Problem) -> bool {
    let Problem { m, n, k, lhs, .. } = *problem;
    if lhs_scratch(m, n, k) == 0 {
        return false;
    }
    if lhs.col == 1 {
        // The lower tiles of others find room.
        let has_high_tiles = S::REGISTERS >= 32 && S::outruns_caches();
        return has_high_tiles && aliases(lhs.row) && !has_large_first::<S>();
    }
    let is_large = n >= PACK_LHS_COLS && k >= PACK_LHS_K;
    aliases(lhs.col) || is_large || lhs.row == 1 && S::caches().is_some()
}

/// Whether the product is computed as its transpose, with registers full of a column of A instead of
/// half full of a row of B. Nothing may follow that belongs to a column.
#[inline(always)]
pub(super) fn is_narrow(problem: &Problem) -> bool {
    problem.n <= NARROW_COLS
        && problem.lhs.row == 1
        && problem.m >= NARROW_ROWS
        && problem.bias.is_null()
        && problem.after.pass == Pass::None
}
