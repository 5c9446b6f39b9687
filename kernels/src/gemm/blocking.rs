//! The loops around the microkernel, after Goto & van de Geijn (2008) and BLIS (Van Zee & van de
//! Geijn 2015), with one change: what can be read where it lies is not packed.
//!
//! ```text
//! for each block of columns       NC columns: so much of B is packed at a time
//!   for each block of k           kc, in the plan: it fixes the order of summation
//!     for each block of rows      of A, at most MC: they stay in L2; packed if transposed and
//!                                   their stride aliases
//!       for each panel of columns nv vectors of B: packed if transposed, if its stride aliases, or if
//!                                   many rows of A come back to it
//!         for each tile of rows   mr rows: the microkernel
//! ```
//!
//! The first block of rows packs the panels as it comes to them, the others read what it packed. If
//! there is but one, each panel takes the place of the one before: products of few rows ask for
//! little scratch.
//!
//! A tall C of few columns would leave lanes empty. Where A is transposed its columns fill them:
//! such a C is computed as its transpose, each element by the same chain.
//!
//! Up to half a register of leftover columns is a last panel of half registers.
//!
//! Rows and vectors are dealt out evenly: 30 rows are three tiles of ten, not two of twelve and one
//! of six, since a short tile waits for its own multiply-adds.

use super::Order;
use super::epilogue::{self, After, Pass};
use super::microkernel::{
    self, Finish, LINE, MAX_COLS, MAX_ROWS, Strip, max_rows, max_split_rows, max_vectors,
};
use super::packing::{self, Source};
use super::row;
use super::staging::{Buffer, stage};
use crate::simd::{Kernel, Portable, Simd};

/// Largest block of k.
pub(super) const KC: usize = 512;
/// Largest block of rows.
const MC: usize = 264;

/// f32 of A in a block of rows at most: a quarter of a megabyte, as a second cache of one holds a panel
/// of B as well, and a neighbour on the same core takes its part.
const LHS_BLOCK: usize = 1 << 16;

/// Where k is that short, time goes into writing C, of which a block of so many rows is to lie on few
/// pages.
pub(super) const SHORT_K: usize = 64;
const SHORT_MC: usize = 48;

/// From so many elements on C comes from afar.
const FAR: usize = 1 << 19;
/// From so many elements on B comes from afar whenever a panel of it is first read: beside A and C a
/// second cache keeps less than that.
const FAR_RHS: usize = 1 << 17;

/// Largest block of columns: with KC, two megabytes of packed B, which each block of rows reads from
/// the third cache.
const NC: usize = 1024;

/// Rows that lie a multiple of so many f32 apart (a page) fall onto few cache sets. That matters for
/// rows of which a panel reads a few values each: those of B, and the columns of a transposed A.
/// Rows of A are read from end to end.
const ALIAS: usize = 1024;
/// Rows of A that alias and still find room in the first cache, beside B.
const WAYS: usize = 10;
/// Below these, aliasing rows are too few to matter, and A is not packed.
const PACK_MIN_ROWS: usize = 48;
const PACK_MIN_COLS: usize = 128;
const PACK_MIN_K: usize = 128;
/// The same for panels of one cache line, which suffer from rows half a page apart already.
const LINE_ALIAS: usize = 512;
const LINE_PACK_MIN_ROWS: usize = 128;
const LINE_PACK_MIN_K: usize = 256;
/// Rows of B that do not alias are packed from so many rows of A on, and so many elements of B: fewer stay in
/// the second cache. Rows that tear the lines of a panel in two, as most that are no multiple of one, cost
/// more where they lie.
const FAR_PACK_MIN_ROWS: usize = 640;
const TORN_PACK_MIN_ROWS: usize = 256;
const FAR_PACK_MIN_RHS: usize = 1 << 16;
/// From these on a transposed A is packed whatever its stride: a tile would touch as many pages as
/// k has steps, and that for many panels.
const PACK_LHS_COLS: usize = 1024;
const PACK_LHS_K: usize = 256;

// The first panel is one of several of whole registers wherever A is packed.
const _: () = assert!(PACK_MIN_COLS > MAX_COLS);

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

/// `min`, for const functions.
const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

/// Largest block of rows for so large a k, of which a block is taken to be [`KC`] long: scratch must not
/// fall where a k that is a little larger is dealt out to shorter blocks.
const fn rows_of_block(k: usize) -> usize {
    if k <= LHS_BLOCK / MC { MC } else { LHS_BLOCK / min(k, KC) }
}

