//! Categorical cross-entropy of a row of logits z with a class index c.
//!
//! With the row's largest logit M, the hit `H = exp(z[c] - M)` and the others, `R`, the sum of
//! `exp(z[j] - M)` over all j but c:
//!
//! > `l = ln((H + R) / H)`, `∂l/∂z[j] = exp(z[j] - M) / (H + R)`, `∂l/∂z[c] = -R / (H + R)`
//!
//! R leaves the class out from the start, so that a row that is right has its slope with all
//! digits, where `H / (H + R) - 1` would have lost them. The loss is `ln1p(R / H)` for R ≤ H, and
//! `(M - z[c]) + ln1p(H + R - 1)` otherwise, where H may have underflowed.
//!
//! A row is read once if it is short enough to stay in registers, else by pieces that stay in the
//! cache, each for its maximum and then for the exponentials: see [`crate::softmax`]. Rows go in
//! groups of sixteen, as long as these stay in the cache: the logarithm, the division and H are those
//! of the sixteen rows at once. Then each row of exponentials is scaled into the gradient: the second pass.

use super::{PIECE, Weights};
use crate::Error;
use crate::math::generic::{exp, ln_1p};
use crate::reduce::Total;
use crate::simd::{BLOCK, Simd};
use crate::softmax::{
    LANE, PIECES, Running, columns_mut, exp_or_zero, held, load_row, max_columns, piece_len,
    row_max, scale_pieces, scale_row, store_row, sum_columns,
};

/// What a pass reads.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) outputs: &'a [f32],
    pub(super) cols: usize,
    pub(super) targets: &'a [f32],
    pub(super) weights: Weights<'a>,
}

/// `Ok` if all targets are whole numbers below the number of classes.
pub(super) fn check_classes(targets: &[f32], classes: usize) -> Result<(), Error> {
    for (row, found) in targets.iter().enumerate() {
        let class = index(*found);
        if class as f32 != *found || class >= classes {
            return Err(Error::Class { row, found: *found, classes });
        }
    }
    Ok(())
}

/// The class of a checked target.
#[inline(always)]
#[allow(clippy::cast_sign_loss, reason = "a negative target saturates to zero, and is refused")]
fn index(target: f32) -> usize {
    target as usize
}

/// Mean loss; the gradient goes to `grad` unless that is empty.
#[inline(always)]
pub(super) fn run<S: Simd>(s: S, rows: Rows<'_>, grad: &mut [f32]) -> f32 {
    let total =
        if rows.cols <= BLOCK { short_rows(s, rows, grad) } else { long_rows(s, rows, grad) };
    total.value() / (rows.targets.len() as f32 * unit(rows.targets))
}

/// What the losses are multiplied by before they are summed: a power of two of at most half the inverse
/// of their number. Where logits span all of f32 a loss may exceed it, but not the sum of these.
#[inline(always)]
fn unit(targets: &[f32]) -> f32 {
    1.0 / (2 * targets.len()).next_power_of_two() as f32
}

/// Rows of one block: groups of sixteen go transposed, one row a lane, so that maximum and sum take one
/// operation a column; the last ones go one by one.
#[inline(always)]
fn short_rows<S: Simd>(s: S, rows: Rows<'_>, grad: &mut [f32]) -> Total {
    let Rows { outputs, cols, targets, weights } = rows;
    let mut groups = Groups::new(s, targets, weights);
    // The bounds as the compiler needs them to see that nothing panics.
    let cols = cols.clamp(1, BLOCK);
    // Two tiles take sixteen rows where a register is at least half a block. Without native
    // vectors to turn them in, full rows are slower turned than one by one.
    if S::LANES * 2 < BLOCK || cols == BLOCK && !S::FUSED {
        single_rows(s, &mut groups, outputs, cols, targets, grad);
        return groups.total;
    }
    let (blocks, rest) = targets.as_chunks();
    let whole = targets.len() / BLOCK * BLOCK * cols;
    let (outputs, rest_outputs) = outputs.split_at_checked(whole).unwrap_or_default();
    let (grad, rest_grad) = grad.split_at_mut_checked(whole).unwrap_or_default();
    if cols == 10 {
        // The classes of many data sets: loops of known length.
        transposed_rows(s, &mut groups, outputs, 10, blocks, grad);
    } else {
        transposed_rows(s, &mut groups, outputs, cols, blocks, grad);
    }
    single_rows(s, &mut groups, rest_outputs, cols, rest, rest_grad);
    groups.total
}

