//! The table of microkernels: which tiles there are, each a function compiled for its level.
//!
//! Every tile that fits into the registers has a function for k of any length and all that can be stored.
//! Those that most products are dealt out to have more of them, which know beforehand how A lies, and for a
//! small k what to store.

use super::chains::{ACROSS, ALONG, EACH, OF_16, OF_32, PREFETCH_K, STRIDED};
use super::finish::{ANY, GATE, LAYER, PLAIN, Store};
use super::microkernel::{ONE, OneTile, SPLIT, Strip, Tiles, max_rows, max_split_rows};
use super::packing_tiles::{PackingStrip, PackingTiles};
use super::strategy::guesses_caches;
use crate::simd::{Pointer, Routine, Simd};

/// What computes a strip.
pub(super) type StripFn = Pointer<Strip>;
/// What computes one and packs B meanwhile.
pub(super) type PackingFn = Pointer<PackingStrip>;

/// [`Tiles`] of `rows` rows and `vectors` vectors, within [`max_rows`] or, if `split`,
/// [`max_split_rows`]; nothing beyond. `tail` says that the last vector is not full.
#[inline(always)]
pub(super) fn strip_fn<S: Simd>(
    s: S,
    rows: usize,
    vectors: usize,
    split: bool,
    tail: bool,
) -> Option<StripFn> {
    macro_rules! pick {
        ($chains:literal, $limit:ident: $($nv:literal x [$($mr:literal)*])*) => {
            match (vectors, rows) {
                $($(($nv, $mr) => {
                    // Never instantiated where the register file is too small.
                    if const { $mr > $limit(S::REGISTERS, $nv) } {
                        None
                    } else if tail {
                        Some(s.pointer::<Tiles<$mr, $nv, $chains, true, ANY, STRIDED>>())
                    } else {
                        Some(s.pointer::<Tiles<$mr, $nv, $chains, false, ANY, STRIDED>>())
                    }
                })*)*
                _ => None,
            }
        };
    }
    if split {
        pick!(4, max_split_rows: 1 x [1 2 3] 2 x [1] 3 x [1] 4 x [1])
    } else {
        pick!(1, max_rows:
            1 x [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16]
            2 x [1 2 3 4 5 6 7 8 9 10 11 12]
            3 x [1 2 3 4 5 6 7 8]
            4 x [1 2 3 4 5 6])
    }
}

/// The same for a `strip` of the higher tiles whose A is contiguous one way: the steps of its loops have addresses that
/// no instruction is needed for. (On Cascade Lake 128 16 256 takes a third less; with 16 registers, on Granite Rapids, 300,
/// 512 and 1000 cubed and 128 512 784 take 7 to 9 % less.) Vectors are whole if A lies across.
#[inline(always)]
fn near_strip_fn<S: Simd>(
    s: S,
    rows: usize,
    vectors: usize,
    tail: bool,
    strip: &Strip,
) -> Option<StripFn> {
    let (along, across) = (strip.lhs_col == 1, strip.lhs_row == 1);
    macro_rules! pick {
        ($($nv:literal x [$($mr:literal)*])*) => {
            match (vectors, rows) {
                $($(($nv, $mr) => {
                    if const { S::REGISTERS < 16 || $mr > max_rows(S::REGISTERS, $nv) } {
                        None
                    } else if along && tail {
                        Some(s.pointer::<Tiles<$mr, $nv, ONE, true, ANY, ALONG>>())
                    } else if along {
                        Some(s.pointer::<Tiles<$mr, $nv, ONE, false, ANY, ALONG>>())
                    } else if across && !tail {
                        Some(s.pointer::<Tiles<$mr, $nv, ONE, false, ANY, ACROSS>>())
                    } else {
                        None
                    }
                })*)*
                _ => None,
            }
        };
    }
    pick!(
        1 x [7 8 9 10 11 12 13 14 15 16] 2 x [4 5 6 7 8 9 10 11 12]
        3 x [5 6 7 8] 4 x [4 5 6])
}

/// From this k on a strip has no code of its own: that does not fetch C, which pays from a smaller k on where a
/// step of a tile takes longer: with 32 registers, but where caches are not told. (On Zen 4 512 256 128 with A
/// transposed takes 1 to 2 % less than with C fetched, 784 512 128 1 %, 128 256 256 0.5 %, 1 32 200 18 %; with 16
/// registers 32 32 180 4 %, 32 32 300 3 %. Other architectures were not measured.)
#[inline(always)]
fn short_k<S: Simd>() -> usize {
    if S::REGISTERS < 32 {
        320
    } else if guesses_caches::<S>() {
        257
    } else {
        PREFETCH_K
    }
}

