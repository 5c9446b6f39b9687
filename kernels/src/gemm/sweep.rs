//! Sweeps: a row of tiles across all panels of a block of B, and then the next row.
//!
//! The usual order takes a panel of B down the rows of A, so that the first cache keeps the panel. A panel of three
//! vectors and [`KC`](super::strategy::KC) steps is twice as large as that cache, and then both A and B come from the
//! second. The other way round the rows of A of one tile stay in the first cache, a sixth of a panel, B streams from
//! the second, which must hold the block, and C is written row by row.
//!
//! That is worth most where k is short and C comes from afar: the machine foresees whole rows, and a few of them lie on
//! few pages.

use super::blocking::{PanelBlock, Part};
use super::epilogue;
use super::microkernel::Strip;
use super::problem::Problem;
use super::strategy::{Deal, rows_limit};
use super::table;
use crate::simd::Simd;

/// Panels of one width side by side, or a last one whose last vector is partly filled.
#[derive(Clone, Copy)]
struct Group {
    vectors: usize,
    panels: usize,
    /// The first of them, and its first column.
    first: usize,
    start: usize,
    /// Columns of the last vector.
    last: usize,
}

/// The panels of a block by groups: wide ones, others, and one that is not full.
#[derive(Clone, Copy)]
struct Groups {
    groups: [Group; 3],
    len: usize,
}

impl Groups {
    #[inline(always)]
    fn new<S: Simd>(_: S, panel_block: &PanelBlock) -> Self {
        let none = Group { vectors: 0, panels: 0, first: 0, start: 0, last: 0 };
        let mut all = Self { groups: [none; 3], len: 0 };
        let mut column = panel_block.start;
        for (panel, vectors) in panel_block.whole_panels() {
            let cols = (vectors * S::LANES).min(panel_block.end_column - column);
            let last = cols - (vectors - 1) * S::LANES;
            match all.groups.get_mut(all.len.wrapping_sub(1)) {
                Some(group) if group.vectors == vectors && last == S::LANES => group.panels += 1,
                _ => {
                    if let Some(group) = all.groups.get_mut(all.len) {
                        *group = Group { vectors, panels: 1, first: panel, start: column, last };
                        all.len += 1;
                    }
                }
            }
            column += cols;
        }
        all
    }

    #[inline(always)]
    fn get(&self) -> &[Group] {
        self.groups.get(..self.len).unwrap_or_default()
    }
}

/// How often [`run`] was called: tests that are to reach it see whether they do.
#[cfg(test)]
pub(super) static COUNT: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);

/// Computes a part in a block of columns.
///
/// # Safety
/// As for [`run`](super::blocking::run), for the part and the columns. C has contiguous rows, and is not in place but
/// for a gate; chains are not split; panels have two vectors or more where registers allow, but for the last, and none is
/// a half. B, if it is packed, was packed before, each panel in a place of its own.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(s: S, problem: &Problem, part: &Part, panel_block: &PanelBlock) {
    let Problem { split, out, out_row, bias, .. } = *problem;
    #[cfg(test)]
    COUNT.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    let groups = Groups::new(s, panel_block);
    debug_assert!(
        groups.get().iter().map(|group| group.panels).sum::<usize>() == panel_block.len(),
        "a panel that is in no group"
    );
    let widest = groups.get().first().map_or(1, |group| group.vectors);
    let limit = rows_limit::<S>(split, widest).min(part.ways);
    let (tiles, tile_count) = Deal::new(part.rows, limit);
    let rhs = problem.rhs.at(part.p, 0);
    let mut done = 0;
    for tile in 0..tile_count {
        let mr = tiles.part(tile);
        let row = part.row + done;
        let lhs = part.lhs.at(done, 0);
        for group in groups.get() {
            let Group { vectors, panels, first, start, last } = *group;
            let width = vectors * S::LANES;
            let (rhs, rhs_row, rhs_panel) = match panel_block.place(first, start, part.k) {
                Some(place) => (place.cast_const(), width, width * part.k),
                None => (rhs.at(0, start).ptr, rhs.row, width),
            };
            let strip = Strip {
                tiles: 1,
                panels,
                k: part.k,
                lhs_row: lhs.row,
                lhs_col: lhs.col,
                lhs_tile: 0,
                rhs_row,
                rhs_panel,
                out_row,
                last,
                finish: part.finish,
                ahead: 0,
                fetch_rhs: false,
                fetch_lhs: false,
                next_panel: 0,
                next_rows: 0,
            };
            let out = out.wrapping_add(row * out_row + start);
            let bias = bias.wrapping_add(start);
            // SAFETY: the rows of the tile and the columns of the panels lie in the matrices.
            unsafe { table::run_strip(s, mr, vectors, split, &strip, lhs.ptr, rhs, out, bias) };
        }
        let (after, cols) =
            (part.after.at(row, panel_block.start), panel_block.end_column - panel_block.start);
        let out = out.wrapping_add(row * out_row + panel_block.start);
        // SAFETY: the rows of the tile and the columns of the block lie in C and in the saved matrix.
        unsafe { epilogue::run(s, after, out, out_row, mr, cols) };
        done += mr;
    }
}