/// The exponentials of sixteen rows wait in tiles: one of AVX-512, two of AVX2.
#[inline(always)]
fn transposed_rows<S: Simd>(
    s: S,
    groups: &mut Groups<'_, S>,
    outputs: &[f32],
    cols: usize,
    targets: &[[f32; BLOCK]],
    grad: &mut [f32],
) {
    let mut grads = grad.chunks_exact_mut(cols * BLOCK);
    // No register is narrower than half a block.
    let (mut tiles, mut spare) = ([[[0.0; BLOCK]; BLOCK]; 2], [[0.0; BLOCK]; BLOCK]);
    for (targets, outputs) in targets.iter().zip(outputs.chunks_exact(cols * BLOCK)) {
        let mut sums = Sums::default();
        let lanes = s.chunks_mut(&mut sums.hit).0.iter_mut();
        let lanes = lanes.zip(s.chunks_mut(&mut sums.largest).0);
        let lanes = lanes.zip(s.chunks_mut(&mut sums.others).0);
        let parts = outputs.chunks_exact(cols * S::LANES).zip(s.chunks(targets).0);
        for ((tile, (outputs, classes)), ((hits, largest), others)) in
            tiles.iter_mut().zip(parts).zip(lanes)
        {
            s.transpose(outputs, cols, (S::LANES, cols), tile);
            let classes = s.load(classes);
            let max = max_columns(s, tile, cols);
            let mut hit = s.splat(f32::NAN);
            for (z, number) in columns_mut(s, tile, cols).zip(LANE) {
                let this = s.eq(classes, s.splat(number));
                let logit = s.load(z);
                hit = s.select(this, logit, hit);
                s.store(s.select(this, s.splat(0.0), exp(s, s.sub(logit, max))), z);
            }
            s.store(hit, hits);
            s.store(max, largest);
            s.store(sum_columns(s, tile, cols), others);
        }
        let (factors, slopes) = groups.finish(targets, &sums);
        let Some(mut grad) = grads.next() else { continue };
        let lanes = s.chunks(&factors).0.iter().zip(s.chunks(&slopes).0);
        for ((tile, classes), (factor, slope)) in
            tiles.iter_mut().zip(s.chunks(targets).0).zip(lanes)
        {
            let (classes, factor, slope) = (s.load(classes), s.load(factor), s.load(slope));
            for (term, number) in columns_mut(s, tile, cols).zip(LANE) {
                let this = s.eq(classes, s.splat(number));
                s.store(s.select(this, slope, s.mul(s.load(term), factor)), term);
            }
            s.transpose(tile.as_flattened(), BLOCK, (cols, S::LANES), &mut spare);
            for row in spare.iter().take(S::LANES) {
                store_row(s, s.load_block(row), cols, grad);
                grad = grad.get_mut(cols..).unwrap_or_default();
            }
        }
    }
}

/// Rows of one block, one after another: the exponentials wait in a tile, and no row is read from memory
/// that a masked store has just written, for which the machine would wait.
#[inline(always)]
fn single_rows<S: Simd>(
    s: S,
    groups: &mut Groups<'_, S>,
    mut outputs: &[f32],
    cols: usize,
    targets: &[f32],
    mut grad: &mut [f32],
) {
    let mut tile = [[0.0; BLOCK]; BLOCK];
    for targets in targets.chunks(BLOCK) {
        let mut sums = Sums::default();
        let group = targets.iter().zip(&mut tile).zip(sums.each());
        for ((target, terms), (hit, largest, others)) in group {
            let mut row = load_row(s, outputs, cols);
            let max = s.max_block(row);
            *hit = outputs.get(index(*target)).copied().unwrap_or(f32::NAN);
            *largest = max;
            leave_out(s, *target, &mut row);
            for z in row.as_mut() {
                *z = exp_or_zero(s, *z, s.splat(max));
            }
            store(s, &row, terms);
            *others = s.sum_block(row);
            outputs = outputs.get(cols..).unwrap_or_default();
        }
        let (factors, slopes) = groups.finish(targets, &sums);
        if grad.is_empty() {
            continue;
        }
        let group = targets.iter().zip(&tile).zip(factors.iter().zip(&slopes));
        for ((target, terms), (factor, slope)) in group {
            let mut row = s.load_block(terms);
            let class = s.splat(*target);
            for (out, lane) in row.as_mut().iter_mut().zip(s.load_block(&LANE).as_ref()) {
                let other = s.mul(*out, s.splat(*factor));
                *out = s.select(s.eq(*lane, class), s.splat(*slope), other);
            }
            // Lanes past the row's end are written anew by the rows after it.
            match grad.first_chunk_mut() {
                Some(out) => store(s, &row, out),
                None => store_first(s, &row, grad.get_mut(..cols).unwrap_or_default()),
            }
            grad = grad.get_mut(cols..).unwrap_or_default();
        }
    }
}

