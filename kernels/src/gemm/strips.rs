//! Small products as strips: what of a product can be chosen before its operands are known, down to the
//! functions of the microkernel.
//!
//! A small product, unless [`row`] has code for it, is one strip of equal tiles, or two whose tiles differ
//! by a row, or as many as there are tiles below one another; of few columns, tiles of [`few_columns`] and the
//! rows below them. Who keeps the choice ([`super::Prepared`]) has but to call them. A transposed B is packed first.

use super::Order;
use super::blocking::aligned;
use super::epilogue::Pass;
use super::few_columns;
use super::microkernel::{LINE, Strip};
use super::packing::{self, Source, Strides};
use super::problem::Problem;
use super::row::{self, ShortPlan};
use super::strategy::{
    Deal, ENOUGH, SHORT_K, half_columns, is_direct, keeps_lines, panel_limit, rows_limit,
};
use super::table::{StripFn, best_strip_fn, half_strip_fn, one_tile_fn, strip_fn};
use crate::simd::{Pointer, Routine, Simd};

/// Multiply-adds up to which equal tiles are worth that they are lower. (On Granite Rapids 64 cubed takes 2 % more with
/// 16 tiles of four rows than with nine of six and two of five, 32 32 64 1 % less with tiles of eight than of eleven.)
const EQUAL_MAX: usize = 1 << 16;

/// One strip, or several below one another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Strips {
    One(StripFn, Strip),
    Stack(Stack),
}

/// Equal strips below one another, and others below them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    upper: Repeated,
    lower: Repeated,
}

/// A strip and how often it is there.
#[derive(Clone, Copy, Debug)]
struct Repeated {
    function: StripFn,
    strip: Strip,
    times: usize,
    /// Elements of A and of C from one to the next.
    lhs_step: usize,
    out_step: usize,
}

impl Stack {
    /// Computes them from above; `operand` is what the strips add. A function of its own: who calls it last has
    /// nothing to keep over a call, and ends in a jump.
    ///
    /// # Safety
    /// As for the functions of the strips, for the matrices that they were made of.
    #[inline(never)]
    pub(super) unsafe fn run(
        &self,
        mut lhs: *const f32,
        rhs: *const f32,
        mut out: *mut f32,
        operand: *const f32,
        scratch: *mut f32,
    ) {
        for Repeated { function, strip, times, lhs_step, out_step } in [&self.upper, &self.lower] {
            for _ in 0..*times {
                // SAFETY: by the caller's word; the steps lead from the rows of one strip to those of the next.
                unsafe { function(strip, lhs, rhs, out, operand, scratch) };
                lhs = lhs.wrapping_add(*lhs_step);
                out = out.wrapping_add(*out_step);
            }
        }
    }
}

/// [`Strips`] of a transposed B, which is packed into the scratch first.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedStrips {
    k: usize,
    n: usize,
    rhs: Strides,
    strips: Strips,
}

impl Routine for PackedStrips {
    type Plan = Self;

    /// As for the functions of the strips, with B as it lies, and scratch for it.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        plan: &Self,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        operand: *const f32,
        scratch: *mut f32,
    ) {
        let Self { k, n, rhs: strides, ref strips } = *plan;
        let packed = aligned(scratch);
        // SAFETY: by the caller's word. `is_direct` held, so that k is at most KC and n at most MAX_COLS: for
        // such a B the scratch has k rows of n values, rounded up to sixteen, and what it takes to begin at a
        // cache line. What the strips read lies there then.
        unsafe {
            packing::pack(s, strides.from(rhs), k, n, packed, n.next_multiple_of(S::LANES));
            match strips {
                Strips::One(function, strip) => {
                    function(strip, lhs, packed, out, operand, scratch);
                }
                Strips::Stack(stack) => stack.run(lhs, packed, out, operand, scratch),
            }
        }
    }
}

/// A small product.
pub(super) enum Small {
    /// One row of C.
    Row(Pointer<ShortPlan>, ShortPlan),
    /// B is read where it lies.
    Direct(Strips),
    /// B is packed first.
    Packed(PackedStrips),
}

/// The product as a row or as strips, where it is small enough.
pub(super) fn small<S: Simd>(s: S, problem: &Problem, order: Order) -> Option<Small> {
    if !is_direct::<S>(problem, order) {
        return None;
    }
    if let Some((function, plan)) = row::short(s, problem) {
        return Some(Small::Row(function, plan));
    }
    let Problem { n, k, rhs, .. } = *problem;
    if rhs.col == 1 {
        return strips(s, problem).map(Small::Direct);
    }
    let packed = Source { row: n.next_multiple_of(S::LANES), col: 1, ..rhs };
    let strips = strips(s, &Problem { rhs: packed, ..*problem })?;
    let rhs = Strides { row: rhs.row, col: rhs.col };
    Some(Small::Packed(PackedStrips { k, n, rhs, strips }))
}

