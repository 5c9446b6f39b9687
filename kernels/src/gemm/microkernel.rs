//! The microkernel: a tile of C held in registers while k runs.
//!
//! A tile has mr rows of nv vectors. Its sums are made in [`chains`](super::chains), and turned into elements of C in
//! [`finish`](super::finish). A strip is a run of tiles of the same shape below one another, and of such runs side by
//! side: one call, one dispatch.
//!
//! Each element is one chain of multiply-adds over p, so neither the shape of the tile nor the
//! width of a register shows in the result. [`SPLIT`] chains, p modulo four, take the place of the
//! one where C is so small that a single chain would wait for itself; they are added in pairs.

use super::chains::{Fetch, accumulate};
use super::finish::{Finish, write};
use crate::simd::{Routine, Simd};

/// Chains an element is split into when C is very small.
pub(super) const SPLIT: usize = 4;
/// Chains of an element otherwise.
pub(super) const ONE: usize = 1;
/// f32 in a cache line.
pub(super) const LINE: usize = 16;

/// Rows of the tallest tile of any level.
pub(super) const MAX_ROWS: usize = 16;
/// f32 columns of the widest tile of any level.
pub(super) const MAX_COLS: usize = 64;

/// Vectors in the widest tile for a register file of this size.
pub(super) const fn max_vectors(registers: usize) -> usize {
    match registers {
        32.. => 4,
        16.. => 2,
        _ => 1,
    }
}

/// Rows of the tallest tile of `vectors` vectors whose accumulators, with a row of B and a
/// broadcast of A, stay in `registers` registers; 0 where the tile is not made.
pub(super) const fn max_rows(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (32.., 1) => MAX_ROWS,
        (32.., 2) | (16.., 1) => 12,
        (32.., 3) => 8,
        (32.., 4) | (16.., 2) => 6,
        (_, 1) => 4,
        _ => 0,
    }
}

/// The same for a tile of [`SPLIT`] chains an element.
pub(super) const fn max_split_rows(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (16.., 1) => 3,
        (_, 1) | (16.., 2 | 3) | (32.., 4) => 1,
        _ => 0,
    }
}

/// A strip but for where its operands lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strip {
    /// Tiles below one another.
    pub(super) tiles: usize,
    /// Such columns of tiles side by side; more than one only where vectors are full.
    pub(super) panels: usize,
    /// Steps of k.
    pub(super) k: usize,
    /// Element (i, p) of a tile of A is at `i * lhs_row + p * lhs_col`.
    pub(super) lhs_row: usize,
    pub(super) lhs_col: usize,
    /// From the A of one tile to that of the next.
    pub(super) lhs_tile: usize,
    /// Row p of B is at `p * rhs_row`, contiguous.
    pub(super) rhs_row: usize,
    /// From the B of one panel to that of the next, if there are more than one.
    pub(super) rhs_panel: usize,
    /// Row i of C is at `i * out_row`, contiguous.
    pub(super) out_row: usize,
    /// Columns of the last vector that exist; nothing to tiles whose registers hold columns of A
    /// ([`few_columns`](super::few_columns)).
    pub(super) last: usize,
    /// How a finished sum becomes an element of C.
    pub(super) finish: Finish,
    /// C is to be fetched so many elements ahead of each tile, for one that is computed later; 0: not.
    pub(super) ahead: usize,
    /// Whether the first tile is to fetch its rows of B ahead.
    pub(super) fetch_rhs: bool,
    /// Whether these are to fetch A ahead, and no others.
    pub(super) fetch_lhs: bool,
    /// As many elements on in B lie the rows of the next panel that the first tile is to fetch, if it is not its
    /// own; those of the other tiles follow. Any number, as the panel may lie before this one.
    pub(super) next_panel: usize,
    /// How many rows of it are each tile's share, of which it fetches as many as it finds time for.
    pub(super) next_rows: usize,
}

/// Computes a [`Strip`] of tiles of `MR` rows and `NV` vectors with `CHAINS` chains an element; `TAIL`
/// says that the last vector is not full. `STORE` is the only [`Store`](super::finish::Store) it knows, and then k is short,
/// or [`ANY`](super::finish::ANY).
pub(super) struct Tiles<
    const MR: usize,
    const NV: usize,
    const CHAINS: usize,
    const TAIL: bool,
    const STORE: usize,
    const LHS: u8,