/// f32 that [`run`] may pack a panel of B into.
const fn rhs_scratch(m: usize, n: usize, k: usize) -> usize {
    let cols = if m > rows_of_block(k) { NC } else { MAX_COLS };
    min(k, KC) * min(n, cols).next_multiple_of(16)
}

/// f32 that [`run`] may pack a block of A into.
const fn lhs_scratch(m: usize, n: usize, k: usize) -> usize {
    if m >= PACK_MIN_ROWS && n >= PACK_MIN_COLS && k >= PACK_MIN_K {
        min(min(m, MC) * min(k, KC), LHS_BLOCK)
    } else {
        0
    }
}

/// Whether so many rows of A and of B make up for copying B.
#[inline(always)]
const fn repays_packing(m: usize, k: usize) -> bool {
    m >= PACK_MIN_ROWS && k >= PACK_MIN_K
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
    fn part(self, i: usize) -> usize {
        self.small + usize::from(i < self.larger)
    }
}

/// The columns of C, dealt out to panels.
#[derive(Clone, Copy)]
struct Panels {
    /// Vectors in each of the panels of whole registers; the last may be partly filled if `half` is 0.
    vectors: Deal,
    /// Number of these panels.
    full: usize,
    /// Columns of one more panel, in half a register; 0: there is none.
    half: usize,
}

impl Panels {
    #[inline(always)]
    fn new<S: Simd>(problem: &Problem) -> Self {
        let half = half_columns::<S>(problem);
        let rest = problem.n - half;
        let (vectors, full) = Deal::new(rest.div_ceil(S::LANES), panel_limit::<S>(problem.split));
        Self { vectors, full: if rest > 0 { full } else { 0 }, half }
    }

    #[inline(always)]
    fn count(&self) -> usize {
        self.full + usize::from(self.half > 0)
    }
}

/// Columns left over by whole registers that half a register holds, if it is worth a panel of its own: a
/// processor may do two halves in the time of a whole. 0 if not.
#[inline(always)]
pub(super) fn half_columns<S: Simd>(problem: &Problem) -> usize {
    let Problem { m, n, k, split, .. } = *problem;
    let left = n % S::LANES;
    let is_worth =
        m >= HALF_MIN_ROWS && k >= HALF_MIN_K && m.saturating_mul(k) >= HALF_MIN_PRODUCTS;
    let fits = S::Half::LANES < S::LANES && left <= S::Half::LANES;
    if fits && is_worth && !split { left } else { 0 }
}

/// A product to compute; all pointers are at the first element. Of C nothing is touched but its elements:
/// between them may lie those that another thread writes.
#[derive(Clone, Copy)]
pub(super) struct Problem {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    /// Block of k; 0 < kc <= [`KC`].
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
    /// [`scratch_len`] f32.
    pub(super) scratch: *mut f32,
}