/// The strips of a product for which [`is_direct`] holds, whose B has contiguous rows: of few columns, tiles of
/// columns of A, and the rows that fill none; else tiles of rows of B. Nothing if that takes more than two strips,
/// if there are leftover columns of another tile, or if something follows.
fn strips<S: Simd>(s: S, problem: &Problem) -> Option<Strips> {
    let problem = problem.gated();
    let rows = few_columns::rows::<S>(&problem);
    if rows == 0 {
        return strips_of_tiles(s, &problem);
    }
    if problem.after.pass != Pass::None {
        return None;
    }
    let (function, strip) = few_columns::strip(s, &problem, rows)?;
    if rows == problem.m {
        return Some(Strips::One(function, strip));
    }
    let lhs_step = rows.wrapping_mul(problem.lhs.row);
    let out_step = rows.wrapping_mul(problem.out_row);
    let upper = Repeated { function, strip, times: 1, lhs_step, out_step };
    let Strips::One(function, strip) = strips_of_tiles(s, &problem.rows_from(rows))? else {
        return None;
    };
    let lower = Repeated { function, strip, times: 1, lhs_step: 0, out_step: 0 };
    Some(Strips::Stack(Stack { upper, lower }))
}

/// The same without columns of A: tiles of one height and perhaps of one less.
///
/// Columns that fill half a register are computed in halves: that takes no masks, and AVX-512 machines
/// may have two units for them where they have one for whole registers.
fn strips_of_tiles<S: Simd>(s: S, problem: &Problem) -> Option<Strips> {
    let Problem { m, n, k, split, lhs, rhs, out_row, finish, after, .. } = *problem;
    let half = S::Half::LANES < S::LANES && n == S::Half::LANES && !split;
    let lanes = if half { n } else { S::LANES };
    let (panels, panel_count) = Deal::new(n.div_ceil(lanes), panel_limit::<S>(problem));
    let last = n % lanes;
    let even = panels.larger == 0 && (panel_count == 1 || last == 0);
    if after.pass != Pass::None || !even || last > 0 && half_columns::<S>(problem) > 0 {
        return None;
    }
    let vectors = panels.small;
    let strip = |rows: usize, tiles: usize| {
        let strip = Strip {
            tiles,
            panels: panel_count,
            k,
            lhs_row: lhs.row,
            lhs_col: lhs.col,
            lhs_tile: rows.wrapping_mul(lhs.row),
            rhs_row: rhs.row,
            rhs_panel: vectors * lanes,
            out_row,
            last: if last == 0 { lanes } else { last },
            finish,
            ahead: 0,
            fetch_rhs: false,
            fetch_lhs: false,
            next_panel: 0,
            next_rows: 0,
        };
        let function = if let Some(function) = one_tile_fn(s, rows, vectors, half, &strip) {
            function
        } else if half {
            half_strip_fn(s, rows, &strip)
                .or_else(|| strip_fn(s.half(), rows, vectors, split, false))?
        } else {
            best_strip_fn(s, rows, vectors, split, &strip)?
        };
        Some((function, strip))
    };
    let limit =
        if half { rows_limit::<S::Half>(split, vectors) } else { rows_limit::<S>(split, vectors) };
    let (tiles, tile_count) = Deal::new(m, limit);
    // Equal tiles, if they are high enough to hide the latency of their multiply-adds. Where these outrun the caches and
    // are many, higher tiles that read less make up for a second strip.
    let is_large = S::outruns_caches() && m.saturating_mul(n).saturating_mul(k) > EQUAL_MAX;
    let takes_lower = k <= SHORT_K && !is_large;
    let equal = (1..=limit.min(m))
        .rev()
        .find(|rows| m.is_multiple_of(*rows))
        .filter(|rows| *rows >= tiles.small || takes_lower && *rows * vectors >= ENOUGH);
    // Down a panel of B and then down the next, which reads A once for each; or, where such a panel does not stay
    // in the first cache anyway, along all of them with one tile of A: at AVX2 128 to 256 cubed take 1 % less.
    // (Panels of several lines, those of AVX-512, gain nothing.)
    let is_line = vectors * lanes <= LINE;
    let is_along = panel_count > 1 && is_line && !keeps_lines(k, rhs.row);
    if let Some(rows) = equal
        && !is_along
    {
        let (function, strip) = strip(rows, m / rows)?;
        return Some(Strips::One(function, strip));
    }
    let repeated = |rows: usize, tiles: usize| {
        let (times, tiles) = if is_along { (tiles, 1) } else { (1, tiles) };
        let (function, strip) = strip(rows, tiles)?;
        let rows = rows * tiles;
        let (lhs_step, out_step) = (rows.wrapping_mul(lhs.row), rows.wrapping_mul(out_row));
        Some(Repeated { function, strip, times, lhs_step, out_step })
    };
    let (upper, lower) = match equal {
        Some(rows) => (repeated(rows, m / rows)?, repeated(rows, 0)?),
        None => (
            repeated(tiles.small + 1, tiles.larger)?,
            repeated(tiles.small, tile_count - tiles.larger)?,
        ),
    };
    Some(Strips::Stack(Stack { upper, lower }))
}
