//! One row times B: little is computed with each value of B, and what counts is how it is read.
//!
//! A tile holds the four chains of an element side by side, and so reads narrow pieces of every row of
//! B. Where B is large, that is slow. Its chains are summed one after another, each over the rows of B that
//! are its own, in panels of columns as wide as half the registers: long runs, which the machine foresees
//! ([`Row`]). (Shorter ones of a B from afar on some processors.)
//!
//! Where k is short the chains stay side by side: most such products take no longer than a few dozen loads,
//! and it is the instructions around them that count ([`ShortRow`]).

use super::chains::{PREFETCH_K, prefetch_row};
use super::epilogue::{self, Pass};
use super::finish::{ANY, Finish, LAYER, PLAIN, Store, load_row, write};
use super::microkernel::SPLIT;
use super::packing::Source;
use super::problem::Problem;
use super::table::Halved;
use crate::simd::{Kernel, Pointer, Routine, Simd};

/// From these on it pays: B then does not lie in the first cache.
const MIN_K: usize = 128;
const MIN_LEN: usize = 1 << 15;
/// Rows of B to fetch ahead.
const AHEAD: usize = 2 * SPLIT;

/// Vectors of a panel for a register file of this size.
const fn width(registers: usize) -> usize {
    if registers >= 32 { 16 } else { 8 }
}

/// The same of a B that the second cache does not hold, where multiply-adds outrun the caches: shorter runs come sooner
/// then. (On Granite Rapids 1 2048 784 takes a fifth less.)
const FAR_WIDTH: usize = 4;
// What is wide enough for one is for the other.
const _: () = assert!(width(32).is_multiple_of(FAR_WIDTH));

/// The columns of a product that [`Row`] computes; the rest is too narrow for a panel.
#[inline(always)]
pub(super) fn cols<S: Simd>(problem: &Problem) -> usize {
    let Problem { m, n, k, split, rhs, out_col, in_place, .. } = *problem;
    let pays = k >= MIN_K && n.saturating_mul(k) >= MIN_LEN;
    if split && m == 1 && pays && rhs.col == 1 && out_col == 1 && !in_place && S::REGISTERS >= 16 {
        n - n % (width(S::REGISTERS) * S::LANES)
    } else {
        0
    }
}

/// The first [`cols`] columns of a [`Problem`].
pub(super) struct Row<'a>(pub(super) &'a Problem);

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: made by `blocking::run` alone, whose caller vouches for the problem.
        unsafe {
            if const { width(S::REGISTERS) == 16 } {
                let len = self.0.n.saturating_mul(self.0.k);
                if S::caches().is_some_and(|caches| len >= caches.second_len) {
                    run::<S, FAR_WIDTH>(s, self.0);
                } else {
                    run::<S, 16>(s, self.0);
                }
            } else {
                run::<S, 8>(s, self.0);
            }
        }
    }
}

/// # Safety
/// As for [`super::blocking::run`].
#[inline(always)]
unsafe fn run<S: Simd, const NV: usize>(s: S, problem: &Problem) {
    let Problem { k, kc, lhs, rhs, bias, out, after, .. } = *problem;
    for column in (0..cols::<S>(problem)).step_by(NV * S::LANES) {
        let out = out.wrapping_add(column);
        let mut p = 0;
        while p < k {
            let (lhs, rhs) = (lhs.at(0, p), rhs.at(p, column));
            let steps = kc.min(k - p);
            // SAFETY: `steps` elements of A, and NV vectors in as many rows of B.
            let chain = |first| unsafe { chain::<S, NV>(s, lhs, rhs, first, steps) };
            let low = add(s, &chain(0), &chain(1));
            let sums = add(s, &low, &add(s, &chain(2), &chain(3)));
            let finish = problem.block_finish(p, p + steps == k);
            // SAFETY: NV vectors of C from `column` on, and of a bias that the finish adds.
            unsafe {
                let bias = bias.wrapping_add(column);
                write::<S, 1, NV, false, ANY>(s, &[sums], out, bias, 1, S::LANES, &finish);
            }
            p += steps;
        }
        // SAFETY: the columns of the panel lie in C and in the saved matrix.
        unsafe { epilogue::run(s, after.at(0, column), out, 1, 1, NV * S::LANES) };
    }
}

