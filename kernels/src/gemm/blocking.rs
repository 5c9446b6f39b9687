//! The loops around the microkernel, after Goto & van de Geijn (2008) and BLIS (Van Zee & van de
//! Geijn 2015), with one change: what can be read where it lies is not packed.
//!
//! ```text
//! for each block of columns       so much of B is packed at a time
//!   for each block of k           kc, in the plan: it fixes the order of summation
//!     for each block of rows      of A, at most MC: they stay in L2; of a large product packed if
//!                                   transposed, or if their stride aliases
//!       for each panel of columns nv vectors of B: packed if transposed, if its stride aliases, or if
//!                                   many rows of A come back to it
//!         for each tile of rows   mr rows: the microkernel
//! ```
//!
//! Where the second cache keeps the block of B, and is large or k short, the last two loops change places for all blocks
//! of rows that have nothing of B to pack ([`sweep`]).
//!
//! The first block of rows packs the panels as it comes to them, or the tiles of one pack the next; the other
//! blocks read what it packed. If there is but one, each panel takes the place of the one before, or of the one before
//! that: products of few rows ask for little scratch.
//!
//! A tall C of few columns would leave lanes empty. Where A is transposed its columns fill them:
//! such a C is computed as its transpose, each element by the same chain.
//!
//! Where A is not transposed, registers are filled by its columns all the same ([`few_columns`]), but for the rows
//! that fill none.
//!
//! Up to half a register of leftover columns is a last panel of half registers, unless tiles sweep.
//!
//! What is packed, and the sizes of blocks, panels and tiles, is chosen in [`strategy`](super::strategy).

use core::ptr::null_mut;

use super::epilogue::{self, After};
use super::few_columns::{self, FewColumns};
use super::finish::Finish;
use super::microkernel::{LINE, MAX_ROWS, Strip};
use super::packing::{self, Source};
use super::packing_tiles::{Copying, PackingStrip};
use super::problem::Problem;
use super::staging::{self, Buffer};
use super::strategy::{
    Deal, FAR, FETCH_C_K, Panels, SHORT_K, WAYS, aliases, cols_of_block, far_rhs, is_narrow, mc,
    packed_lhs_row, packs_ahead, packs_lhs, packs_rows, panel_limit, rhs_scratch, rows_limit,
    sweeps,
};
use super::table::PackingFn;
use super::{row, sweep, table};
use crate::simd::{Kernel, Simd};

/// Computes the product.
///
/// # Safety
/// m, n, k > 0. `lhs` is valid for reading m x k elements, `rhs` for k x n, `out` for reading and
/// writing m x n, `bias`, unless null, for n, the saved matrix of `after` for m x n, `scratch` for writing
/// [`scratch_len`](super::strategy::scratch_len); what is written overlaps nothing else, but that the
/// saved matrix is C itself if `in_place`, and then k <= kc.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(s: S, problem: &Problem) {
    let problem = &problem.gated();
    let done = row::cols::<S>(problem);
    if done > 0 {
        s.call(row::Row(problem));
    }
    if done == problem.n {
        return;
    }
    let problem = &problem.columns_from(done);
    let rows = few_columns::rows::<S>(problem);
    if rows > 0 {
        s.call(FewColumns { problem: *problem, rows });
    }
    if rows == problem.m {
        return;
    }
    let problem = &problem.rows_from(rows);
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
        s.call(Blocked { problem: &turned, pack_lhs: false, pack_rhs: false });
        return;
    }
    let pack_lhs = packs_lhs::<S>(problem);
    let pack_rhs = n > 1 && (rhs.col != 1 || packs_rows::<S>(problem));
    s.call(Blocked { problem, pack_lhs, pack_rhs });
}