impl Problem {
    /// The columns from `column` on.
    #[inline(always)]
    fn columns_from(&self, column: usize) -> Self {
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
}

/// Whether rows `stride` apart fall onto few cache sets.
#[inline(always)]
fn aliases(stride: usize) -> bool {
    stride > 0 && stride.is_multiple_of(ALIAS)
}

/// Whether B, of contiguous rows, is worth packing: its rows fall onto few cache sets, or so many rows of A
/// come back to it from the third cache that it is worth bringing into their order.
#[inline(always)]
fn packs_rows<S: Simd>(problem: &Problem) -> bool {
    let Problem { m, n, k, rhs: Source { row: stride, .. }, .. } = *problem;
    let width = max_vectors(S::REGISTERS) * S::LANES;
    let is_line = width <= LINE;
    let has_line_alias = is_line && stride > 0 && stride.is_multiple_of(LINE_ALIAS);
    // A panel that begins anywhere in a line has a part in the next one. (Where B begins is not known: the
    // choice is made before.)
    let is_torn = is_line && !stride.is_multiple_of(width);
    let many_rows = if is_torn { TORN_PACK_MIN_ROWS } else { FAR_PACK_MIN_ROWS };
    repays_packing(m, k)
        && (aliases(stride)
            || has_line_alias && m >= LINE_PACK_MIN_ROWS && k >= LINE_PACK_MIN_K
            || m >= many_rows && n.saturating_mul(k) >= FAR_PACK_MIN_RHS)
}

/// Whether [`run_direct`] takes the product.
#[inline(always)]
pub(super) fn is_direct<S: Simd>(problem: &Problem, order: Order) -> bool {
    let Problem { m, n, k, rhs, .. } = *problem;
    let rhs_is_ready =
        if rhs.col == 1 { !packs_rows::<S>(problem) } else { rhs.row == 1 && n <= MAX_COLS };
    0 < k
        && k <= KC
        && m <= rows_of_block(k)
        && order != Order::Lanes
        && problem.out_col == 1
        && (!problem.in_place || is_gate(problem))
        && !packs_lhs(problem)
        && rhs_is_ready
        && !is_narrow(problem)
        && row::cols::<S>(problem) == 0
}

/// Whether A is transposed and worth packing.
#[inline(always)]
fn packs_lhs(problem: &Problem) -> bool {
    let Problem { m, n, k, lhs, .. } = *problem;
    lhs_scratch(m, n, k) > 0
        && (aliases(lhs.col) || lhs.col != 1 && n >= PACK_LHS_COLS && k >= PACK_LHS_K)
}

/// Whether the product is computed as its transpose, with registers full of a column of A instead of
/// half full of a row of B. Nothing may follow that belongs to a column.
#[inline(always)]
fn is_narrow(problem: &Problem) -> bool {
    problem.n <= NARROW_COLS
        && problem.lhs.row == 1
        && problem.m >= NARROW_ROWS
        && problem.bias.is_null()
        && problem.after.pass == Pass::None
}

/// Whether relu's derivative in place is what follows: the microkernel's store does it, where C
/// passes through registers.
#[inline(always)]
fn is_gate(problem: &Problem) -> bool {
    problem.in_place && problem.after.is_relu_backward()
}

/// The problem with relu's derivative in place as part of [`Finish`].
#[inline(always)]
pub(super) fn gated(problem: Problem) -> Problem {
    if is_gate(&problem) {
        let finish = problem.finish.gated();
        Problem { finish, after: After::NONE, in_place: false, ..problem }
    } else {
        problem
    }
}

/// Computes the product.
///
/// # Safety
/// m, n, k > 0. `lhs` is valid for reading m x k elements, `rhs` for k x n, `out` for reading and
/// writing m x n, `bias`, unless null, for n, the saved matrix of `after` for m x n,
/// `scratch` for writing [`scratch_len`]; what is written overlaps nothing else, but that the saved
/// matrix is C itself if `in_place`, and then k <= kc.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(s: S, problem: &Problem) {
    let problem = &gated(*problem);
    let done = row::cols::<S>(problem);
    if done > 0 {
        s.call(row::Row(problem));
    }
    if done == problem.n {
        return;
    }
    let problem = &problem.columns_from(done);
    let Problem { m, n, lhs, rhs, .. } = *problem;
    if is_narrow(problem) {
        // C^T = B^T A^T.
        let turned = Problem {
            m: n,
            n: m,
            lhs: rhs.t(),
            rhs: lhs.t(),
            out_row: problem.out_col,
            out_col: problem.out_row,
            ..*problem
        };
        let panels = Panels::new::<S>(&turned);
        s.call(Blocked { problem: &turned, panels, pack_lhs: false, pack_rhs: false });
        return;
    }
    let pack_lhs = packs_lhs(problem);
    let pack_rhs = n > 1 && (rhs.col != 1 || packs_rows::<S>(problem));
    let panels = Panels::new::<S>(problem);
    s.call(Blocked { problem, panels, pack_lhs, pack_rhs });
}

/// Computes a small product, in one block and without loops around it: panels of columns, tiles of
/// rows. A is read where it lies, and so is B unless it is transposed.
///
/// # Safety
/// As for [`run`], and [`is_direct`] holds.
#[inline(always)]
pub(super) unsafe fn run_direct<S: Simd>(s: S, problem: Problem) {
    let problem = gated(problem);
    let Problem { n, k, lhs, mut rhs, out, bias, scratch, .. } = problem;
    if let Some((function, plan)) = row::small(s, &problem) {
        // SAFETY: the product is the one row that the plan was made of.
        unsafe { function(&plan, lhs.ptr, rhs.ptr, out, bias, scratch) };
        return;
    }
    if rhs.col != 1 {
        let packed = aligned(scratch);
        let width = n.next_multiple_of(S::LANES);
        // SAFETY: B has k x n elements, and the scratch room for k rows of n <= MAX_COLS rounded up.
        unsafe { packing::pack_rhs(s, rhs, k, n, width, packed) };
        rhs = Source { ptr: packed, row: width, col: 1 };
    }
    let problem = Problem { rhs, ..problem };
    let panels = Panels::new::<S>(&problem);
    let mut column = 0;
    for panel in 0..panels.full {
        let vectors = panels.vectors.part(panel);
        let cols = (vectors * S::LANES).min(n - column);
        // SAFETY: the columns of the panel lie in the matrices; `is_direct` holds for all, and what is done
        // in place is a gate by now.
        unsafe { direct_panel(s, &problem.columns_from(column), vectors, cols) };
        column += cols;
    }
    if S::Half::LANES < S::LANES && panels.half > 0 {
        s.half().call(HalfPanel(problem.columns_from(column)));
    }
}