/// The same for a `strip` whose k is short, in a few shapes of tiles: A contiguous one way, and what to
/// store known beforehand. The instructions around its loop are fewer, and the loop is unrolled: a product
/// of 8 x 8 takes a third of the time less.
#[inline(always)]
pub(super) fn short_strip_fn<S: Simd>(
    s: S,
    rows: usize,
    vectors: usize,
    split: bool,
    strip: &Strip,
) -> Option<StripFn> {
    if strip.k >= short_k::<S>() {
        return None;
    }
    if !split && let Some(function) = dense_strip_fn(s, rows, vectors, strip) {
        return Some(function);
    }
    let tail = strip.last < S::LANES;
    let along = strip.lhs_col == 1;
    let across = !along && strip.lhs_row == 1 && !split;
    macro_rules! pick {
        ($chains:ident, $limit:ident: $($nv:literal x [$($mr:literal)*])*) => {
            match (vectors, rows) {
                $($(($nv, $mr) => {
                    if const { $mr > $limit(S::REGISTERS, $nv) } {
                        return None;
                    }
                    pick!($chains $nv $mr:
                        (true, false, Store::Plain) => PLAIN ALONG,
                        (true, false, Store::Gate) => GATE ALONG,
                        (true, false, Store::Layer) => LAYER ALONG,
                        (false, true, Store::Plain) => PLAIN ACROSS)
                })*)*
                _ => return None,
            }
        };
        ($chains:ident $nv:literal $mr:literal: $($case:pat => $store:ident $lhs:ident),*) => {
            match (along, across, strip.finish.store) {
                $($case if tail => s.pointer::<Tiles<$mr, $nv, $chains, true, $store, $lhs>>(),
                $case => s.pointer::<Tiles<$mr, $nv, $chains, false, $store, $lhs>>(),)*
                _ => return None,
            }
        };
    }
    Some(if split {
        pick!(SPLIT, max_split_rows: 1 x [1] 2 x [1])
    } else {
        pick!(ONE, max_rows:
            1 x [4 5 6 8 10 16] 2 x [4 5 6 8 10 11] 3 x [5 6 7 8] 4 x [4 5 6])
    })
}

/// The same for tiles of 16 rows and one full vector where rows of A are 16 or 32 values apart, as those of a layer
/// with so many inputs. Such tiles read A once for each multiply-add, which processors of Intel keep in one piece where
/// the address is a register and a constant. (On Granite Rapids 32 16 32 takes 6 % less, 32 16 16 8 %.)
#[inline(always)]
fn dense_strip_fn<S: Simd>(s: S, rows: usize, vectors: usize, strip: &Strip) -> Option<StripFn> {
    if const { max_rows(S::REGISTERS, 1) < 16 } {
        return None;
    }
    if (rows, vectors) != (16, 1) || strip.lhs_col != 1 || strip.last < S::LANES {
        return None;
    }
    Some(match (strip.lhs_row, strip.finish.store) {
        (16, Store::Plain) => s.pointer::<Tiles<16, 1, ONE, false, PLAIN, OF_16>>(),
        (16, Store::Layer) => s.pointer::<Tiles<16, 1, ONE, false, LAYER, OF_16>>(),
        (32, Store::Plain) => s.pointer::<Tiles<16, 1, ONE, false, PLAIN, OF_32>>(),
        (32, Store::Layer) => s.pointer::<Tiles<16, 1, ONE, false, LAYER, OF_32>>(),
        _ => return None,
    })
}

/// A [`Routine`] on registers of half the width, with all instructions of the token.
pub(super) struct Halved<R>(core::marker::PhantomData<R>);

impl<R: Routine> Routine for Halved<R> {
    type Plan = R::Plan;

    /// The routine's own.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        plan: &R::Plan,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        operand: *const f32,
        scratch: *mut f32,
    ) {
        // SAFETY: by the caller's word.
        unsafe { R::run(s.half(), plan, lhs, rhs, out, operand, scratch) }
    }
}

/// [`short_strip_fn`] for tiles of one full vector of half the width. AVX-512 has multiply-adds of such
/// vectors that broadcast what they read, which takes half the instructions of AVX2.
#[inline(always)]
pub(super) fn half_strip_fn<S: Simd>(s: S, rows: usize, strip: &Strip) -> Option<StripFn> {
    if const { S::LANES == S::Half::LANES } || strip.k >= PREFETCH_K {
        return None;
    }
    let (along, across) = (strip.lhs_col == 1, strip.lhs_row == 1);
    macro_rules! pick {
        ($($mr:literal)*) => {
            match (rows, along, across, strip.finish.store) {
                $(($mr, true, _, Store::Plain) => {
                    s.pointer::<Halved<Tiles<$mr, 1, ONE, false, PLAIN, ALONG>>>()
                }
                ($mr, true, _, Store::Layer) => {
                    s.pointer::<Halved<Tiles<$mr, 1, ONE, false, LAYER, ALONG>>>()
                }
                ($mr, false, true, Store::Plain) => {
                    s.pointer::<Halved<Tiles<$mr, 1, ONE, false, PLAIN, ACROSS>>>()
                })*
                _ => return None,
            }
        };
    }
    Some(pick!(4 8 10))
}