/// Computes a small product, in one block and without loops around it: panels of columns, tiles of
/// rows. A is read where it lies, and so is B unless it is transposed.
///
/// # Safety
/// As for [`run`], and [`is_direct`](super::strategy::is_direct) holds.
#[inline(always)]
pub(super) unsafe fn run_direct<S: Simd>(s: S, problem: Problem) {
    let problem = problem.gated();
    let Problem { n, k, lhs, mut rhs, out, bias, scratch, .. } = problem;
    if let Some((function, plan)) = row::short(s, &problem) {
        // SAFETY: the product is the one row that the plan was made of.
        unsafe { function(&plan, lhs.ptr, rhs.ptr, out, bias, scratch) };
        return;
    }
    if rhs.col != 1 {
        let packed = aligned(scratch);
        let width = n.next_multiple_of(S::LANES);
        // SAFETY: B has k x n elements, and the scratch room for k rows of n <= MAX_COLS rounded up.
        unsafe { packing::pack(s, rhs, k, n, packed, width) };
        rhs = Source { ptr: packed, row: width, col: 1 };
    }
    let problem = Problem { rhs, ..problem };
    let rows = few_columns::rows::<S>(&problem);
    let problem = if rows > 0 {
        s.call(FewColumns { problem, rows });
        if rows == problem.m {
            return;
        }
        problem.rows_from(rows)
    } else {
        problem
    };
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
    if const { S::Half::LANES < S::LANES } && panels.half > 0 {
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
        rhs_panel: 0,
        out_row,
        last: cols - (vectors - 1) * S::LANES,
        finish,
        ahead: 0,
        fetch_rhs: false,
        fetch_lhs: false,
        next_panel: 0,
        next_rows: 0,
    };
    let run = |rows: usize, strip: &Strip, done: usize| {
        let (lhs, out) = (lhs.at(done, 0).ptr, out.wrapping_add(done * out_row));
        // SAFETY: all rows and the columns of the panel lie in the matrices.
        unsafe { table::run_strip(s, rows, vectors, split, strip, lhs, rhs.ptr, out, bias) };
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

/// The loops of a product that needs more than one block, packing, staging or a B that is fetched ahead.
struct Blocked<'a> {
    problem: &'a Problem,
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
    let Blocked { problem, pack_lhs, pack_rhs } = *blocked;
    let Problem { m, n, k, kc, lhs, rhs, scratch, .. } = *problem;
    let (blocks, block_count) = Deal::new(m, mc::<S>(m, k));
    let ways = if lhs.col == 1 && aliases(lhs.row) && !pack_lhs { WAYS } else { MAX_ROWS };
    let scratch = aligned(scratch);
    let packed_lhs = scratch.wrapping_add(rhs_scratch(m, n, k));

    let block_panels =
        cols_of_block::<S>(problem, pack_lhs) / (panel_limit::<S>(problem) * S::LANES);
    // No panel is a half where tiles sweep, and the last alone may be a single register where there could be more.
    let whole_panels = Panels::whole::<S>(problem);
    let is_swept_in_blocks = pack_rhs || k <= SHORT_K;
    let block_cols = (block_panels * whole_panels.vectors.part(0) * S::LANES).min(n);
    let swept_len = if is_swept_in_blocks { block_cols * kc.min(k) } else { n.saturating_mul(k) };
    // The first block of rows packs B, if it is to be, and if it is the only one, all panels into one place.
    let is_swept =
        whole_panels.full > 1 && (block_count > 1 || !pack_rhs) && sweeps::<S>(problem, swept_len);
    let panels = if is_swept { whole_panels } else { Panels::new::<S>(problem) };
    let ahead = pack_rhs && packs_ahead::<S>(problem);
    // From one of two packed panels to the other. None is wider than the first.
    let apart = if ahead { panels.vectors.part(0) * S::LANES } else { 0 };
    let (column_blocks, column_block_count) = Deal::new(panels.count(), block_panels);
    let is_far_rhs = !pack_rhs && n.saturating_mul(k) >= far_rhs::<S>();
    let mut buffer = None;
    let mut panel_block = PanelBlock {
        panels,
        first: 0,
        end: 0,
        start: 0,
        end_column: 0,
        packed: pack_rhs.then_some(scratch),
        apart: (block_count == 1).then_some(apart),
        ahead,
    };
    for column_block in 0..column_block_count {
        panel_block = panel_block.next(s, column_blocks.part(column_block), n);
        let mut p = 0;
        while p < k {
            let block_k = kc.min(k - p);
            let last_k = p + block_k == k;
            let mut row = 0;
            for block in 0..block_count {
                let block_m = blocks.part(block);
                let mut block_lhs = lhs.at(row, p);
                if pack_lhs {
                    let stride = packed_lhs_row(block_k);
                    // SAFETY: the block lies in A; for it there is room in the scratch, as its rows are at most `mc`
                    // and its columns KC and k.
                    unsafe { packing::pack(s, block_lhs, block_m, block_k, packed_lhs, stride) };
                    block_lhs = Source { ptr: packed_lhs, row: stride, col: 1 };
                }
                let part = Part {
                    row,
                    rows: block_m,
                    p,
                    k: block_k,
                    is_first: block == 0,
                    ways,
                    lhs: block_lhs,
                    is_far_rhs,
                    column: panel_block.start,
                    next_block: if block + 1 < block_count {
                        Some(0)
                    } else {
                        (!last_k).then(|| block_k.wrapping_mul(rhs.row))
                    },
                    finish: problem.block_finish(p, last_k),
                    after: if last_k { problem.after } else { After::NONE },
                };
                // SAFETY: the part and the columns lie in the matrices. For packed B there is room in the scratch, as
                // block_k is at most KC and k; the first block of rows packs it, and keeps all panels if there is a
                // second. What else a sweep asks for is in `is_swept`.
                unsafe {
                    if is_swept && (!pack_rhs || block > 0) {
                        sweep::run(s, problem, &part, &panel_block);
                    } else {
                        run_panels(s, problem, &part, &panel_block, &mut buffer);
                    }
                }
                row += block_m;
            }
            p += block_k;
        }
    }
}

/// The panels of a block of columns.
#[derive(Clone, Copy)]
pub(super) struct PanelBlock {
    panels: Panels,
    /// The first of them, and the first one behind.
    first: usize,
    end: usize,
    /// The same of columns.
    pub(super) start: usize,
    pub(super) end_column: usize,
    /// Where B is packed, if it is to be.
    packed: Option<*mut f32>,
    /// Columns from one of two places to the other, which packed panels take in turns where there is one block of rows (0:
    /// there is but one place); else there is room for all.
    apart: Option<usize>,
    /// Whether tiles of a panel may pack the next.
    ahead: bool,
}

impl PanelBlock {
    /// The block behind this one, of so many panels, in C of `n` columns.
    #[inline(always)]
    fn next<S: Simd>(self, _: S, panels: usize, n: usize) -> Self {
        let (first, start, end) = (self.end, self.end_column, self.end + panels);
        let next = Self { first, end, start, ..self };
        let vectors: usize = next.whole_panels().map(|(_, vectors)| vectors).sum();
        let whole = start + vectors * S::LANES;
        Self { end_column: if end == self.panels.count() { n } else { whole }, ..next }
    }

    /// Number of its panels.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.end - self.first
    }

    /// The panels of whole registers, and how many of these each has.
    #[inline(always)]
    pub(super) fn whole_panels(&self) -> impl Iterator<Item = (usize, usize)> {
        let panels = self.first..self.end.min(self.panels.full);
        panels.map(|panel| (panel, self.panels.vectors.part(panel)))
    }

    /// Where this panel, which begins at `column`, is packed, if it is to be, for a block of so many steps of k.
    #[inline(always)]
    pub(super) fn place(&self, panel: usize, column: usize, k: usize) -> Option<*mut f32> {
        let packed = self.packed?;
        let columns = match self.apart {
            Some(apart) => (panel - self.first) % 2 * apart,
            None => column - self.start,
        };
        Some(packed.wrapping_add(columns * k))
    }
}