/// The panel of half registers of [`run_direct`]: a function of its own, as the small products that have none
/// would else pay for it.
struct HalfPanel(Problem);

impl Kernel for HalfPanel {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: made by `run_direct` alone, of its last columns: see there.
        unsafe { direct_panel(s, &self.0, 1, self.0.n) }
    }
}

/// The first `cols` columns of a product for [`run_direct`], in `vectors` registers.
///
/// # Safety
/// As for [`run`], with k at most kc, contiguous rows of B and of C, and not in place. The columns fill the
/// registers, but for the last, which may be partly filled; they are no more than [`panel_limit`].
#[inline(always)]
unsafe fn direct_panel<S: Simd>(s: S, problem: &Problem, vectors: usize, cols: usize) {
    let Problem { m, k, split, lhs, rhs, bias, out, out_row, finish, after, .. } = *problem;
    let (tiles, tile_count) = Deal::new(m, rows_limit::<S>(split, vectors));
    let mut strip = Strip {
        tiles: tiles.larger,
        panels: 1,
        k,
        lhs_row: lhs.row,
        lhs_col: lhs.col,
        lhs_tile: (tiles.small + 1).wrapping_mul(lhs.row),
        rhs_row: rhs.row,
        out_row,
        last: cols - (vectors - 1) * S::LANES,
        finish,
        ahead: 0,
        fetch_rhs: false,
    };
    let run = |rows: usize, strip: &Strip, done: usize| {
        let (lhs, out) = (lhs.at(done, 0).ptr, out.wrapping_add(done * out_row));
        // SAFETY: all rows and the columns of the panel lie in the matrices.
        unsafe { microkernel::run_strip(s, rows, vectors, split, strip, lhs, rhs.ptr, out, bias) };
    };
    if tiles.larger > 0 {
        run(tiles.small + 1, &strip, 0);
    }
    strip.tiles = tile_count - tiles.larger;
    strip.lhs_tile = tiles.small.wrapping_mul(lhs.row);
    run(tiles.small, &strip, tiles.larger * (tiles.small + 1));
    // SAFETY: m rows and the columns of the panel lie in C and in the saved matrix.
    unsafe { epilogue::run(s, after, out, out_row, m, cols) };
}

/// The first place in the scratch at a cache line, where packed panels start: fewer than [`LINE`] f32
/// on, which the scratch has to spare.
#[inline(always)]
pub(super) fn aligned(scratch: *mut f32) -> *mut f32 {
    scratch.wrapping_add(scratch.addr().wrapping_neg() / size_of::<f32>() % LINE)
}

/// The loops of a product that needs more than one block, packing or staging.
struct Blocked<'a> {
    problem: &'a Problem,
    panels: Panels,
    pack_lhs: bool,
    pack_rhs: bool,
}

impl Kernel for Blocked<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: made by `run` alone, whose caller vouches for the problem.
        unsafe { run_blocked(s, &self) }
    }
}

