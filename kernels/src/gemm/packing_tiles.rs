//! Tiles that pack B beside their multiply-adds.
//!
//! A high tile leaves the units that store idle, and those that load for half the time. Packed by itself, a B of a few
//! hundred rows costs 5 to 17 % of a product on Cascade Lake: each row is another page, comes from the third cache, and
//! meanwhile there is nothing to do. So
//!
//! * the tiles of a panel copy the next one, a vector every [`UNROLL`] steps, which nothing waits for, and what is
//!   left of their share at the end;
//! * where there is none before, or of too few tiles, or to copy ahead does not pay
//!   ([`packs_ahead`](super::strategy::packs_ahead)), the first tile of a panel stores the rows of B that it loads. It
//!   takes two to nine times as long as others, as it waits for them.
//!
//! The sums are those of [`Tiles`](super::microkernel::Tiles), by the same [`Cursor`].

use core::ptr::{null, null_mut};

use super::chains::{ALONG, Cursor, PREFETCH_K, UNROLL, prefetch_left, prefetch_row};
use super::finish::{ANY, store_row, write};
use super::microkernel::Strip;
use super::packing::Source;
use crate::simd::{Routine, Simd};

/// Rows of its own B that a tile fetches ahead: of rows half a page apart the first cache keeps no more beside the
/// rest. (Six or twice as many differ by a percent or two, from shape to shape.)
const OWN_AHEAD: usize = 12;
/// The same of the next panel, whose rows take many steps each.
const NEXT_AHEAD: usize = 4;

/// Rows of a panel of B that tiles copy to where it is packed.
#[derive(Clone, Copy)]
pub(super) struct Copying {
    /// The first row, and from one to the next.
    from: *const f32,
    row: usize,
    /// Where to.
    to: *mut f32,
    /// Vectors in a row.
    vectors: usize,
    /// Rows left, and how many of them each tile copies.
    left: usize,
    share: usize,
}

impl Copying {
    /// Nothing.
    pub(super) const NOTHING: Self =
        Self { from: null(), row: 0, to: null_mut(), vectors: 0, left: 0, share: 0 };

    /// `rows` rows of so many vectors, by so many tiles.
    #[inline(always)]
    pub(super) fn new(
        rhs: Source,
        rows: usize,
        vectors: usize,
        to: *mut f32,
        tiles: usize,
    ) -> Self {
        let share = rows.div_ceil(tiles);
        Self { from: rhs.ptr, row: rhs.row, to, vectors, left: rows, share }
    }

    /// Whether nothing is left.
    pub(super) fn is_done(self) -> bool {
        self.left == 0
    }

    /// What is left after so many tiles.
    #[inline(always)]
    pub(super) fn after<S: Simd>(self, _: S, tiles: usize) -> Self {
        let rows = self.left.min(tiles * self.share);
        Self {
            from: self.from.wrapping_add(rows * self.row),
            to: self.to.wrapping_add(rows * self.vectors * S::LANES),
            left: self.left - rows,
            ..self
        }
    }
}

/// Tiles below one another, and what they copy.
pub(super) struct PackingStrip {
    pub(super) strip: Strip,
    pub(super) copying: Copying,
}

/// Computes a strip of whole vectors and any k, with A along k. If `OWN` it is one tile, which packs the rows of B
/// that it reads; else its tiles copy other rows.
pub(super) struct PackingTiles<const MR: usize, const NV: usize, const OWN: bool>;

impl<const MR: usize, const NV: usize, const OWN: bool> Routine for PackingTiles<MR, NV, OWN> {
    type Plan = PackingStrip;

    /// # Safety
    /// As for [`Tiles`](super::microkernel::Tiles), and A lies along k. If `OWN`, `packed` is valid for writing `k` rows
    /// of `NV` vectors; else the rows to copy are valid for reading, and where they go, for writing. What is written
    /// there overlaps nothing that is read.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        plan: &PackingStrip,
        mut lhs: *const f32,
        rhs: *const f32,
        mut out: *mut f32,
        bias: *const f32,
        mut packed: *mut f32,
    ) {
        let PackingStrip { strip, copying } = plan;
        let Strip { out_row, last, ref finish, .. } = *strip;
        let Copying { mut from, row, mut to, vectors, left: mut rows_left, share } = *copying;
        for _ in 0..strip.tiles {
            let mut to_copy = rows_left.min(share) * vectors;
            rows_left -= rows_left.min(share);
            let mut left_of_row = vectors;
            let mut cursor = Cursor::<ALONG>::new(s, lhs, rhs, strip);
            let mut acc = [[s.splat(0.0); NV]; MR];
            macro_rules! copy_vector {
                () => {
                    s.prefetch(from.wrapping_add(NEXT_AHEAD * row));
                    // SAFETY: a vector of the tile's share is left; the caller vouches for it and for its place.
                    unsafe { s.store_ptr(s.load_ptr(from), to) };
                    (from, to) = (from.wrapping_add(S::LANES), to.wrapping_add(S::LANES));
                    left_of_row -= 1;
                    if left_of_row == 0 {
                        left_of_row = vectors;
                        from = from.wrapping_add(row).wrapping_sub(vectors * S::LANES);
                    }
                };
            }
            macro_rules! steps {
                ($($step:literal)*) => {
                    $(
                        if OWN {
                            let ahead = $step + OWN_AHEAD;
                            prefetch_row::<S, NV>(s, cursor.rhs.wrapping_add(ahead * cursor.rhs_row));
                        }
                        // SAFETY: so many steps are left; the caller vouches for their rows and columns, and for the
                        // places of packed B.
                        unsafe {
                            let b = cursor.step::<S, MR, NV, false>(s, &mut acc, $step, false);
                            if OWN {
                                let to = packed.wrapping_add($step * NV * S::LANES);
                                store_row::<S, NV, false>(s, &b, to, S::LANES);
                            }
                        }
                    )*
                    let steps = [$($step),*].len();
                    if OWN {
                        packed = packed.wrapping_add(steps * NV * S::LANES);
                    }
                    cursor.advance(s, steps);
                };
            }
            for _ in 0..strip.k % UNROLL {
                steps!(0);
            }
            // The last steps, of which a row of C is fetched beside as many as there are rows, and those before.
            let late = if strip.k < PREFETCH_K {
                0
            } else {
                prefetch_left(S::REGISTERS, strip.k) / UNROLL
            };
            let early = strip.k / UNROLL - late;
            let copied = to_copy.min(early);
            to_copy -= copied;
            let mut row_of_out = out;
            for (times, mut vectors_left, mut fetches) in [(early, copied, 0), (late, 0, MR)] {
                for _ in 0..times {
                    if !OWN && vectors_left > 0 {
                        copy_vector!();
                        vectors_left -= 1;
                    }
                    if fetches > 0 {
                        prefetch_row::<S, NV>(s, row_of_out);
                        row_of_out = row_of_out.wrapping_add(out_row);
                        fetches -= 1;
                    }
                    steps!(0 1 2 3);
                }
            }
            // SAFETY: by the caller's word.
            unsafe { write::<S, MR, NV, false, ANY>(s, &acc, out, bias, out_row, last, finish) };
            if !OWN {
                for _ in 0..to_copy {
                    copy_vector!();
                }
            }
            lhs = lhs.wrapping_add(strip.lhs_tile);
            out = out.wrapping_add(MR * out_row);
        }
    }
}
