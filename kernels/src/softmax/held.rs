//! Rows of 2 to 8 blocks: each is read once and stays in registers.
//!
//! Several rows are taken together, stage by stage: the sums and maxima over the lanes of one row, the
//! division and the logarithm are chains in which a row by itself would wait.

use super::{LANE, exp_or_zero, store_block};
use crate::math::generic::exp;
use crate::simd::{BLOCK, Kernel, Simd};

/// Whether rows of this length are held: 2 to 8 blocks, or 6 where there are but 16 registers for them.
/// Without as many, rows are quicker read anew.
pub(crate) const fn holds<S: Simd>(cols: usize) -> bool {
    let most = match (S::REGISTERS, S::LANES) {
        (32.., _) => 8,
        (16.., 8..) => 6,
        _ => 0,
    };
    BLOCK < cols && cols <= most * BLOCK
}

/// Runs a function of V blocks a row and G rows at a time, as many as were quickest.
macro_rules! by_blocks {
    ($s:ty, $cols:expr, $function:ident($($argument:expr),*)) => {
        match ($cols.div_ceil(BLOCK), <$s>::REGISTERS >= 32) {
            (2, _) => $function::<$s, 2, 4>($($argument),*),
            (3, true) => $function::<$s, 3, 4>($($argument),*),
            (3, false) => $function::<$s, 3, 2>($($argument),*),
            (4, true) => $function::<$s, 4, 2>($($argument),*),
            (4, false) => $function::<$s, 4, 1>($($argument),*),
            (5, true) => $function::<$s, 5, 2>($($argument),*),
            (5, false) => $function::<$s, 5, 1>($($argument),*),
            (6, true) => $function::<$s, 6, 2>($($argument),*),
            (6, false) => $function::<$s, 6, 1>($($argument),*),
            (7, true) => $function::<$s, 7, 1>($($argument),*),
            (8, true) => $function::<$s, 8, 1>($($argument),*),
            _ => debug_assert!(false, "rows longer than registers hold"),
        }
    };
}

/// The blocks of a row, at least one; missing lanes of the last are -∞.
#[inline(always)]
fn load<S: Simd, const V: usize>(s: S, row: &[f32]) -> [S::Block; V] {
    let mut held = [s.splat_block(f32::NEG_INFINITY); V];
    let Some((last, first)) = held.split_last_mut() else { return held };
    let (blocks, tail) = split(row, V - 1);
    for (held, block) in first.iter_mut().zip(blocks) {
        *held = s.load_block(block);
    }
    *last = match tail.first_chunk() {
        Some(block) => s.load_block(block),
        None => s.load_block_tail(tail, f32::NEG_INFINITY),
    };
    held
}

/// Whole blocks of a row, `count` if it has as many, and the rest.
#[inline(always)]
fn split(row: &[f32], count: usize) -> (&[[f32; BLOCK]], &[f32]) {
    let (blocks, tail) = row.split_at_checked(count * BLOCK).unwrap_or_default();
    (blocks.as_chunks().0, tail)
}

/// Rows of `cols` elements, G or fewer; of the missing ones nothing counts.
#[inline(always)]
fn load_rows<S: Simd, const V: usize, const G: usize>(
    s: S,
    x: &[f32],
    cols: usize,
) -> [[S::Block; V]; G] {
    let mut held = [[s.splat_block(0.0); V]; G];
    for (held, row) in held.iter_mut().zip(x.chunks_exact(cols)) {
        *held = load(s, row);
    }
    held
}

/// The largest element of each row.
#[inline(always)]
fn maxima<S: Simd, const V: usize, const G: usize>(s: S, held: &[[S::Block; V]; G]) -> [f32; G] {
    let mut largest = [0.0; G];
    for (largest, held) in largest.iter_mut().zip(held) {
        let mut acc = s.splat_block(f32::NEG_INFINITY);
        for block in held {
            for (acc, x) in acc.as_mut().iter_mut().zip(block.as_ref()) {
                *acc = s.max(*acc, *x);
            }
        }
        *largest = s.max_block(acc);
    }
    largest
}

/// The rows become exp(x - shift), of which the sums are returned; zero in the place of each row's
/// class, if there are classes.
#[inline(always)]
fn exponentials<S: Simd, const V: usize, const G: usize>(
    s: S,
    held: &mut [[S::Block; V]; G],
    shifts: [f32; G],
    cols: usize,
    classes: Option<[f32; G]>,
) -> [f32; G] {
    let tail = !cols.is_multiple_of(BLOCK);
    let lanes = s.load_block(&LANE);
    let mut sums = [0.0; G];
    for (g, (sum, (held, shift))) in sums.iter_mut().zip(held.iter_mut().zip(shifts)).enumerate() {
        let shift = s.splat(shift);
        let mut acc = s.splat_block(0.0);
        for (i, block) in held.iter_mut().enumerate() {
            let terms = acc.as_mut().iter_mut().zip(block.as_mut()).zip(lanes.as_ref());
            for ((acc, x), lane) in terms {
                *x = if tail && i + 1 == V {
                    exp_or_zero(s, *x, shift)
                } else {
                    exp(s, s.sub(*x, shift))
                };
                if let Some(class) = classes.as_ref().and_then(|classes| classes.get(g)) {
                    let hit = s.eq(*lane, s.splat(*class - (i * BLOCK) as f32));
                    *x = s.select(hit, s.splat(0.0), *x);
                }
                *acc = s.add(*acc, *x);
            }
        }
        *sum = s.sum_block(acc);
    }
    sums
}