/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn run_blocked<S: Simd>(s: S, blocked: &Blocked<'_>) {
    let Blocked { problem, panels, pack_lhs, pack_rhs } = *blocked;
    let Problem { m, n, k, kc, split, lhs, scratch, .. } = *problem;
    let mc = if m > MC && k <= SHORT_K { SHORT_MC } else { rows_of_block(k) };
    let (blocks, block_count) = Deal::new(m, mc);
    let ways = if lhs.col == 1 && aliases(lhs.row) { WAYS } else { MAX_ROWS };
    let scratch = aligned(scratch);
    let packed_lhs = scratch.wrapping_add(rhs_scratch(m, n, k));

    let block_panels = NC / (panel_limit::<S>(split) * S::LANES);
    let (column_blocks, column_block_count) = Deal::new(panels.count(), block_panels);
    let is_far_rhs = !pack_rhs && n.saturating_mul(k) >= FAR_RHS;
    let mut buffer = None;
    let mut first_panel = 0;
    let mut first_column = 0;
    for column_block in 0..column_block_count {
        let end_panel = first_panel + column_blocks.part(column_block);
        let mut end_column = first_column;
        let mut p = 0;
        while p < k {
            let block_k = kc.min(k - p);
            let last_k = p + block_k == k;
            let mut row = 0;
            for block in 0..block_count {
                let block_m = blocks.part(block);
                let mut column = first_column;
                let part =
                    Part {
                        row,
                        rows: block_m,
                        p,
                        k: block_k,
                        is_first: block == 0,
                        // Packed A has the tiles of the first, widest panel, low enough for half registers too.
                        rows_limit: pack_lhs.then(|| {
                            rows_limit::<S>(split, panels.vectors.part(first_panel))
                                .min(rows_limit::<S::Half>(split, 1))
                        }),
                        ways,
                        lhs: lhs.at(row, p),
                        pack: pack_lhs.then_some(packed_lhs),
                        is_far_rhs,
                        finish: problem.block_finish(p, last_k),
                        after: if last_k { problem.after } else { After::NONE },
                    };
                for panel in first_panel..end_panel {
                    // Packed B has room for the panels of NC columns, or for one panel if there is one
                    // block of rows.
                    let place = if block_count > 1 { (column - first_column) * block_k } else { 0 };
                    let packed = pack_rhs.then(|| scratch.wrapping_add(place));
                    let fresh = panel == first_panel;
                    // SAFETY: the part lies in the matrices, and so do the columns of the panel. For B
                    // there is room in the scratch: see above; block_k is at most KC and k.
                    unsafe {
                        if S::Half::LANES < S::LANES && panel == panels.full {
                            let cols = Columns { start: column, count: panels.half, vectors: 1 };
                            run_panel(s.half(), problem, &part, cols, packed, fresh, &mut buffer);
                            column += panels.half;
                        } else {
                            let vectors = panels.vectors.part(panel);
                            let count = (vectors * S::LANES).min(n - column);
                            let cols = Columns { start: column, count, vectors };
                            run_panel(s, problem, &part, cols, packed, fresh, &mut buffer);
                            column += count;
                        }
                    }
                }
                end_column = column;
                row += block_m;
            }
            p += block_k;
        }
        first_panel = end_panel;
        first_column = end_column;
    }
}

/// A block of rows and of k.
struct Part {
    row: usize,
    rows: usize,
    p: usize,
    k: usize,
    /// Whether it is the first block of rows.
    is_first: bool,
    /// Rows of the highest tile, if A is packed in such.
    rows_limit: Option<usize>,
    /// Where A is read as it lies, rows that a tile must not exceed, whatever the registers hold.
    ways: usize,
    lhs: Source,
    /// Where to pack A.
    pack: Option<*mut f32>,
    /// Whether B, which is not packed, is too far away to wait for.
    is_far_rhs: bool,
    finish: Finish,
    after: After,
}

/// The columns of a panel.
#[derive(Clone, Copy)]
struct Columns {
    start: usize,
    count: usize,
    /// Registers that hold them.
    vectors: usize,
}

/// Computes a part in one panel. B is read at `packed`, if that is a place; the first block of rows packs
/// it. `fresh` says that A is not packed yet.
///
/// # Safety
/// As for [`run`], for the part and the columns; `packed` has room for B in them, and unless it is the first
/// block of rows, B was packed there before. Packed A, if not `fresh`, lies in tiles of the height that
/// `rows_limit` deals out, of which the token has some in so many registers.
#[inline(always)]
unsafe fn run_panel<S: Simd>(
    s: S,
    problem: &Problem,
    part: &Part,
    columns: Columns,
    packed: Option<*mut f32>,
    fresh: bool,
    buffer: &mut Option<Buffer>,
) {
    let Columns { start, count, vectors } = columns;
    let rhs = problem.rhs.at(part.p, start);
    let (rhs, rhs_row) = if let Some(packed) = packed {
        let width = vectors * S::LANES;
        if part.is_first {
            // SAFETY: rows p.. and columns start.. of B exist; the caller vouches for the room.
            unsafe { packing::pack_rhs(s, rhs, part.k, count, width, packed) };
        }
        (packed.cast_const(), width)
    } else {
        (rhs.ptr, rhs.row)
    };
    let rows_limit = rows_limit::<S>(problem.split, vectors).min(part.ways);
    let block = Block {
        row: part.row,
        rows: part.rows,
        column: start,
        cols: count,
        vectors,
        rows_limit: part.rows_limit.unwrap_or(rows_limit),
        lhs: part.lhs,
        pack: part.pack,
        fresh,
        rhs,
        rhs_row,
        is_far_rhs: part.is_far_rhs,
        k: part.k,
        finish: part.finish,
        bias: problem.bias.wrapping_add(start),
        after: part.after,
    };
    // SAFETY: the block lies in the matrices; see above for B.
    unsafe { run_block(s, problem, &block, buffer) };
}