/// Computes a part in a block of columns, panel by panel.
///
/// # Safety
/// As for [`run`], for the part and the columns; for B, if it is to be packed, there is room, and unless it is the first
/// block of rows, it was packed there before.
#[inline(always)]
unsafe fn run_panels<S: Simd>(
    s: S,
    problem: &Problem,
    part: &Part,
    panel_block: &PanelBlock,
    buffer: &mut Option<Buffer>,
) {
    let Problem { n, rhs, .. } = *problem;
    let PanelBlock { panels, first, end, start, ahead, .. } = *panel_block;
    let mut column = start;
    // Whether the tiles of the panel before have packed this one.
    let mut is_ready = false;
    for panel in first..end {
        let is_half = panel == panels.full;
        let (vectors, lanes) =
            if is_half { (1, S::Half::LANES) } else { (panels.vectors.part(panel), S::LANES) };
        let count = (vectors * lanes).min(n - column);
        let is_last = panel + 1 == end;
        let packed = panel_block.place(panel, column, part.k).map(|place| {
            let (next, column) = (panel + 1, column + count);
            let vectors = panels.vectors.part(next);
            let is_whole = next < panels.full && column + vectors * S::LANES <= n;
            let next = if ahead && part.is_first && !is_last && is_whole {
                let rhs = rhs.at(part.p, column);
                panel_block.place(next, column, part.k).map(|place| Next { rhs, vectors, place })
            } else {
                None
            };
            Packed { place, is_ready, next }
        });
        let columns = Columns { start: column, count, vectors, is_last };
        // SAFETY: by the caller's word, for the columns of the panel and of the next.
        is_ready = unsafe {
            if const { S::Half::LANES < S::LANES } && is_half {
                run_panel(s.half(), problem, part, columns, packed, buffer)
            } else {
                run_panel(s, problem, part, columns, packed, buffer)
            }
        };
        column += count;
    }
}