/// `row = factor * held`
#[inline(always)]
fn store<S: Simd, const V: usize>(s: S, held: &[S::Block; V], factor: f32, row: &mut [f32]) {
    let factor = s.splat(factor);
    let (blocks, tail) = row.split_at_mut_checked((V - 1) * BLOCK).unwrap_or_default();
    let Some((last, first)) = held.split_last() else { return };
    for (held, block) in first.iter().zip(blocks.as_chunks_mut::<BLOCK>().0) {
        store_block(s, scaled(s, held, factor), block);
    }
    match tail.first_chunk_mut::<BLOCK>() {
        Some(block) => store_block(s, scaled(s, last, factor), block),
        None => store_block(s, scaled(s, last, factor), tail),
    }
}

#[inline(always)]
fn scaled<S: Simd>(s: S, block: &S::Block, factor: S::F32) -> S::Block {
    let mut block = *block;
    for x in block.as_mut() {
        *x = s.mul(*x, factor);
    }
    block
}

/// [`super::softmax`] of rows that are held, from `x`, or in place if that is empty.
pub(super) struct Softmax<'a> {
    pub(super) x: &'a [f32],
    pub(super) cols: usize,
    pub(super) out: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, cols, out } = self;
        by_blocks!(S, cols, softmax(s, x, cols, out));
    }
}

#[inline(always)]
fn softmax<S: Simd, const V: usize, const G: usize>(s: S, x: &[f32], cols: usize, out: &mut [f32]) {
    let mut sources = x.chunks(cols * G);
    for out in out.chunks_mut(cols * G) {
        let mut held = load_rows::<S, V, G>(s, sources.next().unwrap_or(out), cols);
        let largest = maxima(s, &held);
        let sums = exponentials(s, &mut held, largest, cols, None);
        let factors = sums.map(|sum| 1.0 / sum);
        for ((held, factor), row) in held.iter().zip(factors).zip(out.chunks_exact_mut(cols)) {
            store(s, held, factor, row);
        }
    }
}

/// The largest element M of each row, at most [`f32::MAX`], and the sum of exp(x - M).
pub(super) struct ExpSums<'a> {
    pub(super) x: &'a [f32],
    pub(super) cols: usize,
    pub(super) largest: &'a mut [f32],
    pub(super) sums: &'a mut [f32],
}

impl Kernel for ExpSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, cols, largest, sums } = self;
        by_blocks!(S, cols, exp_sums(s, x, cols, largest, sums));
    }
}

#[inline(always)]
fn exp_sums<S: Simd, const V: usize, const G: usize>(
    s: S,
    x: &[f32],
    cols: usize,
    largest: &mut [f32],
    sums: &mut [f32],
) {
    let outs = largest.chunks_mut(G).zip(sums.chunks_mut(G));
    for (x, (largest, sums)) in x.chunks(cols * G).zip(outs) {
        let mut held = load_rows::<S, V, G>(s, x, cols);
        let finite = maxima(s, &held).map(|max| max.min(f32::MAX));
        // From -∞ nothing can be subtracted.
        let shifts = finite.map(|max| max.max(f32::MIN));
        let found = exponentials(s, &mut held, shifts, cols, None);
        for ((max, sum), found) in largest.iter_mut().zip(sums).zip(finite.into_iter().zip(found)) {
            (*max, *sum) = found;
        }
    }
}

/// The largest element M of each row, and the sum of exp(x - M) over the row without its class. The terms,
/// zero for the class, go to `out` unless that is empty.
pub(crate) struct Others<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) cols: usize,
    pub(crate) classes: &'a [f32],
    pub(crate) out: &'a mut [f32],
    pub(crate) largest: &'a mut [f32],
    pub(crate) sums: &'a mut [f32],
}

impl Kernel for Others<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let cols = self.cols;
        by_blocks!(S, cols, others(s, self));
    }
}

#[inline(always)]
fn others<S: Simd, const V: usize, const G: usize>(s: S, rows: Others<'_>) {
    let Others { x, cols, classes, out, largest, sums } = rows;
    let mut outs = out.chunks_mut(cols * G);
    let results = largest.chunks_mut(G).zip(sums.chunks_mut(G));
    for ((x, classes), (largest, sums)) in x.chunks(cols * G).zip(classes.chunks(G)).zip(results) {
        let mut group = [0.0; G];
        for (to, class) in group.iter_mut().zip(classes) {
            *to = *class;
        }
        let mut held = load_rows::<S, V, G>(s, x, cols);
        let shifts = maxima(s, &held);
        let found = exponentials(s, &mut held, shifts, cols, Some(group));
        let out = outs.next().unwrap_or_default();
        for (held, row) in held.iter().zip(out.chunks_exact_mut(cols)) {
            store(s, held, 1.0, row);
        }
        for ((max, sum), found) in largest.iter_mut().zip(sums).zip(shifts.into_iter().zip(found)) {
            (*max, *sum) = found;
        }
    }
}