/// The sums of one chain.
///
/// # Safety
/// `steps` elements in the row `lhs`, and NV contiguous vectors in each of as many rows of `rhs`, are valid
/// for reading.
#[inline(always)]
unsafe fn chain<S: Simd, const NV: usize>(
    s: S,
    lhs: Source,
    rhs: Source,
    first: usize,
    steps: usize,
) -> [S::F32; NV] {
    let mut sums = [s.splat(0.0); NV];
    let mut p = first;
    while p < steps {
        prefetch_row::<S, NV>(s, rhs.at(p + AHEAD, 0).ptr);
        // SAFETY: p < steps.
        unsafe {
            let (a, b) = (s.splat(*lhs.at(0, p).ptr), rhs.at(p, 0).ptr);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = s.mul_add(a, s.load_ptr(b.add(v * S::LANES)), *sum);
            }
        }
        p += SPLIT;
    }
    sums
}

/// Sums of two chains.
#[inline(always)]
fn add<S: Simd, const NV: usize>(s: S, x: &[S::F32; NV], y: &[S::F32; NV]) -> [S::F32; NV] {
    let mut sums = *x;
    for (sum, y) in sums.iter_mut().zip(y) {
        *sum = s.add(*sum, *y);
    }
    sums
}

/// A row of C with a short k, but for where its operands lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortPlan {
    n: usize,
    k: usize,
    /// Row p of B is at `p * rhs_row`.
    rhs_row: usize,
    finish: Finish,
}

/// Vectors side by side, of four chains each, for a register file of this size.
const fn short_width(registers: usize) -> usize {
    match registers {
        32.. => 4,
        16.. => 3,
        _ => 1,
    }
}

/// The same where the last vector may be partly filled: beside the sums of three, sixteen registers have no
/// room for a mask.
const fn tail_width(width: usize) -> usize {
    if width == 3 { 2 } else { width }
}

/// [`short_width`] for halves of registers, of which there are no fewer.
const HALF_WIDTH: usize = 4;

/// What computes a product of one row, if its k is short, its A and B have contiguous rows, and there is
/// nothing to do but what the microkernel's stores do most.
#[inline(always)]
pub(super) fn short<S: Simd>(s: S, problem: &Problem) -> Option<(Pointer<ShortPlan>, ShortPlan)> {
    let Problem { m, n, k, split, lhs, rhs, finish, after, .. } = *problem;
    let fits = split && m == 1 && k < PREFETCH_K && lhs.col == 1 && rhs.col == 1;
    if !fits || after.pass != Pass::None {
        return None;
    }
    // More loads of half a register than of a whole fit into a cycle; but where multiply-adds outrun them, as many
    // multiply-adds of wholes as of halves do, and wholes that are filled take less. (On Granite Rapids 1 32 30 a
    // fifth, 1 32 16 a quarter.)
    let is_whole = n.is_multiple_of(S::LANES) && S::outruns_caches();
    let fits_halves = S::Half::LANES < S::LANES && n <= HALF_WIDTH * S::Half::LANES;
    let halves = fits_halves && !is_whole;
    let lanes = if halves { S::Half::LANES } else { S::LANES };
    let (vectors, is_full) = (n.div_ceil(lanes), n.is_multiple_of(lanes));
    macro_rules! pick {
        ($store:ident) => {
            match const { short_width(S::REGISTERS) } {
                4 if halves => pick!($store 4, Halved: [1 2 3 4] [1 2 3 4]),
                4 => pick!($store 4, Whole: [1 2 3 4] [3 4]),
                3 => pick!($store 3, Whole: [1 2 3] [1 2]),
                _ => pick!($store 1, Whole: [1] [1]),
            }
        };
        ($store:ident $width:literal, $of:ident: [$($full:literal)*] [$($tail:literal)*]) => {
            match (vectors, is_full) {
                $(($full, true) => s.pointer::<$of<ShortPanel<$full, false, $store>>>(),)*
                $(($tail, false) => s.pointer::<$of<ShortPanel<$tail, true, $store>>>(),)*
                _ => s.pointer::<$of<ShortRow<$width, $store>>>(),
            }
        };
    }
    let function = match finish.store {
        Store::Plain => pick!(PLAIN),
        Store::Layer => pick!(LAYER),
        _ => return None,
    };
    Some((function, ShortPlan { n, k, rhs_row: rhs.row, finish }))
}

/// The other way than [`Halved`].
type Whole<R> = R;