/// Sets the lane of this number to -∞.
#[inline(always)]
fn leave_out<S: Simd>(s: S, lane: f32, row: &mut S::Block) {
    for (z, number) in row.as_mut().iter_mut().zip(s.load_block(&LANE).as_ref()) {
        *z = s.select(s.eq(*number, s.splat(lane)), s.splat(f32::NEG_INFINITY), *z);
    }
}

/// Rows of several blocks: the exponentials wait in the gradient. Sixteen rows of one piece are a
/// group, as they stay in the cache; a longer row is one by itself.
#[inline(always)]
fn long_rows<S: Simd>(s: S, rows: Rows<'_>, grad: &mut [f32]) -> Total {
    let Rows { outputs, cols, targets, weights } = rows;
    let mut groups = Groups::new(s, targets, weights);
    let (height, group) = if cols <= PIECE { (BLOCK, BLOCK * cols) } else { (1, cols) };
    let mut grads = grad.chunks_mut(group);
    for (outputs, targets) in outputs.chunks(group).zip(targets.chunks(height)) {
        let grad = grads.next().unwrap_or_default();
        let (mut sums, mut shifts) = (Sums::default(), [0.0; PIECES]);
        for ((row, target), (hit, ..)) in outputs.chunks(cols).zip(targets).zip(sums.each()) {
            *hit = row.get(index(*target)).copied().unwrap_or(f32::NAN);
        }
        if held::holds::<S>(cols) {
            let (largest, sums) = (&mut sums.largest[..], &mut sums.others[..]);
            s.call(held::Others { x: outputs, cols, classes: targets, out: grad, largest, sums });
        } else {
            let mut grad_rows = grad.chunks_mut(cols);
            let group = outputs.chunks(cols).zip(targets).zip(sums.each());
            for ((row, target), (_, largest, others)) in group {
                let out = grad_rows.next().unwrap_or_default();
                (*largest, *others) = row_exponentials(s, row, index(*target), out, &mut shifts);
            }
        }
        let (factors, slopes) = groups.finish(targets, &sums);
        let group = targets.iter().zip(factors.iter().zip(&slopes));
        for (row, (target, (factor, slope))) in grad.chunks_mut(cols).zip(group) {
            if cols <= PIECE {
                scale_row(s, *factor, row);
            } else {
                scale_pieces(s, row, &shifts, sums.largest[0], *factor);
            }
            if let Some(out) = row.get_mut(index(*target)) {
                *out = *slope;
            }
        }
    }
    groups.total
}

/// Of each of sixteen rows, z\[c\], M and R.
#[derive(Default)]
struct Sums {
    hit: [f32; BLOCK],
    largest: [f32; BLOCK],
    others: [f32; BLOCK],
}

impl Sums {
    #[inline(always)]
    fn each(&mut self) -> impl Iterator<Item = (&mut f32, &mut f32, &mut f32)> {
        let Self { hit, largest, others } = self;
        let both = hit.iter_mut().zip(largest);
        both.zip(others).map(|((hit, largest), others)| (hit, largest, others))
    }
}

/// What is done for sixteen rows at once, and its running total.
struct Groups<'a, S: Simd> {
    s: S,
    /// The inverse of the number of rows.
    scale: S::F32,
    /// See [`unit()`].
    unit: S::F32,
    sample: &'a [f32],
    class: Option<&'a [f32]>,
    total: Total,
}

impl<'a, S: Simd> Groups<'a, S> {
    #[inline(always)]
    fn new(s: S, targets: &[f32], weights: Weights<'a>) -> Self {
        let Weights { sample, class } = weights;
        let scale = s.splat(1.0 / targets.len() as f32);
        let unit = s.splat(unit(targets));
        Self { s, scale, unit, sample: sample.unwrap_or(&[]), class, total: Total::default() }
    }