/// A block of rows and of k.
pub(super) struct Part {
    pub(super) row: usize,
    pub(super) rows: usize,
    pub(super) p: usize,
    pub(super) k: usize,
    /// Whether it is the first block of rows.
    is_first: bool,
    /// Rows that a tile must not exceed, whatever the registers hold.
    pub(super) ways: usize,
    pub(super) lhs: Source,
    /// Whether B, which is not packed, is too far away to wait for.
    is_far_rhs: bool,
    /// First column of the block of columns.
    column: usize,
    /// So many elements after this block's B lies that of the next in this block of columns, if there is one.
    next_block: Option<usize>,
    pub(super) finish: Finish,
    pub(super) after: After,
}

/// The columns of a panel.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) start: usize,
    pub(super) count: usize,
    /// Registers that hold them.
    pub(super) vectors: usize,
    /// Whether it is the last panel of a block of columns.
    is_last: bool,
}

/// How many elements after a panel of B, whose rows are `rhs_row` apart, the panel begins that is read next,
/// where it is worth fetching: it may come from afar, and is not to be packed first.
#[inline(always)]
fn next_panel(part: &Part, columns: Columns, place: Place, rhs_row: usize) -> Option<usize> {
    let Columns { start, count, is_last, .. } = columns;
    match place {
        // Packed panels lie one after another.
        Place::Packed => (!part.is_first && !is_last).then_some(part.k * rhs_row),
        Place::Near => None,
        Place::Far if is_last => {
            part.next_block.map(|block| block.wrapping_sub(start - part.column))
        }
        Place::Far => Some(count),
    }
}

/// A panel of B that is packed.
struct Packed {
    place: *mut f32,
    /// Whether it is there.
    is_ready: bool,
    /// The one after it, if that may be packed meanwhile.
    next: Option<Next>,
}

/// A panel of whole vectors that is to be packed.
struct Next {
    rhs: Source,
    vectors: usize,
    place: *mut f32,
}