/// A row of C that is one panel of `NV` vectors, the last of them partly filled if `TAIL`.
struct ShortPanel<const NV: usize, const TAIL: bool, const STORE: usize>;

impl<const NV: usize, const TAIL: bool, const STORE: usize> Routine
    for ShortPanel<NV, TAIL, STORE>
{
    type Plan = ShortPlan;

    /// As for [`ShortRow`].
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        plan: &ShortPlan,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        bias: *const f32,
        _: *mut f32,
    ) {
        let last = if TAIL { plan.n - (NV - 1) * S::LANES } else { S::LANES };
        // SAFETY: by the caller's word.
        unsafe { short_panel::<S, NV, TAIL, STORE>(s, plan, lhs, rhs, out, bias, last) }
    }
}

/// One row of C with a short k, `WIDTH` vectors at a time; `STORE` is what there is to do for its
/// [`Finish`].
struct ShortRow<const WIDTH: usize, const STORE: usize>;

impl<const WIDTH: usize, const STORE: usize> Routine for ShortRow<WIDTH, STORE> {
    type Plan = ShortPlan;

    /// Operands are A, B, C, and the bias if `STORE` adds it.
    ///
    /// # Safety
    /// k elements of A, k rows of n of B, and n of a bias that is added are valid for reading, n of C for
    /// writing, which overlaps nothing else.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        plan: &ShortPlan,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        bias: *const f32,
        _: *mut f32,
    ) {
        let mut column = 0;
        while column < plan.n {
            let left = plan.n - column;
            let most = if left < WIDTH * S::LANES { tail_width(WIDTH) } else { WIDTH };
            let vectors = left.div_ceil(S::LANES).min(most);
            let last = left.min(vectors * S::LANES) - (vectors - 1) * S::LANES;
            macro_rules! panel {
                ($($nv:literal)*) => {
                    match (vectors, last == S::LANES) {
                        $(($nv, true) if const { $nv <= WIDTH } => {
                            panel!($nv, false)
                        }
                        ($nv, false) if const { $nv <= tail_width(WIDTH) } => {
                            panel!($nv, true)
                        })*
                        _ => debug_assert!(false, "no panel of {vectors} vectors"),
                    }
                };
                ($nv:literal, $tail:literal) => {{
                    let (rhs, bias) = (rhs.wrapping_add(column), bias.wrapping_add(column));
                    let out = out.wrapping_add(column);
                    // SAFETY: these vectors lie in the columns that are left.
                    unsafe { short_panel::<S, $nv, $tail, STORE>(s, plan, lhs, rhs, out, bias, last) }
                }};
            }
            panel!(1 2 3 4);
            column += vectors * S::LANES;
        }
    }
}

/// `NV` vectors of C, of the last only `last` lanes if `TAIL`.
///
/// # Safety
/// As for [`ShortRow`], of whose columns these are some.
#[inline(always)]
unsafe fn short_panel<S: Simd, const NV: usize, const TAIL: bool, const STORE: usize>(
    s: S,
    plan: &ShortPlan,
    mut lhs: *const f32,
    mut rhs: *const f32,
    out: *mut f32,
    bias: *const f32,
    last: usize,
) {
    let ShortPlan { k, rhs_row, ref finish, .. } = *plan;
    let mut chains = [[s.splat(0.0); NV]; SPLIT];
    let mut left = k;
    macro_rules! step {
        ($chain:expr, $sums:expr) => {
            // SAFETY: at least `chain + 1` steps are left.
            unsafe {
                let a = s.splat(*lhs.wrapping_add($chain));
                for (sum, b) in $sums.iter_mut().zip(load_row::<S, NV, TAIL>(s, rhs, last)) {
                    *sum = s.mul_add(a, b, *sum);
                }
            }
            rhs = rhs.wrapping_add(rhs_row);
        };
    }
    while left >= SPLIT {
        for (chain, sums) in chains.iter_mut().enumerate() {
            step!(chain, sums);
        }
        lhs = lhs.wrapping_add(SPLIT);
        left -= SPLIT;
    }
    for (chain, sums) in chains.iter_mut().enumerate() {
        if chain < left {
            step!(chain, sums);
        }
    }
    let sums = add(s, &add(s, &chains[0], &chains[1]), &add(s, &chains[2], &chains[3]));
    // SAFETY: these vectors of C, and of a bias that is added.
    unsafe { write::<S, 1, NV, TAIL, STORE>(s, &[sums], out, bias, 0, last, finish) };
}