    /// Adds the losses of the next rows; returns the factor of each row's exponentials in the
    /// gradient, and the slope of its class.
    #[inline(always)]
    fn finish(&mut self, targets: &[f32], sums: &Sums) -> ([f32; BLOCK], [f32; BLOCK]) {
        let s = self.s;
        let weights = group_weights(targets, self.sample, self.class);
        self.sample = self.sample.get(targets.len()..).unwrap_or(&[]);
        let mut losses = s.load_block(&sums.hit);
        let (mut factors, mut slopes) = (s.load_block(&sums.others), s.load_block(&weights));
        let largest = s.load_block(&sums.largest);
        let group = factors.as_mut().iter_mut().zip(slopes.as_mut()).zip(largest.as_ref());
        for (loss, ((factor, slope), max)) in losses.as_mut().iter_mut().zip(group) {
            let (logit, others, weight) = (*loss, *factor, *slope);
            let hit = exp(s, s.sub(logit, *max));
            let sum = s.add(hit, others);
            let right = s.le(others, hit);
            let ratio = s.select(right, s.div(others, hit), s.sub(sum, s.splat(1.0)));
            // In units: the difference itself may exceed f32.
            let unit = self.unit;
            let base = s.sub(s.mul(*max, unit), s.mul(logit, unit));
            let base = s.select(right, s.splat(0.0), base);
            *loss = s.mul(weight, s.mul_add(ln_1p(s, ratio), unit, base));
            *factor = s.div(s.mul(weight, self.scale), sum);
            *slope = s.neg(s.mul(*factor, others));
        }
        self.total.add(s.sum_block(losses));
        let (mut factor_lanes, mut slope_lanes) = ([0.0; BLOCK], [0.0; BLOCK]);
        store(s, &factors, &mut factor_lanes);
        store(s, &slopes, &mut slope_lanes);
        (factor_lanes, slope_lanes)
    }
}

/// Weights of a group's rows; zero for those that are missing.
#[inline(always)]
fn group_weights(targets: &[f32], sample: &[f32], class: Option<&[f32]>) -> [f32; BLOCK] {
    let mut weights = [0.0; BLOCK];
    for (weight, target) in weights.iter_mut().zip(targets) {
        *weight = class.and_then(|class| class.get(index(*target))).copied().unwrap_or(1.0);
    }
    for (weight, sample) in weights.iter_mut().zip(sample) {
        *weight *= sample;
    }
    weights
}

/// The largest element M of a row, and the sum of exp(z - M) over the row without its class. The terms
/// go to `out` unless that is empty, each with the shift of its piece: see [`scale_pieces`].
#[inline(always)]
fn row_exponentials<S: Simd>(
    s: S,
    row: &[f32],
    class: usize,
    out: &mut [f32],
    shifts: &mut [f32; PIECES],
) -> (f32, f32) {
    if row.len() <= PIECE {
        let max = row_max(s, row);
        return (max, exponentials(s, row, 0, class, max, out));
    }
    let mut running = Running::new();
    let mut outs = out.chunks_mut(PIECE);
    let mut starts = (0..).step_by(PIECE);
    for (piece, shift) in row.chunks(piece_len(row.len())).zip(shifts) {
        *shift = running.raise(s, row_max(s, piece));
        for (part, start) in piece.chunks(PIECE).zip(starts.by_ref()) {
            let out = outs.next().unwrap_or_default();
            running.total.add(exponentials(s, part, start, class, *shift, out));
        }
    }
    (running.max, running.total.value())
}

/// Sum of exp(z - max) over a part of a row that begins at element `start`, without the class; the
/// terms go to `out` unless that is empty.
#[inline(always)]
fn exponentials<S: Simd>(
    s: S,
    part: &[f32],
    start: usize,
    class: usize,
    max: f32,
    out: &mut [f32],
) -> f32 {
    let max = s.splat(max);
    let mut sum = s.splat_block(0.0);
    let mut outs = out.chunks_mut(BLOCK);
    let starts = (start..).step_by(BLOCK);
    for (row, start) in part.chunks(BLOCK).zip(starts) {
        let mut terms = match row.first_chunk() {
            Some(block) => s.load_block(block),
            None => s.load_block_tail(row, f32::NEG_INFINITY),
        };
        if row.len() < BLOCK || (start..start + BLOCK).contains(&class) {
            leave_out(s, class as f32 - start as f32, &mut terms);
            for term in terms.as_mut() {
                *term = exp_or_zero(s, *term, max);
            }
        } else {
            for term in terms.as_mut() {
                *term = exp(s, s.sub(*term, max));
            }
        }
        for (sum, term) in sum.as_mut().iter_mut().zip(terms.as_ref()) {
            *sum = s.add(*sum, *term);
        }
        let out = outs.next().unwrap_or_default();
        match out.first_chunk_mut() {
            Some(out) => store(s, &terms, out),
            None => store_first(s, &terms, out),
        }
    }
    s.sum_block(sum)
}

#[inline(always)]
fn store<S: Simd>(s: S, block: &S::Block, out: &mut [f32; BLOCK]) {
    let (chunks, _) = s.chunks_mut(out);
    for (v, chunk) in block.as_ref().iter().zip(chunks) {
        s.store(*v, chunk);
    }
}

/// Stores as many lanes as `out` holds, at most sixteen.
#[inline(always)]
fn store_first<S: Simd>(s: S, block: &S::Block, out: &mut [f32]) {
    for (v, out) in block.as_ref().iter().zip(out.chunks_mut(S::LANES)) {
        s.store_tail(*v, out);
    }
}