/// [`OneTile`] for a `strip` of a single tile of one full vector, or of half a one, in a few heights: A along k, and
/// nothing or bias and floor to do for C.
#[inline(always)]
pub(super) fn one_tile_fn<S: Simd>(
    s: S,
    rows: usize,
    vectors: usize,
    half: bool,
    strip: &Strip,
) -> Option<StripFn> {
    let lanes = if half { S::Half::LANES } else { S::LANES };
    let is_one = strip.tiles == 1 && strip.panels == 1 && vectors == 1;
    let is_short = strip.k < short_k::<S>();
    if !is_one || strip.last < lanes || strip.lhs_col != 1 || !is_short {
        return None;
    }
    macro_rules! pick {
        ($($mr:literal $store:pat, $apart:pat => $known:ident $lhs:ident),*) => {
            match (rows, strip.finish.store, strip.lhs_row) {
                $(($mr, $store, $apart) => {
                    if const { $mr > max_rows(S::REGISTERS, 1) } {
                        None
                    } else if half {
                        // Halves have fewer registers.
                        if const { S::Half::LANES < S::LANES && $mr <= max_rows(S::Half::REGISTERS, 1) } {
                            Some(s.pointer::<Halved<OneTile<$mr, 1, $known, $lhs>>>())
                        } else {
                            None
                        }
                    } else {
                        Some(s.pointer::<OneTile<$mr, 1, $known, $lhs>>())
                    }
                })*
                _ => None,
            }
        };
    }
    pick!(
        8 Store::Plain, _ => PLAIN EACH, 8 Store::Layer, _ => LAYER EACH,
        16 Store::Plain, 16 => PLAIN OF_16, 16 Store::Layer, 16 => LAYER OF_16,
        16 Store::Plain, 32 => PLAIN OF_32, 16 Store::Layer, 32 => LAYER OF_32,
        16 Store::Plain, _ => PLAIN ALONG, 16 Store::Layer, _ => LAYER ALONG)
}

/// What computes `strip` in the least time: see [`short_strip_fn`], which fetches nothing, and [`strip_fn`].
#[inline(always)]
pub(super) fn best_strip_fn<S: Simd>(
    s: S,
    rows: usize,
    vectors: usize,
    split: bool,
    strip: &Strip,
) -> Option<StripFn> {
    let fetches = strip.ahead > 0 || strip.fetch_rhs || strip.next_rows > 0;
    if !fetches && let Some(function) = short_strip_fn(s, rows, vectors, split, strip) {
        return Some(function);
    }
    let tail = strip.last < S::LANES;
    if !split && let Some(function) = near_strip_fn(s, rows, vectors, tail, strip) {
        return Some(function);
    }
    strip_fn(s, rows, vectors, split, tail)
}

/// [`PackingTiles`] of `rows` rows and `vectors` vectors, if there are such: high ones of two or three vectors. (Of
/// four nothing was gained.) `own` says that the tile packs what it reads.
#[inline(always)]
pub(super) fn packing_strip_fn<S: Simd>(
    s: S,
    rows: usize,
    vectors: usize,
    own: bool,
) -> Option<PackingFn> {
    macro_rules! pick {
        ($($nv:literal x [$($mr:literal)*])*) => {
            match (vectors, rows) {
                $($(($nv, $mr) => {
                    if const { S::REGISTERS < 32 } {
                        None
                    } else if own {
                        Some(s.pointer::<PackingTiles<$mr, $nv, true>>())
                    } else {
                        Some(s.pointer::<PackingTiles<$mr, $nv, false>>())
                    }
                })*)*
                _ => None,
            }
        };
    }
    // With as many rows as B is packed for, tiles are no lower: of 25, eight and six.
    pick!(2 x [8 9 10 11 12] 3 x [6 7 8])
}

/// Computes one strip of tiles of `rows` rows and `vectors` vectors.
///
/// # Safety
/// As for [`Tiles`].
#[inline(always)]
pub(super) unsafe fn run_strip<S: Simd>(
    s: S,
    rows: usize,
    vectors: usize,
    split: bool,
    strip: &Strip,
    lhs: *const f32,
    rhs: *const f32,
    out: *mut f32,
    bias: *const f32,
) {
    if let Some(function) = best_strip_fn(s, rows, vectors, split, strip) {
        // SAFETY: by the caller's word; the token proves the instructions of the function.
        unsafe { function(strip, lhs, rhs, out, bias, core::ptr::null_mut()) };
    } else {
        debug_assert!(false, "no tile of {rows} rows and {vectors} vectors");
    }
}