/// How the tiles of a panel pack B.
#[derive(Clone, Copy)]
struct PanelPacking {
    /// Computes the first one, which packs the rows that it reads there.
    first: Option<(PackingFn, *mut f32)>,
    /// What the others copy of the next panel.
    copying: Option<Copying>,
}

impl PanelPacking {
    const NONE: Self = Self { first: None, copying: None };
}

/// Packs a panel of B for the first block of rows, unless it is ready or its tiles do, of two `heights`: if they
/// `can_pack`, as A lies along k, B has contiguous rows, and nothing but the tiles writes C.
///
/// # Safety
/// The panel is valid for reading, and there is room for it.
#[inline(always)]
unsafe fn pack_panel<S: Simd>(
    s: S,
    rhs: Source,
    k: usize,
    columns: Columns,
    packed: &Packed,
    heights: [(usize, usize); 2],
    can_pack: bool,
) -> PanelPacking {
    let Columns { count, vectors, .. } = columns;
    let &Packed { place, is_ready, ref next } = packed;
    let width = vectors * S::LANES;
    let can_pack = can_pack && count == width;
    let tile = |rows: usize, own: bool| {
        if can_pack { table::packing_strip_fn(s, rows, vectors, own) } else { None }
    };
    let mut tiles = PanelPacking::NONE;
    if !is_ready {
        let (rows, _) = heights[usize::from(heights[0].1 == 0)];
        tiles.first = tile(rows, true).map(|function| (function, place));
        if tiles.first.is_none() {
            // SAFETY: by the caller's word.
            unsafe { packing::pack(s, rhs, k, count, place, width) };
        }
    }
    let copiers = heights[0].1 + heights[1].1 - usize::from(tiles.first.is_some());
    let have_tiles = heights.iter().all(|&(rows, count)| count == 0 || tile(rows, false).is_some());
    if let Some(Next { rhs, vectors, place }) = *next
        && copiers > 0
        && have_tiles
    {
        tiles.copying = Some(Copying::new(rhs, k, vectors, place, copiers));
    }
    tiles
}

/// Where a panel of B is read.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Packed,
    /// Where it lies, and not worth fetching ahead.
    Near,
    /// Where it lies, and too far away to wait for.
    Far,
}