/// Vectors in the widest panel.
#[inline(always)]
pub(super) fn panel_limit<S: Simd>(split: bool) -> usize {
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

/// A block of rows by a panel of columns.
pub(super) struct Block {
    row: usize,
    rows: usize,
    pub(super) column: usize,
    pub(super) cols: usize,
    pub(super) vectors: usize,
    rows_limit: usize,
    lhs: Source,
    /// Where to pack A.
    pack: Option<*mut f32>,
    /// Whether A is not yet packed there.
    fresh: bool,
    pub(super) rhs: *const f32,
    rhs_row: usize,
    /// Whether this panel of B, which is not packed, is too far away to wait for.
    is_far_rhs: bool,
    k: usize,
    pub(super) finish: Finish,
    /// The bias of the first column; anything where `finish` adds none.
    pub(super) bias: *const f32,
    pub(super) after: After,
}

/// Computes one block of rows in one panel: two strips, one of the higher tiles, one of the others.
///
/// # Safety
/// As for [`run`], for the rows, columns and k of the block.
#[inline(always)]
unsafe fn run_block<S: Simd>(s: S, problem: &Problem, block: &Block, buffer: &mut Option<Buffer>) {
    let Block { rows, cols, vectors, k, .. } = *block;
    let (tiles, tile_count) = Deal::new(rows, block.rows_limit);
    let mut done = 0;
    for (mr, count) in [(tiles.small + 1, tiles.larger), (tiles.small, tile_count - tiles.larger)] {
        if count == 0 {
            continue;
        }
        let lhs = block.lhs.at(done, 0);
        let (lhs, lhs_tile) = if let Some(packed) = block.pack {
            let packed = packed.wrapping_add(done * k);
            if block.fresh {
                // SAFETY: rows done.. of the block exist, and block rows x k values of scratch.
                unsafe { packing::pack_lhs(s, lhs, count, mr, k, packed) };
            }
            (Source { ptr: packed, row: 1, col: mr }, mr * k)
        } else {
            (lhs, mr * lhs.row)
        };
        let strip = Strip {
            tiles: count,
            panels: 1,
            k,
            lhs_row: lhs.row,
            lhs_col: lhs.col,
            lhs_tile,
            rhs_row: block.rhs_row,
            out_row: problem.out_row,
            last: cols - (vectors - 1) * S::LANES,
            finish: block.finish,
            // The next panel's part of C, if there is one, which so few steps would wait for.
            ahead: if k <= SHORT_K
                && problem.m * problem.n >= FAR
                && block.column + cols < problem.n
            {
                cols
            } else {
                0
            },
            fetch_rhs: block.is_far_rhs && done == 0,
        };
        let row = block.row + done;
        // SAFETY: the rows of the strip and the columns of the panel lie in the matrices.
        unsafe {
            if problem.out_col == 1 && !problem.in_place {
                let out = problem.out.wrapping_add(row * problem.out_row + block.column);
                let (lhs, rhs, bias) = (lhs.ptr, block.rhs, block.bias);
                microkernel::run_strip(s, mr, vectors, problem.split, &strip, lhs, rhs, out, bias);
                let after = block.after.at(row, block.column);
                epilogue::run(s, after, out, problem.out_row, mr * count, cols);
            } else {
                for tile in 0..count {
                    let lhs = lhs.ptr.wrapping_add(tile * lhs_tile);
                    let fetch_rhs = strip.fetch_rhs && tile == 0;
                    let strip = Strip { tiles: 1, fetch_rhs, ..strip };
                    stage(s, problem, block, row + tile * mr, mr, strip, lhs, buffer);
                }
            }
        }
        done += mr * count;
    }
}