>;

impl<
    const MR: usize,
    const NV: usize,
    const CHAINS: usize,
    const TAIL: bool,
    const STORE: usize,
    const LHS: u8,
> Routine for Tiles<MR, NV, CHAINS, TAIL, STORE, LHS>
{
    type Plan = Strip;

    /// Operands are A, B and C at the first tile, and the bias there if [`Store`](super::finish::Store) says that it is added.
    ///
    /// # Safety
    /// All elements of A, B and C that [`Strip`] describes, for `tiles * MR` rows and
    /// `panels * NV * LANES` columns, or `(NV - 1) * LANES + last` if `TAIL`, lie in memory valid
    /// for reading, and for C for writing, which overlaps neither A nor B; the bias, if it is added, is
    /// valid for reading all those columns; `0 < last <= LANES`, and less if `TAIL`, and then `panels` is
    /// one, as it is for one vector where [`max_vectors`] are more.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        strip: &Strip,
        lhs: *const f32,
        mut rhs: *const f32,
        mut out: *mut f32,
        mut bias: *const f32,
        _: *mut f32,
    ) {
        let mut panels = strip.panels;
        loop {
            let (mut lhs, mut tile) = (lhs, out);
            for i in 0..strip.tiles {
                let fetch = if i == 0 && strip.fetch_rhs {
                    Fetch::Rows
                } else if strip.next_rows > 0 {
                    let rows = i * strip.next_rows;
                    let next = strip.next_panel.wrapping_add(rows.wrapping_mul(strip.rhs_row));
                    // The line in which a row begins is this panel's too, unless the row begins it: the next then.
                    let next = next.wrapping_add(LINE - 1);
                    Fetch::Panel(rhs.wrapping_add(next), strip.next_rows)
                } else {
                    Fetch::Nothing
                };
                // SAFETY: `lhs` and `tile` are at a tile that the strip has.
                unsafe {
                    let sums = accumulate::<S, MR, NV, CHAINS, TAIL, STORE, LHS>(
                        s, lhs, rhs, tile, strip, fetch,
                    );
                    let Strip { out_row, last, ref finish, .. } = *strip;
                    write::<S, MR, NV, TAIL, STORE>(s, &sums, tile, bias, out_row, last, finish);
                }
                lhs = lhs.wrapping_add(strip.lhs_tile);
                tile = tile.wrapping_add(MR * strip.out_row);
            }
            panels -= 1;
            // A strip of single vectors where there could be more has one column of tiles.
            if TAIL || NV == 1 && max_vectors(S::REGISTERS) > 1 || panels == 0 {
                break;
            }
            rhs = rhs.wrapping_add(strip.rhs_panel);
            out = out.wrapping_add(NV * S::LANES);
            bias = bias.wrapping_add(NV * S::LANES);
        }
    }
}

/// Computes the only tile of a [`Strip`] whose k is short and whose vectors are full. Without loops over tiles, and
/// what they keep in memory, 8 cubed takes 10 to 13 % less on Cascade Lake, 16 cubed 4 %.
pub(super) struct OneTile<const MR: usize, const NV: usize, const STORE: usize, const LHS: u8>;

impl<const MR: usize, const NV: usize, const STORE: usize, const LHS: u8> Routine
    for OneTile<MR, NV, STORE, LHS>
{
    type Plan = Strip;

    /// # Safety
    /// As for [`Tiles`] of [`ONE`] chain an element.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        strip: &Strip,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        bias: *const f32,
        _: *mut f32,
    ) {
        let Strip { out_row, last, ref finish, .. } = *strip;
        // SAFETY: by the caller's word.
        unsafe {
            let sums = accumulate::<S, MR, NV, ONE, false, STORE, LHS>(
                s,
                lhs,
                rhs,
                out,
                strip,
                Fetch::Nothing,
            );
            write::<S, MR, NV, false, STORE>(s, &sums, out, bias, out_row, last, finish);
        }
    }
}