/// Computes a part in one panel: two strips, one of the higher tiles, one of the others. B is read where it is
/// packed, if it is to be; the first block of rows packs it, all at once or in its first tile, unless it is ready.
/// Returns whether the next one is.
///
/// # Safety
/// As for [`run`], for the part and the columns; `packed` has room for B in them, and unless it is the first
/// block of rows and not ready, B was packed there before. The next one has whole vectors and room of its own.
#[inline(always)]
unsafe fn run_panel<S: Simd>(
    s: S,
    problem: &Problem,
    part: &Part,
    columns: Columns,
    packed: Option<Packed>,
    buffer: &mut Option<Buffer>,
) -> bool {
    let Problem { m, n, split, out, out_row, out_col, in_place, bias, .. } = *problem;
    let Columns { start, count: cols, vectors, .. } = columns;
    let rhs = problem.rhs.at(part.p, start);
    let width = vectors * S::LANES;
    let place = if packed.is_some() {
        Place::Packed
    } else if part.is_far_rhs && !(width <= LINE && aliases(rhs.row)) {
        Place::Far
    } else {
        // Of rows that fall onto few sets the first cache does not hold lines to come beside those it has.
        Place::Near
    };
    // Anything where `finish` adds none.
    let bias = bias.wrapping_add(start);
    let limit = rows_limit::<S>(split, vectors).min(part.ways);
    let (tiles, tile_count) = Deal::new(part.rows, limit);
    let heights = [(tiles.small + 1, tiles.larger), (tiles.small, tile_count - tiles.larger)];
    let is_staged = out_col != 1 || in_place;
    let unpacked = rhs;
    let mut packing = PanelPacking::NONE;
    let (rhs, rhs_row) = if let Some(packed) = packed {
        if part.is_first {
            let can_pack = part.lhs.col == 1 && rhs.col == 1 && !is_staged;
            // SAFETY: rows p.. and columns start.. of B exist; the caller vouches for the room.
            packing = unsafe { pack_panel(s, rhs, part.k, columns, &packed, heights, can_pack) };
        }
        (packed.place.cast_const(), width)
    } else {
        (rhs.ptr, rhs.row)
    };
    let next = next_panel(part, columns, place, rhs_row);
    // Where B is not packed, the first tile has its own rows to fetch.
    let first_fetch = usize::from(place == Place::Far);
    let next_rows = match next {
        Some(_) if tile_count > first_fetch => part.k.div_ceil(tile_count - first_fetch),
        _ => 0,
    };
    // What is read of B from beyond the first cache would wait behind so many lines of C.
    let is_behind = S::caches().is_some() && place != Place::Packed;
    let far_k = if is_behind { FETCH_C_K } else { SHORT_K };
    let mut tiles_done = 0_usize;
    let mut done = 0;
    for (mr, count) in heights {
        if count == 0 {
            continue;
        }
        let lhs = part.lhs.at(done, 0);
        let lhs_tile = mr * lhs.row;
        let fetched = tiles_done.wrapping_sub(first_fetch).wrapping_mul(next_rows);
        // So few steps would wait for C: the next panel's, if there is one, is fetched.
        let is_far = part.k <= far_k && m * n >= FAR && start + cols < n;
        let mut strip = Strip {
            tiles: count,
            panels: 1,
            k: part.k,
            lhs_row: lhs.row,
            lhs_col: lhs.col,
            lhs_tile,
            rhs_row,
            rhs_panel: 0,
            out_row,
            last: cols - (vectors - 1) * S::LANES,
            finish: part.finish,
            ahead: if is_far { cols } else { 0 },
            fetch_rhs: place == Place::Far && done == 0,
            fetch_lhs: false,
            next_panel: next.unwrap_or(0).wrapping_add(fetched.wrapping_mul(rhs_row)),
            next_rows,
        };
        let row = part.row + done;
        // SAFETY: the rows of the strip and the columns of the panel lie in the matrices. Of a tile that packs, all
        // columns do, and A lies along k; `packed` has room for the panel, and is what the other tiles read.
        unsafe {
            if is_staged {
                let after = part.after.at(row, start);
                let lhs = lhs.ptr;
                staging::run_strip(
                    s, problem, columns, row, mr, &strip, lhs, rhs, bias, after, buffer,
                );
            } else {
                let out = out.wrapping_add(row * out_row + start);
                let (mut lhs, mut rest) = (lhs.ptr, out);
                if let Some((function, place)) = packing.first.take() {
                    let first = Strip { tiles: 1, rhs_row: unpacked.row, ..strip };
                    let tile = PackingStrip { strip: first, copying: Copying::NOTHING };
                    function(&tile, lhs, unpacked.ptr, out, bias, place);
                    strip.tiles -= 1;
                    lhs = lhs.wrapping_add(lhs_tile);
                    rest = rest.wrapping_add(mr * out_row);
                }
                if let Some(copying) = &mut packing.copying
                    && let Some(function) = table::packing_strip_fn(s, mr, vectors, false)
                {
                    let tiles = PackingStrip { strip, copying: *copying };
                    function(&tiles, lhs, rhs, rest, bias, null_mut());
                    *copying = copying.after(s, strip.tiles);
                } else {
                    table::run_strip(s, mr, vectors, split, &strip, lhs, rhs, rest, bias);
                }
                epilogue::run(s, part.after.at(row, start), out, out_row, mr * count, cols);
            }
        }
        done += mr * count;
        tiles_done += count;
    }
    debug_assert!(packing.copying.is_none_or(Copying::is_done), "no tile copied the next panel");
    packing.copying.is_some()
}
